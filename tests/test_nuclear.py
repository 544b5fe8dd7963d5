from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine import nuclear
from engine.descent import diagnostics
from engine.events import Finished
from engine.nuclear import MinimumNuclearNorm
from engine.problems.problem import make_problem
from engine.results import TrialResult, effective_rank, summarize
from engine.runs.directory import RunDirectory
from engine.spec import preset
from engine.spec.defects import PresetError
from mftui.export.contents import Contents
from mftui.figures.data import RunData, quantity_of
from mftui.formatting import recovered_table
from tests.lab import computed
from tests.runs import CEILING_SECONDS, make_run
from tests.settings import point

pytestmark = pytest.mark.slow

FITS = 1e-5
"""the solver's tolerance, 1e-6, with room for the constraints' own scale"""


def _solve(seed: int = 0, **fields: Any) -> tuple[TrialResult, nuclear.Solution, Any]:
    settings = point(**fields)
    problem = make_problem(settings.problem, [seed])
    procedure = MinimumNuclearNorm(0, settings, seed, problem)
    state, _ = procedure.init()
    while procedure.fraction(state) < 1:
        state, _ = procedure.step(state)
    (event,) = procedure.finish(state)
    assert isinstance(event, Finished)
    return event.result, state, problem


@pytest.mark.parametrize("kind", ["sensing", "completion"])
def test_it_recovers_a_rank_one_matrix_from_most_of_its_entries(kind: str) -> None:
    result, state, problem = _solve(kind=kind, rows=8, columns=6, measurements=40, norm=3.0)
    assert result.outcome == "finished"
    assert result.generalization_loss is not None
    assert result.generalization_loss < FITS**2
    torch.testing.assert_close(torch.from_numpy(state.matrix), problem.truth[0], rtol=0, atol=FITS)


def test_what_it_finds_fits_and_no_fitting_matrix_nearby_has_a_smaller_nuclear_norm() -> None:
    result, state, problem = _solve(measurements=10, norm=2.0, rank=2)
    assert result.training_loss is not None
    assert result.training_loss < FITS**2
    found = torch.from_numpy(state.matrix)
    least = torch.linalg.matrix_norm(found, "nuc")
    assert result.nuclear_norm == pytest.approx(least.item())
    assert result.distance_to_truth == pytest.approx((found - problem.truth[0]).norm().item())
    expected = diagnostics.effective_rank(torch.linalg.svdvals(found)[None]).item()
    assert result.effective_rank == pytest.approx(expected), "as gradient descent's is"
    assert effective_rank(np.zeros(3)) == 0
    assert least < torch.linalg.matrix_norm(problem.truth[0], "nuc") - 0.01
    basis = problem.held_out.dense(25)[0].view(-1, 5, 5)
    noise = torch.randn(200, len(basis), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    others = found + 0.05 * torch.einsum("ab,bmn->amn", noise, basis)
    assert (torch.linalg.matrix_norm(others, "nuc") > least - FITS).all()


def test_what_is_known_of_it_is_told_with_the_results(tmp_path: Path) -> None:
    overrides = ["methods=['nuclear']", "problem.kind=completion", "problem.rank=2", "seeds=1", "model.width=3"]
    run = computed(make_run(tmp_path / "run", *overrides))
    data = RunData.read(run)
    (trial,) = data.trials
    (row,) = summarize(run.experiment, data.trials)
    assert row.notes == (f"nuclear norm {trial.nuclear_norm:.4g}, effective rank {trial.effective_rank:.3g}",)
    entries = run.experiment.points[0].problem.rows * run.experiment.points[0].problem.columns
    expected = {
        "nuclear_norm": trial.nuclear_norm,
        "effective_rank": trial.effective_rank,
        "mean_squared_error": (trial.distance_to_truth or 0) ** 2 / entries,
    }
    for name, value in expected.items():
        quantity = quantity_of(name)
        assert quantity.methods(("nuclear", "prior")) == ("nuclear",)
        assert quantity.quartiles(data, 0, "nuclear")[0][1] == pytest.approx(value)


def test_a_small_ratings_matrix_is_filled_in_by_it_beside_gradient_descent(tmp_path: Path) -> None:
    experiment = preset.load("film-ratings", ["methods=['gd', 'nuclear']", "model.depth=[3]", "gd.steps=20"])
    run = computed(RunDirectory.create(experiment, "cpu", tmp_path / "run", workers=0))
    filled = {matrix.method: matrix for matrix in Contents(run).recovered()}
    assert set(filled) == {"gd", "nuclear"}
    for row, seen in zip(filled["nuclear"].recovered, filled["nuclear"].observed, strict=True):
        for value, known in zip(row, seen, strict=True):
            assert known is None or value == pytest.approx(known, abs=10 * FITS)
    assert recovered_table(filled["nuclear"], "depth 3").title == "recovered by Min nuclear, depth 3"


def test_training_data_that_no_matrix_fits_are_called_that(tmp_path: Path) -> None:
    one = np.eye(3)[None]
    np.savez(tmp_path / "p.npz", A=np.concatenate([one, one]), y=np.array([1.0, 2.0]), A_test=one, y_test=np.ones(1))
    (tmp_path / "a.toml").write_text('methods = ["nuclear"]\n[problem]\nkind = "file"\npath = "p.npz"')
    (settings,) = preset.load(tmp_path / "a.toml").points
    procedure = MinimumNuclearNorm(0, settings, 0, make_problem(settings.problem, [0]))
    state, _ = procedure.init()
    assert state.over.wait(CEILING_SECONDS)
    (event,) = procedure.finish(state)
    assert isinstance(event, Finished)
    assert event.result.outcome == "failed"
    assert event.result.generalization_loss is None
    assert "no matrix fits" in event.result.message


def test_without_cvxpy_it_says_which_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nuclear, "find_spec", lambda _: None)
    result, _, _ = _solve()
    assert result.outcome == "failed"
    assert "pip install 'mftui[nuclear]'" in result.message


def test_sizes_that_the_solver_cannot_manage_are_refused_before_anything_runs() -> None:
    with pytest.raises(PresetError, match="methods: expected no nuclear at this size"):
        preset.load("quick-start", ['methods=["nuclear"]', "problem.rows=300"])
    with pytest.raises(PresetError, match="methods: expected no nuclear at this size"):
        preset.load("arora-2019-sensing", ['methods=["gd", "nuclear"]'])
    assert preset.load("quick-start", ['methods=["gd", "nuclear"]']).methods == ("gd", "nuclear")


def test_it_is_not_among_the_methods_unless_asked_for() -> None:
    assert "nuclear" not in preset.load("quick-start").methods
