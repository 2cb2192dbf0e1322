r"""Force fields beyond the linear ones: each is a function and its parameters.

A one-body force on j is ``function(x, p)`` with its displacement x and ``p = parameters[j]``; the force on j by k is
``function(x_j, x_k, p)`` with ``p = parameters[j, k]``. Displacements and forces are in SI (or in the reduced units of
the equations). Nothing says that action equals reaction: ``parameters[j, k]`` and ``parameters[k, j]`` are two
directed forces. The engine makes the loops over particles and trajectories. Where particles move along several axes,
j and k count oscillators: every axis of particle 0, then of particle 1, and so on.

A collective force is one function of all displacements at once, for forces of many bodies such as light that is
scattered again and again: ``function(x, parameters)`` takes x of shape (N, B), the displacements in B trajectories,
with all parameters, (N, P), and returns the forces on all, (N, B). x is contiguous, float64, and must not be changed.
How many trajectories there are in a call is left open: it changes with the size of blocks and batches, and when a step
is judged columns are displacements of one trajectory. So that a trajectory has the same bits however the work is cut,
**each column of the result must depend on the same column of x only, to the last bit**: whatever the number of columns
and the place of the column among them. Arithmetic, element by element, and sums over particles that are written as
loops do so, and ``numpy.linalg.solve`` of a stack of matrices, one for each trajectory. Products of matrices over
columns (``parameters @ x``, ``tensordot``) do not: the library chooses other orders of sums for other numbers of
columns. Columns that are not finite, of trajectories that have diverged, are handed in too; they must raise nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stochbind import checks
from stochbind.checks import FloatArray
from stochbind.errors import PlanError, ScenarioError


def plain_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """The Python function behind one that numba compiled; any other as it is (wrappers copy numba's attributes)."""
    is_compiled = type(function).__module__.partition(".")[0] == "numba"
    result: Callable[..., Any] = function.py_func if is_compiled else function  # type: ignore[attr-defined]
    return result


def function_name(function: Any) -> str:
    """Name of a function; of another callable object, that of its class."""
    return str(getattr(function, "__name__", type(function).__name__))


def all_at_once(function: Callable[..., Any], position: FloatArray, parameters: FloatArray) -> FloatArray:
    """What the function of a collective force gives, checked.

    Parameters
    ----------
    function : callable
        The function.
    position : (N, B) float
        Displacements.
    parameters : (N, P) float
        Its parameters.

    Returns
    -------
    (N, B) float
        Forces.

    Raises
    ------
    PlanError
        If it gives something else than real numbers of this shape.
    """
    place = np.ascontiguousarray(position, dtype=np.float64).view()
    place.setflags(write=False)
    found = np.asarray(function(place, parameters))
    if found.shape != place.shape or found.dtype.kind not in "fiu":
        raise PlanError(
            f"The collective force `{function_name(function)}` must return real numbers of the shape of the "
            f"displacements, {place.shape}, but returns {found.dtype} of shape {found.shape}."
        )
    return found.astype(np.float64, copy=False)


@dataclass(frozen=True, eq=False, kw_only=True)
class Force:
    """A force field of N oscillators (particles, or particles along each axis): a function, and its parameters.

    Parameters
    ----------
    function : callable
        ``function(x, p)`` or, for pairs, ``function(x_j, x_k, p)``; returns the force on j. A scalar function that
        numba can compile; or, if `vectorized`, a NumPy function of arrays of displacements; or, if `collective`, one of
        all displacements at once, whose columns are independent of each other, see `stochbind.forces`. What is not a
        plain function may be an object with ``__call__``, or a method of one, whose class is a dataclass.
    parameters : (N, P) or (N, N, P) float
        Parameters of each oscillator, or of each directed pair: ``parameters[j, k]`` for the force on j by k.
    active : (N,) or (N, N) bool, optional
        Which oscillators or directed pairs the force acts on; by default all (pairs: all with j and k different). Of a
        collective force, always all.
    vectorized : bool, optional
        Whether the function takes NumPy arrays, and is called as it is instead of compiled: slower, with the same
        result.
    collective : bool, optional
        Whether the function takes the displacements of all oscillators at once; then it is `vectorized`, too.

    Raises
    ------
    ScenarioError
        If a shape is wrong or a parameter is not finite.
    """

    function: Callable[..., Any]
    parameters: FloatArray
    active: npt.NDArray[np.bool_] | None = None
    vectorized: bool = False
    collective: bool = False

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise ScenarioError(f"`function` of a force must be callable, but is {checks.short(self.function)}.")
        try:
            shape = np.shape(self.parameters)
        except ValueError:
            raise ScenarioError("`parameters` of a force must be an array, but its rows differ in length.") from None
        if len(shape) not in (2, 3):
            raise ScenarioError(
                f"`parameters` of a force must have the shape (N, P), or (N, N, P) for pairs, but has {shape}."
            )
        n = shape[0]
        wanted = (n, "P") if len(shape) == 2 else (n, n, "P")
        parameters = checks.array("parameters", self.parameters, wanted)
        acts = np.ones(n, bool) if len(shape) == 2 else ~np.eye(n, dtype=bool)
        if self.active is not None:
            active = np.asarray(self.active)
            if active.shape != acts.shape or active.dtype != bool:
                raise ScenarioError(
                    f"`active` of a force must be an array of bool of shape {acts.shape}, but has shape "
                    f"{active.shape} and type {active.dtype}."
                )
            if len(shape) == 3 and np.diagonal(active).any():
                j = int(np.flatnonzero(np.diagonal(active))[0])
                raise ScenarioError(f"`active[{j}, {j}]` of a force is set, but no particle forms a pair with itself.")
            acts = active.copy()
        if self.collective:
            if len(shape) == 3 or not acts.all():
                what = f"`parameters` have the shape {shape}" if len(shape) == 3 else "`active` leaves some out"
                raise ScenarioError(
                    "A collective force is of all N oscillators together, with `parameters` of shape (N, P), but "
                    f"{what}."
                )
            object.__setattr__(self, "vectorized", True)
        acts.setflags(write=False)
        object.__setattr__(self, "parameters", parameters)
        object.__setattr__(self, "active", acts)

    @staticmethod
    def require_all(forces: Any) -> tuple[Force, ...]:
        """The forces as a tuple, or `ScenarioError` if something else is among them."""
        if isinstance(forces, Force) or not isinstance(forces, Iterable):
            raise ScenarioError("`forces` must be a sequence of Force; give one as (force,).")
        result = tuple(forces)
        for index, force in enumerate(result):
            if not isinstance(force, Force):
                raise ScenarioError(f"`forces[{index}]` must be a Force, but is {checks.short(force)}.")
        return result

    @property
    def pair(self) -> bool:
        """Whether the force is between pairs."""
        return self.parameters.ndim == 3

    @property
    def n_oscillators(self) -> int:
        """Number of oscillators N."""
        return len(self.parameters)

    def __call__(self, position: FloatArray) -> FloatArray:
        """Force on each oscillator, in NumPy.

        Parameters
        ----------
        position : (N, ...) float
            Displacements.

        Returns
        -------
        (N, ...) float
            Forces; of pairs, the sum over k in ascending order.
        """
        function: Callable[..., Any] = plain_function(self.function)
        if self.collective:
            columns = np.reshape(position, (len(position), -1))
            return all_at_once(function, columns, self.parameters).reshape(np.shape(position))
        if not self.vectorized:
            function = np.vectorize(function, otypes=[float], signature=None, excluded={2 if self.pair else 1})
        assert self.active is not None
        total = np.zeros_like(position, dtype=np.float64)
        position = np.asarray(position).view()
        position.setflags(write=False)
        for index in zip(*np.nonzero(self.active), strict=True):
            arguments = [position[i] for i in index]
            total[index[0]] += function(*arguments, self.parameters[index])
        return total
