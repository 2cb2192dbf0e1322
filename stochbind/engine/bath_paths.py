"""Many steps of a block of trajectories with finite baths, compiled.

State, noise and totals are blocks of shape (row, trajectory), as in `stochbind.engine.paths`; every inner loop runs
over trajectories, and every sum has a fixed order. `stochbind.engine.bath_reference` holds the same steps in NumPy.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stochbind.compiling import compiled
from stochbind.engine import noise
from stochbind.engine.bath_tables import SERIES
from stochbind.engine.kernels import add_one, aligned, fill, fill_normals

_BATH = np.uint64(noise.Stream.BATH)


@compiled
def _flow(flow: Any, x: Any, out: Any) -> None:
    """``out = E x``."""
    n = x.shape[1]
    for i in range(out.shape[0]):
        row = out[i]
        fill(row, 0.0, n)
        for e in range(flow.start[i], flow.start[i + 1]):
            add_one(row, x[flow.column[e]], flow.value[e], n)


@compiled
def _add_areas(total: Any, area: Any, x: Any) -> None:
    """Add quadratic forms of the state to the rows of `total`."""
    d = x.shape[0]
    for p in range(area.start.shape[0] - 1):
        row = total[p]
        for e in range(area.start[p], area.start[p + 1]):
            first, second, value = x[area.column[e] // d], x[area.column[e] % d], area.value[e]
            for b in range(row.shape[0]):
                row[b] += value * first[b] * second[b]


@compiled
def _component(out: Any, first: Any, second: Any, narrowing: Any, doublings: Any, n: Any) -> None:
    """Square of a component of a random direction in the space of a bath, over that of a Gaussian one."""
    for b in range(n):
        p = (first[b] * first[b] + second[b] * second[b]) * narrowing
        series = SERIES[0]
        for coefficient in SERIES[1:]:
            series = series * p + coefficient
        for _ in range(doublings):
            series = series * (1.0 - 0.5 * p * series)
            p = 2.0 * p
        out[b] = series


@compiled
def _exchange_one(velocity: Any, heat: Any, first: Any, second: Any, j: Any, exchange: Any, room: Any) -> None:
    """Turn the velocity of oscillator j against a component of its bath; the bath loses what the velocity gains."""
    n, k = velocity.shape[0], exchange.bath[j]
    _component(room, first, second, exchange.narrowing[k], exchange.doublings[k], n)
    keep, take, spread = exchange.keep[j], exchange.take[j], exchange.spread[k]
    start, cooling = exchange.temperature[k], exchange.cooling[k]
    for b in range(n):
        temperature = start - cooling * heat[b]
        before = velocity[b]
        after = keep * before + take * (first[b] * np.sqrt(temperature * spread * room[b]))
        heat[b] += 0.5 * (after - before) * (after + before)
        velocity[b] = after


@compiled
def _kick(velocity: Any, kick: Any, normal: Any) -> None:
    """Half a step of the recoil."""
    n = velocity.shape[1]
    for j in range(kick.start.shape[0] - 1):
        for e in range(kick.start[j], kick.start[j + 1]):
            add_one(velocity[j], normal[kick.column[e]], kick.value[e], n)


@compiled
def path(
    tables: Any,
    state: Any,
    total: Any,
    seed: Any,
    first_trajectory: Any,
    first_step: Any,
    save_every: Any,
    saved: Any,
    saved_total: Any,
) -> None:
    """Advance `state` (d, B) and `total` (R, B) in place by ``len(saved) * save_every`` steps; keep some of them.

    Rows of `total`: the areas, if they are wanted, then the heat given by each bath.
    """
    d, block = state.shape
    n, n_kicks = d // 2, tables.kick.start.shape[0] - 1
    x, y, room = aligned(d, block), aligned(d, block), np.empty(block)
    normal = aligned(2 * n + 2 * n_kicks, block)
    x[:] = state
    n_areas = tables.area.start.shape[0] - 1
    areas, heat = total[:n_areas], total[n_areas:]
    step = first_step
    for index in range(saved.shape[0]):
        for _ in range(save_every):
            fill_normals(normal, seed, _BATH, first_trajectory, step)
            _add_areas(areas, tables.area, x)
            _flow(tables.flow, x, y)
            velocity = y[n:]
            _kick(velocity, tables.kick, normal[2 * n : 2 * n + n_kicks])
            for i in range(n):
                # Every other step in reverse order, so that two of them are symmetric in time.
                j = i if step % 2 == 0 else n - 1 - i
                k = tables.exchange.bath[j]
                _exchange_one(velocity[j], heat[k], normal[2 * j], normal[2 * j + 1], j, tables.exchange, room)
            _kick(velocity, tables.kick, normal[2 * n + n_kicks :])
            _add_areas(areas, tables.area, y)
            _flow(tables.flow, y, x)
            step += 1
        saved[index] = x
        saved_total[index] = total
    state[:] = x
