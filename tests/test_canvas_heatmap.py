"""Matrices as cells."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from mftui.canvas import Dots, Entries, Frame, Glyphs, Heatmap, Style, draw_dots, draw_heatmap, entries_at

SIX = np.array([[-1.0, 0.0, 1.0], [0.5, math.nan, -0.5]])


def cells(frame: Frame) -> list[str]:
    return frame.text.replace(" ", "_").split("\n")


def grounds(frame: Frame) -> list[list[str]]:
    return [[frame.palette[style].ground for style in row] for row in frame.styles.tolist()]


def test_an_entry_is_as_many_cells_as_fit_twice_as_wide_as_high() -> None:
    frame = draw_heatmap(Heatmap(SIX, -1, 1), 13, 4)
    row = [f"diverging-{level}" for level in (0, 0, 0, 0, 7, 7, 7, 7, 14, 14, 14, 14)]
    assert grounds(frame)[:2] == [[*row, ""]] * 2
    assert grounds(frame)[2][4:8] == ["unknown"] * 4
    assert cells(frame)[3] == "_____?_______"


def test_two_rows_share_a_cell_where_room_is_short() -> None:
    frame = draw_heatmap(Heatmap(np.vstack([SIX, SIX[:1]]), -1, 1), 3, 2)
    assert frame.runs(0) == [
        ("▀", Style("diverging-0", "diverging-11")),
        ("▀", Style("diverging-7", "unknown")),
        ("▀", Style("diverging-14", "diverging-3")),
    ]
    assert frame.runs(1) == [("▀", Style("diverging-0")), ("▀", Style("diverging-7")), ("▀", Style("diverging-14"))]


def test_two_unknown_entries_in_a_cell_are_a_question_mark() -> None:
    frame = draw_heatmap(Heatmap(np.full((2, 1), math.nan), -1, 1), 1, 1)
    assert frame.runs(0) == [("?", Style("mark", "unknown"))]


def test_letters_stand_for_colours_in_ascii_and_without_colour() -> None:
    observed = np.array([[True, False, False], [False, False, True]])
    heatmap = Heatmap(SIX, -1, 1, observed=observed)
    assert cells(draw_heatmap(heatmap, 6, 2, Glyphs.ASCII)) == ["oN..PP", "pp?_on"]
    assert cells(draw_heatmap(Heatmap(SIX, -1, 1), 6, 2, colored=False)) == ["NN..PP", "pp?_nn"]
    ramp = Heatmap(np.linspace(0, 1, 10)[None], 0, 1, "sequential")
    assert cells(draw_heatmap(ramp, 10, 1, Glyphs.ASCII)) == ["_.:-=+*#%@"]


def test_observed_entries_are_marked_on_their_colour() -> None:
    frame = draw_heatmap(Heatmap(SIX, -1, 1, observed=np.isfinite(SIX)), 6, 2)
    assert frame.runs(0)[0] == ("·", Style("mark", "diverging-0"))
    assert cells(frame) == ["·_·_·_", "·_?_·_"]


def test_labels_the_scale_and_the_cursor() -> None:
    heatmap = Heatmap(SIX, -1, 1, row_labels=("u1", "u2"), column_labels=("a", "b", "c"), cursor=(1, 2))
    assert cells(draw_heatmap(heatmap, 24, 6)) == [
        "___a___b___c____________",
        "________________________",
        "u1______________________",
        "________________________",
        "u2______?__[__]_________",
        "___-1_________________1_",
    ]


def test_zero_has_the_middle_colour_and_limits_beyond_the_largest_colour() -> None:
    heatmap = Heatmap(np.zeros((1, 1)), -1, 3)
    assert heatmap.limits == (-3, 3)
    levels = heatmap.level(np.array([0, -0.1, 0.1, -3, 3, 99, math.inf, -math.inf, math.nan]))
    assert levels.tolist() == [7, 7, 7, 0, 14, 14, 14, 0, -1]


@pytest.mark.parametrize("count", [2, 3, 4, 8, 16, 99])
@pytest.mark.parametrize("scale", ["diverging", "sequential"])
def test_as_many_colours_as_asked_spread_over_all_and_ascending(count: int, scale: str) -> None:
    levels = Heatmap(np.zeros((1, 1)), -1, 1, scale, count).level(np.linspace(-1, 1, 999))  # type: ignore[arg-type]
    assert (
        len(set(levels.tolist()))
        == {
            "diverging": {2: 3, 3: 3, 4: 3, 8: 7, 16: 15, 99: 15},
            "sequential": {2: 3, 3: 3, 4: 4, 8: 8, 16: 16, 99: 16},
        }[scale][count]
    )
    assert (np.diff(levels) >= 0).all()
    assert (levels[0], levels[-1]) == (0, 14 if scale == "diverging" else 15)


def test_a_matrix_larger_than_the_frame_shows_the_entries_that_stand_out() -> None:
    values = np.zeros((40, 60))
    values[17, 33], values[3, 5] = -5.0, 5.0
    frame = draw_heatmap(Heatmap(values, -5, 5), 20, 5)
    styles = {style for row in range(5) for _, style in frame.runs(row)}
    assert {"diverging-0", "diverging-14"} <= {role for style in styles for role in style}
    at = entries_at(Heatmap(values, -5, 5), 20, 5, Glyphs.BRAILLE, 2, 11)
    assert at == Entries(range(16, 24), range(33, 36))


def test_a_marked_entry_is_a_dot_and_where_there_is_no_room_a_share_of_its_cell() -> None:
    marked = np.zeros((4, 4), bool)
    marked[[0, 3], [0, 3]] = True
    frame = draw_dots(Dots(marked), 2, 1)
    assert frame.runs(0) == [("⠁⢀", Style("mark", "diverging-7"))]
    assert draw_dots(Dots(marked), 2, 1, colored=False).runs(0) == [("⠁⢀", Style("mark"))]
    assert cells(draw_dots(Dots(marked), 4, 4, Glyphs.ASCII)) == ["o...", "....", "....", "...o"]
    assert grounds(draw_dots(Dots(marked), 1, 1)) == [["sequential-2"]]
    assert cells(draw_dots(Dots(marked), 2, 2, Glyphs.ASCII)) == [":_", "_:"]


def test_the_mean_of_a_cells_entries_is_unknown_where_one_is() -> None:
    values = np.array([[1.0, 0.0, 1.0, math.nan]])
    assert cells(draw_heatmap(Heatmap(values, 0, 1, "sequential", merged="mean"), 2, 1, Glyphs.ASCII)) == ["+?"]


def test_every_cell_of_a_block_reads_out_its_entry_and_none_beside_the_matrix() -> None:
    heatmap = Heatmap(SIX, -1, 1, row_labels=("u1", "u2"))

    def at(row: int, column: int) -> Entries | None:
        return entries_at(heatmap, 20, 4, Glyphs.BRAILLE, row, column)

    assert at(0, 3) == at(1, 6) == Entries(range(1), range(1))
    assert at(3, 14) == Entries(range(1, 2), range(2, 3))
    assert at(0, 2) is at(0, 15) is at(4, 3) is None


def test_shapes_that_make_no_heatmap_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected a matrix, got shape \(3,\)"):
        Heatmap(np.zeros(3), 0, 1)
    with pytest.raises(ValueError, match=r"expected observed of shape \(2, 3\), got \(3, 2\)"):
        Heatmap(SIX, 0, 1, observed=np.zeros((3, 2), bool))


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 30),
    st.integers(0, 30),
    st.integers(0, 40),
    st.integers(0, 15),
    st.sampled_from(list(Glyphs)),
    st.booleans(),
    st.sampled_from(["diverging", "sequential"]),
    st.sampled_from([0.0, 1.0, -2.0, math.nan, math.inf, 1e308]),
    st.integers(0, 2**32 - 1),
)
def test_no_matrix_and_no_size_breaks_a_heatmap(
    rows: int, columns: int, width: int, height: int, glyphs: Glyphs, colored: bool, scale: str, limit: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    values = random.choice([0.0, 1.0, -1.0, 1e300, math.nan, math.inf, -math.inf], (rows, columns))
    heatmap = Heatmap(
        values,
        -limit,
        limit,
        scale,  # type: ignore[arg-type]
        observed=random.random((rows, columns)) < 0.5,
        row_labels=tuple(f"user {row}" for row in range(rows)),
        column_labels=tuple(f"{column}" for column in range(columns)),
        cursor=(int(random.integers(0, 31)), int(random.integers(0, 31))),
    )
    frame = draw_heatmap(heatmap, width, height, glyphs, colored=colored)
    assert frame.codes.shape == (height, width)
    for row in range(height):
        text = "".join(text for text, _ in frame.runs(row))
        assert len(text) == cell_len(text) == width
    seen = {
        (row, column)
        for line in range(height)
        for at in range(width)
        if (entries := entries_at(heatmap, width, height, glyphs, line, at, colored=colored))
        for row in entries.rows
        for column in entries.columns
    }
    assert seen in (set(), {(row, column) for row in range(rows) for column in range(columns)})
