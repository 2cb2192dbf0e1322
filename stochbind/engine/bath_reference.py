"""The steps of runs with finite baths in plain NumPy: the readable reference.

Every function does the operations of its compiled twin in `stochbind.engine.bath_paths` in the same order, so that the
results agree bit for bit.
"""

from __future__ import annotations

import numpy as np

from stochbind.checks import FloatArray
from stochbind.engine import noise
from stochbind.engine.bath_tables import SERIES, Exchange, Rows, Tables


def path(
    tables: Tables,
    state: FloatArray,
    total: FloatArray,
    *,
    seed: int,
    first_trajectory: int,
    first_step: int,
    save_every: int,
    n_saves: int,
) -> tuple[FloatArray, FloatArray]:
    """Twin of `stochbind.engine.bath_paths.path`; returns the kept states and totals."""
    saved, saved_total = np.empty((n_saves, *state.shape)), np.empty((n_saves, *total.shape))
    trajectory = np.arange(first_trajectory, first_trajectory + state.shape[1])
    n_normals = len(state) + 2 * (len(tables.kick.start) - 1)
    n = first_step
    for index in range(n_saves):
        for _ in range(save_every):
            normal = noise.normals(seed, noise.Stream.BATH, trajectory, n, n_normals)
            state[:] = step(tables, state, total, normal, n)
            n += 1
        saved[index], saved_total[index] = state, total
    return saved, saved_total


def step(tables: Tables, state: FloatArray, total: FloatArray, normal: FloatArray, n: int) -> FloatArray:
    """State (d, B) after step n, a pure function of state and noise; `total` (R, B) is added to in place."""
    n_areas, n_oscillators = len(tables.area.start) - 1, len(state) // 2
    areas, heat = total[:n_areas], total[n_areas:]
    first_kick, second_kick = np.split(normal[2 * n_oscillators :], 2)
    add_areas(areas, tables.area, state)
    y = apply(tables.flow, state)
    velocity = y[n_oscillators:]
    kick(velocity, tables.kick, first_kick)
    order = range(n_oscillators)
    for j in order if n % 2 == 0 else reversed(order):
        exchange_one(velocity[j], heat[tables.exchange.bath[j]], normal[2 * j], normal[2 * j + 1], j, tables.exchange)
    kick(velocity, tables.kick, second_kick)
    add_areas(areas, tables.area, y)
    return apply(tables.flow, y)


def apply(rows: Rows, x: FloatArray) -> FloatArray:
    """Product of a matrix of few entries with a state."""
    result = np.zeros_like(x)
    for i, row in enumerate(result):
        for e in range(rows.start[i], rows.start[i + 1]):
            row += rows.value[e] * x[rows.column[e]]
    return result


def add_areas(total: FloatArray, area: Rows, x: FloatArray) -> None:
    """Add quadratic forms of the state to the rows of `total`."""
    for p, row in enumerate(total):
        for e in range(area.start[p], area.start[p + 1]):
            row += area.value[e] * x[area.column[e] // len(x)] * x[area.column[e] % len(x)]


def kick(velocity: FloatArray, rows: Rows, normal: FloatArray) -> None:
    """Half a step of the recoil, in place."""
    for j in range(len(rows.start) - 1):
        for e in range(rows.start[j], rows.start[j + 1]):
            velocity[j] += rows.value[e] * normal[rows.column[e]]


def component(first: FloatArray, second: FloatArray, narrowing: float, doublings: int) -> FloatArray:
    r"""Square of a component of a random direction in the space of a bath, over that of a Gaussian one.

    :math:`(1 - e^{-q})/q` with :math:`q = (z_1^2 + z_2^2)/(n - 2)`, by its series at :math:`q/2^k` and k doublings.
    """
    p = (first * first + second * second) * narrowing
    series = np.full_like(p, SERIES[0])
    for coefficient in SERIES[1:]:
        series = series * p + coefficient
    for _ in range(doublings):
        series = series * (1.0 - 0.5 * p * series)
        p = 2.0 * p
    return series


def exchange_one(
    velocity: FloatArray, heat: FloatArray, first: FloatArray, second: FloatArray, j: int, exchange: Exchange
) -> None:
    """Turn the velocity of oscillator j against a component of its bath, in place; `heat` is what the bath gave."""
    k = exchange.bath[j]
    narrow = component(first, second, exchange.narrowing[k], exchange.doublings[k])
    temperature = exchange.temperature[k] - exchange.cooling[k] * heat
    before = velocity.copy()
    velocity[:] = exchange.keep[j] * before + exchange.take[j] * (
        first * np.sqrt(temperature * exchange.spread[k] * narrow)
    )
    heat += 0.5 * (velocity - before) * (velocity + before)
