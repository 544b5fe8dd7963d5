"""Runs and presets as files for other programs: `contents` reads, `tables` names columns, `formats` writes."""
