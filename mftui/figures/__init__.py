"""Figures: what the papers and the talk show, made anew from runs of presets.

`definition` reads what a figure is, `collect` gets the runs it needs, `charts` turns these into plain data (each a
`chart`, made in `sweeps`, `courses` or `probabilities`), `terminal` and `drawing` show them, `files` writes them.
"""
