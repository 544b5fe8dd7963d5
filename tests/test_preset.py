from __future__ import annotations

from pathlib import Path

import pytest

from engine.spec import preset
from engine.spec.defects import PresetError
from engine.spec.settings import expected, fields


def _write(folder: Path, text: str, name: str = "a.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", preset.shipped())
def test_every_shipped_preset_is_valid_and_says_what_to_look_for(name: str) -> None:
    experiment = preset.load(name)
    assert experiment.title
    assert len(experiment.about) > 100


@pytest.mark.parametrize("name", preset.shipped())
def test_a_dumped_preset_reads_back_as_the_same_experiment(name: str) -> None:
    experiment = preset.load(name, ["problem.seed=3"])
    again = preset.parse(preset.dump(experiment), name)
    assert again == experiment


@pytest.mark.parametrize("key", fields())
def test_every_field_is_documented_and_says_what_it_accepts(key: str) -> None:
    assert fields()[key].description
    assert expected(fields()[key])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[gnc]\neps_train = -0.1", "gnc.eps_train: expected a number > 0, got -0.1"),
        ("[gnc]\neps_train = 0", "gnc.eps_train: expected a number > 0, got 0"),
        ("[gnc]\neps_train = nan", "gnc.eps_train: expected a number > 0, got nan"),
        ("[gnc]\neps_train = true", "gnc.eps_train: expected a number > 0, got true"),
        ("[model]\nwidth = 0", "model.width: expected an integer ≥ 1 and ≤ 1e+08, got 0"),
        ("[model]\ndepth = 0", "model.depth: expected an integer ≥ 1 and ≤ 1000, got 0"),
        ("[model]\nwidth = 2.5", "model.width: expected an integer ≥ 1 and ≤ 1e+08, got 2.5"),
        ('[model]\nwidth = "5"', "model.width: expected an integer ≥ 1 and ≤ 1e+08, got '5'"),
        ("[problem]\nrank = 6", "problem.rank: expected an integer ≤ min(rows, columns) = 5, got 6"),
        ("[problem]\nmeasurements = 26", "problem.measurements: expected an integer < rows × columns = 25"),
        ("[problem]\nmeasurements = 25", "problem.measurements: expected an integer < rows × columns = 25"),
        ('[gnc]\nprior = "gausian"', "got 'gausian' (did you mean 'gaussian'?)"),
        ("[model]\nwidht = 5", "got 'widht' (did you mean 'width'?)"),
        ("[modle]\nwidth = 5", "got 'modle' (did you mean 'model'?)"),
        ("width = 5", "got 'width' (did you mean 'model.width'?)"),
        ("[gd]\neps_train = 0.1", "got 'eps_train' (did you mean 'gnc.eps_train'?)"),
        ("model = 5", "model: expected a section of fields, got 5"),
        ("seeds = 0", "seeds: expected an integer ≥ 1 and ≤ 10000, got 0"),
        ("title = 5", "title: expected text, got 5"),
        ('methods = ["gdx"]', "methods: expected a list of some of gd, prior, gnc, nuclear, got ['gdx']"),
        ("[model]\nwidth = [1, 2]", "model.width: expected a single value (there is no [sweep]), got [1, 2]"),
        ('[sweep]\nover = "model.wdth"\nvalues = [1]', "sweep.over: expected a field such as model.width"),
        ('[sweep]\nover = "model.width"\nvalues = []', "sweep.values: expected a list of one value per sweep point"),
        ('[sweep]\nover = "model.width"\nvalues = [5, 5]', "sweep.values: expected different values"),
        ('[sweep]\nover = "model.width"\nvalues = [5, 0]', "sweep.values: expected an integer ≥ 1"),
        (
            '[gd]\nsteps = [1]\n[sweep]\nover = "model.width"\nvalues = [5, 6]',
            "gd.steps: expected one value per sweep point (2), got [1]",
        ),
        ("title = ", "not valid TOML"),
        ('extends = "quick-strat"', "(did you mean 'quick-start'?)"),
        ("extends = 3", "extends: expected the name of one preset, got 3"),
    ],
)
def test_a_defect_is_named_with_file_key_expectation_and_value(text: str, message: str, tmp_path: Path) -> None:
    path = _write(tmp_path, text)
    with pytest.raises(PresetError) as caught:
        preset.load(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_all_defects_are_reported_at_once(tmp_path: Path) -> None:
    path = _write(tmp_path, "[model]\nwidth = 0\nwidht = 3\n[gnc]\neps_train = 0")
    with pytest.raises(PresetError) as caught:
        preset.load(path)
    assert len(caught.value.problems) == 3


def test_an_override_is_blamed_by_its_own_text(tmp_path: Path) -> None:
    with pytest.raises(PresetError, match=r"^--set model\.width=x: model\.width: expected an integer"):
        preset.load("quick-start", ["model.width=x"])


def test_files_that_cannot_be_read_are_reported_as_such(tmp_path: Path) -> None:
    with pytest.raises(PresetError, match="can't be read: No such file"):
        preset.load(tmp_path / "missing.toml")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(PresetError, match="can't be read: Is a directory"):
        preset.load(tmp_path / "folder.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PresetError, match="expected UTF-8"):
        preset.load(tmp_path / "binary.toml")


def test_a_preset_extends_another_merging_tables_and_replacing_lists(tmp_path: Path) -> None:
    _write(tmp_path, '[model]\nwidth = 7\ndepth = 3\n[sweep]\nover = "gd.steps"\nvalues = [1, 2]', "base.toml")
    child = _write(tmp_path, 'extends = "base.toml"\n[model]\nwidth = 9\n[sweep]\nvalues = [3]')
    experiment = preset.load(child)
    assert [(p.model.width, p.model.depth, p.gd.steps) for p in experiment.points] == [(9, 3, 3)]


def test_a_cycle_of_presets_is_refused(tmp_path: Path) -> None:
    _write(tmp_path, 'extends = "b.toml"', "a.toml")
    path = _write(tmp_path, 'extends = "a.toml"', "b.toml")
    with pytest.raises(PresetError, match="expected no cycle"):
        preset.load(path)


def test_a_field_may_take_one_value_per_sweep_point(tmp_path: Path) -> None:
    path = _write(tmp_path, '[gd]\ninit_scale = [0.1, 0.2]\n[sweep]\nover = "model.depth"\nvalues = [2, 3]')
    points = preset.load(path).points
    assert [(p.model.depth, p.gd.init_scale) for p in points] == [(2, 0.1), (3, 0.2)]


@pytest.mark.parametrize("override", ["model.depth=3", "model.depth=[3]", "sweep.values=[3]"])
def test_overriding_the_swept_field_picks_points_with_the_values_that_go_with_them(
    override: str, tmp_path: Path
) -> None:
    path = _write(tmp_path, '[gd]\ninit_scale = [0.1, 0.2]\n[sweep]\nover = "model.depth"\nvalues = [2, 3]')
    points = preset.load(path, [override]).points
    assert [(p.model.depth, p.gd.init_scale) for p in points] == [(3, 0.2)]


def test_overrides_read_toml_and_the_later_one_wins() -> None:
    experiment = preset.load("quick-start", ["model.depth=3", "gnc.draws=1e7", "model.depth=4", "gnc.prior=uniform"])
    assert {(p.model.depth, p.gnc.draws, p.gnc.prior) for p in experiment.points} == {(4, 10_000_000, "uniform")}


def test_an_override_without_a_value_is_refused() -> None:
    with pytest.raises(PresetError, match=r"expected section\.field=value"):
        preset.load("quick-start", ["model.width"])
