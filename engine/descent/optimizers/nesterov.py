"""Nesterov's momentum with constant μ: the gradient is taken ahead, where the velocity leads.

v ← μ v − η ∂L_train(Y), W ← W + v, with Y = W + μ v [Nesterov 1983; in this form Sutskever, Martens, Dahl, Hinton
2013, equations 3 and 4]. Written in Y alone, which is what the weights here are and what is logged:
v ← μ v − η ∂L_train(Y), Y ← Y + μ v − η ∂L_train(Y).
"""

from __future__ import annotations

from typing import Any

from engine.descent.optimizers.heavy_ball import HeavyBall


class Nesterov(HeavyBall):
    """Heavy ball's state, another step."""

    def step(self, state: Any, weights: Any, gradient: Any, learning_rate: Any) -> None:
        (velocity,) = state
        velocity *= self._momentum
        velocity -= gradient
        weights -= gradient
        weights += self._momentum * velocity
