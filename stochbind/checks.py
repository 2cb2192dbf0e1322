"""Argument checks: the message is the check.

Each function returns its argument as a read-only float array, or raises the error class it is given
(`ScenarioError` unless told otherwise) with one sentence that names the argument, its value and the fix.
"""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from stochbind.errors import NoiseError, ScenarioError, StochbindError

FloatArray = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]

#: A covariance whose smallest eigenvalue is above ``-PSD_TOLERANCE`` times its largest counts as positive
#: semidefinite: round-off of a rank-deficient matrix stays below 1e-13 for 1000 coordinates.
PSD_TOLERANCE = 1e-12


def array(
    name: str, value: Any, shape: tuple[int | str, ...], *, error: type[StochbindError] = ScenarioError
) -> FloatArray:
    """Return `value` as a finite, read-only array of the given shape; letters stand for any length."""
    try:
        result = np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise error(f"`{name}` must be an array of numbers, but is {short(value)}.") from None
    letters: dict[str, int] = {}
    fits = result.ndim == len(shape) and all(
        length == (letters.setdefault(want, length) if isinstance(want, str) else want)
        for want, length in zip(shape, result.shape, strict=True)
    )
    if not fits:
        wanted = "(" + ", ".join(str(length) for length in shape) + ("," if len(shape) == 1 else "") + ")"
        raise error(f"`{name}` must have shape {wanted}, but has shape {result.shape}.")
    if result.size == 0:
        raise error(f"`{name}` must not be empty, but has shape {result.shape}.")
    if not np.isfinite(result).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(result))[0])
        place = f"[{', '.join(map(str, where))}]" if where else ""
        raise error(f"`{name}` must be finite, but {name}{place} is {result[where]}.")
    result.setflags(write=False)
    return result


def complex_array(name: str, value: Any, shape: tuple[int | str, ...]) -> ComplexArray:
    """Return `value` as a finite, read-only complex array; as `array`, which is for real ones."""
    try:
        given = np.asarray(value, dtype=np.complex128)
    except (TypeError, ValueError, OverflowError):
        raise ScenarioError(f"`{name}` must be an array of numbers, but is {short(value)}.") from None
    result: ComplexArray = array(name, given.real, shape) + 1j * array(name, given.imag, shape)
    result.setflags(write=False)
    return result


def real_numbers(name: str, value: Any) -> FloatArray:
    """Return `value` as a finite, read-only array of real numbers, of its own shape."""
    try:
        given = np.asarray(value)
        wrong = np.iscomplexobj(given)  # NumPy would drop an imaginary part with no more than a warning
    except ValueError:
        wrong = True
    if wrong:
        raise ScenarioError(f"`{name}` must be an array of real numbers, but is {short(value)}.")
    return array(name, given, tuple(map(str, range(given.ndim))))


def positive(
    name: str, value: FloatArray, *, or_zero: bool = False, error: type[StochbindError] = ScenarioError
) -> FloatArray:
    """Return `value` if every element is positive (or zero, where allowed)."""
    bad = (value < 0) if or_zero else (value <= 0)
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        place = f"[{', '.join(map(str, where))}]" if where else ""
        wanted = "zero or positive" if or_zero else "positive"
        raise error(f"`{name}` must be {wanted}, but {name}{place} is {value[where]:.6g}.")
    return value


def integer(name: str, value: Any, *, minimum: int, maximum: int = 2**63 - 1, error: type[StochbindError]) -> int:
    """Return `value` if it is an integer in the given range."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise error(f"`{name}` must be a whole number, but is {short(value)}.")
    if value < minimum:
        raise error(f"`{name}` must be at least {minimum}, but is {short(value)}.")
    if value > maximum:
        raise error(f"`{name}` must be at most {maximum}, but is {short(value)}.")
    return int(value)


def positive_semidefinite(name: str, value: npt.NDArray[Any], hint: str = "") -> None:
    """Raise `NoiseError`, with the eigenvalue, unless `value` is Hermitian positive semidefinite.

    The matrix is first scaled to unit diagonal, so that particles of very different size are judged alike.
    """
    if np.iscomplexobj(value) and not value.imag.any():
        value = value.real
    diagonal = np.real(np.diagonal(value))
    size, mirror = np.abs(value), value.conj().T
    if (np.abs(value - mirror) > 1e-10 * size.T + 1e-14 * size.max(initial=0.0)).any():
        j, k = np.unravel_index(np.argmax(np.abs(value - value.conj().T)), value.shape)
        raise NoiseError(
            f"`{name}` must be {'Hermitian' if np.iscomplexobj(value) else 'symmetric'}, but element "
            f"[{j}, {k}] is {value[j, k]:.6g} and [{k}, {j}] is {value[k, j]:.6g}.{hint}",
            float("nan"),
        )
    for row in map(int, np.flatnonzero(diagonal <= 0)):
        # Nothing to scale by here: a variance of zero allows no covariance, and none is negative.
        column = row if diagonal[row] < 0 else int(np.argmax(np.abs(value[row])))
        if value[row, column] != 0:
            beside = f" and element [{row}, {column}] is {value[row, column]:.6g}" if row != column else ""
            raise NoiseError(
                f"`{name}` must be positive semidefinite, but its diagonal element [{row}, {row}] is "
                f"{diagonal[row]:.6g}{beside}.{hint}",
                float("nan"),
            )
    kept = np.flatnonzero(diagonal > 0)
    scale = np.sqrt(diagonal[kept])
    scaled = value[np.ix_(kept, kept)] / scale[:, None] / scale
    if np.count_nonzero(scaled) == len(kept):
        return  # nothing beside the diagonal
    eigenvalue = np.linalg.eigvalsh(scaled)
    if eigenvalue[0] < -PSD_TOLERANCE * max(eigenvalue[-1], 1.0):
        raise NoiseError(
            f"`{name}` must be positive semidefinite, but scaled to unit diagonal its smallest eigenvalue is "
            f"{eigenvalue[0]:.6g} (largest {eigenvalue[-1]:.6g}).{hint}",
            float(eigenvalue[0]),
        )


#: Filters of warnings belong to the process, not to a thread.
_WARNINGS = threading.RLock()


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """Do something of which other libraries warn, where it is known not to matter; safe in threads."""
    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def in_range(error: type[Exception] = ScenarioError) -> Iterator[None]:
    """Raise `error` where a computation leaves the range of floating-point numbers."""
    try:
        with np.errstate(over="raise", divide="raise", invalid="raise"):
            yield
    except (ArithmeticError, np.linalg.LinAlgError):
        raise error(
            "These numbers hold one that is too large or too small to compute with; check the units and exponents."
        ) from None


def short(value: Any) -> str:
    """`value` as a message shows it: on one line, in at most 60 characters."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # Python writes no integer of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 60 else text[:57] + "..."
