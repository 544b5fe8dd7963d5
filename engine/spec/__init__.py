"""What is to be run: settings, presets, data files, which sampler can serve what. Never imports torch."""
