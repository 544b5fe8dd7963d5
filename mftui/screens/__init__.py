"""The screens, one a file; each shows the same session its own way."""
