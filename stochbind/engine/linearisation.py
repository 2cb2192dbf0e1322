"""Equations with forces, linear around a point: where they balance, and the slope of the forces there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from stochbind.checks import FloatArray
from stochbind.engine.programs import fault_of_force
from stochbind.errors import PlanError
from stochbind.fields import BUILT_IN
from stochbind.forces import Force
from stochbind.langevin import Langevin

#: Half the distance of the differences that make slopes, in scaled units.
_DIFFERENCE = 1e-5
#: Where a second equilibrium is looked for, in scaled units, if the first does not hold.
_STARTS = (0.3, 1.0, 3.0, 10.0)


def with_drift(equations: Langevin, drift: FloatArray) -> Langevin:
    """The linear equations with another drift matrix, and without forces."""
    return replace(equations, drift_matrix=drift, forces=(), constant_drift=np.zeros(len(drift)))


def force_slope(equations: Langevin, state: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Scaled drift by the forces at a scaled state, (d,), and its gradient, (d, d).

    A directed pair depends on two positions, and so on four differences, whatever the size of the array.

    Raises
    ------
    PlanError
        If a force cannot be evaluated there, or has no finite slope.
    """
    where, driven, scale = equations.select("position"), equations.driven, equations.force_scale
    unit = equations.unit[where]
    total, gradient = np.zeros(len(where)), np.zeros((len(where), len(where)))
    with fault_of_force(equations.forces), np.errstate(all="ignore"):
        for force in equations.forces:
            _add(force, state[where] * unit, _DIFFERENCE * unit, total, gradient)
            if not (np.isfinite(total).all() and np.isfinite(gradient).all()):
                name = getattr(force.function, "__name__", force.function)
                raise PlanError(
                    f"The force `{name}` has no finite value, or no finite slope, near the mechanical equilibrium; it "
                    "must return a number for any displacements."
                )
    drift, slope = np.zeros(equations.dimension), np.zeros((equations.dimension,) * 2)
    drift[driven] = scale * total
    slope[np.ix_(driven, where)] = scale[:, None] * gradient * unit[None, :]
    slope[np.abs(slope) < 1e-10 * np.abs(equations.drift_matrix).max()] = 0.0  # round-off of the differences
    return drift, slope


def _add(force: Force, x: FloatArray, change: FloatArray, total: FloatArray, gradient: FloatArray) -> None:
    """Add a force, and its slopes by central differences."""
    assert force.active is not None
    index = np.argwhere(force.active)
    j, k = index[:, 0], index[:, -1]
    call = _caller(force)
    places = (x[j], x[k]) if force.pair else (x[j],)
    np.add.at(total, j, call(*places))
    for turn, other in enumerate((j, k) if force.pair else (j,)):
        step = change[other]
        above = [place + step if turn == at else place for at, place in enumerate(places)]
        below = [place - step if turn == at else place for at, place in enumerate(places)]
        np.add.at(gradient, (j, other), (call(*above) - call(*below)) / (2.0 * step))


def _caller(force: Force) -> Callable[..., FloatArray]:
    """The function of a force, for all its particles or directed pairs at once."""
    parameters = force.parameters[force.active]
    parameters.setflags(write=False)
    if force.function in BUILT_IN:
        return lambda *places: np.asarray(force.function(*places, parameters.T), dtype=float)
    plain: Any = getattr(force.function, "py_func", force.function)

    def each(*places: FloatArray) -> FloatArray:
        values = []
        for m, p in enumerate(parameters):
            arguments = [place[m : m + 1].copy() if force.vectorized else place[m] for place in places]
            values.append(np.ravel(np.asarray(plain(*arguments, p), dtype=float))[0])
        return np.array(values)

    return each


def equilibria(equations: Langevin) -> list[FloatArray]:
    """Scaled states at which the drift vanishes and which hold: one near the origin, or else some farther off.

    An empty list if none is found.
    """
    found: list[FloatArray] = []
    for start in _starts(equations):
        state = _newton(equations, start)
        if state is None or any(np.abs(state - other).max() < 1e-6 for other in found):
            continue
        if with_drift(equations, equations.drift_matrix + force_slope(equations, state)[1]).stability.stable:
            found.append(state)
            if not start.any():
                break
    return found


def _starts(equations: Langevin) -> Iterator[FloatArray]:
    d, where = equations.dimension, equations.select("position")
    yield np.zeros(d)
    for size in _STARTS:
        for pattern in (np.ones(len(where)), -np.ones(len(where)), (-1.0) ** np.arange(len(where))):
            start = np.zeros(d)
            start[where] = size * pattern
            yield start


def _newton(equations: Langevin, state: FloatArray) -> FloatArray | None:
    """Where the drift vanishes, by Newton's method; None if it does not get there."""
    for _ in range(40):
        try:
            drift, slope = force_slope(equations, state)
            value = equations.drift_matrix @ state + equations.constant_drift + drift
            step = np.linalg.solve(equations.drift_matrix + slope, -value)
        except (np.linalg.LinAlgError, PlanError):
            return None
        state = state + step
        if not np.isfinite(state).all() or np.abs(state).max() > 1e6:
            return None
        if np.abs(step).max() < 1e-9:
            return state
    return None
