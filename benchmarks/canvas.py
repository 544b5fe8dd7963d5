"""How long a frame takes to draw and to compare with the last.

    python benchmarks/canvas.py [--quick] [--json]

Milliseconds of one core. The least of the repetitions is what the code costs, the median what a shared machine made
of it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from _harness import arguments_of, repeated, run

from mftui.benchmark import Row
from mftui.canvas import Axis, Glyphs, Heatmap, Line, Plot, Rule, changed_spans, draw, draw_heatmap

REPETITIONS, QUICK_REPETITIONS = 30, 5
WIDTH, HEIGHT = 120, 35


def curves(points: int, series: int, scale: str = "linear") -> Plot:
    """Sigmoids, as singular values grow; each with its limit as a rule."""
    steps = np.linspace(0, 1000, points)
    heights = np.linspace(0.2, 1, series)
    lines = [
        Line(steps, height / (1 + np.exp((300 / height - steps) * height / 30)), name=f"σ{index}", style=f"{index}")
        for index, height in enumerate(heights)
    ]
    rules = tuple(Rule(at=float(height), style=f"{index}") for index, height in enumerate(heights))
    y = Axis(1e-6, 10, "log") if scale == "log" else Axis(0, 1.2)
    return Plot(Axis(0, 1000, unit="count"), y, tuple(lines), rules)


def noise(points: int, series: int) -> Plot:
    """The most dots a line can have: every segment crosses the plot."""
    random = np.random.default_rng(0)
    lines = tuple(Line(np.arange(float(points)), random.random(points), style=f"{index}") for index in range(series))
    return Plot(Axis(0, points), Axis(0, 1), lines)


def tasks() -> Iterator[tuple[str, Callable[[], object]]]:
    for glyphs in Glyphs:
        plot = curves(500, 8)
        yield f"{glyphs.value}, 8 curves of 500 points", partial(draw, plot, WIDTH, HEIGHT, glyphs)
    plots = {
        "braille, log axis, 8 curves of 500 points": curves(500, 8, "log"),
        "braille, 8 series of 500 points of noise": noise(500, 8),
        "braille, 8 series of 5,000 points of noise": noise(5_000, 8),
        "braille, 1 curve of 1,000,000 points": curves(1_000_000, 1),
        "braille, log axis, 1 curve of 1,000,000 points": curves(1_000_000, 1, "log"),
        "braille, 1,000,000 points of noise": noise(1_000_000, 1),
    }
    for name, plot in plots.items():
        yield name, partial(draw, plot, WIDTH, HEIGHT)
    before, after = draw(curves(500, 8), WIDTH, HEIGHT), draw(noise(500, 8), WIDTH, HEIGHT)
    yield "changed spans, all different", lambda: changed_spans(before, after)
    yield "changed spans, none", lambda: changed_spans(before, before)
    yield "runs of all rows", lambda: [after.runs(row) for row in range(after.height)]
    matrix = np.random.default_rng(0).normal(size=(60, 100))
    yield "heatmap of 60 × 100", lambda: draw_heatmap(Heatmap(matrix, -3, 3), WIDTH, HEIGHT, Glyphs.BRAILLE)


def rows(given: argparse.Namespace) -> Iterator[Row]:
    repetitions = QUICK_REPETITIONS if given.quick else REPETITIONS
    for name, task in tasks():
        took = [1e3 * each for each in repeated(task, repetitions)]
        yield Row.of(name, took, "ms", on=f"{WIDTH} × {HEIGHT} cells")


if __name__ == "__main__":
    run(arguments_of(__doc__), rows)
