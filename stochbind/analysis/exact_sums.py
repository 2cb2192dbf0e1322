"""Sums of exact second moments over kept states, with the unit and the waves of drives as further coordinates."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from stochbind.checks import FloatArray
from stochbind.langevin import Moments
from stochbind.protocols import Protocol

#: Matrix and covariance of a step.
_Step = tuple[FloatArray, FloatArray]


class Sums(NamedTuple):
    """Sums of second moments of (x, 1, cosine and sine of each drive).

    Attributes
    ----------
    total : (n, n) float
        Over all states.
    before, lagged : (n, n) float
        Over all pairs of successive states, of the earlier one, and of the later with the earlier one.
    """

    total: FloatArray
    before: FloatArray
    lagged: FloatArray


def augmented_moment(protocol: Protocol, initial: Moments, time: float) -> FloatArray:
    """Second moment of (x, 1, cosine and sine of each drive): covariance and mean in one matrix."""
    moments = protocol.moments(time, initial)
    d = protocol.equations.dimension
    phase = np.array([drive.angular_frequency * time + drive.phase for drive in protocol.drives])
    waves = np.stack([np.cos(phase), np.sin(phase)], axis=-1).ravel()
    mean = np.concatenate([moments.mean, [1.0], waves])
    result = np.outer(mean, mean)
    result[:d, :d] += moments.covariance
    return result


def augmented_step(protocol: Protocol, interval: float) -> _Step:
    """Matrix and covariance of a step of (x, 1, cosine and sine of each drive), if all steps are equal."""
    return _steps(protocol, interval, 1)(0)


def sum_of_moments(matrix: FloatArray, noise: FloatArray, first: FloatArray, count: int) -> FloatArray:
    """Sum of M_0 ... M_(count-1), where M_(k+1) = E M_k E^T + S."""
    size = len(matrix)
    power, covariance = np.eye(size), np.zeros((size, size))  # E^n and S_n
    free, driven = (
        np.zeros((size, size)),
        np.zeros((size, size)),
    )  # sums over k < n of E^k M_0 E^kT and of S_k
    n = 0
    for digit in bin(count)[2:]:
        driven = driven + n * covariance + power @ driven @ power.T
        free = free + power @ free @ power.T
        covariance = covariance + power @ covariance @ power.T
        power = power @ power
        n *= 2
        if digit == "1":
            driven = driven + covariance
            free = free + power @ first @ power.T
            covariance = noise + matrix @ covariance @ matrix.T
            power = matrix @ power
            n += 1
    return free + driven


def equal_steps(protocol: Protocol, interval: float) -> bool:
    """Whether all steps of this length are equal, as if nothing but drives changed with time.

    They are where a step is a whole number of periods.

    Parameters
    ----------
    protocol : Protocol
        The equations.
    interval : float
        Length of a step [s].

    Raises
    ------
    PlanError
        If no common multiple of step and period is in reach.
    """
    if len(protocol.pieces) == 1 and not protocol.kicks:
        return True
    return protocol.periodic and protocol.schedule(interval, 1).period == 1


def walked_sums(
    protocol: Protocol, initial: Moments, *, first_time: float, interval: float, window: int, n_states: int
) -> Sums:
    """Sums over states of which each is found from the one before, whatever the steps are.

    Parameters
    ----------
    protocol : Protocol
        The equations.
    initial : Moments
        State at time zero.
    first_time : float
        Time of the first state [s], a whole number of intervals.
    interval : float
        Time between states [s].
    window : int
        Number of states in a window; only pairs within windows count.
    n_states : int
        Number of states.

    Returns
    -------
    Sums
        The sums; the time this takes grows with the number of states.

    Raises
    ------
    PlanError
        If no common multiple of interval and period is in reach, or there are too many different steps.
    """
    begin = round(first_time / interval)
    step = _steps(protocol, interval, begin + n_states)
    moment = augmented_moment(protocol, initial, first_time)
    total, before, lagged = (np.zeros_like(moment) for _ in range(3))
    for k in range(n_states):
        total += moment
        if k == n_states - 1:
            break
        matrix, noise = step(begin + k)
        product = matrix @ moment
        if (k + 1) % window:
            before += moment
            lagged += product
        moment = product @ matrix.T + noise
    return Sums(total, before, lagged)


def _steps(protocol: Protocol, interval: float, n_steps: int) -> Callable[[int], _Step]:
    """Matrix and covariance of each step, by its number."""
    d, size = protocol.equations.dimension, protocol.equations.dimension + 1 + 2 * len(protocol.drives)
    schedule = protocol.schedule(interval, n_steps)
    known: dict[int, _Step] = {}

    def step(number: int) -> _Step:
        k = schedule.set_of(number)
        if k not in known:
            matrix, noise = np.eye(size), np.zeros((size, size))
            matrix[:d, :d], matrix[:d, d], noise[:d, :d] = schedule.matrix[k], schedule.shift[k], schedule.covariance[k]
            for f, drive in enumerate(protocol.drives):
                i, angle = d + 1 + 2 * f, drive.angular_frequency * interval
                matrix[:d, i : i + 2] = schedule.drive[k, f].T
                matrix[i : i + 2, i : i + 2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
            known[k] = matrix, noise
        return known[k]

    return step
