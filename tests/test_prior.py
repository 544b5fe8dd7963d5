from __future__ import annotations

import math
from typing import Any, get_args

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp, laplace, norm, t

from engine.models.activations import activation as sigma
from engine.models.factorization import end_to_end_matrix, factor_shapes
from engine.models.prior import LAWS, layer_scales, matrices_of, normalized, sample_matrices, sample_weights
from engine.randomness import Stream
from engine.samplers import PRIOR
from engine.spec.settings import PriorName
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
    assert ks_2samp(direct, image).pvalue > 0.01 / 6


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
