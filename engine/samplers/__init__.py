"""Ways to do Guess & Check, one a file. `interface` says what a sampler is; `SAMPLERS` holds them by name."""

from __future__ import annotations

from engine.samplers.auto import Auto
from engine.samplers.collapsed import Collapsed
from engine.samplers.conditional import Conditional
from engine.samplers.interface import Sampler
from engine.samplers.prior import Prior
from engine.samplers.rejection import Rejection
from engine.samplers.splitting import Splitting
from engine.spec.settings import SamplerName

PRIOR: Sampler = Prior()
SAMPLERS: dict[SamplerName, Sampler] = {
    "auto": Auto(),
    "rejection": Rejection(),
    "collapsed": Collapsed(),
    "conditional": Conditional(),
    "splitting": Splitting(),
}
