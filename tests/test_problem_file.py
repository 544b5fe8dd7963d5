from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.problems.problem import make_problem
from engine.runs.directory import RunDirectory
from engine.spec import preset, problem_file
from engine.spec.defects import PresetError
from engine.spec.problem_file import ProblemFileError
from engine.spec.settings import ProblemSettings

GENERATOR = np.random.default_rng(0)
A = GENERATOR.standard_normal((7, 3, 4))
TRUTH = np.outer(GENERATOR.standard_normal(3), GENERATOR.standard_normal(4))
Y = np.tensordot(A, TRUTH, 2)


def _save(folder: Path, **arrays: Any) -> Path:
    path = folder / "problem.npz"
    np.savez(path, **arrays)
    return path


def test_with_a_truth_generalization_is_measured_on_what_the_measurements_do_not_see(tmp_path: Path) -> None:
    path = _save(tmp_path, A=A, y=Y, W_star=TRUTH)
    problem = make_problem(ProblemSettings(kind="file", path=str(path), rows=3, columns=4, measurements=7), [0, 1])
    other = torch.from_numpy(GENERATOR.standard_normal((2, 1, 3, 4)))
    difference = (other[0, 0].numpy() - TRUTH).ravel()
    flat = A.reshape(7, -1)
    unseen = difference - flat.T @ np.linalg.lstsq(flat.T, difference, rcond=None)[0]
    assert float(problem.generalization_loss(other)[0, 0]) == pytest.approx(float(unseen @ unseen) / (12 - 7), rel=1e-9)
    assert float(problem.training_loss(other)[0, 0]) == pytest.approx(float(np.mean((flat @ difference) ** 2)))
    assert problem.truth is not None
    assert float(problem.training_loss(problem.truth[:, None]).max()) < 1e-24


def test_without_a_truth_held_out_measurements_serve(tmp_path: Path) -> None:
    path = _save(tmp_path, A=A[:5], y=Y[:5], A_test=A[5:], y_test=Y[5:])
    problem = make_problem(ProblemSettings(kind="file", path=str(path), rows=3, columns=4, measurements=5), [0])
    other = GENERATOR.standard_normal((3, 4))
    expected = np.mean((np.tensordot(A[5:], other, 2) - Y[5:]) ** 2)
    assert float(problem.generalization_loss(torch.from_numpy(other)[None, None])) == pytest.approx(expected)
    assert problem.truth is None


def test_a_given_basis_is_used(tmp_path: Path) -> None:
    _, _, right = np.linalg.svd(A.reshape(7, -1))
    basis = right[7:9].reshape(2, 3, 4)
    read = problem_file.read(_save(tmp_path, A=A, y=Y, W_star=TRUTH, B=basis))
    np.testing.assert_array_equal(read.held_out, basis)


def test_dependent_measurements_leave_a_larger_unseen_space(tmp_path: Path) -> None:
    read = problem_file.read(_save(tmp_path, A=np.concatenate([A, A]), y=np.concatenate([Y, Y]), W_star=TRUTH))
    assert len(read.held_out) == 12 - 7


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": Y, "W_star": TRUTH}, "expected an array 'A', found y, W_star"),
        ({"A": A, "W_star": TRUTH}, "expected an array 'y'"),
        ({"A": A, "y": Y}, "expected W_star, or A_test and y_test"),
        ({"A": A[0], "y": Y, "W_star": TRUTH}, "A: expected shape n × m × m', none of them 0, got 3 × 4"),
        ({"A": A[:0], "y": Y[:0], "W_star": TRUTH}, "A: expected shape n × m × m', none of them 0, got 0 × 3 × 4"),
        ({"A": A, "y": Y[:6], "W_star": TRUTH}, "y: expected shape 7, got 6"),
        ({"A": A, "y": Y, "W_star": TRUTH.T}, "W_star: expected shape 3 × 4, got 4 × 3"),
        ({"A": A, "y": np.full(7, np.nan), "W_star": TRUTH}, "y: expected finite numbers, got nan at [0]"),
        ({"A": A + 1j, "y": Y, "W_star": TRUTH}, "A: expected real numbers, got complex128"),
        ({"A": A, "y": np.array(list("abcdefg")), "W_star": TRUTH}, "y: expected real numbers, got <U1"),
        ({"A": A, "y": Y, "W_star": TRUTH, "C": Y}, "expected arrays among A, y, W_star, B, A_test, y_test, got C"),
        ({"A": A, "y": Y, "W_star": TRUTH, "B": A[:2]}, "B: expected orthonormal matrices"),
        ({"A": A, "y": Y, "W_star": TRUTH, "B": np.eye(12).reshape(12, 3, 4)[:2]}, "B: expected matrices orthogonal"),
        ({"A": A, "y": Y, "W_star": TRUTH, "B": A[0]}, "B: expected shape b × 3 × 4, got 3 × 4"),
        ({"A": A, "y": Y, "A_test": A[:, :2], "y_test": Y}, "A_test: expected shape t × 3 × 4, t ≥ 1, got 7 × 2 × 4"),
        ({"A": A, "y": Y, "A_test": A, "y_test": Y[:2]}, "y_test: expected shape 7, got 2"),
        (
            {"A": np.eye(12).reshape(12, 3, 4), "y": np.zeros(12), "W_star": TRUTH},
            "A: the measurements determine every entry",
        ),
    ],
)
def test_each_defect_has_its_sentence(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ProblemFileError) as caught:
        problem_file.read(_save(tmp_path, **arrays))
    assert message in str(caught.value)


def test_pickles_are_refused_unread(tmp_path: Path) -> None:
    """Unpickling this object would make a file."""
    trap = tmp_path / "sprung"

    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (trap,))

    path = _save(tmp_path, A=A, y=np.array([Trap()] * 7, dtype=object), W_star=TRUTH)
    with pytest.raises(ProblemFileError, match="pickles are refused"):
        problem_file.read(path)
    assert not trap.exists()


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 torn"])
def test_what_is_no_archive_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    path.write_bytes(content)
    with pytest.raises(ProblemFileError, match=r"expected an \.npz archive"):
        problem_file.read(path)


def test_a_torn_archive_and_a_missing_one_are_refused(tmp_path: Path) -> None:
    path = _save(tmp_path, A=A, y=Y, W_star=TRUTH)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ProblemFileError, match=r"expected an \.npz archive"):
        problem_file.read(path)
    with pytest.raises(ProblemFileError, match="no such file"):
        problem_file.read(tmp_path / "missing.npz")


def _preset(folder: Path, problem: str) -> Path:
    path = folder / "own.toml"
    path.write_text(f'[problem]\nkind = "file"\n{problem}\n', encoding="utf-8")
    return path


def test_a_preset_takes_shape_and_count_from_its_file_found_beside_it(tmp_path: Path) -> None:
    _save(tmp_path, A=A, y=Y, W_star=TRUTH)
    (point,) = preset.load(_preset(tmp_path, 'path = "problem.npz"')).points
    assert (point.problem.rows, point.problem.columns, point.problem.measurements) == (3, 4, 7)
    assert point.problem.path == str(tmp_path / "problem.npz")


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        ("", "problem.path: expected the path of an .npz file"),
        ('path = "missing.npz"', "problem.path: expected a problem file (no such file)"),
        ('path = "problem.npz"\nrows = 9', "problem.rows: expected 3 as in the problem file, or nothing, got 9"),
        ('path = "problem.npz"\nrank = 2', "problem.rank: expected nothing"),
    ],
)
def test_a_preset_at_odds_with_its_file_is_refused(problem: str, message: str, tmp_path: Path) -> None:
    _save(tmp_path, A=A, y=Y, W_star=TRUTH)
    with pytest.raises(PresetError) as caught:
        preset.load(_preset(tmp_path, problem))
    assert message in str(caught.value)


def test_a_path_without_the_kind_that_reads_it_is_refused() -> None:
    with pytest.raises(PresetError, match=r"problem\.path: expected no path"):
        preset.load("quick-start", ["problem.path=x.npz"])


def test_a_run_keeps_its_own_copy_of_the_file(tmp_path: Path) -> None:
    path = _save(tmp_path, A=A, y=Y, W_star=TRUTH)
    run = RunDirectory.create(preset.load(_preset(tmp_path, 'path = "problem.npz"')), "cpu", tmp_path / "run")
    path.unlink()
    (point,) = RunDirectory.open(run.path).experiment.points
    assert point.problem.path == str(run.path / "problem-0.npz")
    np.testing.assert_array_equal(problem_file.read(Path(point.problem.path)).measurements, A)
