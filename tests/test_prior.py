from __future__ import annotations

import math
from typing import Any, get_args

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp, kstest, laplace, norm, t

from engine.batch_last import matmul
from engine.models.activations import activation as sigma
from engine.models.factorization import end_to_end_matrix, factor_shapes
from engine.models.prior import LAWS, layer_scales, matrices_of, normalized, sample_matrices, sample_weights
from engine.randomness import Stream, _LaggedProducts
from engine.samplers import PRIOR
from engine.spec.names import PriorName
from tests.settings import point
from tests.targets import run, target


@pytest.mark.parametrize("kind", ["sensing", "completion"])
@pytest.mark.parametrize("width", [1, 5, 40])
def test_the_linear_depth_two_gaussian_priors_mean_loss_is_its_closed_form(width: int, kind: str) -> None:
    """W = W_2 W_1 with Var(W_2) = 1/m, Var(W_1) = 1/k: W's entries are uncorrelated, have mean 0 and variance
    k · (1/m)(1/k) = 1/m, so E <B, W>² = ‖B‖²/m = 1/m and E L_gen = 1/m + (1/|B|) Σ <B, W*>²."""
    trial = target(kind=kind, width=width, rows=4, columns=6, measurements=9, prior_draws=200_000)
    summary = PRIOR.record(trial, run(PRIOR, trial)).generalization_loss
    assert summary is not None
    expected = 1 / 4 + float(trial.problem.held_out_targets.square().mean())
    assert abs(summary.mean - expected) < 4 * summary.standard_error


@pytest.mark.parametrize("prior", get_args(PriorName))
def test_weights_have_mean_zero_and_the_stated_variance(prior: PriorName) -> None:
    """Uniform has variance 1/3 as published, all others 1; Student's t with 4 degrees of freedom has no fourth moment,
    so that its spread is judged by quartiles instead: ±0.740697/√2."""
    weights = LAWS[prior].draw(Stream(0, "prior", 0), (200_000,), torch.float64)
    count = len(weights)
    assert abs(float(weights.mean())) < 4 * float(weights.std()) / math.sqrt(count)
    if prior == "student_t":
        share = float((weights.abs() < 0.740697 / math.sqrt(2)).double().mean())
        assert abs(share - 0.5) < 4 * 0.5 / math.sqrt(count)
        return
    expected = 1 / 3 if prior == "uniform" else 1.0
    error = math.sqrt(max(float(weights.pow(4).mean()) - expected**2, 0) / count)
    assert abs(float(weights.square().mean()) - expected) <= 4 * error + 1e-12


@pytest.mark.parametrize("prior", get_args(PriorName))
def test_a_law_is_the_same_drawn_directly_or_as_the_image_of_normals(prior: PriorName) -> None:
    direct = LAWS[prior].draw(Stream(0, "prior", 0), (50_000,), torch.float64).numpy()
    image = LAWS[prior].from_normal(Stream(0, "prior", 1).normal(50_000)).numpy()
    assert ks_2samp(direct, image).pvalue > 0.01 / len(LAWS)


@pytest.mark.parametrize(
    ("prior", "law"), [("laplace", laplace(scale=math.sqrt(0.5))), ("student_t", t(4, scale=math.sqrt(0.5)))]
)
def test_the_image_of_a_normal_is_the_laws_own_quantile(prior: PriorName, law: Any) -> None:
    """Out to 8 standard deviations, where 1 − Φ(x) would have lost all its digits."""
    x = torch.linspace(-8, 8, 65, dtype=torch.float64)
    expected = np.where(x < 0, law.ppf(norm.cdf(x)), -law.ppf(norm.cdf(-x)))
    np.testing.assert_allclose(LAWS[prior].from_normal(x).numpy(), expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("scaling", ["fan_out", "fan_in"])
def test_layers_are_scaled_by_their_fan(scaling: str) -> None:
    """With one weight 1 per factor, the product is the product of the scales."""
    settings = point(scaling=scaling, depth=3, width=4, rows=5, columns=7)
    weights = [torch.zeros(rows, columns, 1) for rows, columns in factor_shapes(settings)]
    for factor in weights:
        factor[0, 0] = 1.0
    fans = {"fan_out": (4, 4, 5), "fan_in": (7, 4, 4)}[scaling]
    assert float(matrices_of(settings, weights)[0, 0]) == pytest.approx(1 / math.sqrt(math.prod(fans)))


@pytest.mark.parametrize("activation", ["linear", "tanh", "leaky_relu"])
def test_batch_last_products_are_the_factorization(activation: str) -> None:
    settings = point(depth=4, width=4, rows=5, columns=7, activation=activation)
    weights = sample_weights(settings, Stream(0, "prior", 0), 3, torch.float64)
    scales = layer_scales(settings)
    factors = [(w * s).permute(2, 0, 1) for w, s in zip(weights, scales, strict=True)]
    expected = end_to_end_matrix(factors, sigma(settings.model))
    torch.testing.assert_close(matrices_of(settings, weights).permute(2, 0, 1), expected)


def test_normalized_matrices_have_unit_norm_up_to_the_softening() -> None:
    settings = point(normalize=True, depth=4)
    matrices = sample_matrices(settings, Stream(0, "prior", 0), 100, torch.float64)
    raw = sample_matrices(point(depth=4), Stream(0, "prior", 0), 100, torch.float64)
    norms = torch.linalg.vector_norm(raw, dim=(0, 1))
    torch.testing.assert_close(torch.linalg.vector_norm(matrices, dim=(0, 1)), norms / (norms + 1e-6))
    torch.testing.assert_close(matrices, normalized(raw))


def test_a_stream_is_a_function_of_its_address() -> None:
    draws = {
        address: Stream(*address).normal(3).tolist()
        for address in [(0, "prior", 1), (0, "prior", 2), (0, "gnc", 1), (1, "prior", 1), (0, "prior", 1, 0)]
    }
    assert len({tuple(values) for values in draws.values()}) == len(draws)
    assert Stream(0, "prior", 1).normal(3).tolist() == draws[0, "prior", 1]


NORMALS = 1 << 23


@pytest.fixture(scope="module")
def normals() -> np.ndarray[Any, np.dtype[np.float64]]:
    """Enough that 128 rounds of all sequences of the lagged product enter."""
    return Stream(0, "prior", 0).normal(NORMALS, dtype=torch.float32).double().numpy()


@pytest.mark.slow
def test_single_precision_normals_have_the_moments_and_tails_of_the_normal_law(normals: Any) -> None:
    """Ten statistics, each within 4 of its standard errors."""
    for power, mean, variance in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96), (6, 15, 10170)]:
        assert abs(np.mean(normals**power) - mean) < 4 * math.sqrt(variance / NORMALS)
    for bound in (0.5, 1, 2, 3, 4):
        tail = 2 * norm.sf(bound)
        assert abs(np.mean(np.abs(normals) > bound) - tail) < 4 * math.sqrt(tail * (1 - tail) / NORMALS)
    assert kstest(normals[: 1 << 20], "norm").pvalue > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("lag", [1, 512, 31 * 512, 63 * 512])
def test_single_precision_normals_are_independent_of_their_neighbours_and_ancestors(normals: Any, lag: int) -> None:
    """Radius and angle partners, neighbours, and numbers whose words are factors of each other's: correlations of x,
    |x| and x² within 4.5 standard errors, for 108 of them. At lag 512 one number's radius is a factor of the other's
    angle, at lag 63 · 512 like is a factor of like."""
    chunk = 63 * 512
    cosines, sines = normals[: NORMALS // (2 * chunk) * 2 * chunk].reshape(-1, 2, chunk).swapaxes(0, 1).reshape(2, -1)
    shapes: list[Any] = [lambda x: x, np.abs, np.square]
    for left, right in [(cosines, sines), (cosines[lag:], cosines[:-lag]), (sines[lag:], cosines[:-lag])]:
        for f in shapes:
            for g in shapes:
                assert abs(np.corrcoef(f(left), g(right))[0, 1]) < 4.5 / math.sqrt(len(left))


def test_a_lagged_product_is_the_product_of_the_words_31_and_63_before() -> None:
    source = _LaggedProducts(np.random.SFC64(0))
    words = np.concatenate([source.take(63 * 512).copy() for _ in range(3)]).reshape(-1, 512)
    assert np.array_equal(words[63:], words[:-63] * words[32:-31])
    assert (words % 2 == 1).all()


def test_normals_drawn_in_pieces_are_those_drawn_in_the_same_pieces_again() -> None:
    """Whatever the sizes, also across the end of the generator's 63 × 512 words."""
    sizes = (3, 60_000, 1, 70_001)
    first, second = (Stream(1, "gnc", 4), Stream(1, "gnc", 4))
    pieces = [first.normal(size, dtype=torch.float32) for size in sizes]
    assert [len(piece) for piece in pieces] == list(sizes)
    assert all(torch.equal(piece, second.normal(len(piece), dtype=torch.float32)) for piece in pieces)


@pytest.mark.parametrize("batch", [3, 60_000])
def test_batch_last_products_are_matrix_products(batch: int) -> None:
    """Few matrices go in one piece, many row by row."""
    left, right = Stream(0, "prior", 1).normal(3, 4, batch), Stream(0, "prior", 2).normal(4, 5, batch)
    torch.testing.assert_close(matmul(left, right), torch.einsum("ijb,jlb->ilb", left, right))
