"""Ways to do Guess & Check, one a file. `interface` says what a sampler is; `SAMPLERS` holds them by name."""

from __future__ import annotations

from engine.samplers.interface import Sampler
from engine.samplers.prior import Prior
from engine.samplers.rejection import Rejection
from engine.settings import SamplerName

PRIOR: Sampler = Prior()
SAMPLERS: dict[SamplerName, Sampler] = {"rejection": Rejection()}
