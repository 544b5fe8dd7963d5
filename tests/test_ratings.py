from __future__ import annotations

import gzip
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.problems.problem import EntryOperator, make_problem, ratings_tables
from engine.runs.directory import RunDirectory
from engine.spec import preset, ratings
from engine.spec.defects import PresetError
from engine.spec.ratings import RatingsError
from mftui.cli.watch import _print_results
from mftui.formatting import observed_table
from tests.commands import Command
from tests.lab import computed
from tests.runs import follow_to_end, results_of

pytestmark = pytest.mark.slow

MOVIES = Path(__file__).parents[2] / "shared" / "data" / "ratings-100k.csv.gz"
GOOD = "row,column,value\n0,0,4\n0,1,2.5\n2,0,1\n1,3,5\n"


def _write(folder: Path, text: str, name: str = "r.csv") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def _preset(folder: Path, *lines: str) -> Path:
    path = folder / "a.toml"
    path.write_text('methods = ["gd"]\n[problem]\nkind = "ratings"\npath = "r.csv"\n' + "\n".join(lines), "utf-8")
    return path


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        GOOD.replace("row,column,value\n", ""),
        GOOD.replace(",", "\t"),
        GOOD.replace(",", ";"),
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("\n", "\r"),
        GOOD.replace("row,", '"row,'),
        "\ufeff" + GOOD,
        GOOD.replace("\n0,1", "\n\n \n0,1"),
        GOOD.replace("0,0,4", '"0","0","4.0"'),
        GOOD.replace("0,0,4", " 0 , 0 , 4e0"),
    ],
)
def test_every_way_of_writing_the_same_ratings_reads_the_same(text: str, tmp_path: Path) -> None:
    data = ratings.load(_write(tmp_path, text))
    assert data.shape == (3, 4)
    assert data.ratings.rows.tolist() == [0, 0, 2, 1]
    assert data.ratings.columns.tolist() == [0, 1, 0, 3]
    assert data.ratings.values.tolist() == [4.0, 2.5, 1.0, 5.0]


def test_a_gzipped_file_is_known_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes(gzip.compress(GOOD.encode()))
    assert len(ratings.load(str(path)).ratings) == 4


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    path = _write(tmp_path, GOOD)
    assert len(ratings.load(path).ratings) == 4
    _write(tmp_path, GOOD + "2,2,2\n")
    assert len(ratings.load(path).ratings) == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "got an empty file"),
        ("row,column,value\n", "got a header only"),
        ("0,0,1\n", "expected ratings to train on and one to hold out, got 1 in all"),
        (GOOD + "1,1\n", "line 6: expected row, column, value, got 2 fields in '1,1'"),
        (GOOD + "1,1,3,4\n", "line 6: expected row, column, value, got 4 fields"),
        (GOOD + "1,1,good\n", "line 6: expected a value that is a number, got 'good'"),
        (GOOD + "Alien,1,3\n", "line 6: expected a row that is a number, got 'Alien'"),
        (GOOD + "1,1,1_000\n", "line 6: expected a value that is a number, got '1_000'"),
        (GOOD + "1,1,\uff15\n", "line 6: expected a value that is a number, got '\uff15'"),
        (GOOD + '1,1,"5\n1,2,3\n', "line 6: expected row, column, value, got 1 fields in '1,1,\"5'"),
        (GOOD + '1,1,"5"x\n', "line 6: expected row, column, value, got 1 fields"),
        (GOOD + "1,1,3\r1\r", "line 7: expected row, column, value, got 1 fields in '1'"),
        (GOOD + "1,1," + "x" * 200_000, "line 6: expected row, column, value, got 1 fields"),
        ("O,0,4\n0,1,2\n", "line 1: expected a row that is a number, got 'O'"),
        (GOOD + "1,1,nan\n", "line 6: expected a finite value, got nan"),
        (GOOD + "1,1,inf\n", "line 6: expected a finite value, got inf"),
        (GOOD + "1,1.5,3\n", "line 6: expected a column that is an integer, got 1.5"),
        (GOOD + "nan,1,3\n", "line 6: expected a row that is an integer, got nan"),
        (GOOD + "1e300,1,3\n", r"line 6: expected a row that is an integer, got 1e\+300"),
        (GOOD + "1,-1,3\n", "line 6: expected a column from 0 to 99999, got -1; if the file counts from -1, set"),
        (GOOD + "\n0,1,3\n", "line 7: row 0, column 1 was rated before, in line 3"),
        (GOOD + "x\ny\n1,2,nope\nz\nw\n,,\nu\n", "line 6: .*; line 10: .*; and 2 more bad lines"),
    ],
)
def test_a_bad_file_is_refused_by_line_number(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(RatingsError, match=message):
        ratings.load(_write(tmp_path, text))


def test_entries_outside_the_declared_shape_are_refused_by_line_number(tmp_path: Path) -> None:
    path = _write(tmp_path, GOOD)
    assert ratings.load(path, rows=7, columns=9).shape == (7, 9)
    with pytest.raises(RatingsError, match=r"line 4: expected a row from 0 to 1 \(problem\.rows = 2\), got 2$"):
        ratings.load(path, rows=2)


def test_files_that_are_not_text_or_not_there_say_so(tmp_path: Path) -> None:
    with pytest.raises(RatingsError, match="no such file"):
        ratings.load(str(tmp_path / "missing.csv"))
    with pytest.raises(RatingsError, match="Is a directory"):
        ratings.load(str(tmp_path))
    (tmp_path / "r.csv").write_bytes(b"\xff\xfe0,1")
    with pytest.raises(RatingsError, match="expected UTF-8"):
        ratings.load(str(tmp_path / "r.csv"))
    (tmp_path / "r.gz").write_bytes(gzip.compress(GOOD.encode())[:-9])
    with pytest.raises(RatingsError, match="expected an intact gzip file"):
        ratings.load(str(tmp_path / "r.gz"))


def test_the_files_may_count_from_any_number(tmp_path: Path) -> None:
    path = _write(tmp_path, "1,1,3\n2,4,5\n")
    data = ratings.load(path, first_index=1)
    assert data.shape == (2, 4)
    assert data.ratings.rows.tolist() == [0, 1]
    with pytest.raises(RatingsError, match=r"line 2: expected a column from 1 to 3 \(problem\.columns = 3\), got 4"):
        ratings.load(path, columns=3, first_index=1)


@pytest.mark.parametrize(
    ("text", "lines", "told"),
    [
        (GOOD, (), None),
        ("0,1,3\n2,4,5\n", (), None),
        (
            "1,1,3\n2,4,5\n",
            (),
            "row 0 and column 0 have no ratings; if the file counts from 1, set problem.first_index = 1",
        ),
        ("1,1,3\n2,4,5\n", ("first_index = 1",), None),
        (
            "7,9,3\n8,7,5\n",
            ("first_index = 1",),
            "rows and columns below 7 have no ratings; if the file counts from 7, set",
        ),
    ],
)
def test_a_file_that_seems_to_count_from_another_number_is_remarked_on(
    text: str, lines: tuple[str, ...], told: str | None, tmp_path: Path, mftui: Command
) -> None:
    _write(tmp_path, text)
    given = _preset(tmp_path, *lines, "test_fraction = 0.5")
    said = mftui("presets", "validate", given)
    assert said.status == 0
    assert (said.stderr == "") == (told is None)
    assert (told or "") in said.stderr


def test_a_remark_on_a_ratings_file_is_in_the_runs_log(tmp_path: Path) -> None:
    _write(tmp_path, "1,1,3\n2,4,5\n")
    experiment = preset.load(_preset(tmp_path, "test_fraction = 0.5"), ["gd.steps=2", "gd.log_every=1"])
    run = computed(RunDirectory.create(experiment, "cpu", tmp_path / "run"))
    told = [event["message"] for event in run.reader().events() if event["event"] == "remark"]
    assert told == list(experiment.remarks())
    assert len(told) == 1


def test_a_test_rating_that_was_trained_on_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RatingsError, match="line 1: row 0, column 1 is in the training file too") as caught:
        ratings.load(_write(tmp_path, GOOD), _write(tmp_path, "0,1,3\n", "t.csv"))
    assert caught.value.key == "test_path"


def test_a_preset_takes_its_shape_from_the_ratings_and_blames_file_and_key(tmp_path: Path) -> None:
    _write(tmp_path, GOOD)
    (settings,) = preset.load(_preset(tmp_path, "test_fraction = 0.5")).points
    assert (settings.problem.rows, settings.problem.columns, settings.problem.measurements) == (3, 4, 2)
    _write(tmp_path, GOOD + "1,1,nan\n")
    with pytest.raises(PresetError, match=r"a\.toml: problem\.path: expected a file of ratings \(line 6: .* got nan\)"):
        preset.load(_preset(tmp_path))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("rank = 2", r"problem\.rank: expected nothing \(the ratings are the data\), got 2"),
        ('test_path = "t.csv"', r"problem\.test_path: expected a file of ratings \(no such file\)"),
        ("test_fraction = 0.95", r"problem\.test_fraction: expected a number that leaves some of the 4 ratings"),
        ("test_fraction = 0", r"problem\.test_fraction: expected a number > 0 and ≤ 0\.95, got 0"),
        ("rows = 2", r"line 4: expected a row from 0 to 1 \(problem\.rows = 2\), got 2"),
    ],
)
def test_what_does_not_go_with_ratings_is_refused(line: str, message: str, tmp_path: Path) -> None:
    _write(tmp_path, GOOD)
    with pytest.raises(PresetError, match=message):
        preset.load(_preset(tmp_path, line))


@pytest.mark.parametrize("override", ["problem.center=true", "problem.test_path=t.csv", "problem.first_index=1"])
def test_what_belongs_to_ratings_is_refused_elsewhere(override: str) -> None:
    with pytest.raises(PresetError, match=r"problem\.kind is not ratings"):
        preset.load("quick-start", [override])


def test_a_random_split_is_another_for_each_seed_and_leaves_no_rating_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    entries = rng.choice(20 * 30, 200, replace=False)
    _write(tmp_path, "".join(f"{e // 30},{e % 30},{e}\n" for e in entries))
    (settings,) = preset.load(_preset(tmp_path, "test_fraction = 0.25", "rows = 20", "columns = 30")).points
    problem = make_problem(settings.problem, [5, 6])
    alone = make_problem(settings.problem, [6])
    assert isinstance(problem.measurements, EntryOperator)
    assert isinstance(problem.held_out, EntryOperator)
    for seed in range(2):
        training, test = problem.measurements.indices[seed], problem.held_out.indices[seed]
        assert (len(training), len(test)) == (150, 50)
        assert sorted([*training.tolist(), *test.tolist()]) == sorted(entries.tolist())
        assert problem.targets[seed].tolist() == training.tolist()
        assert problem.held_out_targets[seed].tolist() == test.tolist()
    assert problem.held_out.indices[0].tolist() != problem.held_out.indices[1].tolist()
    assert problem.one(1).targets.tolist() == alone.targets.tolist()


def test_centring_subtracts_the_training_mean_and_the_tables_put_it_back(tmp_path: Path) -> None:
    _write(tmp_path, GOOD)
    _write(tmp_path, "1,1,3\n", "t.csv")
    (settings,) = preset.load(_preset(tmp_path, "center = true", 'test_path = "t.csv"')).points
    problem = make_problem(settings.problem, [0, 1])
    assert problem.targets[0].tolist() == pytest.approx([0.875, -0.625, -2.125, 1.875])
    assert problem.held_out_targets[0].tolist() == pytest.approx([-0.125])
    observed, recovered = ratings_tables(problem.one(1), torch.zeros(3, 4, dtype=torch.float64))
    assert observed == [[4.0, 2.5, None, None], [None, None, None, 5.0], [1.0, None, None, None]]
    assert recovered == [[3.125] * 4] * 3


def test_the_unobserved_are_shown_as_question_marks() -> None:
    from rich.console import Console

    console = Console(width=80)
    with console.capture() as capture:
        console.print(observed_table([[4.0, None], [None, 2.5]]))
    assert capture.get().count("?") == 2
    assert "2.50" in capture.get()


def test_film_ratings_runs_from_its_own_copies_recovers_the_question_marks_and_reports_the_rmse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = preset.load("film-ratings")
    run = RunDirectory.create(experiment, "cpu", tmp_path / "run")
    own = RunDirectory.open(tmp_path / "run").experiment.points[0].problem
    assert {Path(own.path).parent, Path(own.test_path).parent} == {tmp_path / "run"}
    from mftui.live import LiveRun

    live = LiveRun.start(run)
    follow_to_end(live)
    by_depth = {trial["point"] + 1: trial for trial in results_of(run)["trials"]}
    assert by_depth[1]["held_out_rmse"] > 2
    assert by_depth[3]["held_out_rmse"] < 0.3
    assert by_depth[3]["held_out_rmse"] ** 2 == pytest.approx(by_depth[3]["generalization_loss"])
    for point, trial in ((0, by_depth[1]), (2, by_depth[3])):
        shown = live.recovered[point, "gd", 0]
        held_out = [(0, 2, 3), (1, 1, 1), (1, 3, 0.5), (2, 0, 5), (2, 3, 1.25)]
        errors = [shown.recovered[row][column] - value for row, column, value in held_out]
        assert (np.mean(np.square(errors)) ** 0.5) == pytest.approx(trial["held_out_rmse"])
        assert all(shown.observed[row][column] is None for row, column, _ in held_out)
    _print_results(live, json=False, plot=False)
    assert capsys.readouterr().out.count("?") == 5 + 1  # and the title's


@pytest.mark.skipif(not MOVIES.is_file(), reason="the movie ratings are not here")
@pytest.mark.parametrize("depth", [2, 3])
def test_a_hundred_thousand_ratings_train_in_little_memory(depth: int, tmp_path: Path) -> None:
    """A few steps in a process of its own, whose peak memory is what counts: all of it, torch's 300 MB too."""
    (tmp_path / "movies.toml").write_text(
        f'methods = ["gd"]\n[problem]\nkind = "ratings"\npath = "{MOVIES}"\nfirst_index = -1\ncenter = true\n'
        f'[model]\ndepth = {depth}\nwidth = 50\n[gd]\ninit = "gaussian"\ninit_scale = 0.3\n'
        'optimizer = "adam"\nlearning_rate = 0.01\nsteps = 60\nlog_every = 20\n',
        encoding="utf-8",
    )
    run = RunDirectory.create(preset.load(tmp_path / "movies.toml"), "cpu", tmp_path / "run")
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    subprocess.run(
        [sys.executable, "-m", "engine.runs.worker", str(run.path)], check=True, cwd=Path(__file__).parents[1]
    )
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert max(before, peak) < 1.5 * 2**20, "KiB"
    (trial,) = results_of(run)["trials"]
    rows = run.reader().rows("gd")
    assert rows.shape[1] == 5 + 10
    assert np.isfinite(rows).all()
    assert trial["held_out_rmse"] < 1.13  # the standard deviation of the ratings: what their mean alone would score
