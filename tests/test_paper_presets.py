"""The presets of Alexander et al. 2025 and Arora et al. 2019 against the published settings, written down once more."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.descent.descent import Descent
from engine.problems.problem import make_problem
from engine.results import TrialResult
from engine.spec import preset
from engine.spec.settings import PointSettings
from mftui.figures.collect import Wishes, needed
from mftui.figures.definition import Definition, figure_directory, read, shipped_figures
from mftui.figures.places import places_in
from mftui.live import LiveRun
from tests.runs import follow_to_end, make_run

ACTIVATIONS = {"linear": "linear", "tanh": "tanh", "leaky-relu": "leaky_relu"}
WIDTHS = [5, 10, 20, 40, 80, 160]
DEPTHS = list(range(2, 11))
INIT_SCALES = [1e-3] * 3 + [0.1] * 4 + [0.2] * 2
LEAKY_INIT_SCALES = [1e-3] * 3 + [0.1] * 6


@dataclass(frozen=True)
class Published:
    """What sets one figure apart."""

    figure: int
    axis: str
    eps_train: float
    suffix: str = ""
    optimizer: str = "group_rmsprop"
    kind: str = "sensing"
    rank: int = 1
    measurements: int = 15
    prior: str = "gaussian"
    depth_steps: int = 20_000
    """of linear and tanh; leaky ReLU always has 50,000"""
    normalize: bool = True
    """where the depth is swept; never where the width is"""


PUBLISHED = [
    Published(1, "width", 0.02),
    Published(2, "depth", 0.0035),
    Published(3, "width", 0.02, "-momentum", optimizer="group_rmsprop_heavy_ball"),
    Published(3, "width", 0.02, "-momentum-published"),
    Published(4, "depth", 0.0035, "-momentum", optimizer="group_rmsprop_heavy_ball"),
    Published(4, "depth", 0.0035, "-momentum-published"),
    Published(5, "width", 0.02, "-rank-2", rank=2, measurements=22),
    Published(6, "depth", 0.01, "-rank-2", rank=2, measurements=22, depth_steps=50_000),
    Published(7, "width", 0.02, "-uniform", prior="uniform"),
    Published(8, "depth", 0.0035, "-uniform", prior="uniform"),
    Published(9, "width", 0.02, "-completion", kind="completion"),
    Published(10, "depth", 0.0035, "-completion", kind="completion"),
    Published(11, "depth", 0.01, "-unnormalized", normalize=False),
]


def _name(published: Published, activation: str) -> str:
    return f"{published.axis}-{activation}{published.suffix}"


def _settings(published: Published, activation: str) -> list[dict[str, Any]]:
    """Every sweep point's settings, as far as they were published."""
    common = {
        "problem": {
            "kind": published.kind,
            "rows": 5,
            "columns": 5,
            "norm": 1.0,
            "rank": published.rank,
            "measurements": published.measurements,
        },
        "gnc": {
            "eps_train": published.eps_train,
            "prior": published.prior,
            "scaling": "fan_out",
            "mode": "posterior",
            "normalize": published.normalize and published.axis == "depth",
        },
    }
    descent = {"optimizer": published.optimizer, "init": "default_uniform"}
    if "heavy_ball" in published.optimizer:
        descent["momentum"] = 0.9
    if published.axis == "width":
        descent |= {"learning_rate": 1e-4, "steps": 100_000, "init_scale": 1e-3}
        return [{**common, "gd": descent, "model": _model(activation, depth=2, width=width)} for width in WIDTHS]
    leaky = activation == "leaky-relu"
    descent |= {"learning_rate": 1e-2, "steps": 50_000 if leaky else published.depth_steps}
    scales = LEAKY_INIT_SCALES if leaky else INIT_SCALES
    return [
        {**common, "gd": {**descent, "init_scale": scale}, "model": _model(activation, depth=depth, width=5)}
        for depth, scale in zip(DEPTHS, scales, strict=True)
    ]


def _model(activation: str, depth: int, width: int) -> dict[str, Any]:
    slope = {"negative_slope": 0.2} if activation == "leaky-relu" else {}
    return {"activation": ACTIVATIONS[activation], "depth": depth, "width": width, **slope}


def _differences(point: PointSettings, expected: dict[str, Any]) -> list[str]:
    found = point.model_dump()
    return [
        f"{section}.{name} is {found[section][name]!r}, published {value!r}"
        for section, values in expected.items()
        for name, value in values.items()
        if found[section][name] != value
    ]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("published", PUBLISHED, ids=lambda each: f"{each.axis}{each.suffix}")
def test_a_preset_of_the_paper_has_the_published_settings(published: Published, activation: str) -> None:
    experiment = preset.load(_name(published, activation))
    expected = _settings(published, activation)
    assert experiment.seeds == 8
    assert set(experiment.methods) == {"gd", "prior", "gnc"}
    assert len(experiment.points) == len(expected)
    assert [_differences(*each) for each in zip(experiment.points, expected, strict=True)] == [[]] * len(expected)
    assert f"Figure {published.figure} " in experiment.about
    assert "Departures" in experiment.about


def test_every_preset_of_the_paper_is_in_the_figure_that_its_number_says_and_in_no_other() -> None:
    shown: dict[int, set[str]] = {
        number: {run.preset for panel in _figure(f"alexander-2025-{number}").panels for run in panel.runs}
        for number in range(1, 12)
    }
    wanted: dict[int, set[str]] = {number: set() for number in range(1, 12)}
    for published in PUBLISHED:
        wanted[published.figure] |= {_name(published, activation) for activation in ACTIVATIONS}
    assert shown == wanted
    named = {name for name in preset.shipped() if name.startswith(("width-", "depth-"))}
    assert named == set().union(*wanted.values())


def _figure(name: str) -> Definition:
    return read(figure_directory() / f"{name}.toml")


@pytest.mark.parametrize("quick", [False, True], ids=["full", "quick"])
@pytest.mark.parametrize("name", shipped_figures())
def test_every_run_of_a_shipped_figure_is_a_valid_experiment(name: str, quick: bool) -> None:
    figure = _figure(name)
    for panel in figure.panels:
        for run in panel.runs:
            shortened = (*figure.quick, *panel.quick) if quick else ()
            experiment = preset.load(run.preset, (*run.overrides, *shortened))
            if panel.method is not None:
                assert panel.method in experiment.methods
            if panel.second and run.at is None and not run.across:
                section, field = panel.second.split(".")
                assert len({getattr(getattr(point, section), field) for point in experiment.points}) == 1


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("axis", ["width", "depth"])
def test_momentum_as_published_is_none_and_with_momentum_descent_goes_another_way(axis: str, activation: str) -> None:
    base, published, real = (
        preset.load(f"{axis}-{activation}{suffix}") for suffix in ("", "-momentum-published", "-momentum")
    )
    assert published.points == base.points
    losses = [_training_loss(experiment.points[0], steps=200) for experiment in (published, real)]
    assert losses[1] != pytest.approx(losses[0], rel=0.01)


@pytest.mark.parametrize("quick", [False, True], ids=["full", "quick"])
@pytest.mark.parametrize(("momentum", "base"), [(3, 1), (4, 2)])
def test_guesses_of_the_momentum_figures_are_those_of_the_figures_without(
    momentum: int, base: int, quick: bool
) -> None:
    there = [each.experiment for each in needed(_figure(f"alexander-2025-{base}"), Wishes(quick=quick))]
    guessing = [each.experiment for each in needed(_figure(f"alexander-2025-{momentum}"), Wishes(quick=quick))]
    guessing = [each for each in guessing if each.methods != ("gd",)]
    assert len(guessing) == len(there) == 3
    for mine, other in zip(guessing, there, strict=True):
        assert (mine.seeds, mine.methods) == (other.seeds, other.methods)
        assert places_in(other, mine) == list(range(len(other.points)))


def _training_loss(point: PointSettings, steps: int) -> float:
    settings = {"steps": steps, "log_every": steps, "learning_rate": 1e-2}
    point = point.model_copy(update={"gd": point.gd.model_copy(update=settings)})
    procedure = Descent({0: point}, [0], make_problem(point.problem, [0]), torch.device("cpu"))
    state, _ = procedure.init()
    while procedure.fraction(state) < 1:
        state, _ = procedure.step(state)
    assert state.last_finite[0] is not None
    return state.last_finite[0][1]


TINY = ["seeds=1", "gd.steps=300", "gd.log_every=100", "gnc.effective_samples=200", "gnc.prior_draws=2000"]
SHORT = {
    "width-tanh-uniform": ["model.width=[5,160]", "gnc.eps_train=0.05"],
    "width-leaky-relu-completion": ["model.width=[5]", "gnc.eps_train=0.1"],
    "depth-linear-unnormalized": ["model.depth=[2,10]", "gnc.eps_train=0.1"],
}


@pytest.mark.slow
def test_uniform_completion_and_unnormalized_presets_run_to_their_end(tmp_path: Path) -> None:
    lives = {
        name: LiveRun.start(make_run(tmp_path / name, *TINY, *overrides, text=f'extends = "{name}"'))
        for name, overrides in SHORT.items()
    }
    follow_to_end(*lives.values())
    found = {name: {(each.point, each.method): each for each in live.results} for name, live in lives.items()}
    assert all(each.outcome == "finished" for results in found.values() for each in results.values())
    guesses = found["width-tanh-uniform"][1, "gnc"].guesses
    assert guesses is not None
    assert guesses.sampler in ("rejection", "splitting")
    assert _loss(found["width-leaky-relu-completion"][0, "gnc"]) < _loss(
        found["width-leaky-relu-completion"][0, "prior"]
    )
    # W of norm 1 is within 2 of W*, so it costs at most 4/10 over the ten directions that are held out.
    free = found["depth-linear-unnormalized"][1, "prior"].guesses
    assert free is not None
    assert free.generalization_loss is not None
    assert free.generalization_loss.quantiles[-1] > 0.4


def _loss(result: TrialResult) -> float:
    assert result.generalization_loss is not None
    return result.generalization_loss


def test_the_presets_of_arora_et_al_start_from_products_of_the_published_size() -> None:
    """s^(1/L) a factor, s = 1e-3; what else their Figure 3 is made of."""
    dynamics = preset.load("arora-2019-dynamics")
    assert [point.model.depth for point in dynamics.points] == [1, 2, 3]
    for point in dynamics.points:
        gd = point.gd
        assert (gd.optimizer, gd.init, gd.learning_rate, gd.steps) == ("gradient_descent", "identity", 0.01, 200_000)
        assert gd.init_scale**point.model.depth == pytest.approx(1e-3, rel=2e-3)
        assert gd.stop_below == 0.0
    for name in ("arora-2019-1", "arora-2019-2"):
        for panel in _figure(name).panels:
            for run in panel.runs:
                for point in preset.load(run.preset, run.overrides).points:
                    scale = 1e-3 if run.at is None else float(run.at)
                    assert point.gd.init_scale**point.model.depth == pytest.approx(scale, rel=7e-3)
                    assert (point.problem.rows, point.problem.norm, point.model.width) == (100, 100.0, 100)


@pytest.mark.parametrize("scale", ["", "-1e-4", "-1e-5", "-1e-6"])
@pytest.mark.parametrize("kind", ["completion", "sensing"])
def test_the_presets_of_arora_et_al_descend_as_published_from_each_scale(kind: str, scale: str) -> None:
    experiment = preset.load(f"arora-2019-{kind}{scale}")
    assert [point.model.depth for point in experiment.points] == [1, 2, 3, 4]
    for point in experiment.points:
        problem, gd = point.problem, point.gd
        assert (problem.kind, problem.rank, problem.norm, problem.measurements) == (kind, 5, 100.0, 2_000)
        assert (gd.optimizer, gd.init, gd.learning_rate, gd.epsilon) == ("group_rmsprop", "gaussian", 1e-3, 1e-4)
        assert (gd.stop_below, gd.steps) == (1e-6, 1_000_000)
        assert gd.init_scale**point.model.depth == pytest.approx(float(scale[1:] or 1e-3), rel=7e-3)
