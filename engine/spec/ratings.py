"""Ratings from a CSV or TSV file, plain or gzipped: one `row,column,value` a line. Never imports torch.

Rows and columns are counted from 0, or from what `problem.first_index` says. Commas, semicolons and tabs are
understood, told apart by the first line, which is a header where none of its fields is a number. Nothing is repaired
and nothing skipped but blank lines: every defect is reported with its line number.
"""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MAX_SIDE = 100_000
"""as for problem.rows and problem.columns"""
MOST_EXTREME_INDEX = 2**31
REPORTED = 5
"""bad lines named in one error; the others are only counted"""
DELIMITERS = "\t;,"
GZIP_MAGIC = b"\x1f\x8b"
_LINE_END = re.compile(r"\r\n|\n|\r")


class RatingsError(ValueError):
    """A file that holds no usable ratings; the message is a sentence that names the lines."""

    def __init__(self, message: str, key: str = "path") -> None:
        """`key` is the field of `[problem]` whose file it is."""
        super().__init__(message)
        self.key = key


@dataclass(frozen=True)
class Ratings:
    """The entries of one file, in its order."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    values: NDArray[np.float64]
    lines: NDArray[np.int64]
    """line numbers, from 1"""

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class RatingsData:
    """What a problem of kind `ratings` is made of."""

    shape: tuple[int, int]
    ratings: Ratings
    """the training set, or where there is no `test` what it is split from"""
    test: Ratings | None
    """the given test set"""

    def flat(self, ratings: Ratings) -> NDArray[np.int64]:
        """row·n + column."""
        return ratings.rows * self.shape[1] + ratings.columns

    def table(self) -> list[list[float | None]]:
        """The ratings as a matrix, None where there is none."""
        rows: list[list[float | None]] = [[None] * self.shape[1] for _ in range(self.shape[0])]
        for row, column, value in zip(self.ratings.rows, self.ratings.columns, self.ratings.values, strict=True):
            rows[row][column] = float(value)
        return rows

    def test_count(self, fraction: float) -> int:
        """How many ratings are held out: of a random split the nearest to `fraction`, at least one."""
        return len(self.test) if self.test is not None else max(1, round(fraction * len(self.ratings)))

    def first_used(self) -> int:
        """Below it no row and no column has a rating: above 0 where the file seems to count from another number."""
        files = [self.ratings] if self.test is None else [self.ratings, self.test]
        return min(int(index.min()) for file in files for index in (file.rows, file.columns))

    def training_count(self, fraction: float) -> int:
        return len(self.ratings) if self.test is not None else len(self.ratings) - self.test_count(fraction)


def load(
    path: str, test_path: str = "", rows: int | None = None, columns: int | None = None, first_index: int = 0
) -> RatingsData:
    """The ratings in `path`, and the given test set in `test_path` if there is one.

    `rows` and `columns` are what the indices must fit; by default the matrix is as large as the entries need. The files
    count rows and columns from `first_index`, the result counts from 0.
    Raises `RatingsError` for every defect: lines that are no ratings, NaN, duplicates, indices out of range, test
    ratings that are in the training set too, a file without any ratings.
    """
    ratings = _read(path, "path", rows, columns, first_index)
    test = _read(test_path, "test_path", rows, columns, first_index) if test_path else None
    files = [ratings] if test is None else [ratings, test]
    shape = (
        rows if rows is not None else 1 + max(int(file.rows.max()) for file in files),
        columns if columns is not None else 1 + max(int(file.columns.max()) for file in files),
    )
    data = RatingsData(shape, ratings, test)
    if test is not None:
        both = np.isin(data.flat(test), data.flat(ratings))
        _refuse(
            (
                (line, f"row {row + first_index}, column {column + first_index} is in the training file too")
                for line, row, column in zip(test.lines[both], test.rows[both], test.columns[both], strict=True)
            ),
            "test_path",
        )
    if len(ratings) < (2 if test is None else 1):
        raise RatingsError(f"expected ratings to train on and one to hold out, got {len(ratings)} in all")
    return data


def _read(path: str, key: str, rows: int | None, columns: int | None, first_index: int) -> Ratings:
    try:
        status = Path(path).stat()
        ratings = _parse(path, status.st_mtime_ns, status.st_size)
    except RatingsError as error:
        raise RatingsError(str(error), key) from None
    except FileNotFoundError:
        raise RatingsError("no such file", key) from None
    except OSError as error:
        raise RatingsError(f"can't be read: {error.strerror or error}", key) from None
    _check_range(ratings, first_index, (rows, columns), key)
    return replace(ratings, rows=ratings.rows - first_index, columns=ratings.columns - first_index)


def _check_range(ratings: Ratings, first: int, limits: tuple[int | None, int | None], key: str) -> None:
    bad: list[tuple[int, str]] = []
    too_low: list[int] = []
    for name, index, limit in zip(("row", "column"), (ratings.rows, ratings.columns), limits, strict=True):
        last = first + (limit or MAX_SIDE) - 1
        wanted = f"expected a {name} from {first} to {last}" + (f" (problem.{name}s = {limit})" if limit else "")
        wrong = (index < first) | (index > last)
        bad += [(line, f"{wanted}, got {got}") for line, got in zip(ratings.lines[wrong], index[wrong], strict=True)]
        too_low += index[index < first].tolist()
    hint = f"; if the file counts from {min(too_low)}, set problem.first_index = {min(too_low)}" if too_low else ""
    _refuse(iter(sorted(bad, key=lambda problem: problem[0])), key, hint)


@lru_cache(maxsize=4)
def _parse(path: str, modified: int, size: int) -> Ratings:
    """Parsed once however many sweep points use it; `modified` and `size` are there to tell versions apart."""
    numbered = [(number, line) for number, line in enumerate(_LINE_END.split(_text(path)), 1) if line.strip()]
    if not numbered:
        raise RatingsError("expected lines of row, column, value, got an empty file")
    first = numbered[0][1]
    delimiter = next((character for character in DELIMITERS if character in first), ",")
    if not any(map(_is_number, _fields(first, delimiter))):
        del numbered[0]
    if not numbered:
        raise RatingsError("expected lines of row, column, value, got a header only")
    lines = np.array([number for number, _ in numbered])
    table = _table([line for _, line in numbered], delimiter)
    if table.shape != (len(lines), 3):
        _refuse(_bad_lines(numbered, delimiter))
        unread = ((number, line) for number, line in numbered if _table([line], delimiter).shape != (1, 3))
        _refuse((number, f"expected row, column, value, got {line[:60]!r}") for number, line in unread)
    _check_numbers(table, lines)
    ratings = Ratings(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2], lines)
    _check_duplicates(ratings)
    return ratings


def _text(path: str) -> str:
    content = Path(path).read_bytes()
    try:
        return (gzip.decompress(content) if content.startswith(GZIP_MAGIC) else content).decode("utf-8-sig")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise RatingsError(f"expected an intact gzip file: {error}") from None
    except UnicodeDecodeError as error:
        raise RatingsError(f"expected UTF-8 text, got bytes that are not ({error.reason})") from None


def _table(lines: Sequence[str], delimiter: str) -> NDArray[np.float64]:
    """All numbers, a row a line; without any rows if they are not all numbers, as many in each line."""
    try:
        return np.loadtxt(lines, delimiter=delimiter, comments=None, quotechar='"', ndmin=2)
    except ValueError:
        return np.empty((0, 0))


def _fields(line: str, delimiter: str) -> list[str]:
    """Of one line; the line itself where its quotes don't match."""
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error:
        return [line]


def _is_number(text: str) -> bool:
    """As numpy reads it: Python would take 1_000 too, and digits of other scripts."""
    digits = text.strip()
    try:
        float(digits)
    except ValueError:
        return False
    return digits.isascii() and "_" not in digits


def _bad_lines(numbered: Sequence[tuple[int, str]], delimiter: str) -> Iterator[tuple[int, str]]:
    for number, line in numbered:
        fields = _fields(line, delimiter)
        if len(fields) != 3:
            yield number, f"expected row, column, value, got {len(fields)} fields in {line.strip()[:60]!r}"
            continue
        for name, text in zip(("a row", "a column", "a value"), fields, strict=True):
            if not _is_number(text):
                yield number, f"expected {name} that is a number, got {text[:60]!r}"
                break


def _check_numbers(table: NDArray[np.float64], lines: NDArray[np.int64]) -> None:
    index, values = table[:, :2], table[:, 2]
    with np.errstate(invalid="ignore"):
        bad_index = ~((np.abs(index) < MOST_EXTREME_INDEX) & (index == np.floor(index)))
    bad = bad_index.any(axis=1) | ~np.isfinite(values)

    def problem(place: int) -> str:
        for name, wrong, number in zip(("row", "column"), bad_index[place], index[place], strict=True):
            if wrong:
                return f"expected a {name} that is an integer, got {number:g}"
        return f"expected a finite value, got {values[place]}"

    _refuse((int(lines[place]), problem(place)) for place in bad.nonzero()[0].tolist())


def _check_duplicates(ratings: Ratings) -> None:
    flat = ratings.rows * (2 * MOST_EXTREME_INDEX) + ratings.columns
    order = np.argsort(flat, kind="stable")
    again = (flat[order][1:] == flat[order][:-1]).nonzero()[0] + 1
    _refuse(
        (
            ratings.lines[order[place]],
            f"row {ratings.rows[order[place]]}, column {ratings.columns[order[place]]} was rated before, "
            f"in line {ratings.lines[order[place - 1]]}",
        )
        for place in again[np.argsort(order[again])]
    )


def _refuse(problems: Iterator[tuple[int, str]], key: str = "path", hint: str = "") -> None:
    """Raise `RatingsError` if there are any problems, (line number, sentence) each."""
    found = list(problems)
    if not found:
        return
    named = "; ".join(f"line {number}: {sentence}" for number, sentence in found[:REPORTED])
    more = len(found) - REPORTED
    others = f"; and {more} more bad line{'s' if more > 1 else ''}" if more > 0 else ""
    raise RatingsError(named + others + hint, key)
