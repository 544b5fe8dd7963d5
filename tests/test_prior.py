from __future__ import annotations

import math

import pytest
import torch

from engine.prior import layer_scales, normalized, sample_factors, sample_matrices
from engine.randomness import Stream
from engine.samplers import PRIOR
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


@pytest.mark.parametrize(("prior", "variance"), [("gaussian", 1.0), ("uniform", 1 / 3)])
@pytest.mark.parametrize("scaling", ["fan_out", "fan_in"])
def test_weights_have_mean_zero_and_the_stated_variance(prior: str, variance: float, scaling: str) -> None:
    settings = point(prior=prior, scaling=scaling, depth=3, width=4, rows=5, columns=7)
    factors = sample_factors(settings, Stream(0, "prior"), 20_000, torch.float64)
    fans = {"fan_out": (4, 4, 5), "fan_in": (7, 4, 4)}[scaling]
    for factor, fan in zip(factors, fans, strict=True):
        entries = factor.flatten()
        count = len(entries)
        expected = variance / fan
        fourth = float(entries.pow(4).mean())
        assert abs(float(entries.mean())) < 4 * math.sqrt(expected / count)
        assert abs(float(entries.square().mean()) - expected) < 4 * math.sqrt((fourth - expected**2) / count)


def test_uniform_weights_stay_within_their_scale() -> None:
    settings = point(prior="uniform", depth=3, width=4)
    for factor, scale in zip(
        sample_factors(settings, Stream(0, "prior"), 5_000, torch.float64), layer_scales(settings), strict=True
    ):
        assert float(factor.abs().max()) <= scale


def test_normalized_matrices_have_unit_norm_up_to_the_softening() -> None:
    settings = point(normalize=True, depth=4)
    matrices = sample_matrices(settings, Stream(0, "prior"), 100, torch.float64)
    raw = sample_matrices(point(depth=4), Stream(0, "prior"), 100, torch.float64)
    norms = torch.linalg.matrix_norm(raw)
    torch.testing.assert_close(torch.linalg.matrix_norm(matrices), norms / (norms + 1e-6))
    torch.testing.assert_close(matrices, normalized(raw))


def test_a_stream_is_a_function_of_its_address() -> None:
    draws = {
        address: Stream(*address).normal(3).tolist()
        for address in [(0, "prior", 1), (0, "prior", 2), (0, "gnc", 1), (1, "prior", 1), (0, "prior", 1, 0)]
    }
    assert len({tuple(values) for values in draws.values()}) == len(draws)
    assert Stream(0, "prior", 1).normal(3).tolist() == draws[0, "prior", 1]
