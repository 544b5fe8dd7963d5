"""Ways to do Guess & Check, one a file. `interface` says what a sampler is; `SAMPLERS` holds them by name."""

from __future__ import annotations

from engine.samplers.auto import Auto
from engine.samplers.collapsed import Collapsed
from engine.samplers.conditional import Conditional
from engine.samplers.interface import Sampler
from engine.samplers.prior import Prior
from engine.samplers.rejection import Rejection
from engine.samplers.splitting import Splitting
from engine.spec.names import SamplerName

PRIOR: Sampler = Prior()
_ALL_BUT_AUTO: dict[SamplerName, Sampler] = {
    "rejection": Rejection(),
    "collapsed": Collapsed(),
    "conditional": Conditional(),
    "splitting": Splitting(),
}
SAMPLERS: dict[SamplerName, Sampler] = {"auto": Auto(_ALL_BUT_AUTO), **_ALL_BUT_AUTO}
