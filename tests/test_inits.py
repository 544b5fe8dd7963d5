from __future__ import annotations

from itertools import pairwise
from typing import get_args

import pytest
import torch

from engine.descent.inits import initial_factors
from engine.models.factorization import factor_shapes
from engine.spec.names import INITS, InitName
from tests.settings import point

SEEDS = (0, 4)


@pytest.mark.parametrize("init", get_args(InitName))
@pytest.mark.parametrize("depth", [1, 2, 4])
def test_initial_factors_have_their_shapes_scale_and_no_dependence_on_other_seeds(init: InitName, depth: int) -> None:
    fields = {"init": init, "depth": depth, "width": 7, "rows": 4, "columns": 6}
    settings = point(init_scale=1.0, **fields)
    factors = initial_factors(settings, SEEDS)
    assert [tuple(factor.shape) for factor in factors] == [(2, *shape) for shape in factor_shapes(settings)]
    scaled, alone = initial_factors(point(init_scale=0.1, **fields), SEEDS), initial_factors(settings, SEEDS[1:])
    for factor, small, single in zip(factors, scaled, alone, strict=True):
        torch.testing.assert_close(small, 0.1 * factor, rtol=1e-15, atol=0)
        assert torch.equal(factor[1:], single)


@pytest.mark.parametrize("init", [name for name, traits in INITS.items() if traits.balanced])
@pytest.mark.parametrize("depth", [1, 2, 3, 5])
@pytest.mark.parametrize(
    ("rows", "columns", "width"),
    [(5, 5, 5), (4, 7, 12), (7, 4, 5), (6, 6, 3)],
    ids=["square", "wide", "tall", "narrow"],
)
def test_balanced_factors_have_equal_gram_matrices_on_both_sides_of_each_hidden_layer(
    rows: int, columns: int, width: int, depth: int, init: InitName
) -> None:
    settings = point(init=init, depth=depth, width=width, rows=rows, columns=columns, init_scale=0.5)
    factors = initial_factors(settings, SEEDS)
    for below, above in pairwise(factors):
        torch.testing.assert_close(above.mT @ above, below @ below.mT, rtol=0, atol=1e-12)


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_the_product_of_balanced_factors_does_not_depend_on_the_depth(depth: int) -> None:
    """Up to the scale, which multiplies once a layer."""
    product = None
    for factor in initial_factors(point(init="balanced", depth=depth, width=9, init_scale=1.0), SEEDS):
        product = factor if product is None else factor @ product
    (single,) = initial_factors(point(init="balanced", depth=1, init_scale=1.0), SEEDS)
    torch.testing.assert_close(product, single, rtol=0, atol=1e-12)


@pytest.mark.parametrize("width", [3, 12])
def test_orthogonal_factors_have_orthonormal_rows_or_columns(width: int) -> None:
    for factor in initial_factors(point(init="orthogonal", depth=3, width=width, init_scale=1.0), SEEDS):
        thin = factor if factor.shape[1] <= factor.shape[2] else factor.mT
        eye = torch.eye(thin.shape[1], dtype=torch.float64).expand(2, -1, -1)
        torch.testing.assert_close(thin @ thin.mT, eye, rtol=0, atol=1e-12)


def test_the_signs_of_orthogonal_factors_are_random() -> None:
    """QR alone would fix the signs of a diagonal: here each trace is as often positive as negative (4 s.e.)."""
    (factors,) = initial_factors(point(init="orthogonal", depth=1, rows=3, columns=3, init_scale=1.0), range(400))
    positive = int((factors.diagonal(dim1=-2, dim2=-1) > 0).sum())
    assert abs(positive - 600) < 4 * (1_200 / 4) ** 0.5


def test_identity_factors_multiply_to_the_identity() -> None:
    product = torch.eye(5, dtype=torch.float64)
    for factor in initial_factors(point(init="identity", depth=4, width=8, init_scale=1.0), [0]):
        product = factor[0] @ product
    assert torch.equal(product, torch.eye(5, dtype=torch.float64))
