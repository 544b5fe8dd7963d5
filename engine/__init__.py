"""Numerics and runs: problems, factorizations, gradient descent, samplers, the run loop and its store.

Knows nothing of the terminal: never imports `mftui`, textual, typer or rich.
"""
