from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from engine.batch_last import cholesky, gram, matmul, solve_lower, solve_lower_transposed
from engine.randomness import Stream
from engine.samplers.conditioning import Conditioner, log_radial_integral


def _random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def _double(value: float) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.float64)


def _conditioner(noise: float) -> Conditioner:
    """Four measurements of 3×2 matrices."""
    return Conditioner(_random(4, 3, 2), _random(5)[:4], noise)


def test_batch_last_products_and_gram_matrices_are_einsums() -> None:
    left, right = _random(3, 4, 7), _random(4, 2, 7)
    torch.testing.assert_close(matmul(left, right), torch.einsum("ijb,jlb->ilb", left, right))
    torch.testing.assert_close(gram(left), torch.einsum("jib,jlb->ilb", left, left))


def test_batch_last_cholesky_and_solves_are_the_dense_ones() -> None:
    root = _random(5, 8, 6)
    matrices = torch.einsum("ijb,ljb->ilb", root, root)
    factor = cholesky(matrices)
    torch.testing.assert_close(factor.permute(2, 0, 1), torch.linalg.cholesky(matrices.permute(2, 0, 1)))
    right = _random(5, 6)
    torch.testing.assert_close(torch.einsum("ijb,jb->ib", factor, solve_lower(factor, right)), right)
    torch.testing.assert_close(torch.einsum("jib,jb->ib", factor, solve_lower_transposed(factor, right)), right)


def test_cholesky_of_a_singular_matrix_reproduces_it() -> None:
    root = _random(5, 2, 6)
    matrices = torch.einsum("ijb,ljb->ilb", root, root)
    factor = cholesky(matrices)
    torch.testing.assert_close(torch.einsum("ijb,ljb->ilb", factor, factor), matrices, atol=1e-12, rtol=0)
    assert torch.isfinite(factor).all()


@pytest.mark.parametrize("degrees", [1, 2, 6, 25, 100])
@pytest.mark.parametrize("quadratic", [0.5, 30.0, 5e4])
@pytest.mark.parametrize("at", [-4.0, -0.5, 0.0, 3.0, 40.0])
def test_the_radial_integral_is_adaptive_quadratures(degrees: int, quadratic: float, at: float) -> None:
    linear = at * math.sqrt(quadratic)
    mode = (linear + math.sqrt(linear**2 + 4 * quadratic * (degrees - 1))) / (2 * quadratic)
    peak = max(mode, 1e-9 / math.sqrt(quadratic))

    def log_density(r: float) -> float:
        return (degrees - 1) * math.log(r) - quadratic * r * r / 2 + linear * r

    reach = 12 / math.sqrt(quadratic)
    value, _ = quad(
        lambda r: math.exp(log_density(r) - log_density(peak)),
        max(peak - reach, 1e-12),
        peak + reach,
        limit=500,
        epsabs=0,
        epsrel=1e-10,
    )
    ours = log_radial_integral(_double(quadratic), _double(linear), _double(float(degrees)))
    assert float(ours) == pytest.approx(math.log(value) + log_density(peak), abs=1e-8)


def test_conditioning_is_the_dense_gaussian_formula() -> None:
    """Evidence, and mean and covariance of Matheron's draws within 5 standard errors over all entries."""
    conditioner = _conditioner(0.25)
    factor = _random(2, 2, 1)
    covariance = torch.kron(torch.eye(3).double(), factor[..., 0] @ factor[..., 0].T)
    design, targets = conditioner.design, conditioner.targets
    s = design @ covariance @ design.T
    torch.testing.assert_close(conditioner.measurement_covariance(factor)[..., 0], s)
    posterior = conditioner.condition(factor, conditioner.measurement_covariance(factor))
    m = s + 0.25 * torch.eye(4).double()
    evidence = torch.distributions.MultivariateNormal(torch.zeros(4).double(), m).log_prob(targets)
    torch.testing.assert_close(posterior.log_evidence[0], evidence)

    count = 100_000
    draws = conditioner.draw(posterior.select(torch.zeros(count, dtype=torch.int64)), Stream(0, "gnc", 0))
    gain = covariance @ design.T @ torch.linalg.inv(m)
    mean, spread = gain @ targets, covariance - gain @ design @ covariance
    deviations = spread.diagonal().sqrt()
    assert ((draws.columns.mean(1) - mean).abs() < 5 * deviations / math.sqrt(count)).all()
    error = torch.outer(deviations, deviations) * math.sqrt(2 / count)
    assert ((torch.cov(draws.columns) - spread).abs() < 5 * error).all()
    rebuilt = torch.einsum("mqb,nqb->mnb", draws.latent, posterior.select(torch.zeros(count).long()).factor)
    torch.testing.assert_close(rebuilt.flatten(0, 1), draws.columns)


def test_the_evidence_of_a_direction_is_the_mean_over_its_length() -> None:
    """E_{r|u} N(y; r A u, γI) against 400,000 lengths drawn from the χ law, within 4 standard errors."""
    conditioner = _conditioner(0.5)
    direction = _random(6, 1) / _random(6, 1).norm()
    measured = conditioner.design @ direction
    squared_latent, degrees = 1.7, 6
    lengths = np.sqrt(np.random.default_rng(3).chisquare(degrees, 400_000) / squared_latent)
    values = conditioner.log_noise_density(measured * torch.from_numpy(lengths)).exp()
    ours = conditioner.log_direction_evidence(measured, _double(squared_latent), _double(float(degrees))).exp()
    assert abs(float(values.mean() - ours)) < 4 * float(values.std()) / math.sqrt(len(lengths))
