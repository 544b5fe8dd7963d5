"""The factorization, its activations, and the prior over its weights."""
