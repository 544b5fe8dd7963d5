"""Plots as cells: exact ones for tiny plots, and what holds for all."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from mftui.canvas import (
    Axis,
    ErrorBars,
    Frame,
    Glyphs,
    Label,
    Line,
    Plot,
    Points,
    Rule,
    Span,
    Steps,
    Style,
    changed_spans,
    draw,
    layout,
    readout,
)
from mftui.canvas.glyphs import one_cell_each
from mftui.canvas.numbers import write_value
from mftui.canvas.raster import reduce_columns

UNIT, THREE = Axis(0, 1), Axis(0, 3)
DIAGONAL = Plot(UNIT, UNIT, (Line([0, 1], [0, 1], style="gd"),))


def cells(frame: Frame) -> list[str]:
    """Rows, blanks as dots for the eye."""
    return frame.text.replace(" ", ".").split("\n")


def ascii_cells(*series: Line | Points | ErrorBars | Steps, x: Axis = THREE, y: Axis = THREE) -> list[str]:
    """On four columns and rows, the middles of which are 0, 1, 2, 3."""
    return cells(draw(Plot(x, y, series), 4, 4, Glyphs.ASCII))


@pytest.mark.parametrize(
    ("glyphs", "expected"),
    [
        (Glyphs.BRAILLE, ["..⡠⠊", "⡠⠊.."]),
        (Glyphs.BLOCKS, ["..▄▀", "▄▀.."]),
        (Glyphs.ASCII, ["..**", "**.."]),
    ],
)
def test_each_way_of_drawing_has_its_exact_cells(glyphs: Glyphs, expected: list[str]) -> None:
    assert cells(draw(DIAGONAL, 4, 2, glyphs)) == expected


def test_axes_stand_left_and_below_with_their_ticks_on_the_data() -> None:
    assert cells(draw(DIAGONAL, 20, 7)) == [
        "..1.0┤...........⢀⠔⠊",
        ".....│........⢀⠤⠊⠁..",
        "..0.5┤.....⢀⡠⠊⠁.....",
        ".....│..⢀⡠⠒⠁........",
        "....0┤⡠⠔⠁...........",
        ".....└┬────────────┬",
        "......0............1",
    ]


def test_axes_in_ascii_have_no_other_character() -> None:
    frame = draw(
        Plot(UNIT, UNIT, (Line([0, 1], [0, 1], name="σ₁ – ε", style="gd"),), crosshair=0.5), 60, 12, Glyphs.ASCII
    )
    assert frame.text.isascii()


def test_a_line_is_cut_at_the_limits_where_it_crosses_them() -> None:
    assert ascii_cells(Line([-3, 6], [-3, 6], style="a")) == ["...*", "..*.", ".*..", "*..."]


def test_a_line_beside_the_plot_is_not_drawn() -> None:
    assert ascii_cells(Line([-2, 5], [4, 9], style="a"), Line([4, 9], [0, 3], style="b")) == ["...."] * 4


@pytest.mark.parametrize("gap", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_breaks_a_line(gap: float) -> None:
    assert ascii_cells(Line([0, 1, 1, 2, 3], [0, 0, gap, 3, 3], style="a")) == ["..**", "....", "....", "**.."]


def test_what_is_not_above_zero_breaks_a_line_on_a_log_axis() -> None:
    decades = Axis(1, 1000, "log")
    line = Line([1, 10, 10, 100, 1000], [1, 1, 0, 1000, 1000], style="a")
    assert ascii_cells(line, x=decades, y=decades) == ["..**", "....", "....", "**.."]


def test_a_point_between_gaps_is_a_dot() -> None:
    assert ascii_cells(Line([0, 1, 2], [math.nan, 2, math.nan], style="a")) == ["....", ".*..", "....", "...."]


def test_a_line_of_one_point_is_a_dot_and_of_none_nothing() -> None:
    assert ascii_cells(Line([1], [2], style="a"), Line([], [], style="b")) == ["....", ".*..", "....", "...."]


def test_a_constant_series_is_level() -> None:
    assert ascii_cells(Line([0, 1, 3], [1, 1, 1], style="a")) == ["....", "....", "****", "...."]


def test_differences_that_vanish_and_values_beyond_all_limits_are_drawn() -> None:
    assert ascii_cells(Line([0, 0], [0, 5e-324], style="a")) == ["....", "....", "....", "*..."]
    assert ascii_cells(Line([1, 1], [-1e308, 1e308], style="a")) == [".*.."] * 4


def test_dashes_and_dots_leave_gaps() -> None:
    def across(stroke: str) -> str:
        return draw(Plot(UNIT, UNIT, rules=(Rule(at=0.5, style="a", stroke=stroke),)), 6, 1).text  # type: ignore[arg-type]

    assert [across(stroke) for stroke in ("solid", "dashed", "dotted")] == ["⠒⠒⠒⠒⠒⠒", "⠒ ⠒ ⠒ ", "⠂⠂⠂⠂⠂⠂"]
    line = Line(np.linspace(0, 1, 500), np.zeros(500), style="a", stroke="dashed")
    assert draw(Plot(UNIT, UNIT, (line,)), 6, 1).text == "⣀ ⣀ ⣀ "


def test_an_upright_rule_crosses_every_row_and_none_outside_the_limits() -> None:
    rules = (Rule(at=1, style="a", upright=True, stroke="solid"), Rule(at=7, style="a"))
    assert cells(draw(Plot(THREE, THREE, rules=rules), 4, 4, Glyphs.ASCII)) == [".|.."] * 4


def test_a_filled_histogram_and_its_outline() -> None:
    plot = Plot(Axis(0, 5), THREE, (Steps([0, 2, 4, 6], [1, 3, 2], style="a", filled=True),))
    assert cells(draw(plot, 6, 4, Glyphs.ASCII)) == ["..***.", "..****", "******", "******"]
    outline = Plot(Axis(0, 5), THREE, (Steps([0, 2, 4, 6], [1, 3, 2], style="a"),))
    assert cells(draw(outline, 6, 4)) == ["..⡏⠉⢹.", "..⡇.⠘⠒", "⡤⠤⠇...", "⡇....."]


def test_an_empty_bin_of_a_histogram_on_a_log_axis_falls_out_of_sight() -> None:
    plot = Plot(Axis(0, 6), Axis(1, 100, "log"), (Steps([0, 2, 4, 6], [100, 0, 100], style="a"),))
    assert cells(draw(plot, 7, 3, Glyphs.ASCII)) == ["***.***", "*.*.*.*", "*.*.*.*"]


def test_error_bars_reach_from_low_to_high_with_a_mark_between() -> None:
    bars = ErrorBars([1, 4], [0, 1], [2, 2], [4, 3], style="a")
    assert cells(draw(Plot(Axis(0, 5), Axis(0, 4), (bars,)), 6, 5)) == [
        "⠈⡏....",
        ".⡇..⢲⠂",
        ".●⠒⠒●.",
        ".⡇..⠼⠄",
        "⢀⣇....",
    ]


def test_an_error_bar_that_leaves_the_plot_has_no_cap_there() -> None:
    bars = ErrorBars([1], [0.0], [10], [math.inf], style="a")
    assert cells(draw(Plot(Axis(0, 2), Axis(1, 100, "log"), (bars,)), 3, 3)) == [".⢸.", ".●.", ".⢸."]


def test_error_bars_can_stand_side_by_side() -> None:
    series = tuple(ErrorBars([1], [0], [1], [3], style=f"{shift}", shift=shift, joined=False) for shift in (-1, 0, 1))
    assert cells(draw(Plot(Axis(0, 2), THREE, series), 5, 4, Glyphs.ASCII))[2] == ".*o+."


def test_every_series_has_its_own_mark() -> None:
    for glyphs in Glyphs:
        series = tuple(Points([index], [0], style="a") for index in range(8))
        assert len(set(draw(Plot(Axis(0, 7), UNIT, series), 15, 1, glyphs).text.replace(" ", ""))) == 8


def test_marks_on_a_line_stay_where_they_are_while_it_grows() -> None:
    x = np.arange(100.0)

    def marks(points: int) -> list[int]:
        line = Line(x[:points], np.zeros(points), style="a", marked=True)
        text = draw(Plot(Axis(0, 99), UNIT, (line,)), 50, 1).text
        return [column for column, character in enumerate(text) if character == "●"]

    assert marks(100) == [0, 12, 24, 36, 48]
    assert marks(60) == [0, 12, 24]


def test_a_cell_that_two_series_share_has_the_dots_of_both_and_the_style_of_the_upper() -> None:
    series = (Line([0, 1], [0, 0], style="under"), Line([0, 1], [1, 1], style="over"))
    assert draw(Plot(UNIT, UNIT, series), 2, 1).runs(0) == [("⣉⣉", Style("over"))]
    assert draw(Plot(UNIT, UNIT, series), 2, 1, Glyphs.ASCII).runs(0) == [("oo", Style("over"))]


def test_labels_are_cut_at_the_edge() -> None:
    labels = (Label("hello", 2, 3, "a"), Label("hi", 1, 0, "a", ending=True), Label("off", 9, 9, "a"))
    assert cells(draw(Plot(THREE, THREE, labels=labels), 4, 4)) == ["..he", "....", "....", "hi.."]


def test_the_legend_goes_where_it_hides_least_and_stays_if_it_hides_little_more() -> None:
    falling = Plot(UNIT, UNIT, (Line([0, 1], [1, 0], name="training", style="a"),))
    rising = Plot(UNIT, UNIT, tuple(Line([0, 1], [0, 1], name=f"run {number}", style="a") for number in range(6)))
    assert draw(falling, 60, 15).legend == "top right"
    assert draw(rising, 60, 15).legend == "top left"
    assert draw(falling, 60, 15, keep_legend="bottom left").legend == "bottom left"
    assert draw(rising, 60, 15, keep_legend="top right").legend == "top left"
    assert "training" not in draw(falling, 14, 15).text


def test_a_long_legend_says_how_much_it_leaves_out() -> None:
    text = draw(Plot(series=tuple(Line([], [], name=f"run {index}", style="a") for index in range(20))), 60, 10).text
    assert "run 4" in text
    assert "15 more" in text
    assert "run 5" not in text


@pytest.mark.parametrize(("width", "rows", "left_out"), [(100, 10, 0), (40, 10, 9), (100, 5, 14)])
def test_the_values_under_a_crosshair_stand_side_by_side_where_there_is_room(
    width: int, rows: int, left_out: int
) -> None:
    lines = tuple(Line([0, 1], [0.5, 0.5], name=f"s{index}", style="a") for index in range(20))
    text = draw(Plot(series=lines, crosshair=0.5), width, rows).text
    shown = [index for index in range(20) if f"s{index} " in text]
    assert shown == list(range(20 - left_out))
    assert (f"{left_out} more" in text) == bool(left_out)


def test_the_crosshair_reads_the_nearest_sample_of_each_series() -> None:
    plot = Plot(
        Axis(1, 1000, "log"),
        UNIT,
        (
            Line([1, 100, 100, 900], [0.1, 0.2, 0.25, 0.3], style="a"),
            Line([1, 1000], [0.5, math.nan], style="b"),
            Line([], [], style="empty"),
            Steps([0, 10, 20], [3, 4], style="c"),
            Steps([0, 100, 200], [3, 4], style="d"),
            ErrorBars([50], [1], [2], [3], style="e"),
        ),
    )
    got = [(reading.series, reading.x, reading.y) for reading in readout(plot, 100.0)]
    assert got[0] == (0, 100, 0.25)
    assert got[1][:2] == (1, 1000)
    assert math.isnan(got[1][2])
    assert got[2:] == [(4, 100, 4), (5, 50, 2)]
    assert [(reading.low, reading.high) for reading in readout(plot, 100.0)[2:]] == [(100, 200), (1, 3)]
    assert readout(plot, math.nan) == []


def test_the_crosshairs_value_leaves_no_part_of_a_ticks_label() -> None:
    plot = Plot(Axis(0, 10_000, unit="count"), UNIT, (Line([0, 10_000], [0, 1], name="a", style="gd"),))
    labels = set(draw(plot, 60, 12).text.split("\n")[-1].split())
    for at in range(0, 10_001, 40):
        under = draw(replace(plot, crosshair=float(at)), 60, 12).text.split("\n")[-1].split()
        assert write_value(at, "count") in under
        assert set(under) - {write_value(at, "count")} <= labels


def test_the_crosshair_is_drawn_behind_the_data_with_its_values_in_the_legend() -> None:
    line = Line([0, 500, 1000], [0.0, 0.5, 1.0], name="gd", style="gd")
    frame = draw(Plot(Axis(0, 1000, unit="count"), UNIT, (line,), crosshair=480.0), 40, 12)
    assert frame.text.split("\n")[-1].split() == ["0", "480", "1k"]
    assert "gd 0.5" in frame.text
    column = layout(Plot(), 40, 12).column(Axis(0, 1000), 480)
    assert [row[column] for row in frame.text.split("\n")[:10]].count("│") == 9


def test_a_column_of_the_plot_and_its_value_belong_together() -> None:
    for glyphs in Glyphs:
        area = layout(DIAGONAL, 50, 12, glyphs)
        for column in range(area.left, 50):
            assert area.column(UNIT, area.x_at(UNIT, column)) == column
        assert (area.x_at(UNIT, 0), area.x_at(UNIT, 99)) == (0, 1)


def test_millions_of_points_lose_no_extreme() -> None:
    random = np.random.default_rng(0)
    y = random.random(1_000_000)
    y[[123_456, 777_777]] = 40.0, -30.0
    y[500_000:510_000] = math.nan
    for x in (np.arange(1e6), np.arange(1e6)[::-1]):
        kept_x, kept_y = reduce_columns(Axis(0, 1e6), x, y, 230)
        assert len(kept_x) < 1000
        assert (np.nanmax(kept_y), np.nanmin(kept_y)) == (40.0, -30.0)
        assert np.isnan(kept_y).any()
        columns, all_columns = (np.rint(values / 1e6 * 229) for values in (kept_x, x))
        for column in (0, 28, 100, 178, 229):
            mine, theirs = kept_y[columns == column], y[all_columns == column]
            assert (np.nanmin(mine), np.nanmax(mine)) == (np.nanmin(theirs), np.nanmax(theirs))


def test_a_reduced_line_draws_the_same_cells() -> None:
    x = np.linspace(0, 1, 4000)
    y = 0.5 + 0.4 * np.sin(20 * x)
    pieces = tuple(Line(x[start : start + 101], y[start : start + 101], style="a") for start in range(0, 4000, 100))
    for axis in (UNIT, Axis(0.2, 0.3), Axis(1e-3, 1, "log")):
        whole = draw(Plot(axis, UNIT, (Line(x, y, style="a"),)), 60, 20).text
        assert whole == draw(Plot(axis, UNIT, pieces), 60, 20).text


def test_series_of_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="gd: expected as many numbers in each, got 2 in x, 3 in y"):
        Line([1, 2], [1, 2, 3], name="gd", style="gd")
    with pytest.raises(ValueError, match="prior: 2 edges for 2 heights"):
        Steps([1, 2], [1, 2], name="prior", style="prior")


ODD = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, -1.0, 1.0, 5e-324, 1e308, -1e308, 1e-300, math.nan, math.inf]),
    st.floats(-10, 10),
)
AXES = st.builds(Axis, ODD, ODD, st.sampled_from(["linear", "log"]), st.sampled_from(["number", "count", "percent"]))


@settings(max_examples=150, deadline=None)
@given(
    AXES,
    AXES,
    st.lists(st.tuples(ODD, ODD, ODD), max_size=12),
    st.integers(0, 60),
    st.integers(0, 20),
    st.sampled_from(list(Glyphs)),
    ODD,
)
def test_no_input_and_no_size_breaks_a_plot(
    x: Axis, y: Axis, points: list[tuple[float, float, float]], width: int, height: int, glyphs: Glyphs, at: float
) -> None:
    first, second, third = (list(column) for column in zip(*points, strict=True)) if points else ([], [], [])
    plot = Plot(
        x,
        y,
        (
            Line(first, second, name="日本 line", style="a", stroke="dashed"),
            Line(second, first, name="e\u0301", style="b", marked=True),
            Points(third, second, style="c"),
            ErrorBars(first, third, second, third, name="bars", style="d", shift=-1),
            Steps(np.sort(np.array(first)), second[1:], name="steps", style="e", filled=True),
        ),
        (Rule(at=at, style="f", name="rule"), Rule(at=at, style="f", upright=True)),
        (Label("wörd\n", at, 0.5, "g"), Label("word", 0.5, at, "g", ending=True)),
        crosshair=at,
    )
    frame = draw(plot, width, height, glyphs)
    assert frame.codes.shape == frame.styles.shape == (height, width)
    assert frame.styles.min(initial=0) >= 0
    assert frame.styles.max(initial=0) < len(frame.palette)
    for row in range(height):
        text = "".join(text for text, _ in frame.runs(row))
        assert len(text) == cell_len(text) == width


def test_every_character_that_may_be_written_fills_one_cell() -> None:
    for code in [*range(0x20, 0xD800), *range(0xE000, 0x20000)]:
        character = one_cell_each(chr(code), Glyphs.BRAILLE)
        assert cell_len(character) == 1, hex(code)
    assert one_cell_each("σ₁ ≤ ½ · ●━⣿ 日e\u0301", Glyphs.BRAILLE) == "σ₁ ≤ ½ · ●━⣿ ?e?"
    assert one_cell_each("σ ≤ 1 – ●", Glyphs.ASCII) == "s < 1 - ?"


def _random_frame(random: np.random.Generator, shape: tuple[int, int], roles: list[str]) -> Frame:
    palette = (Style(), *(Style(role) for role in random.permutation(roles).tolist()))
    return Frame(
        random.choice(np.array([32, 65, 66], np.uint32), shape, p=(0.9, 0.05, 0.05)),
        random.integers(0, len(palette), shape).astype(np.int16) * (random.random(shape) < 0.1),
        palette,
    )


def _painted(frame: Frame) -> list[list[tuple[str, Style]]]:
    return [
        [(chr(code), frame.palette[style]) for code, style in zip(*rows, strict=True)]
        for rows in zip(frame.codes.tolist(), frame.styles.tolist(), strict=True)
    ]


def test_changed_spans_turn_the_frame_before_into_the_one_after() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        shape = (int(random.integers(1, 6)), int(random.integers(1, 80)))
        before, after = (_random_frame(random, shape, ["gd", "prior", "axis"]) for _ in range(2))
        screen, wanted = _painted(before), _painted(after)
        spans = changed_spans(before, after)
        for row, first, end in spans:
            assert screen[row][first] != wanted[row][first]
            assert screen[row][end - 1] != wanted[row][end - 1]
            screen[row][first:end] = wanted[row][first:end]
        assert screen == wanted
        for one, other in pairwise(spans):
            assert one.row < other.row or other.first - one.end >= 8


def test_equal_frames_need_nothing_and_other_sizes_everything() -> None:
    frame = draw(DIAGONAL, 30, 8)
    assert changed_spans(frame, draw(DIAGONAL, 30, 8)) == []
    assert (
        changed_spans(None, frame) == changed_spans(draw(DIAGONAL, 31, 8), frame) == [Span(y, 0, 30) for y in range(8)]
    )
    assert changed_spans(frame, draw(DIAGONAL, 0, 8)) == []


def test_a_growing_curve_changes_few_cells() -> None:
    x = np.arange(1000.0)
    frames = [
        draw(Plot(Axis(0, 1000), Axis(0, 1), (Line(x[:points], x[:points] / 1000, name="gd", style="gd"),)), 120, 35)
        for points in (500, 510)
    ]
    assert sum(span.end - span.first for span in changed_spans(*frames)) <= 4


def test_runs_of_a_span_are_the_runs_of_its_row() -> None:
    frame = draw(Plot(UNIT, UNIT, (Line([0, 1], [0, 1], name="gd", style="gd"),)), 40, 10)
    for row, (first, end) in product(range(10), ((0, 40), (5, 30), (17, 17))):
        assert "".join(text for text, _ in frame.runs(row, first, end)) == frame.text.split("\n")[row][first:end]


def test_titles_get_rows_of_their_own_where_there_is_room() -> None:
    plot = Plot(Axis(0, 1, title="steps"), Axis(0, 1, title="loss"))
    rows = draw(plot, 40, 14).text.split("\n")
    assert (rows[0].strip(), rows[-1].strip()) == ("loss", "steps")
    assert "loss" not in draw(plot, 40, 10).text
