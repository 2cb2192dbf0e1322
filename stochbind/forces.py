r"""Force fields beyond the linear ones: each is a scalar function and its parameters.

A one-body force on j is ``function(x, p)`` with its displacement x and ``p = parameters[j]``; the force on j by k is
``function(x_j, x_k, p)`` with ``p = parameters[j, k]``. Displacements and forces are in SI (or in the reduced units of
the equations). Nothing says that action equals reaction: ``parameters[j, k]`` and ``parameters[k, j]`` are two
directed forces. The engine makes the loops over particles and trajectories.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stochbind import checks
from stochbind.checks import FloatArray
from stochbind.errors import ScenarioError


def plain_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """The Python function behind one that numba compiled; any other as it is (wrappers copy numba's attributes)."""
    is_compiled = type(function).__module__.partition(".")[0] == "numba"
    result: Callable[..., Any] = function.py_func if is_compiled else function  # type: ignore[attr-defined]
    return result


@dataclass(frozen=True, eq=False, kw_only=True)
class Force:
    """A force field of N particles: a function, and its parameters.

    Parameters
    ----------
    function : callable
        ``function(x, p)`` or, for pairs, ``function(x_j, x_k, p)``; returns the force on j. A scalar function that
        numba can compile; or, if `vectorized`, a NumPy function of arrays of displacements.
    parameters : (N, P) or (N, N, P) float
        Parameters of each particle, or of each directed pair: ``parameters[j, k]`` for the force on j by k.
    active : (N,) or (N, N) bool, optional
        Which particles or directed pairs the force acts on; by default all (pairs: all with j and k different).
    vectorized : bool, optional
        Whether the function takes NumPy arrays, and is called as it is instead of compiled: slower, with the same
        result.

    Raises
    ------
    ScenarioError
        If a shape is wrong or a parameter is not finite.
    """

    function: Callable[..., Any]
    parameters: FloatArray
    active: npt.NDArray[np.bool_] | None = None
    vectorized: bool = False

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
    def n_particles(self) -> int:
        """Number of particles N."""
        return len(self.parameters)

    def __call__(self, position: FloatArray) -> FloatArray:
        """Force on each particle, in NumPy.

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
