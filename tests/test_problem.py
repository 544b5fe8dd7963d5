from __future__ import annotations

import pytest
import torch

from engine.problems import problem as problem_module
from engine.problems.problem import ComplementOperator, DenseOperator, EntryOperator, Problem, make_problem
from engine.spec.settings import ProblemSettings

KINDS = ("sensing", "completion")
SEEDS = (3, 4, 11)


def _problem(kind: str, **fields: object) -> Problem:
    settings = ProblemSettings.model_validate({"kind": kind, "rows": 4, "columns": 6, "measurements": 9, **fields})
    return make_problem(settings, SEEDS)


def _dense(operator: object, entries: int) -> torch.Tensor:
    """The operator's matrices as rows, shape (seed, obs, m·n)."""
    if isinstance(operator, DenseOperator):
        return operator.matrices
    assert isinstance(operator, EntryOperator)
    return torch.nn.functional.one_hot(operator.indices, entries).double()


@pytest.mark.parametrize("kind", KINDS)
def test_the_held_out_basis_is_orthonormal_and_orthogonal_to_the_measurements(kind: str) -> None:
    problem = _problem(kind)
    measured, basis = _dense(problem.measurements, 24), _dense(problem.held_out, 24)
    assert basis.shape == (3, 24 - 9, 24)
    torch.testing.assert_close(basis @ basis.mT, torch.eye(15).double().expand(3, -1, -1), atol=1e-12, rtol=0)
    torch.testing.assert_close(measured @ basis.mT, torch.zeros(3, 9, 15).double(), atol=1e-12, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_measurements_have_unit_norm(kind: str) -> None:
    norms = _dense(_problem(kind).measurements, 24).norm(dim=-1)
    torch.testing.assert_close(norms, torch.ones_like(norms))


@pytest.mark.parametrize("kind", KINDS)
def test_the_truth_has_the_asked_rank_and_norm_and_no_loss(kind: str) -> None:
    problem = _problem(kind, rank=2, norm=3.0)
    values = torch.linalg.svdvals(problem.truth)
    assert (values[:, 1] > 0.01).all()
    assert (values[:, 2] < 1e-12).all()
    torch.testing.assert_close(values.square().sum(-1), torch.full((3,), 9.0).double())
    assert problem.training_loss(problem.truth[:, None]).max() < 1e-24
    assert problem.generalization_loss(problem.truth[:, None]).max() < 1e-24


@pytest.mark.parametrize("kind", KINDS)
def test_the_losses_are_the_definitions_written_out(kind: str) -> None:
    problem = _problem(kind)
    matrices = torch.randn(3, 2, 4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for operator, losses in (
        (problem.measurements, problem.training_loss(matrices)),
        (problem.held_out, problem.generalization_loss(matrices)),
    ):
        rows = _dense(operator, 24).view(3, -1, 4, 6)
        for seed in range(3):
            for batch in range(2):
                difference = matrices[seed, batch] - problem.truth[seed]
                by_hand = sum(float((a * difference).sum()) ** 2 for a in rows[seed]) / len(rows[seed])
                assert float(losses[seed, batch]) == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_training_gradient_is_autograds(kind: str) -> None:
    problem = _problem(kind)
    matrices = torch.randn(3, 2, 4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    matrices.requires_grad_()
    (by_autograd,) = torch.autograd.grad(problem.training_loss(matrices).sum(), matrices)
    torch.testing.assert_close(problem.training_gradient(matrices.detach()), by_autograd, rtol=1e-12, atol=1e-14)


def test_completion_observes_different_entries_all_equally_often() -> None:
    settings = ProblemSettings(kind="completion", rows=3, columns=3, measurements=4)
    trials = 900
    problem = make_problem(settings, range(trials))
    assert isinstance(problem.measurements, EntryOperator)
    indices = problem.measurements.indices
    assert all(len(set(row)) == 4 for row in indices.tolist())
    counts = torch.bincount(indices.flatten(), minlength=9).double()
    standard_error = (trials * 4 / 9 * 5 / 9) ** 0.5
    assert ((counts - trials * 4 / 9).abs() < 4 * standard_error).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_seeds_data_do_not_depend_on_the_seeds_beside_it(kind: str) -> None:
    settings = ProblemSettings(kind=kind)  # type: ignore[arg-type]
    together, alone = make_problem(settings, range(4)).one(2), make_problem(settings, [2])
    torch.testing.assert_close(together.truth, alone.truth, rtol=0, atol=0)
    torch.testing.assert_close(together.targets, alone.targets, rtol=0, atol=0)
    torch.testing.assert_close(
        together.generalization_loss(torch.ones(1, 1, 5, 5).double()),
        alone.generalization_loss(torch.ones(1, 1, 5, 5).double()),
        rtol=1e-12,
        atol=0,
    )


def test_large_sensing_problems_measure_the_same_generalization_loss_without_a_basis(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_basis = _problem("sensing")
    monkeypatch.setattr(problem_module, "MAX_EXPLICIT_BASIS", 1)
    without = _problem("sensing")
    assert isinstance(without.held_out, ComplementOperator)
    matrices = torch.randn(3, 2, 4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = with_basis.generalization_loss(matrices)
    torch.testing.assert_close(without.generalization_loss(matrices), expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(without.one(1).generalization_loss(matrices[1:2]), expected[1:2], rtol=1e-12, atol=0)
    columns = matrices[1].flatten(1).mT
    by_columns = without.held_out.one(1).apply_to_columns(columns) - without.held_out_targets[1, :, None]
    torch.testing.assert_close(by_columns.square().mean(0), expected[1], rtol=1e-12, atol=0)
    projection = without.held_out.dense(24)
    torch.testing.assert_close(without.held_out.apply(matrices), matrices.flatten(2) @ projection.mT)
    torch.testing.assert_close(
        without.held_out.adjoint(matrices.flatten(2), 4, 6).flatten(2), matrices.flatten(2) @ projection
    )
