from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.descent.spectrum import OVERSAMPLING, singular_values, spectrum, spectrum_of_product


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("shape", [(5, 5), (3, 8), (8, 3), (32, 32), (33, 5), (70, 90)])
def test_the_spectrum_is_the_one_that_torch_finds_whichever_library_finds_it(
    shape: tuple[int, int], dtype: torch.dtype
) -> None:
    matrices = _random(4, *shape).to(dtype)
    matrices[0] *= 1e-3
    matrices[1, :, 0] = 0
    matrices[2] = 0
    found = spectrum(matrices)
    rounding = 20 * torch.finfo(dtype).eps
    expected = torch.linalg.svdvals(matrices)
    of_numpy = torch.from_numpy(np.linalg.svd(matrices.numpy(), compute_uv=False))
    for values, other in ((found.values, expected), (found.values, of_numpy), (singular_values(matrices), of_numpy)):
        assert values.dtype == dtype
        assert torch.all((values - other).abs() <= rounding * other[:, :1])
    again = found.left @ torch.diag_embed(found.values) @ found.right.mT
    assert torch.all((again - matrices).abs().amax((1, 2)) <= rounding * expected[:, 0])
    for vectors in (found.left, found.right):
        assert torch.allclose(vectors.mT @ vectors, torch.eye(min(shape), dtype=dtype), atol=rounding)


@pytest.mark.parametrize("shape", [(33, 33), (37, 37), (33, 5), (61, 100)])
def test_the_bits_of_a_spectrum_do_not_depend_on_the_cores(
    shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor on what is decomposed beside a matrix: libraries round by where in memory it lies."""
    matrices = _random(7, *shape)
    found = []
    for cores in (1, 2, 3):
        monkeypatch.setattr("engine.parallel.cores", lambda _, cores=cores: cores)
        whole, part = spectrum(matrices), spectrum(matrices[3:])
        found.append([whole.values, whole.left, whole.right, singular_values(matrices)])
        assert torch.equal(whole.left[3:], part.left)
    for others in found[1:]:
        assert all(torch.equal(one, other) for one, other in zip(found[0], others, strict=True))


@pytest.mark.parametrize("shape", [(200, 5, 300), (7, 400, 300), (300, 400, 9)])
def test_a_product_with_one_small_dimension_has_its_exact_spectrum_without_being_formed(
    shape: tuple[int, int, int],
) -> None:
    rows, inner, columns = shape
    left, right = _random(2, rows, inner), _random(2, inner, columns, seed=1)
    found = spectrum_of_product(left, right, 10)
    exact = torch.linalg.svdvals(left @ right)[:, : min(shape)]
    assert found.complete
    torch.testing.assert_close(found.values, exact, rtol=1e-10, atol=0)
    rebuilt = found.left @ torch.diag_embed(found.values) @ found.right.mT
    torch.testing.assert_close(rebuilt, left @ right, rtol=0, atol=1e-9)


def test_the_randomized_method_finds_the_leading_values_of_a_decaying_spectrum_exactly() -> None:
    """Four power iterations on ten more directions than asked shrink what lies beyond by (σ_21/σ_10)^9, here 1e-15."""
    values = 0.7 ** torch.arange(220).double()
    left = torch.linalg.qr(_random(1, 260, 220)).Q * values
    found = spectrum_of_product(left, torch.linalg.qr(_random(1, 240, 220, seed=1)).Q.mT, 10)
    assert not found.complete
    torch.testing.assert_close(found.values[0], values[:10], rtol=1e-9, atol=0)


def test_on_a_flat_spectrum_the_randomized_values_lie_between_the_true_ones_and_those_ten_places_on() -> None:
    left, right = _random(1, 260, 220), torch.linalg.qr(_random(1, 240, 220, seed=1)).Q.mT
    found = spectrum_of_product(left, right, 10).values
    exact = torch.linalg.svdvals(left @ right)
    assert (found <= exact[:, :10] * (1 + 1e-12)).all()
    assert (found >= exact[:, OVERSAMPLING : 10 + OVERSAMPLING]).all()
    torch.testing.assert_close(spectrum_of_product(left, right, 10).values, found, rtol=0, atol=0)
