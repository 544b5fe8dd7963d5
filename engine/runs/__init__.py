"""A run from its directory to its end: the loop, the store, the worker process."""
