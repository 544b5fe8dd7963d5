"""Which fields have a say, given the others. Never imports torch.

A field that has none is no error, except of [problem], where `engine.spec.experiment` refuses it; a form says why it
idles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.spec.names import OPTIMIZERS

METHODS_KEY = "methods"


@dataclass(frozen=True)
class Condition:
    """The field matters only where another has one of these values, or none of those."""

    field: str
    one_of: tuple[Any, ...] = ()
    none_of: tuple[Any, ...] = ()

    def holds(self, values: Sequence[Any]) -> bool:
        """At some sweep point at least; `values` are the other field's, one a point or one for all."""
        if self.one_of:
            return any(value in self.one_of for value in values)
        return any(value not in self.none_of for value in values)

    def __str__(self) -> str:
        wanted = self.one_of or self.none_of
        words = " or ".join("empty" if value == "" else str(value) for value in wanted)
        if self.field == METHODS_KEY:
            return f"only where {words} is among the methods"
        return f"only where {self.field} is {words}" if self.one_of else f"not where {self.field} is {words}"


def _where(field: str, *values: Any) -> Condition:
    return Condition(field, one_of=values)


_DRAWN = _where("problem.kind", "sensing", "completion")
_SIZED = Condition("problem.kind", none_of=("file",))
_RATINGS = _where("problem.kind", "ratings")
_DEEP = Condition("model.depth", none_of=(1,))
_GD = _where(METHODS_KEY, "gd")
_GNC = _where(METHODS_KEY, "gnc")
_GUESSES = _where(METHODS_KEY, "gnc", "prior")
_MOMENTUM = _where("gd.optimizer", *(name for name, traits in OPTIMIZERS.items() if traits.momentum))
_ADAPTIVE = _where("gd.optimizer", *(name for name, traits in OPTIMIZERS.items() if traits.adaptive))
_BATCHES = _where("gd.optimizer", *(name for name, traits in OPTIMIZERS.items() if traits.batches))

CONDITIONS: Mapping[str, tuple[Condition, ...]] = {
    "problem.path": (_where("problem.kind", "file", "ratings"),),
    "problem.first_index": (_RATINGS,),
    "problem.test_path": (_RATINGS,),
    "problem.test_fraction": (_RATINGS, _where("problem.test_path", "")),
    "problem.center": (_RATINGS,),
    "problem.rows": (_SIZED,),
    "problem.columns": (_SIZED,),
    "problem.rank": (_DRAWN,),
    "problem.norm": (_DRAWN,),
    "problem.measurements": (_DRAWN,),
    "model.activation": (_DEEP,),
    "model.negative_slope": (_where("model.activation", "leaky_relu"), _DEEP),
    "model.width": (_DEEP,),
    "gd.optimizer": (_GD,),
    "gd.learning_rate": (_GD,),
    "gd.momentum": (_MOMENTUM, _GD),
    "gd.epsilon": (_ADAPTIVE, _GD),
    "gd.batch_size": (_BATCHES, _GD),
    "gd.init": (_GD,),
    "gd.init_scale": (_GD,),
    "gd.steps": (_GD,),
    "gd.log_every": (_GD,),
    "gd.stop_below": (_GD,),
    "gd.predict_from": (_where("model.activation", "linear"), _where("gd.optimizer", "gradient_descent"), _GD),
    "gd.dtype": (_GD,),
    "gnc.eps_train": (_GNC,),
    "gnc.prior": (_GUESSES,),
    "gnc.scaling": (_GUESSES,),
    "gnc.normalize": (_GUESSES,),
    "gnc.mode": (_GNC,),
    "gnc.draws": (_GNC,),
    "gnc.effective_samples": (_where("gnc.mode", "posterior"), _GNC),
    "gnc.prior_draws": (_where(METHODS_KEY, "prior"),),
    "gnc.measure_laws": (_where(METHODS_KEY, "prior"), _DEEP),
    "gnc.sampler": (_GNC,),
    "gnc.dtype": (_GUESSES,),
}
"""fields that matter under all of some conditions; those not listed always do"""


def idle(values: Mapping[str, Sequence[Any]]) -> dict[str, str]:
    """Fields without a say → why; `values` by dotted name, one for each sweep point or one for all."""
    reasons = {}
    for key, conditions in CONDITIONS.items():
        broken = next((each for each in conditions if not each.holds(values[each.field])), None)
        if broken is not None:
            reasons[key] = str(broken)
    return reasons


def highest(key: str, values: Mapping[str, Sequence[Any]]) -> int | None:
    """The most that `engine.spec.settings.bad_combinations` lets a field be, given the others; None for no limit."""
    rows, columns = values["problem.rows"], values["problem.columns"]
    if key not in ("problem.rank", "problem.measurements"):
        return None
    if not all(isinstance(size, int) for size in (*rows, *columns)):
        return None
    smallest_rows, smallest_columns = int(min(rows)), int(min(columns))
    if key == "problem.rank":
        return min(smallest_rows, smallest_columns)
    return smallest_rows * smallest_columns - 1
