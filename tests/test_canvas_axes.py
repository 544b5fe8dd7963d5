"""Axes of the canvas: ticks, how they are written, limits that stay put."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mftui.canvas import Axis, from_zero, sticky_limits
from mftui.canvas.limits import round_up
from mftui.canvas.numbers import write_value
from mftui.canvas.ticks import label_start, ticks


def labels(axis: Axis, cells: int = 60, upright: bool = False) -> list[str]:
    return [tick.label for tick in ticks(axis, cells, 2, upright) if tick.label]


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        (Axis(0, 1), "0 0.2 0.4 0.6 0.8 1.0"),
        (Axis(0, 0.5), "0 0.1 0.2 0.3 0.4 0.5"),
        (Axis(0.42, 0.58), "0.45 0.50 0.55"),
        (Axis(-1, 1), "-1.0 -0.5 0 0.5 1.0"),
        (Axis(0, 2e-8), "0 5e-9 1e-8 1.5e-8 2e-8"),
        (Axis(0, 5000, unit="count"), "0 1k 2k 3k 4k 5k"),
        (Axis(0, 2000, unit="count"), "0 500 1k 1.5k 2k"),
        (Axis(0, 3, unit="count"), "0 1 2 3"),
        (Axis(0, 3e6), "0 1M 2M 3M"),
        (Axis(0, 100, unit="percent"), "0% 20% 40% 60% 80% 100%"),
        (Axis(1e-8, 1, "log"), "1e-8 1e-6 1e-4 1e-2 1"),
        (Axis(0.01, 100, "log"), "0.01 0.1 1 10 100"),
        (Axis(1, 1e4, "log", "count"), "1 10 100 1k 10k"),
        (Axis(1e-16, 1, "log"), "1e-15 1e-12 1e-9 1e-6 1e-3 1"),
        (Axis(0.1, 10, "log", "percent"), "0.1% 1% 10%"),
        (Axis(2, 6, "log"), "2 3 4 5 6"),
        (Axis(1.1, 1.2, "log"), "1.10 1.12 1.14 1.16 1.18 1.20"),
        (Axis(0.5, 4.5, categories=((1, "4"), (2, "8"), (3, "16"), (4, "32"), (9, "64"))), "4 8 16 32"),
    ],
    ids=str,
)
def test_ticks_are_written_short_and_round(axis: Axis, expected: str) -> None:
    assert " ".join(labels(axis)) == expected


def test_crowded_categories_leave_out_every_other() -> None:
    names = tuple((float(index), f"width {index}") for index in range(10))
    assert labels(Axis(0, 9, categories=names), 40) == ["width 0", "width 2", "width 4", "width 6", "width 8"]


def test_a_log_axis_has_minor_ticks_where_there_is_room() -> None:
    def minor(cells: int) -> list[float]:
        return [tick.value for tick in ticks(Axis(1, 100, "log"), cells, 2) if not tick.label]

    assert np.allclose(minor(60), [2, 3, 4, 5, 6, 7, 8, 9, 20, 30, 40, 50, 60, 70, 80, 90])
    assert np.allclose(minor(30), [2, 5, 20, 50])
    assert minor(7) == []


VALUES = st.one_of(st.floats(-1e6, 1e6), st.floats(), st.sampled_from([0.0, 1e-9, 1e9, 1e9 + 1, 1e300, -1e300]))


@settings(max_examples=200, deadline=None)
@given(
    VALUES,
    VALUES,
    st.sampled_from(["linear", "log"]),
    st.sampled_from(["number", "count", "percent"]),
    st.integers(1, 120),
    st.sampled_from([1, 2, 4]),
    st.booleans(),
)
def test_ticks_are_within_the_limits_ascending_apart_and_distinct(
    low: float, high: float, scale: str, unit: str, cells: int, dots: int, upright: bool
) -> None:
    axis = Axis(low, high, scale, unit)  # type: ignore[arg-type]
    bottom, top = axis.limits
    assert math.isfinite(bottom)
    assert bottom < top < math.inf
    marks = ticks(axis, cells, dots, upright)
    assert all(bottom <= mark.value <= top and 0 <= mark.cell < cells for mark in marks)
    assert all(one.value < other.value for one, other in pairwise(marks))
    labelled = [mark for mark in marks if mark.label]
    assert len({mark.label for mark in labelled}) == len(labelled)
    for one, other in pairwise(labelled):
        if upright:
            assert one.cell >= other.cell + 2
        else:
            assert label_start(other, cells) >= label_start(one, cells) + len(one.label) + 1
    taken = [mark.cell for mark in labelled]
    assert not any(mark.cell in taken for mark in marks if not mark.label)


@settings(max_examples=200, deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(24, 120))
def test_a_label_says_where_its_tick_is(low: float, length: float, cells: int) -> None:
    sizes = {"k": 1e3, "M": 1e6, "G": 1e9}
    for tick in ticks(Axis(low, low + length), cells, 2):
        value = float(tick.label.rstrip("kMG")) * sizes.get(tick.label[-1], 1)
        assert value == pytest.approx(tick.value, rel=1e-9, abs=1e-6 * length)


@pytest.mark.parametrize(
    ("given_limits", "scale"),
    [
        ((1.0, 1.0), "linear"),
        ((0.0, 0.0), "linear"),
        ((3.0, -2.0), "linear"),
        ((math.nan, 1.0), "linear"),
        ((-1.0, math.inf), "log"),
        ((-5.0, -1.0), "log"),
        ((0.0, 10.0), "log"),
        ((7.0, 7.0), "log"),
        ((5e-324, 5e-324), "log"),
        ((-1.7e308, 1.7e308), "linear"),
    ],
)
def test_limits_that_make_no_axis_are_mended(given_limits: tuple[float, float], scale: str) -> None:
    axis = Axis(*given_limits, scale)  # type: ignore[arg-type]
    low, high = axis.limits
    assert low < high
    assert axis.fractions([low, high]) == pytest.approx([0, 1])
    assert axis.value(0.5) == pytest.approx((low * high) ** 0.5 if scale == "log" else low / 2 + high / 2)
    if given_limits[0] == given_limits[1] and low < given_limits[0] < high:
        assert axis.fractions(given_limits[0]) == pytest.approx(0.5)


def test_what_an_axis_cannot_show_has_no_place() -> None:
    assert np.isnan(Axis(1, 10, "log").fractions([0, -1, math.nan, math.inf])).all()
    assert Axis(0, 1).bounded_fractions([math.inf, -math.inf, 0.5]).tolist() == [2, -1, 0.5]
    assert Axis(1, 10, "log").bounded_fractions([0.0, 10.0]).tolist() == [-1, 1]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.22631, "number", "0.2263"),
        (3.4e-8, "number", "3.4e-8"),
        (12300, "count", "12300"),
        (1234567, "number", "1.235e6"),
        (12.5, "percent", "12.5%"),
        (0.0, "number", "0"),
        (math.nan, "number", "NaN"),
        (-math.inf, "count", "-inf"),
    ],
)
def test_values_are_read_out_with_four_digits(value: float, unit: str, text: str) -> None:
    assert write_value(value, unit) == text  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("low", "high", "scale", "expected"),
    [
        (0.0, 0.83, "linear", (0.0, 1.0)),
        (0.0, 130.0, "linear", (0.0, 200.0)),
        (0.52, 0.58, "linear", (0.52, 0.58)),
        (-3.0, -0.1, "linear", (-5.0, 0.0)),
        (4.0, 4.0, "linear", (0.0, 5.0)),
        (0.0, 0.0, "linear", (0.0, 1.0)),
        (3e-5, 0.3, "log", (1e-5, 1.0)),
        (1.0, 1.0, "log", (1.0, 10.0)),
        (math.inf, -math.inf, "linear", (0.0, 1.0)),
        (math.nan, 1.0, "log", (0.1, 1.0)),
    ],
)
def test_first_limits_are_round(low: float, high: float, scale: str, expected: tuple[float, float]) -> None:
    assert sticky_limits(None, low, high, scale) == pytest.approx(expected)  # type: ignore[arg-type]


def test_limits_stay_while_data_fit_double_when_outgrown_and_shrink_only_when_much_too_large() -> None:
    limits = (0.0, 1.0)
    assert sticky_limits(limits, 0.1, 0.9) == limits
    assert sticky_limits(limits, 0.0, 1.1) == (0.0, 2.0)
    assert sticky_limits(limits, -0.2, 1.1) == (-2.0, 2.0)
    assert sticky_limits(limits, 0.0, 0.2) == limits
    assert sticky_limits(limits, 0.0, 0.09) == (0.0, 0.1)
    assert sticky_limits(limits, math.nan, math.nan) == limits
    assert sticky_limits((1e-4, 1.0), 1e-5, 0.5, "log") == pytest.approx((1e-6, 1.0))
    assert sticky_limits((1e-4, 1.0), 1e-3, 0.5, "log") == pytest.approx((1e-4, 1.0))
    assert sticky_limits((1e-12, 1.0), 0.2, 0.5, "log") == pytest.approx((0.1, 1.0))


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_limits_move_seldom_while_data_grow(scale: str) -> None:
    random = np.random.default_rng(0)
    data = np.exp(np.cumsum(random.normal(size=2000)) / 5)
    limits, moves = None, 0
    for step in range(1, 2000):
        low, high = float(data[:step].min()), float(data[:step].max())
        moved = sticky_limits(limits, low, high, scale)  # type: ignore[arg-type]
        assert moved[0] <= low * (1 + 1e-9)
        assert high <= moved[1] * (1 + 1e-9)
        moves += moved != limits
        limits = moved
    decades = math.log10(data.max() / data.min())
    assert moves <= 5 + 4 * decades


@settings(max_examples=200, deadline=None)
@given(st.tuples(VALUES, VALUES), VALUES, VALUES, st.sampled_from(["linear", "log"]))
def test_sticky_limits_hold_the_data_whatever_was_before(
    before: tuple[float, float], low: float, high: float, scale: str
) -> None:
    assume(all(math.isfinite(end) and abs(end) < 1e300 for end in (*before, low, high)))
    moved = sticky_limits((min(before), max(before)), low, high, scale)  # type: ignore[arg-type]
    assert all(math.isfinite(end) for end in moved)
    least, most = min(low, high), max(low, high)
    if scale == "linear":
        slack = 1e-6 * max(abs(least), abs(most), 1e-290)
        assert moved[0] <= least + slack
        assert moved[1] >= most - slack
    elif least > 1e-280:
        assert moved[0] <= least * (1 + 1e-6)
        assert moved[1] >= most * (1 - 1e-6)


def test_counts_start_at_zero_and_move_to_the_next_round_number() -> None:
    assert from_zero(None, 130) == (0, 200)
    assert from_zero((0, 200), 30) == (0, 200)
    assert from_zero((0, 200), 201) == (0, 500)
    assert from_zero(None, 130, cap=150) == (0, 150)
    assert [round_up(value) for value in (0.03, 1, 1.01, 0, math.nan)] == [0.05, 1, 2, 1, 1]
