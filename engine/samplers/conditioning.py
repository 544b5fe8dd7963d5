"""Gaussian conditioning on the measurements, for a batch of hidden features at once.

Given hidden features with factor C (n×q), W = G Cᵀ with G (m×q) standard normal. The measurements z = A vec W are
N(0, S), S = A (I ⊗ CCᵀ) Aᵀ. Conditioned on the pseudo-observation y = z + noise, noise ~ N(0, γI), W is Gaussian again,
and Matheron's rule draws it from one Cholesky factor of M = S + γI: with G₀, ξ standard normal, W₀ = G₀Cᵀ and
α = M⁻¹ (y − A vec W₀ − √γ ξ), the latent G = G₀ + mat(Aᵀα) C gives W = G Cᵀ [Wilson et al. 2020, eq. 5].
Everything is float64, batch last.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from engine.batch_last import cholesky, matmul, solve_lower, solve_lower_transposed
from engine.randomness import Stream

_NODES, _NODE_WEIGHTS = (torch.from_numpy(x) for x in np.polynomial.legendre.leggauss(48))


@dataclass(frozen=True)
class Posterior:
    """W given the pseudo-observation, for each of a batch of features."""

    factor: Float[Tensor, "n q batch"]
    """C"""
    cholesky: Float[Tensor, "obs obs batch"]
    """of M"""
    log_evidence: Float[Tensor, " batch"]
    """log N(y; 0, M)"""

    def select(self, index: Int[Tensor, " draw"]) -> Posterior:
        """The posteriors of these features, repeats allowed."""
        return Posterior(self.factor[..., index], self.cholesky[..., index], self.log_evidence[index])


@dataclass(frozen=True)
class PosteriorDraws:
    latent: Float[Tensor, "m q draw"]
    """G"""
    columns: Float[Tensor, "mn draw"]
    """vec W"""


class Conditioner:
    """The measurements of one data set, prepared for conditioning."""

    def __init__(self, design: Float[Tensor, "obs m n"], targets: Float[Tensor, " obs"], noise: float) -> None:
        """`design` holds A_1 … A_obs, `targets` is y, `noise` is γ, the variance of the pseudo-observation's noise."""
        self.rows, self.columns = design.shape[1:]
        self.noise = noise
        self.targets = targets
        self.design: Float[Tensor, "obs mn"] = design.flatten(1)
        pairs = torch.einsum("ipa,jpb->ijab", design, design)
        self._upper = torch.triu_indices(self.columns, self.columns, device=design.device)
        a, b = self._upper
        symmetric = pairs[..., a, b] + torch.where(a == b, 0.0, pairs[..., b, a])
        self._from_covariance: Float[Tensor, "obs2 pairs"] = symmetric.flatten(0, 1)

    @property
    def observations(self) -> int:
        return len(self.targets)

    def measurement_covariance(self, factor: Float[Tensor, "n q batch"]) -> Float[Tensor, "obs obs batch"]:
        """S: one product with the entries of CCᵀ, from coefficients that don't depend on C."""
        covariance = matmul(factor, factor.transpose(0, 1))
        a, b = self._upper
        return (self._from_covariance @ covariance[a, b]).unflatten(0, (self.observations, -1))  # type: ignore[no-any-return, no-untyped-call]

    def condition(
        self, factor: Float[Tensor, "n q batch"], measurement_covariance: Float[Tensor, "obs obs batch"]
    ) -> Posterior:
        """The posterior given the pseudo-observation; `measurement_covariance` is S of the same factors."""
        matrix = measurement_covariance.clone()
        matrix.diagonal(dim1=0, dim2=1).add_(self.noise)
        root = cholesky(matrix)
        whitened = solve_lower(root, self.targets[:, None].expand(-1, factor.shape[-1]))
        log_determinant = 2 * root.diagonal(dim1=0, dim2=1).log().sum(-1)
        log_evidence = -0.5 * (log_determinant + whitened.square().sum(0) + self.observations * math.log(2 * math.pi))
        return Posterior(factor, root, log_evidence)

    def draw(self, posterior: Posterior, stream: Stream) -> PosteriorDraws:
        """One draw from each posterior, by Matheron's rule."""
        _, rank, batch = posterior.factor.shape
        latent = stream.normal(self.rows, rank, batch, dtype=torch.float32).double()
        noise = stream.normal(self.observations, batch, dtype=torch.float32).double() * math.sqrt(self.noise)
        prior_columns = matmul(latent, posterior.factor.transpose(0, 1)).flatten(0, 1)
        residual = self.targets[:, None] - self.design @ prior_columns - noise
        solved = solve_lower_transposed(posterior.cholesky, solve_lower(posterior.cholesky, residual))
        pulled_back = (self.design.T @ solved).view(self.rows, self.columns, batch)
        latent = latent + matmul(pulled_back, posterior.factor)
        return PosteriorDraws(latent, matmul(latent, posterior.factor.transpose(0, 1)).flatten(0, 1))

    def log_noise_density(self, measured: Float[Tensor, "obs draw"]) -> Float[Tensor, " draw"]:
        """log N(y; z, γI)."""
        distance = (measured - self.targets[:, None]).square().sum(0)
        return -0.5 * (distance / self.noise + self.observations * math.log(2 * math.pi * self.noise))

    def log_direction_evidence(
        self,
        measured_direction: Float[Tensor, "obs draw"],
        squared_latent: Float[Tensor, "*scale draw"],
        degrees: Float[Tensor, " draw"],
    ) -> Float[Tensor, "*scale draw"]:
        """log E_{r|u} N(y; r A u, γI): the evidence of a direction u, its length r integrated out under the prior.

        `squared_latent` is s² = |g_u|², g_u the latent of u; under the prior r s has a χ law of `degrees` degrees of
        freedom d. Completing the square, with a = A u,
        E = (2πγ)^(−obs/2) e^(−|y|²/2γ) s^d / (2^(d/2−1) Γ(d/2)) · I_d(s² + |a|²/γ, a·y/γ).
        """
        quadratic = squared_latent + measured_direction.square().sum(0) / self.noise
        linear = (measured_direction * self.targets[:, None]).sum(0) / self.noise
        constant = -0.5 * (
            self.targets.square().sum() / self.noise + self.observations * math.log(2 * math.pi * self.noise)
        )
        chi_normalizer = (degrees / 2 - 1) * math.log(2) + torch.lgamma(degrees / 2)
        return (
            constant
            - chi_normalizer
            + degrees / 2 * squared_latent.log()
            + log_radial_integral(quadratic, linear.expand_as(quadratic), degrees)
        )


def log_radial_integral(
    quadratic: Float[Tensor, "*batch"], linear: Float[Tensor, "*batch"], degrees: Tensor
) -> Float[Tensor, "*batch"]:
    """log I_d(α, β), I_d = ∫₀^∞ r^(d−1) exp(−α r²/2 + β r) dr, for α > 0, d ≥ 1.

    Gauss–Legendre with 48 nodes, right to 1e−8. The integrand's logarithm has second derivative ≤ −α everywhere, so
    that beyond 8/√α from its mode it is under e^(−32) of its peak.
    """
    mode = (linear + torch.sqrt(linear * linear + 4 * quadratic * (degrees - 1))) / (2 * quadratic)
    reach = 8 / quadratic.sqrt()
    low = (mode.clamp_min(0) - reach).clamp_min(0)
    half = (mode.clamp_min(0) + reach - low) / 2
    nodes = _NODES.to(quadratic.device).view(-1, *[1] * quadratic.dim())
    weights = _NODE_WEIGHTS.to(quadratic.device).view(-1, *[1] * quadratic.dim())
    radius = low + half * (1 + nodes)
    exponent = (degrees - 1) * radius.log() - quadratic / 2 * radius.square() + linear * radius
    return torch.logsumexp(exponent + weights.log(), dim=0) + half.log()
