"""The form: drafts of experiments, steps of numbers, which fields have a say, and every key of it at two sizes."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType

from engine.descent.descent import Descent
from engine.events import Rows
from engine.problems.problem import make_problem
from engine.runs.catalog import RunError
from engine.runs.directory import RunDirectory
from engine.spec.experiment import Experiment
from engine.spec.names import ACTIVATIONS, OPTIMIZERS
from engine.spec.preset import load, parse
from engine.spec.relevance import CONDITIONS, METHODS_KEY, highest, idle
from engine.spec.settings import METHODS, PointSettings, bad_combinations, fields
from mftui.app import Explorer
from mftui.draft import DEVICE, OVER, SEEDS, Draft, to_value
from mftui.live import LiveRun
from mftui.screens.base import Keys
from mftui.screens.explore import ExploreScreen
from mftui.session import Session
from mftui.views.fields.editing import NUMERIC, Edit
from mftui.views.fields.field import FIRST, all_sections, describe
from mftui.views.fields.field_list import MORE, FieldList
from mftui.views.fields.stepping import Scale
from mftui.views.form import Form
from tests.lab import until
from tests.settings import point

pytestmark = pytest.mark.slow

SIZES = [(80, 24), (160, 45)]
TINY = """
seeds = 2
[gd]
learning_rate = 0.1
[gnc]
eps_train = 0.2
[sweep]
over = "model.width"
values = [3, 6]
"""


def tiny() -> Experiment:
    return parse(TINY, "tiny")


def single() -> Experiment:
    return parse("seeds = 2", "single")


# --- the draft -------------------------------------------------------------------------------------------------------


def test_untouched_draft_is_the_experiment_itself() -> None:
    experiment = tiny()
    assert Draft(experiment).check() == (experiment, {})


@pytest.mark.parametrize("name", ["quick-start", "width-linear"])
def test_every_text_of_a_draft_reads_back_as_the_value_it_was_made_from(name: str) -> None:
    experiment = load(name)
    draft = Draft(experiment)
    draft.texts[SEEDS] = str(experiment.seeds + 1)  # or the draft returns the experiment unread
    checked, problems = draft.check()
    assert checked is not None, problems
    assert (checked.points, checked.values, checked.name) == (experiment.points, experiment.values, experiment.name)


@pytest.mark.parametrize(
    ("key", "text", "fault", "sentence"),
    [
        ("gd.init", "gausian", "gd.init", "did you mean 'gaussian'?"),
        ("model.depth", "0", "model.depth", "an integer ≥ 1"),
        ("problem.rank", "9", "problem.rank", "min(rows, columns) = 5, got 9"),
        ("model.width", "5, x", "model.width", "got 'x'"),
        ("gd.steps", "", "gd.steps", "got ''"),
        (OVER, "model.widht", OVER, "did you mean 'model.width'?"),
        (OVER, "", "model.width", "expected a single value"),
        (SEEDS, "0", SEEDS, "an integer ≥ 1"),
        (METHODS_KEY, "gd, guess", METHODS_KEY, "a list of some of gd, prior, gnc, nuclear"),
        ("problem.kind", "ratings", "problem.path", "the path of a file"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_in_the_engines_words(
    key: str, text: str, fault: str, sentence: str
) -> None:
    draft = Draft(tiny())
    draft.texts[key] = text
    experiment, problems = draft.check()
    assert experiment is None
    assert sentence in problems[fault]


def test_another_field_can_be_swept_and_the_one_before_keeps_its_first_value() -> None:
    draft = Draft(tiny())
    draft.edit(OVER, "model.depth")
    draft.edit("model.depth", "2, 3, 4")
    experiment, problems = draft.check()
    assert experiment is not None, problems
    assert [(point.model.width, point.model.depth) for point in experiment.points] == [(3, 2), (3, 3), (3, 4)]
    draft.edit(OVER, "model.width")
    assert (draft.texts["model.depth"], draft.texts["model.width"]) == ("2", "3, 6")


@pytest.mark.parametrize(("text", "value"), [("1e-3", 1e-3), ("true", True), ("[1, 2]", [1, 2]), ("a, 2", ["a", 2])])
def test_texts_are_read_as_toml_where_they_are(text: str, value: object) -> None:
    assert to_value(text) == value


def test_methods_are_stepped_through_and_those_left_out_take_their_fields_with_them() -> None:
    draft = Draft(single())
    field = describe(METHODS_KEY, draft)
    assert (field.options[0], len(field.options)) == ("gd, prior, gnc", 2 ** len(METHODS) - 1)
    draft.edit(METHODS_KEY, field.stepped(draft.texts[METHODS_KEY], 1))
    experiment, problems = draft.check()
    assert experiment is not None, problems
    assert experiment.methods == ("gd", "prior")
    assert draft.idle()["gnc.eps_train"] == "only where gnc is among the methods"
    draft.edit(METHODS_KEY, "gd")
    assert draft.check()[0].methods == ("gd",)  # type: ignore[union-attr]
    draft.edit(METHODS_KEY, field.stepped("gd, prior", -1))
    assert draft.check() == (draft.experiment, {})


def test_another_device_makes_no_other_experiment() -> None:
    draft = Draft(single(), "cpu")
    draft.edit(DEVICE, "cuda")
    assert draft.changed
    assert draft.check() == (draft.experiment, {})


# --- what has a say --------------------------------------------------------------------------------------------------


def _values(of: PointSettings, methods: tuple[str, ...] = METHODS) -> dict[str, list[Any]]:
    document = of.model_dump()
    values = {key: [document[key.split(".")[0]][key.split(".")[1]]] for key in fields()}
    return {**values, METHODS_KEY: list(methods)}


def test_conditions_speak_of_fields_that_exist_and_of_values_they_take() -> None:
    assert {key for key in fields() if key.startswith(("gd.", "gnc."))} <= CONDITIONS.keys()
    for key, conditions in CONDITIONS.items():
        assert key in fields()
        for condition in conditions:
            if condition.field == METHODS_KEY:
                assert set(condition.one_of) <= set(METHODS)
                continue
            section, name = condition.field.split(".")
            for value in (*condition.one_of, *condition.none_of):
                PointSettings.model_validate({section: {name: value}})


def _descent(settings: PointSettings) -> list[list[float]]:
    problem = make_problem(settings.problem, [0])
    procedure = Descent({0: settings}, [0], problem, torch.device("cpu"))
    state, events = procedure.init()
    while procedure.fraction(state) < 1:
        state, more = procedure.step(state)
        events += more
    return [list(row) for event in events if isinstance(event, Rows) and event.table == "gd" for row in event.rows]


_SETTINGS = [
    {"optimizer": optimizer, "activation": activation, "depth": depth}
    for optimizer, activation, depth in itertools.product(OPTIMIZERS, ("linear",), (2,))
] + [
    {"optimizer": "gradient_descent", "activation": activation, "depth": depth}
    for activation, depth in itertools.product(("tanh", "leaky_relu", "relu"), (1, 2))
]


@pytest.mark.parametrize("settings", _SETTINGS, ids=lambda each: "-".join(map(str, each.values())))
def test_a_field_said_to_be_idle_changes_no_number_of_gradient_descent_and_the_others_do(
    settings: dict[str, Any],
) -> None:
    base = {**settings, "steps": 20, "log_every": 20, "init_scale": 0.5, "width": 4, "learning_rate": 0.01}
    before = _descent(point(**base))
    silent = idle(_values(point(**base)))
    others = {"momentum": 0.5, "batch_size": 3, "epsilon": 0.1, "negative_slope": 0.7, "width": 6, "init": "gaussian"}
    for name, value in others.items():
        key = next(key for key in fields() if key.endswith(f".{name}"))
        same = _descent(point(**{**base, name: value})) == before
        assert same == (key in silent), key


@pytest.mark.parametrize("kind", ["sensing", "completion", "file", "ratings"])
def test_a_field_of_the_problem_said_to_be_idle_is_one_the_engine_refuses(kind: str) -> None:
    silent = idle(_values(point(kind=kind)))
    given = {"path": "x.csv", "test_path": "y.csv", "first_index": 1, "center": True}
    for name, value in given.items():
        complaints = {key for key, *_ in bad_combinations(point(kind=kind, **{name: value}))}
        assert (f"problem.{name}" in complaints) == (f"problem.{name}" in silent), name


def test_fields_of_methods_that_do_not_run_are_idle_and_at_least_one_value_of_a_sweep_gives_a_say() -> None:
    values = _values(point(), ("gd",))
    assert {"gnc.eps_train", "gnc.prior_draws"} <= idle(values).keys()
    assert "gd.steps" not in idle(values)
    assert idle(values)["gnc.prior_draws"] == "only where prior is among the methods"
    values["model.activation"] = ["linear", "leaky_relu"]
    assert "model.negative_slope" not in idle(values)


@given(st.integers(1, 9), st.integers(1, 9))
def test_the_highest_rank_and_number_of_measurements_are_the_engines(rows: int, columns: int) -> None:
    values = _values(point(rows=rows, columns=columns))
    for key in ("problem.rank", "problem.measurements"):
        most = highest(key, values)
        assert most is not None
        for value in (most, most + 1):
            if value >= 1:
                settings = point(rows=rows, columns=columns, **{key.split(".")[1]: value})
                refused = {key for key, *_ in bad_combinations(settings)}
                assert (key in refused) == (value > most)


def test_what_the_engine_refuses_is_left_out_when_the_kind_of_problem_changes() -> None:
    draft = Draft(parse("[problem]\nrank = 2\nnorm = 2.0\nmeasurements = 9", "given"))
    draft.edit("problem.kind", "ratings")
    assert {"problem.rank", "problem.norm", "problem.measurements"} <= draft.idle().keys()
    assert draft.check()[1].keys() == {"problem.path"}


# --- steps -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "text", "by", "stepped"),
    [
        ("gd.learning_rate", "0.1", 1, "0.2"),
        ("gd.learning_rate", "0.1", -1, "0.05"),
        ("gd.learning_rate", "auto", 1, "0.1"),
        ("gd.init_scale", "0.003", 1, "0.005"),
        ("gd.init_scale", "0.001", -3, "0.0001"),
        ("gd.steps", "10000", 1, "20000"),
        ("gnc.draws", "1e7", 1, "20000000"),
        ("model.width", "5", 1, "10"),
        ("model.width", "1", -1, "1"),
        ("model.width", "100000000", 1, "100000000"),
        ("model.depth", "2", 1, "3"),
        ("model.depth", "1", -1, "1"),
        ("problem.seed", "0", -1, "0"),
        ("problem.test_fraction", "0.1", 1, "0.15"),
        ("model.negative_slope", "0.2", -3, "0.0"),
        ("gd.momentum", "0.9", 1, "0.95"),
        ("gd.momentum", "0.999", 1, "0.999"),
        ("gd.predict_from", "0", -1, "-1"),
        ("gd.predict_from", "-1", 1, "0"),
        ("gnc.eps_train", "nonsense", 1, "0.02"),
        ("model.activation", "linear", -1, list(ACTIVATIONS)[-1]),
        ("gnc.normalize", "false", 1, "true"),
        (SEEDS, "2", -3, "1"),
    ],
)
def test_values_step_sensibly_within_their_range(key: str, text: str, by: int, stepped: str) -> None:
    assert describe(key, Draft(single())).stepped(text, by) == stepped


@pytest.mark.parametrize(
    ("key", "text", "by", "stepped"),
    [
        ("model.width", "5, 20, 80", 1, "10, 40, 160"),
        ("model.width", "5, 20, 80", 3, "50, 200, 800"),
        ("model.width", "50, 200, 800", -3, "5, 20, 80"),
        ("model.width", "1, 2, 4", -1, "1, 2, 4"),
        ("model.width", "[3, 6]", 1, "6, 12"),
        ("model.width", "3, x", 1, "6, x"),
        ("model.depth", "2, 3, 4", 1, "3, 4, 5"),
        ("model.depth", "1, 2", -1, "1, 2"),
        ("gd.learning_rate", "0.001, 0.003", 1, "0.002, 0.006"),
        ("gd.learning_rate", "auto, 0.1", -1, "auto, 0.05"),
        ("gd.momentum", "0.5, 0.9", 1, "0.8, 0.95"),
        ("gd.momentum", "0.99, 0.999", 1, "0.99, 0.999"),
        ("problem.rank", "4, 5", 1, "4, 5"),
        ("model.activation", "linear, tanh", 1, "linear, tanh"),
    ],
)
def test_the_values_of_a_swept_field_step_together_and_stay_apart(key: str, text: str, by: int, stepped: str) -> None:
    draft = Draft(single())
    draft.edit(OVER, key)
    draft.edit(key, text)
    assert describe(key, draft).stepped(text, by, draft.highest(key)) == stepped


@given(st.floats(1e-11, 1e11))
def test_round_steps_go_up_and_down_by_at_most_a_factor_of_two_and_a_half(value: float) -> None:
    up, down = Scale(low=0.0, open_low=True).next(value, 1), Scale(low=0.0, open_low=True).next(value, -1)
    assert down < value < up
    assert up <= value * 2.5 * (1 + 1e-9)
    assert down >= value / 2.5 * (1 - 1e-9)


@pytest.mark.parametrize("key", sorted(fields()))
def test_every_step_of_every_field_is_a_value_that_the_engine_takes(key: str) -> None:
    field, (section, name) = describe(key, Draft(single())), key.split(".")
    text = field.default
    for by in (-1,) * 8 + (1,) * 40:
        text = field.stepped(text, by)
        PointSettings.model_validate({section: {name: to_value(text) if field.kind != "text" else text}})


def test_every_field_is_in_the_form_once_with_a_meaning_and_a_range() -> None:
    keys = [key for section in all_sections().values() for key in section]
    assert sorted(keys) == sorted([*fields(), METHODS_KEY, SEEDS, OVER, DEVICE])
    for key in keys:
        field = describe(key, Draft(single()))
        assert field.meaning
        assert field.takes


def test_typing_leaves_out_what_a_number_cannot_hold() -> None:
    edit = Edit("12", 2, NUMERIC)
    assert [edit.press(key, key) for key in ("q", "e", "5")] == [False, True, True]
    assert edit.text == "12e5"
    for key in ("home", "delete", "right", "backspace", "end", "left", "backspace"):
        assert edit.press(key, None)
    assert (edit.text, edit.caret) == ("5", 0)
    edit.insert("1 000x")
    assert edit.text == "10005"


# --- the widget ------------------------------------------------------------------------------------------------------


class Bench(App[None]):
    """A form, and keys under it that note what reaches them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(key, f"note('{key}')", name)
        for key, name in (
            ("q", "Quit"),
            ("question_mark", "Help"),
            ("r", "Run"),
            ("space", "Pause"),
            ("full_stop", "Step"),
            ("escape", "Leave"),
            ("2", "Sweep"),
        )
    ]

    def __init__(self, experiment: Experiment) -> None:
        super().__init__()
        self.form = Form(experiment, "cpu")
        self.reached: list[str] = []
        self.applied = 0

    def compose(self) -> ComposeResult:
        yield self.form
        yield Keys()

    def action_note(self, key: str) -> None:
        self.reached.append(key)

    def on_form_applied(self) -> None:
        self.applied += 1

    @property
    def list(self) -> FieldList:
        return self.form.list

    def text(self, key: str) -> str:
        return self.form.draft.texts[key]

    def line(self, key: str) -> str:
        """As drawn."""
        place = [row.key for row in self.list._rows].index(key) - self.list.scroll_offset.y
        return self.list.render_line(place).text

    def note(self) -> str:
        return str(self.form.note.content)


@pytest.fixture(params=SIZES, ids=str)
def size(request: pytest.FixtureRequest) -> tuple[int, int]:
    chosen: tuple[int, int] = request.param
    return chosen


at_one_size = pytest.mark.parametrize("size", SIZES[:1], ids=str)
"""what has nothing to do with the room there is"""


async def test_arrows_and_letters_move_and_step_and_shift_steps_a_decade(size: tuple[int, int]) -> None:
    app = Bench(single())
    async with app.run_test(size=size) as pilot:
        app.form.focus_first()
        await pilot.pause()
        assert app.list.key == "model.activation"
        await pilot.press("right", "l", "left")
        assert app.text("model.activation") == "tanh"
        await pilot.press("down", "l")
        assert (app.list.key, app.text("model.width")) == ("model.width", "10")
        await pilot.press("shift+right")
        assert app.text("model.width") == "100"
        await pilot.press("H", "L", "shift+left")
        assert app.text("model.width") == "10"
        await pilot.press("j", "right")
        assert (app.text("model.width"), app.text("model.depth")) == ("10", "3")
        await pilot.press("k", "up")
        assert app.list.key == "model.activation"
        await pilot.press("end")
        assert app.list.key == MORE
        await pilot.press("pageup", "home", "pagedown")
        assert app.list.key == "gd.init_scale"


@at_one_size
async def test_only_digits_go_into_a_number_and_the_other_keys_to_the_screen(size: tuple[int, int]) -> None:
    app = Bench(single())
    async with app.run_test(size=size) as pilot:
        app.form.focus_first()
        await pilot.press("down", "down", "q", "question_mark", "r", "space", "full_stop")
        assert app.reached == ["q", "question_mark", "r", "space", "full_stop"]
        assert app.text("model.depth") == "2"
        await pilot.press("4", "2", "q")
        assert app.text("model.depth") == "42"
        assert app.reached[-1] == "q"
        await pilot.press("escape")
        assert app.text("model.depth") == "2"
        assert app.reached[-1] == "q"
        await pilot.press("escape")
        assert app.reached[-1] == "escape"
        await pilot.press("up", "up", "2")
        assert app.reached[-1] == "2"  # a choice takes no digits


@at_one_size
async def test_a_number_is_edited_in_place_with_the_keys_of_a_line(size: tuple[int, int]) -> None:
    app = Bench(single())
    async with app.run_test(size=size) as pilot:
        app.form.focus_first()
        app.list.choose("gd.learning_rate")
        await pilot.press("backspace", "5", "left", "2")
        assert app.text("gd.learning_rate") == "0.25"
        assert "0.25" in app.line("gd.learning_rate")
        await pilot.press("ctrl+u", "home", "1", "e", "minus")
        assert app.text("gd.learning_rate") == "1e-5"
        await pilot.press("down")
        assert app.list.edit is None
        await pilot.press("up", "a")
        assert app.text("gd.learning_rate") == "auto"
        await pilot.press("delete")
        assert app.text("gd.learning_rate") == "0.1"


@at_one_size
async def test_enter_applies_once_and_in_the_middle_of_a_number_too(size: tuple[int, int]) -> None:
    app = Bench(single())
    async with app.run_test(size=size) as pilot:
        app.form.focus_first()
        await pilot.press("enter")
        await pilot.press("down", "7", "enter")
        assert app.applied == 2
        assert (app.text("model.width"), app.list.edit) == ("7", None)
        experiment = app.form.check()
        assert experiment is not None
        assert experiment.points[0].model.width == 7


@at_one_size
async def test_what_is_wrong_is_said_while_typing_and_steps_stay_within_the_other_fields(
    size: tuple[int, int],
) -> None:
    app = Bench(single())
    async with app.run_test(size=size) as pilot:
        app.form.focus_first()
        app.list.choose("problem.rank")
        await pilot.press("9")
        await until(pilot, lambda: "min(rows, columns) = 5, got 9" in app.note(), "the note")
        assert app.form.border_subtitle == "can't start"
        assert "✗" in app.line("problem.rank")
        await pilot.press("escape", *["right"] * 8)
        assert app.text("problem.rank") == "5"
        await until(pilot, lambda: app.form.border_subtitle == "changed · enter starts", "the subtitle")
        assert "•" in app.line("problem.rank")


async def test_more_fields_are_shown_by_key_and_by_enter_and_folded_again(size: tuple[int, int]) -> None:
    app = Bench(single())
    async with app.run_test(size=size) as pilot:
        app.form.focus_first()
        assert app.list.keys == [key for keys in FIRST.values() for key in keys]
        await pilot.press("u")
        assert set(app.list.keys) == {*fields(), METHODS_KEY, SEEDS, OVER, DEVICE}
        app.list.choose("gd.steps")
        await pilot.press("right")
        assert app.text("gd.steps") == "20000"
        await pilot.press("u", "end", "enter")
        assert app.list.unfolded
        await pilot.press("end", "left")
        assert not app.list.unfolded


@at_one_size
async def test_the_wrong_field_is_shown_though_folded_and_gone_to(size: tuple[int, int]) -> None:
    app = Bench(single())
    async with app.run_test(size=size) as pilot:
        app.form.draft.texts["gd.steps"] = "0"
        assert app.form.check() is None
        app.form.focus_wrong()
        await pilot.pause()
        assert (app.list.key, app.list.has_focus) == ("gd.steps", True)
        assert "an integer ≥ 1, got 0" in app.note()


@at_one_size
async def test_fields_without_a_say_are_dimmed_with_the_reason_and_come_up_when_they_get_one(
    size: tuple[int, int],
) -> None:
    app = Bench(single())
    async with app.run_test(size=size) as pilot:
        app.form.focus_first()
        assert "gd.momentum" not in app.list.keys
        app.list.choose("gd.optimizer")
        await pilot.press("right")
        assert app.text("gd.optimizer") == "heavy_ball"
        assert "gd.momentum" in app.list.keys
        await pilot.press("left", "u")
        app.list.choose("gd.momentum")
        await pilot.pause()
        assert "only where gd.optimizer is heavy_ball or nesterov" in app.note()
        app.list.choose("model.depth")
        await pilot.press("left")
        assert {"model.width", "model.activation"} <= app.list.idle.keys()


@at_one_size
async def test_a_text_is_edited_between_two_enters_and_pasted_into(size: tuple[int, int]) -> None:
    app = Bench(single())
    async with app.run_test(size=size) as pilot:
        app.form.focus_first()
        app.list.choose("problem.kind")
        await pilot.press("left")
        assert app.text("problem.kind") == "ratings"
        app.list.choose("problem.path")
        await pilot.press("q", "enter", "q", "full_stop", "h")
        assert (app.text("problem.path"), app.reached) == ("q.h", ["q"])
        await pilot.press("enter")
        assert app.applied == 1


@at_one_size
async def test_a_swept_field_takes_a_list_and_a_field_becomes_swept_by_choosing_it(size: tuple[int, int]) -> None:
    app = Bench(tiny())
    async with app.run_test(size=size) as pilot:
        app.form.focus_first()
        await pilot.press("down", "right")
        assert app.text("model.width") == "6, 12"
        assert "‹ 6, 12 ›" in app.line("model.width")
        assert app.note().startswith("swept, ←→ steps all values")
        await pilot.press("left")
        assert app.text("model.width") == "3, 6"
        await pilot.press("backspace", "8", "comma", "space", "9")
        assert app.text("model.width") == "3, 8, 9"
        experiment = app.form.check()
        assert experiment is not None
        assert experiment.values == (3, 8, 9)
        app.list.choose(OVER)
        await pilot.press("left")
        assert app.text(OVER) == "model.activation"
        assert app.text("model.width") == "3"
        assert app.list._fields["model.activation"].kind == "text"


@at_one_size
async def test_the_device_is_a_field(size: tuple[int, int]) -> None:
    app = Bench(single())
    async with app.run_test(size=size) as pilot:
        app.form.focus_first()
        app.list.choose(DEVICE)
        await pilot.press("right")
        assert app.form.device == "cuda"
        await until(pilot, lambda: app.form.border_subtitle == "changed · enter starts", "the subtitle")


async def test_the_mouse_chooses_steps_and_edits(size: tuple[int, int]) -> None:
    app = Bench(single())
    async with app.run_test(size=size) as pilot:
        place = [row.key for row in app.list._rows].index("model.depth")
        await pilot.click(FieldList, offset=(3, place))
        assert app.list.key == "model.depth"
        await pilot.click(FieldList, offset=(22, place))
        assert app.text("model.depth") == "3"
        await pilot.click(FieldList, offset=(18, place))
        assert app.text("model.depth") == "2"
        await pilot.click(FieldList, offset=(20, place))
        assert app.list.edit is not None
        app.list.choose(MORE)
        await pilot.pause()
        await pilot.click(FieldList, offset=(3, len(app.list._rows) - 1 - app.list.scroll_offset.y))
        assert app.list.unfolded


async def test_the_footer_shows_the_keys_of_the_form_and_of_the_screen(size: tuple[int, int]) -> None:
    app = Bench(single())
    async with app.run_test(size=size) as pilot:
        app.form.focus_first()

        def names() -> list[str]:
            return [each.description for each in app.query_one(Keys).shown]

        await until(pilot, lambda: names()[:4] == ["Start", "Value", "Field", "More"], "the keys")
        assert {"Quit", "Help", "Run"} <= set(names())


@pytest.mark.parametrize("extent", [(80, 24), (160, 45), (20, 8), (5, 3), (1, 1)])
async def test_every_line_fills_its_cells_at_any_size(extent: tuple[int, int]) -> None:
    app = Bench(tiny())
    async with app.run_test(size=extent) as pilot:
        app.form.focus_first()
        await pilot.press("u", "down", "5")
        width, height = app.list.size
        assert {app.list.render_line(y).cell_length for y in range(height)} <= {width}


async def test_a_start_keeps_what_was_edited_since_and_another_experiment_replaces_everything() -> None:
    app = Bench(single())
    async with app.run_test(size=(80, 24)) as pilot:
        app.form.focus_first()
        await pilot.press("down", "right")
        started = app.form.check()
        assert started is not None
        await pilot.press("down", "5")
        app.form.adopt(started, "cpu")
        assert (app.text("model.width"), app.text("model.depth")) == ("10", "5")
        assert app.list.edit is not None
        assert app.form.draft.untouched["model.depth"] == "2"
        app.form.adopt(tiny(), "cpu")
        assert (app.text("model.width"), app.text("model.depth")) == ("3, 6", "2")
        assert not app.form.draft.changed


# --- in the explorer -------------------------------------------------------------------------------------------------


@pytest.fixture
def _no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(run: RunDirectory, spare: object = None) -> LiveRun:
        raise RunError("no worker in this test")

    monkeypatch.setattr(LiveRun, "start", staticmethod(refuse))
    monkeypatch.setattr(Session, "keep_spare", lambda self: None)


def _screen(app: Explorer) -> ExploreScreen:
    assert isinstance(app.screen, ExploreScreen)
    return app.screen


@pytest.mark.usefixtures("_no_worker")
async def test_f_goes_into_the_form_and_escape_leaves_it_with_its_keys_in_the_footer(size: tuple[int, int]) -> None:
    app = Explorer(tiny(), "cpu")
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.error, "the error")
        form = _screen(app).form

        def names() -> list[str]:
            return [each.description for each in app.screen.query_one(Keys).shown]

        assert form.display == (size[0] == 160)
        assert app.focused is None
        await pilot.press("f")
        assert app.focused is form.list
        await until(pilot, lambda: "More" in names(), "More")
        assert {"Run", "Pause"} <= set(names())
        await pilot.press("down", "down", "right", "escape")
        assert app.focused is None
        assert form.draft.texts["model.depth"] == "3"
        await pilot.press("f", "f")
        assert not form.display


@pytest.mark.usefixtures("_no_worker")
async def test_starting_with_something_wrong_goes_to_the_field_and_else_takes_the_device_of_the_form(
    size: tuple[int, int],
) -> None:
    app = Explorer(tiny(), "cpu")
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.error, "the error")
        form = _screen(app).form
        await pilot.press("f")
        form.list.choose("model.depth")
        await pilot.press("0", "home", "r")
        await pilot.pause()
        assert form.list.key == "model.depth"
        await pilot.press("4")
        form.list.choose(DEVICE)
        await pilot.press("left", "enter")
        await until(
            pilot, lambda: app.session.device == "auto" and app.experiment.points[0].model.depth == 4, "the change"
        )
        await until(pilot, lambda: not form.draft.changed, "the form")


@pytest.mark.usefixtures("_no_worker")
async def test_what_was_edited_before_the_run_began_stays() -> None:
    app = Explorer(tiny(), "cpu")
    async with app.run_test(size=(160, 45)) as pilot:
        form = _screen(app).form
        form.draft.edit("model.depth", "4")
        await until(pilot, lambda: app.error, "the error")
        assert form.draft.texts["model.depth"] == "4"
        assert form.draft.changed
