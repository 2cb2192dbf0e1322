r"""Modes along a parameter, each followed by its eigenvector, and what a loop around an exceptional point does to them.

From one value of a parameter to the next, a mode is the one whose right eigenvector the left eigenvector of before
overlaps most, :math:`|l_i^\dagger(p)\,r_j(p')|`, as long as the overlap is large and all others are small, and no two
frequencies pass each other on the way; else the step is made shorter. So modes are told apart where their frequencies
cross, and keep their frequencies, not their vectors, where crossings are avoided, down to gaps of 1e-9 of the interval.
At an exceptional point no step is short enough, and it is said that which mode is which is lost there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from stochbind import checks
from stochbind.checks import ComplexArray, FloatArray
from stochbind.errors import ScenarioError
from stochbind.modes.decomposition import decompose
from stochbind.modes.spectrum import Equations, dynamics

#: Least squared overlap of a mode with itself one step before, where overlaps are shares that add up to one.
_CERTAIN = 0.8
#: Shortest step, relative to the interval.
_SHORTEST = 1e-9


@dataclass(frozen=True, eq=False, kw_only=True)
class Branches:
    """Modes followed along a parameter.

    Attributes
    ----------
    parameter : (P,) float
        Values of the parameter.
    frequency : (P, n) complex
        Of each branch [rad/s].
    right : (P, d, n) complex
        Right eigenvectors of the branches, of norm one; their phases change as little as they can from one value to the
        next.
    lost : tuple of float
        Values of the parameter next to which branches could not be told apart: exceptional points. Beyond them they are
        continued by their frequencies alone, and which is which is a choice.
    """

    parameter: FloatArray
    frequency: ComplexArray
    right: ComplexArray
    lost: tuple[float, ...]


class Encircling(NamedTuple):
    """What a closed loop in the plane of two parameters, or of a complex one, does to modes.

    Attributes
    ----------
    permutation : (n,) int
        Mode n becomes mode ``permutation[n]`` of the beginning.
    angle : (T,) float
        Angles on the loop [rad].
    frequency : (T, n) complex
        Frequencies of the branches along it [rad/s].
    """

    permutation: npt.NDArray[np.intp]
    angle: FloatArray
    frequency: ComplexArray

    @property
    def swaps(self) -> bool:
        """Whether modes change places: the loop goes round an exceptional point, or an odd number of them."""
        return bool((self.permutation != np.arange(len(self.permutation))).any())


class _State(NamedTuple):
    """Eigenvalues and vectors at a value of the parameter, in the order of the branches."""

    value: ComplexArray
    right: ComplexArray
    left: ComplexArray
    cluster: npt.NDArray[np.intp]  # number of the group of equal eigenvalues with as many vectors; else each its own


def follow(family: Callable[[float], Equations], parameter: Any) -> Branches:
    """Follow all modes of a family of equations along a parameter.

    Parameters
    ----------
    family : callable
        Takes the parameter, returns equations as `stochbind.modes.spectrum.dynamics` takes them, of one kind and size.
    parameter : (P,) float
        Values at which the modes are wanted, ascending or descending; between them are taken as many steps as it needs.

    Returns
    -------
    Branches
        The modes; of real equations all d eigenvalues, conjugates included.

    Raises
    ------
    ScenarioError
        If there are fewer than two values, two neighbours are equal, or the equations change their size.
    """
    wanted = checks.array("parameter", parameter, ("P",))
    change = np.diff(wanted)
    if len(wanted) < 2 or not ((change > 0).all() or (change < 0).all()):
        raise ScenarioError("`parameter` must hold two or more values, ascending or descending.")
    shortest = _SHORTEST * float(abs(wanted[-1] - wanted[0]))
    state = _first(family, float(wanted[0]))
    states: list[_State] = [state]
    lost: list[float] = []
    for begin, end in zip(map(float, wanted[:-1]), map(float, wanted[1:]), strict=True):
        state, gone = _through(family, begin, end, state, shortest)
        states.append(state)
        for place in gone:
            if all(abs(place - other) > 1e3 * shortest for other in lost):
                lost.append(place)
    return Branches(
        parameter=wanted,
        frequency=1j * np.array([each.value for each in states]),
        right=np.array([each.right for each in states]),
        lost=tuple(lost),
    )


def encircle(
    family: Callable[[complex], Equations], centre: complex, radius: float, *, turns: int = 1, n_points: int = 65
) -> Encircling:
    """Follow all modes round a closed loop in the complex plane of a parameter.

    Around an exceptional point of order two, two modes change places, and come back after two turns; around one of
    order m, m modes move on by one.

    Parameters
    ----------
    family : callable
        Takes a complex number, returns equations. Two real parameters are its real and its imaginary part.
    centre : complex
        Centre of the loop, a circle.
    radius : float
        Its radius.
    turns : int, optional
        How often it is gone round, anticlockwise.
    n_points : int, optional
        Points of each turn.

    Returns
    -------
    Encircling
        The permutation of the modes, and their frequencies on the way.

    Raises
    ------
    ScenarioError
        If a number is wrong, or the loop itself meets an exceptional point.
    """
    size = float(checks.positive("radius", checks.array("radius", radius, ())))
    middle = complex(checks.complex_array("centre", centre, ()))
    checks.integer("turns", turns, minimum=1, error=ScenarioError)
    checks.integer("n_points", n_points, minimum=5, error=ScenarioError)
    angle = np.linspace(0.0, 2.0 * math.pi * turns, (n_points - 1) * turns + 1)

    def on_the_loop(turn: float) -> Equations:
        return family(middle + size * complex(np.exp(1j * math.fmod(turn, 2.0 * math.pi))))

    branches = follow(on_the_loop, angle)
    if branches.lost:
        at = middle + size * np.exp(1j * branches.lost[0])
        raise ScenarioError(
            f"The loop must stay away from exceptional points, but meets one at {at:.6g}; change its radius or centre."
        )
    first, last = branches.frequency[0], branches.frequency[-1]
    row, column = linear_sum_assignment(np.abs(last[:, None] - first))
    permutation = np.empty(len(first), np.intp)
    permutation[row] = column
    return Encircling(permutation, angle, branches.frequency)


def _first(family: Callable[[float], Equations], parameter: float) -> _State:
    """Modes at the first value, in the order of their frequencies."""
    state = _state(family, parameter)
    sequence = np.lexsort((-state.value.real, np.round(-state.value.imag / (np.abs(state.value).max() or 1.0), 10)))
    return _ordered(state, sequence)


def _state(family: Callable[[float], Equations], parameter: float) -> _State:
    """Modes at a value of the parameter, in any order; right vectors of norm one."""
    found = decompose(dynamics(family(parameter)).matrix)
    norm = np.linalg.norm(found.right, axis=0)
    cluster = np.where(found.order == 1, found.cluster, len(norm) + np.arange(len(norm)))
    return _State(found.value, found.right / norm, found.left * norm, cluster)


def _ordered(state: _State, sequence: npt.NDArray[np.intp]) -> _State:
    """The same modes in another order."""
    return _State(state.value[sequence], state.right[:, sequence], state.left[:, sequence], state.cluster[sequence])


def _through(
    family: Callable[[float], Equations], begin: float, end: float, state: _State, shortest: float
) -> tuple[_State, list[float]]:
    """Follow the modes from one value to another, in as many steps as it takes; and tell where they were lost."""
    here, step = begin, end - begin
    lost: list[float] = []
    while here != end:
        there = end if abs(end - here) <= abs(step) * (1 + 1e-12) else here + step
        following = _state(family, there)
        if following.value.shape != state.value.shape:
            raise ScenarioError(
                f"`family` must give equations of one size, but at {there:.6g} they have {len(following.value)} in "
                f"place of {len(state.value)} modes."
            )
        following = _turned(state, following)
        sequence, certain = _matched(state, following)
        passing = _pass(state.value, following.value[sequence])
        if (passing or not certain) and abs(step) > shortest:
            step *= 0.25
            continue
        if not certain:
            lost.append(there)
        state = _aligned(state, following, sequence)
        here, step = there, 2.0 * step
    return state, lost


def _pass(before: ComplexArray, after: ComplexArray) -> bool:
    """Whether two eigenvalues come much closer on the way than they are before and after."""
    i, j = np.triu_indices(len(before), 1)
    first, last = before[i] - before[j], after[i] - after[j]
    change = last - first
    square = np.abs(change) ** 2
    way = np.clip(-np.divide((first.conj() * change).real, square, out=np.zeros(len(i)), where=square > 0), 0.0, 1.0)
    return bool((np.abs(first + way * change) < 0.2 * np.minimum(np.abs(first), np.abs(last))).any())


def _turned(state: _State, following: _State) -> _State:
    """The modes with vectors that continue those before where any vectors of a subspace would do."""
    right, left = following.right.copy(), following.left.copy()
    for index in np.flatnonzero(np.bincount(following.cluster) > 1):
        member = np.flatnonzero(following.cluster == index)
        overlap = left[:, member].conj().T @ state.right
        nearest = np.argsort(-np.sum(np.abs(overlap) ** 2, axis=0))[: len(member)]
        turn = overlap[:, nearest]
        if np.linalg.cond(turn) > 1e6:
            continue
        vectors = right[:, member] @ turn
        norm = np.linalg.norm(vectors, axis=0)
        right[:, member] = vectors / norm
        left[:, member] = left[:, member] @ np.linalg.inv(turn).conj().T * norm
    return following._replace(right=right, left=left)


def _matched(state: _State, following: _State) -> tuple[npt.NDArray[np.intp], bool]:
    """Which mode continues which, and whether that is certain."""
    n = len(state.value)
    overlap = np.abs(state.left.conj().T @ following.right) ** 2
    share = overlap / np.maximum(overlap.sum(axis=0, keepdims=True), np.finfo(float).tiny)
    row, column = linear_sum_assignment(-share)
    if (share[row, column] >= _CERTAIN).all():
        return column.astype(np.intp), True
    # Next to an exceptional point vectors say nothing; frequencies do, if they are further apart than they move.
    distance = np.abs(state.value[:, None] - following.value)
    row, column = linear_sum_assignment(distance)
    others = np.where(np.eye(n, dtype=bool), np.inf, np.abs(state.value[:, None] - state.value))
    certain = bool((distance[row, column] <= 0.1 * others.min(axis=1, initial=np.inf)).all())
    return column.astype(np.intp), certain


def _aligned(state: _State, following: _State, sequence: npt.NDArray[np.intp]) -> _State:
    """The modes in the order of those before, with phases as close to theirs as can be."""
    ordered = _ordered(following, sequence)
    turn = np.exp(-1j * np.angle(np.sum(state.right.conj() * ordered.right, axis=0)))
    return ordered._replace(right=ordered.right * turn, left=ordered.left * turn)
