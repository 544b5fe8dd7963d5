from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.models.activations import Activation, activation
from engine.models.factorization import end_to_end_matrix, factor_gradients, factor_shapes, pre_activations
from engine.spec.names import ACTIVATIONS, ActivationName
from engine.spec.settings import ModelSettings
from tests.settings import point

DEPTHS = (1, 2, 3, 4, 5)


def _factors(depth: int, seed: int = 0, batch: int = 2) -> list[Tensor]:
    shapes = factor_shapes(point(depth=depth, width=3, rows=4, columns=2))
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(batch, *shape, generator=generator, dtype=torch.float64) for shape in shapes]


def _loss(matrix: Tensor) -> Tensor:
    """Any smooth function of W with a gradient that differs in every entry."""
    weights = torch.arange(1, 9, dtype=torch.float64).view(4, 2)
    return (weights * matrix + matrix**2).sum()


def _loss_gradient(matrix: Tensor) -> Tensor:
    return torch.arange(1, 9, dtype=torch.float64).view(4, 2) + 2 * matrix


def _gradients(factors: list[Tensor], sigma: Activation) -> list[Tensor]:
    outputs = pre_activations(factors, sigma)
    return factor_gradients(factors, outputs, _loss_gradient(outputs[-1]), sigma)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_hand_derived_gradient_is_autograds(name: ActivationName, depth: int) -> None:
    sigma = activation(ModelSettings(activation=name))
    factors = [factor.requires_grad_() for factor in _factors(depth)]
    by_autograd = torch.autograd.grad(_loss(end_to_end_matrix(factors, sigma)), factors)
    by_hand = _gradients([factor.detach() for factor in factors], sigma)
    for ours, theirs in zip(by_hand, by_autograd, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_hand_derived_gradient_is_the_limit_of_central_differences(name: ActivationName, depth: int) -> None:
    sigma = activation(ModelSettings(activation=name))
    factors = _factors(depth, batch=1)
    by_hand = _gradients(factors, sigma)
    step = 1e-6
    for layer, factor in enumerate(factors):
        for index in range(factor.numel()):
            values = []
            for sign in (1, -1):
                moved = [f.clone() for f in factors]
                moved[layer].view(-1)[index] += sign * step
                values.append(float(_loss(end_to_end_matrix(moved, sigma))))
            difference = (values[0] - values[1]) / (2 * step)
            # The rounding of the loss (1e-16 of its size) over the step bounds what a difference can tell.
            tolerance = 1e-6 * (1 + abs(difference)) + 1e-9 * abs(values[0])
            assert float(by_hand[layer].view(-1)[index]) == pytest.approx(difference, abs=tolerance)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_antisymmetric_mark_is_true_to_the_function(name: ActivationName) -> None:
    sigma = activation(ModelSettings(activation=name))
    at = torch.linspace(0.1, 3, 20, dtype=torch.float64)
    odd = bool((sigma.function(-at) + sigma.function(at)).abs().max() < 1e-14)
    assert ACTIVATIONS[name].antisymmetric == odd


@pytest.mark.parametrize("backend", [np, torch], ids=["numpy", "torch"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_what_is_filled_in_place_is_the_function_and_its_derivative(name: ActivationName, backend: Any) -> None:
    sigma = activation(ModelSettings(activation=name))
    z = torch.linspace(-5, 5, 41, dtype=torch.float64)
    values, slopes = torch.full((2, 41), torch.nan, dtype=torch.float64)
    sigma.fill(backend, *(each.numpy() if backend is np else each for each in (z, values, slopes)))
    torch.testing.assert_close(values, sigma.function(z), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(slopes, sigma.derivative(z), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_vanishes_at_zero(name: ActivationName) -> None:
    assert float(activation(ModelSettings(activation=name)).function(torch.zeros(()))) == 0


def test_a_linear_factorization_is_the_product_of_its_factors() -> None:
    factors = _factors(4)
    product = factors[3] @ factors[2] @ factors[1] @ factors[0]
    torch.testing.assert_close(end_to_end_matrix(factors, activation(ModelSettings())), product)


def test_no_activation_follows_the_last_matrix() -> None:
    factors = _factors(1)
    assert torch.equal(end_to_end_matrix(factors, activation(ModelSettings(activation="tanh"))), factors[0])
