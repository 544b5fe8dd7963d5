"""Charts for print, by matplotlib, an optional extra: one column or the full page wide, the same bytes each time."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mftui.figures.chart import Chart, Heat, Series, shown
from mftui.views.roles import print_color

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ADVICE = "drawings (PNG, SVG, PDF) need matplotlib: pip install 'mftui[figures]'"
COLUMN_INCHES, PAGE_INCHES = 3.4, 7.0
ROW_INCHES = 2.3
_MOST_ACROSS = 3
_MARKERS = "os^DvP*X"
_DASHES: dict[str, Any] = {"solid": "-", "dashed": (0, (4, 2)), "dotted": (0, (1, 1.2)), "none": "none"}
_TOO_MANY_NAMES = 9
"""entries of a legend"""
_BOX: dict[str, Any] = {"frameon": True, "framealpha": 0.85, "edgecolor": "none", "fancybox": False}
"""so that lines under a legend don't cross its words"""
_CROWDED = 14
"""ticks with names"""
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib, so that every machine draws the same
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.labelsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "figure.titlesize": 9,
    "axes.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "lines.linewidth": 1.0,
    "lines.markersize": 3.5,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "mftui",
    "savefig.dpi": 300,
}


def available() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


@contextmanager
def _style() -> Iterator[None]:
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def draw(charts: Sequence[Chart], title: str) -> Figure:
    """All charts on one page, up to three side by side; needs no display."""
    from matplotlib.figure import Figure

    with _style():
        across = _MOST_ACROSS if len(charts) > 4 else {1: 1, 2: 2, 3: 3, 4: 2}.get(len(charts), 1)
        down = math.ceil(len(charts) / across)
        wide = COLUMN_INCHES if across == 1 else PAGE_INCHES
        figure = Figure(figsize=(wide, ROW_INCHES * down + 0.5), layout="constrained")
        seen = [shown(chart) for chart in charts]
        norms = _norms(seen)
        legends = [_names(chart) for chart in seen]
        shared = len(seen) > 1 and all(legend == legends[0] for legend in legends) and bool(legends[0])
        compared = len({(chart.kind, chart.y_label, chart.y_scale) for chart in seen}) == 1 and seen[0].kind == "sweep"
        compared = compared and not any(chart.empty for chart in seen)
        for index, chart in enumerate(seen):
            axes = figure.add_subplot(down, across, index + 1)
            _draw_one(figure, axes, chart, norms)
            if compared:
                if index:
                    axes.sharey(figure.axes[0])
                if index % across:
                    axes.set_ylabel("")
            if not shared and 0 < len(legends[index]) <= _TOO_MANY_NAMES:
                axes.legend(handlelength=1.8, borderaxespad=0.2, fontsize=7, **_BOX, **_legend_place(chart))
        if shared and len(legends[0]) <= _TOO_MANY_NAMES:
            handles, labels = figure.axes[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 5), handlelength=1.8)
        if title:
            figure.suptitle(_wrapped(_mathematics(title), 48 if across == 1 else 100))
        return figure


def save(figure: Figure, path: Path, metadata: Mapping[str, str]) -> None:
    """Write PNG, SVG or PDF, by the path's suffix, with the metadata in it. Raises OSError."""
    kind = path.suffix.removeprefix(".")
    told = {key: _latin(value) if kind == "pdf" else value for key, value in metadata.items()}
    fixed: dict[str, Any]
    match kind:
        case "png":
            fixed = {**told, "Software": "mftui"}
        case "svg":
            description = "\n".join(f"{key}: {value}" for key, value in told.items() if key != "Title")
            fixed = {"Title": told.get("Title", ""), "Description": description, "Creator": "mftui", "Date": None}
        case _:
            subject = "; ".join(f"{key}: {value}" for key, value in told.items() if key != "Title")
            fixed = {
                "Title": told.get("Title", ""),
                "Subject": subject,
                "Creator": "mftui",
                "Producer": None,
                "CreationDate": None,
            }
    with _style():
        figure.savefig(path, format=kind, metadata=fixed)


def _latin(text: str) -> str:
    """The information in a PDF as any reader shows it."""
    names = str.maketrans({"ε": "eps", "σ": "sigma", "−": "-", "–": "-", "…": "...", "≥": ">=", "≤": "<="})
    return text.translate(names).encode("latin-1", "replace").decode("latin-1")


def _draw_one(figure: Figure, axes: Axes, chart: Chart, norms: Mapping[str, Any]) -> None:
    axes.set_title(_wrapped(_mathematics(chart.title), 36))
    axes.set_xlabel(_mathematics(chart.x_label))
    axes.set_ylabel(_wrapped(_mathematics(chart.y_label), 44))
    if chart.empty:
        axes.text(0.5, 0.5, "nothing to show", transform=axes.transAxes, ha="center", va="center")
        axes.set_xticks([])
        axes.set_yticks([])
    elif chart.heat is not None:
        _draw_heat(figure, axes, chart.heat, norms[chart.heat.label])
    else:
        _draw_series(axes, chart)


def _draw_series(axes: Axes, chart: Chart) -> None:
    for index, one in enumerate(chart.series):
        _draw_line(axes, one, 2 + index)
    axes.set_xscale(chart.x_scale)
    axes.set_yscale(chart.y_scale)
    if chart.x_ticks:
        ticks = [tick for tick in chart.x_ticks if chart.x_scale == "linear" or tick[0] > 0]
        ticks = ticks[:: math.ceil(len(ticks) / _CROWDED)]
        names = [name for _, name in ticks]
        axes.set_xticks([place for place, _ in ticks], names)
        axes.xaxis.set_minor_locator(_no_ticks())
        if sum(map(len, names)) > 22:
            axes.tick_params(axis="x", rotation=45)
    lowest = min(float(part.min(initial=0.0)) for one in chart.series for part in (one.y, one.low) if part is not None)
    if chart.y_scale == "linear" and lowest >= 0:
        axes.set_ylim(bottom=0)


def _legend_place(chart: Chart) -> dict[str, Any]:
    """Below a theorem, whose bars reach everywhere; "best" looks at lines only."""
    return {"loc": "upper center", "bbox_to_anchor": (0.5, -0.24)} if chart.kind == "theorem" else {"loc": "best"}


def _no_ticks() -> Any:
    from matplotlib.ticker import NullLocator

    return NullLocator()


def _draw_line(axes: Axes, one: Series, layer: int) -> None:
    if not len(one.x):
        return
    ink = print_color(one.role)
    label = _mathematics(one.name) if one.name else "_nolegend_"
    if one.filled:
        axes.fill_between(one.x, one.y, step="mid", color=ink, alpha=0.25, linewidth=0, zorder=layer)
        axes.step(one.x, one.y, where="mid", color=ink, label=label, zorder=layer)
        return
    marker = "none" if one.shape is None else _MARKERS[one.shape % len(_MARKERS)]
    if one.low is not None and one.high is not None:
        reach = np.stack([one.y - one.low, one.high - one.y]).clip(min=0)
        axes.errorbar(
            one.x, one.y, reach, color=ink, fmt=marker, ls=_DASHES[one.stroke], label=label,
            elinewidth=0.8, capsize=1.5, capthick=0.6, zorder=layer,
        )  # fmt: skip
    else:
        axes.plot(one.x, one.y, color=ink, marker=marker, ls=_DASHES[one.stroke], label=label, zorder=layer)


def _norms(charts: Sequence[Chart]) -> dict[str, Any]:
    """One scale of colours for all heatmaps of the same quantity, so that they compare."""
    from matplotlib.colors import LogNorm, Normalize

    found: dict[str, Any] = {}
    for label in {chart.heat.label for chart in charts if chart.heat is not None}:
        heats = [chart.heat for chart in charts if chart.heat is not None and chart.heat.label == label]
        values = np.concatenate([heat.values.ravel() for heat in heats])
        values = values[np.isfinite(values)]
        positive = values[values > 0]
        if heats[0].scale == "log" and len(positive):
            found[label] = LogNorm(positive.min(), positive.max())
        elif len(values):
            found[label] = Normalize(values.min(), values.max())
    return found


def _draw_heat(figure: Figure, axes: Axes, heat: Heat, norm: Any) -> None:
    from matplotlib.colors import LogNorm

    values = np.ma.masked_invalid(heat.values)
    if isinstance(norm, LogNorm):
        values = np.ma.masked_less_equal(values, 0.0)
    picture = axes.imshow(values, norm=norm, cmap="cividis", origin="lower", aspect="auto", interpolation="nearest")
    axes.set_xticks(range(len(heat.columns)), heat.columns)
    axes.set_yticks(range(len(heat.rows)), heat.rows)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0)
    figure.colorbar(picture, ax=axes, label=_mathematics(heat.label), fraction=0.08, pad=0.03).outline.set_linewidth(
        0.5
    )


def _names(chart: Chart) -> list[tuple[str, str]]:
    return [(one.name, one.role) for one in chart.series if one.name and len(one.x)]


def _mathematics(text: str) -> str:
    """L_gen, L_train, ε_train and k^(…) with true subscripts and superscripts."""
    text = text.replace("$", r"\$")
    text = re.sub(r"\bL_(gen|train)\b", r"$L_\\mathrm{\1}$", text)
    text = re.sub(r"\bε_train\b", r"$ε_\\mathrm{train}$", text)
    text = text.replace("log10 ", r"$\log_{10}$ ")
    return re.sub(r"k\^\(([^)]*)\)", r"$k^{\1}$", text)


def _wrapped(text: str, most: int) -> str:
    """In lines of about `most` letters; formulas count as they are written."""
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + len(word) > most and lines[-1].count("$") % 2 == 0:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
