"""Gradient descent: inits, optimizers, the batched step, what is observed on the way, and what theory says of it."""
