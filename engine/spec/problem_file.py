"""Problems from a file: an `.npz` with the measurements, read without pickle and checked. Never imports torch.

A       measurement matrices, n × m × m'
y       what they measured, n
W_star  the ground truth, m × m' (optional)
B       an orthonormal basis of span{A_i}^⊥, b × m × m' (optional, else it is computed; with W_star only)
A_test  held-out measurements, t × m × m', and
y_test  what they measured, t: they serve where there is no W_star
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

NAMES = ("A", "y", "W_star", "B", "A_test", "y_test")
BASIS_TOLERANCE = 1e-6
"""how far a given basis may be from orthonormal, and from orthogonal to the unit measurements"""

Array = NDArray[np.float64]


class ProblemFileError(ValueError):
    """A file that is no problem; the message is a sentence that names the array."""


@dataclass(frozen=True)
class ProblemFile:
    """The arrays of a problem file, in float64; generalization is measured on `held_out`."""

    measurements: Array
    """n × m × m'"""
    targets: Array
    held_out: Array
    """h × m × m'"""
    held_out_targets: Array
    truth: Array | None


def read(path: Path) -> ProblemFile:
    """The problem in `path`. Raises `ProblemFileError` for every defect."""
    arrays = _arrays(path)
    for name in ("A", "y"):
        if name not in arrays:
            raise ProblemFileError(f"expected an array {name!r}, found {', '.join(arrays) or 'none'}")
    measurements, targets = arrays["A"], arrays["y"]
    if measurements.ndim != 3 or 0 in measurements.shape:
        raise ProblemFileError(f"A: expected shape n × m × m', none of them 0, got {_shape(measurements)}")
    count, rows, columns = measurements.shape
    _expect_shape("y", targets, (count,))
    truth = arrays.get("W_star")
    if truth is not None:
        _expect_shape("W_star", truth, (rows, columns))
        held_out = _basis(arrays.get("B"), measurements)
        return ProblemFile(measurements, targets, held_out, np.tensordot(held_out, truth, 2), truth)
    if "A_test" not in arrays or "y_test" not in arrays:
        raise ProblemFileError("expected W_star, or A_test and y_test: without them generalization can't be measured")
    held_out = arrays["A_test"]
    if held_out.ndim != 3 or held_out.shape[1:] != (rows, columns) or not len(held_out):
        raise ProblemFileError(f"A_test: expected shape t × {rows} × {columns}, t ≥ 1, got {_shape(held_out)}")
    _expect_shape("y_test", arrays["y_test"], (len(held_out),))
    return ProblemFile(measurements, targets, held_out, arrays["y_test"], None)


def _arrays(path: Path) -> dict[str, Array]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ProblemFileError("expected an .npz archive of several arrays, got a single array")
            unknown = sorted(set(archive.files) - set(NAMES))
            if unknown:
                raise ProblemFileError(f"expected arrays among {', '.join(NAMES)}, got {', '.join(unknown)}")
            return {name: _numbers(name, archive[name]) for name in archive.files}
    except ProblemFileError:
        raise
    except FileNotFoundError:
        raise ProblemFileError("no such file") from None
    except OSError as error:
        raise ProblemFileError(f"can't be read: {error.strerror or error}") from None
    except (ValueError, EOFError, KeyError, NotImplementedError, zipfile.BadZipFile, MemoryError) as error:
        raise ProblemFileError(f"expected an .npz archive of plain arrays (pickles are refused): {error}") from None


def _numbers(name: str, array: NDArray[np.generic]) -> Array:
    if array.dtype.kind not in "fiub":
        raise ProblemFileError(f"{name}: expected real numbers, got {array.dtype}")
    numbers = array.astype(np.float64)
    if not np.isfinite(numbers).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(numbers))[0])
        raise ProblemFileError(f"{name}: expected finite numbers, got {numbers[place]} at {list(place)}")
    return numbers


def _shape(array: Array) -> str:
    return " × ".join(map(str, array.shape)) or "a single number"


def _expect_shape(name: str, array: Array, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ProblemFileError(f"{name}: expected shape {' × '.join(map(str, shape))}, got {_shape(array)}")


def _basis(given: Array | None, measurements: Array) -> Array:
    """An orthonormal basis of what the measurements don't see: the one given, checked, or the one computed."""
    count, rows, columns = measurements.shape
    flat = measurements.reshape(count, -1)
    _, values, right = np.linalg.svd(flat, full_matrices=True)
    rank = int((values > values[0] * max(flat.shape) * np.finfo(np.float64).eps).sum()) if values[0] > 0 else 0
    if rank == rows * columns:
        raise ProblemFileError(
            "A: the measurements determine every entry, so W_star leaves nothing to measure generalization on; "
            "expected fewer of them, or A_test and y_test instead of W_star"
        )
    if given is None:
        return np.ascontiguousarray(right[rank:]).reshape(-1, rows, columns)
    if given.ndim != 3 or given.shape[1:] != (rows, columns) or not len(given):
        raise ProblemFileError(f"B: expected shape b × {rows} × {columns}, got {_shape(given)}")
    basis = given.reshape(len(given), -1)
    if np.abs(basis @ basis.T - np.eye(len(basis))).max() > BASIS_TOLERANCE:
        raise ProblemFileError("B: expected orthonormal matrices, got some that are not")
    if np.abs(right[:rank] @ basis.T).max() > BASIS_TOLERANCE:
        raise ProblemFileError("B: expected matrices orthogonal to every A_i, got some that are not")
    return given
