"""Names that are chosen: each is in the engine's tables, and told of."""

from __future__ import annotations

import pytest

from engine.descent.inits import _INITS
from engine.descent.optimizers import _OPTIMIZERS
from engine.models.prior import LAWS
from engine.samplers import SAMPLERS
from engine.spec.names import CHOICES
from engine.spec.settings import choices, fields, meaning

TABLES = {"gd.init": _INITS, "gd.optimizer": _OPTIMIZERS, "gnc.prior": LAWS, "gnc.sampler": SAMPLERS}


@pytest.mark.parametrize("key", CHOICES)
def test_every_name_that_a_field_takes_is_told_of_and_computed(key: str) -> None:
    names = choices(fields()[key])
    assert tuple(CHOICES[key]) == names
    assert all(traits.meaning for traits in CHOICES[key].values())
    if key in TABLES:
        assert set(TABLES[key]) == set(names)


def test_a_fields_meaning_is_its_own_and_that_of_the_names_chosen() -> None:
    field = fields()["gnc.prior"].description
    assert meaning("gnc.prior", "rademacher") == f"{field}; rademacher: ±1"
    assert meaning("gnc.prior", "rademacher", "gaussian") == f"{field}; gaussian: N(0, 1); rademacher: ±1"
    assert meaning("gnc.prior").count(": ") == len(CHOICES["gnc.prior"])
    assert meaning("gnc.eps_train", "0.1") == fields()["gnc.eps_train"].description
