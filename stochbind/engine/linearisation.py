"""Equations with forces, linear around a point: where they balance, and the slope of the forces there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from stochbind.checks import FloatArray
from stochbind.engine.programs import fault_of_force
from stochbind.errors import PlanError
from stochbind.fields import BUILT_IN
from stochbind.forces import Force, all_at_once, function_name, plain_function
from stochbind.langevin import Langevin

#: Half the distance of the differences that make slopes, in scaled units.
_DIFFERENCE = 1e-5
#: So many particles are displaced one by one too.
_FEW = 8
#: Where a second equilibrium is looked for, in scaled units, if the first does not hold.
_STARTS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4)


def with_drift(equations: Langevin, drift: FloatArray) -> Langevin:
    """The linear equations with another drift matrix, and without forces."""
    return replace(equations, drift_matrix=drift, forces=(), constant_drift=np.zeros(len(drift)))


def force_slope(equations: Langevin, state: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Scaled drift by the forces at a scaled state, (d,), and its gradient, (d, d).

    A directed pair depends on two positions, and so on four differences, whatever the size of the array; a collective
    force depends on all.

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
                name = function_name(force.function)
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
    if force.collective:
        x, change = x[:, None], np.diag(change)
        found = all_at_once(force.function, np.hstack([x, x + change, x - change]), force.parameters)
        n = len(change)
        total += found[:, 0]
        gradient += (found[:, 1 : n + 1] - found[:, n + 1 :]) / (2.0 * np.diagonal(change))
        return
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
    plain: Any = plain_function(force.function)

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
    origin = _holding(equations, np.zeros(equations.dimension))
    if origin is not None:
        return [origin]
    where = equations.select("position")
    for size in _STARTS:
        found: list[FloatArray] = []
        for pattern in (np.ones(len(where)), -np.ones(len(where)), (-1.0) ** np.arange(len(where))):
            start = np.zeros(equations.dimension)
            start[where] = size * pattern
            state = _holding(equations, start)
            if state is not None and not any(np.abs(state - other).max() < 1e-6 for other in found):
                found.append(state)
        if found:
            return found
    return []


def _holding(equations: Langevin, start: FloatArray) -> FloatArray | None:
    """An equilibrium that holds, found from a start, or None."""
    state = _newton(equations, start)
    if state is None:
        return None
    slope = force_slope(equations, state)[1]
    return state if with_drift(equations, equations.drift_matrix + slope).stability.stable else None


def typical_slopes(equations: Langevin) -> list[FloatArray]:
    """Gradients of the forces where particles typically are: at each equilibrium that holds, and displaced from there.

    Displaced by a standard deviation to either side, all alike and by turns, so that pairs are stretched too; and each
    particle alone, if there are few. The deviation is that of the slopes met there, so that a trap with a soft centre
    is not judged far out; where a displaced array hardly holds, it is displaced by less.
    """
    where = equations.select("position")
    n = len(where)
    by_turns: FloatArray = (-1.0) ** np.arange(n, dtype=np.float64)
    patterns: list[FloatArray] = [np.ones(n), -np.ones(n), by_turns, -by_turns]
    if 1 < n <= _FEW:
        patterns += [sign * row for row in np.eye(n) for sign in (1.0, -1.0)]
    result: list[FloatArray] = []
    for state in equilibria(equations):
        slope = force_slope(equations, state)[1]
        result.append(slope)
        deviation = _deviation(equations, slope)
        if deviation is None:
            continue
        decay = -with_drift(equations, equations.drift_matrix + slope).stability.growth_rate
        for pattern in patterns:
            found = _displaced(equations, state, deviation * pattern, 0.5 * decay)
            if found is not None:
                result.append(found)
    return result


def _deviation(equations: Langevin, slope: FloatArray, decay: float = 0.0) -> FloatArray | None:
    """Standard deviations of the positions with such slopes; None unless all modes decay so fast [1/s]."""
    linear = with_drift(equations, equations.drift_matrix + slope)
    steady = linear.steady if -linear.stability.growth_rate >= decay else None
    return None if steady is None else np.sqrt(np.diagonal(steady.covariance))[equations.select("position")]


def _displaced(equations: Langevin, state: FloatArray, amount: FloatArray, decay: float) -> FloatArray | None:
    """Slope of the forces at a displaced state, where the array still decays so fast; None if it does nowhere.

    Close to where an array ceases to hold, variances are so large and so sensitive that nothing can be judged by them.
    """
    where = equations.select("position")
    found = None
    for _ in range(8):
        change = np.zeros(equations.dimension)
        change[where] = amount
        try:
            slope = force_slope(equations, state + change)[1]
        except PlanError:  # a force may end there
            slope = None
        met = None if slope is None else _deviation(equations, slope, decay)
        if met is None:
            amount = amount / 2.0
            continue
        found = slope
        size = np.abs(amount)
        if np.all(met > 0.5 * size):
            break
        amount = np.sign(amount) * np.sqrt(size * np.minimum(met, size))
    return found


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
