"""What a figure is: panels, each of one or several runs of presets, in a TOML file of `presets/figures/`.

    title = "Width: linear, tanh, leaky ReLU"
    source = "Alexander, Slutzky, Ran-Milo, Cohen 2025, Figure 1"     # optional: where it was published
    about = "What to look for."                                        # optional
    quick = ["gd.steps=2000"]             # optional: overrides that --quick adds to every run of the figure

    [[panels]]
    title = "Linear"                      # optional; else the title of its first run
    kind = "sweep"                        # see below
    runs = [{preset = "width-linear"}]

    [[panels]]
    title = "How rarely a guess fits"
    kind = "lines"
    quantity = "log10_acceptance"
    second = "gnc.eps_train"
    runs = [
        {preset = "width-linear", set = ["methods=['gnc']"], at = 0.02},
        {preset = "width-linear", set = ["methods=['gnc']", "gnc.eps_train=2e-3"]},
    ]

The keys of a panel:

kind      sweep      x: the swept field. Per method the median over data sets, with interquartile bars
          lines      x: `second`. A line a swept value: median over data sets, with interquartile bars
          heatmap    x: the swept field, y: `second`, colour: the median of `method`
          course     singular values of gradient descent over its steps, on the first data set; a chart a sweep point;
                     dashed the true values, dotted what theory predicts where the run has it (gd.predict_from)
          theorem    the width or the depth theorem as `engine.analysis.theorems` measures it, with the bound's shape
          histogram  the generalization loss under the prior and given the fit; a chart a sweep point
          alignment  the diagonal of Uᵀ∇L_train(W)V against the rest of it over gradient descent's steps, on the first
                     data set; a chart a sweep point. Where theory is compared with the run (gd.predict_from)
runs      tables of
            preset   a preset's name, or a path (relative to the definition)
            set      overrides as of `mftui run --set`, optional
            label    what the run is called in the legend, optional; else its value of `second`, or the preset's name
            at       its place on `second`, optional where `second` is a field that is the same at all sweep points
            across   lines: true for a run that has no place on `second`, such as a rival that knows nothing of it: its
                     median at its first sweep point is a dashed line across, a line a method
quantity  what is on the y axis (heatmap: the colour) of sweep, lines, heatmap; generalization_loss unless given:
            generalization_loss, training_loss
            gnc_over_gd             G&C: its L_gen over gradient descent's on the same data set, where that fit
            held_out_rmse           ratings: root of the generalization loss
            log10_acceptance        G&C: log10 P(L_train < ε_train)
            excess_kurtosis, kolmogorov, row_dependence, column_dependence, log_ratio, far_from_rank_one
                                    Prior: `engine.analysis.laws`, where gnc.measure_laws asks for it
            steps                   GD: of the last log point
            mean_squared_error      ‖W − W*‖_F² / entries: GD at the last log point, minimum nuclear norm
            nuclear_norm, effective_rank, distance_to_truth
                                    of the same; nuclear norm and effective rank come with those of W*, dashed
            numerical_rank, stable_rank, frobenius_norm, schatten_norm, balancedness_gap
                                    GD: `engine.descent.diagnostics` at the last log point
second    lines and heatmap: the field that tells the runs of the panel apart, such as gnc.eps_train; any other text
          names the axis, and then each run needs `at`
method    lines, heatmap: gd, prior, gnc or nuclear; by default the one that has the quantity, if only one has, else gnc
          where the first run has it, else its first
c         theorem, over the depth: the c of P(L_gen < c·ε_train), to the nearest bin edge; else the smallest that may do
quick     overrides that --quick adds to the runs of this panel, after the figure's

Several runs in a panel of kind sweep share its axes; in other kinds but lines and heatmap each run has its own charts.
Every defect found is named with file and key.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from engine.analysis import laws
from engine.spec.defects import PresetError
from engine.spec.preset import parse_toml, preset_directory, shipped
from engine.spec.settings import METHODS, Method

Kind = Literal["sweep", "lines", "heatmap", "course", "theorem", "histogram", "alignment"]
KINDS: tuple[Kind, ...] = get_args(Kind)
OVER_SECOND: tuple[Kind, ...] = ("lines", "heatmap")
"""kinds whose runs are told apart by `second`"""
MEASURING: tuple[Kind, ...] = ("sweep", *OVER_SECOND)
"""kinds that show a quantity"""
OF_TRIALS = ("generalization_loss", "gnc_over_gd", "training_loss", "held_out_rmse", "log10_acceptance")
"""quantities that a trial's result has"""
OF_LAWS = tuple(laws.QUANTITIES)
"""quantities of the prior's weights themselves"""
OF_LAST_ROW = (
    "steps",
    "mean_squared_error",
    "nuclear_norm",
    "effective_rank",
    "numerical_rank",
    "stable_rank",
    "frobenius_norm",
    "schatten_norm",
    "balancedness_gap",
    "distance_to_truth",
)
"""quantities that gradient descent's last log point has"""
OF_SOLUTION = ("mean_squared_error", "nuclear_norm", "effective_rank", "distance_to_truth")
"""those of them that the minimum nuclear norm's matrix has, too"""
OF_ONE_MATRIX: tuple[Method, ...] = ("gd", "nuclear")
"""the methods that end at one matrix"""
QUANTITIES = OF_TRIALS + OF_LAWS + OF_LAST_ROW


@dataclass(frozen=True)
class PanelRun:
    """One run that a panel needs."""

    preset: str
    """name, or absolute path"""
    overrides: tuple[str, ...] = ()
    label: str = ""
    at: float | str | None = None
    """its place on the panel's second axis; None: what its settings say"""
    across: bool = False
    """whether it has no such place: drawn as a line across"""


@dataclass(frozen=True)
class Panel:
    kind: Kind
    runs: tuple[PanelRun, ...]
    title: str = ""
    quantity: str = "generalization_loss"
    second: str = ""
    method: Method | None = None
    quick: tuple[str, ...] = ()
    c: float | None = None
    """of the depth theorem; None: what the analysis finds"""


@dataclass(frozen=True)
class Definition:
    name: str
    title: str
    panels: tuple[Panel, ...]
    source: str = ""
    about: str = ""
    quick: tuple[str, ...] = ()


def figure_directory() -> Path:
    """Where the shipped definitions lie."""
    return preset_directory() / "figures"


def shipped_figures() -> list[str]:
    """Names of the shipped figures, in the order of their numbers: …-2 before …-10."""
    return sorted((path.stem for path in figure_directory().glob("*.toml")), key=_by_number)


def read(path: Path) -> Definition:
    """Read a definition. Raises `PresetError` with every defect found."""
    try:
        document = parse_toml(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise PresetError([f"{path}: expected UTF-8 text, got bytes that are not ({error.reason})"]) from None
    except OSError as error:
        raise PresetError([f"{path}: can't be read: {error.strerror or error}"]) from None
    return _Reader(path).definition(document)


def find(name: str) -> Definition | None:
    """A figure by its name or path; None where that is a preset's, or nobody's. Raises `PresetError`."""
    if name in shipped_figures():
        return read(figure_directory() / f"{name}.toml")
    path = Path(name)
    return read(path) if path.suffix == ".toml" and _defines_panels(path) else None


def _defines_panels(path: Path) -> bool:
    """Whether a file defines a figure, and no preset; a file that can't be read is for the presets to complain of."""
    try:
        return "panels" in parse_toml(path.read_text(encoding="utf-8"), str(path))
    except (OSError, ValueError):
        return False


def _by_number(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in name.split("-")]


class _Reader:
    """Checks one file, and collects what is wrong with it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._problems: list[str] = []

    def definition(self, document: Mapping[str, Any]) -> Definition:
        self._known("", document, ("title", "source", "about", "quick", "panels"))
        panels = document.get("panels")
        if not isinstance(panels, list) or not panels or not all(isinstance(panel, dict) for panel in panels):
            self._complain("panels", "one [[panels]] table or more", panels)
            panels = []
        found = Definition(
            name=self._path.stem,
            title=self._text("title", document.get("title", self._path.stem)),
            panels=tuple(self._panel(f"panels[{index}]", panel) for index, panel in enumerate(panels)),
            source=self._text("source", document.get("source", "")),
            about=self._text("about", document.get("about", "")),
            quick=self._overrides("quick", document.get("quick", [])),
        )
        if self._problems:
            raise PresetError(self._problems)
        return found

    def _panel(self, key: str, panel: Mapping[str, Any]) -> Panel:
        self._known(f"{key}.", panel, ("title", "kind", "runs", "quantity", "second", "method", "quick", "c"))
        kind, method = panel.get("kind"), panel.get("method")
        quantity = panel.get("quantity", "generalization_loss")
        self._one_of(f"{key}.kind", kind, KINDS)
        self._one_of(f"{key}.quantity", quantity, QUANTITIES)
        if method is not None:
            self._one_of(f"{key}.method", method, METHODS)
        second = self._text(f"{key}.second", panel.get("second", ""))
        if kind in KINDS:
            self._idle(key, panel, "quantity", kind in MEASURING, kind)
            self._idle(key, panel, "second", kind in OVER_SECOND, kind)
            self._idle(key, panel, "method", kind in OVER_SECOND, kind)
            self._idle(key, panel, "c", kind == "theorem", kind)
        if kind in OVER_SECOND and not second:
            self._complain(f"{key}.second", "the field that tells the runs apart", panel.get("second"))
        if quantity in OF_LAST_ROW and method not in (None, *(OF_ONE_MATRIX if quantity in OF_SOLUTION else ("gd",))):
            self._complain(f"{key}.method", f"a method that has {quantity}, or nothing", method)
        return Panel(
            kind=kind if kind in KINDS else "sweep",
            runs=self._runs(f"{key}.runs", panel, second),
            title=self._text(f"{key}.title", panel.get("title", "")),
            quantity=quantity if quantity in QUANTITIES else "generalization_loss",
            second=second,
            method=method if method in METHODS else None,
            quick=self._overrides(f"{key}.quick", panel.get("quick", [])),
            c=self._factor(f"{key}.c", panel.get("c")),
        )

    def _runs(self, key: str, panel: Mapping[str, Any], second: str) -> tuple[PanelRun, ...]:
        runs = panel.get("runs")
        if not isinstance(runs, list) or not runs or not all(isinstance(run, dict) for run in runs):
            self._complain(key, 'a list of tables such as {preset = "width-linear"}', runs)
            return ()
        found = tuple(self._run(f"{key}[{index}]", run, second) for index, run in enumerate(runs))
        if any(run.across for run in found) and panel.get("kind") != "lines":
            self._complain(key, "no run with `across`, but in a panel of kind lines", panel.get("kind"))
        if all(run.across for run in found):
            self._complain(key, "a run without `across`", runs)
        return found

    def _run(self, key: str, run: Mapping[str, Any], second: str) -> PanelRun:
        self._known(f"{key}.", run, ("preset", "set", "label", "at", "across"))
        preset, at, across = run.get("preset"), run.get("at"), run.get("across", False)
        if not isinstance(across, bool):
            self._complain(f"{key}.across", "true or false", across)
        if not isinstance(preset, str) or not preset:
            self._complain(f"{key}.preset", "a preset's name or path", preset)
            preset = ""
        elif preset.endswith(".toml"):
            preset = str((self._path.parent / preset).absolute())
        elif preset not in shipped():
            self._complain(f"{key}.preset", "the name of a shipped preset, or the path of a .toml file", preset)
        if isinstance(at, bool) or not isinstance(at, int | float | str | None):
            self._complain(f"{key}.at", "a number or text", at)
        elif at is not None and not second:
            self._complain(f"{key}.at", "nothing: the panel has no `second`", at)
        elif at is None and second and "." not in second and not across:
            self._complain(f"{key}.at", f"a number or text: {second!r} is no field", at)
        return PanelRun(
            preset=preset,
            overrides=self._overrides(f"{key}.set", run.get("set", [])),
            label=self._text(f"{key}.label", run.get("label", "")),
            at=at,
            across=across is True,
        )

    def _overrides(self, key: str, given: object) -> tuple[str, ...]:
        if not isinstance(given, list) or not all(isinstance(each, str) and "=" in each for each in given):
            self._complain(key, 'a list of overrides such as ["gd.steps=2000"]', given)
            return ()
        return tuple(given)

    def _factor(self, key: str, given: object) -> float | None:
        if given is None:
            return None
        if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given < math.inf:
            self._complain(key, "a number > 0", given)
            return None
        return float(given)

    def _text(self, key: str, given: object) -> str:
        if not isinstance(given, str):
            self._complain(key, "text", given)
            return ""
        return given.strip()

    def _one_of(self, key: str, given: object, options: tuple[str, ...]) -> None:
        if given not in options:
            self._complain(key, "one of " + ", ".join(options), given)

    def _known(self, prefix: str, table: Mapping[str, Any], keys: tuple[str, ...]) -> None:
        for key in table:
            if key not in keys:
                self._complain(prefix + key, "one of " + ", ".join(keys), key)

    def _idle(self, key: str, panel: Mapping[str, Any], name: str, used: bool, kind: object) -> None:
        if name in panel and not used:
            self._complain(f"{key}.{name}", f"nothing: a panel of kind {kind} has none", panel[name])

    def _complain(self, key: str, wanted: str, got: object) -> None:
        shown = "nothing" if got is None else repr(got)
        self._problems.append(f"{self._path}: {key}: expected {wanted}, got {shown}")
