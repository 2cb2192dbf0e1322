"""Many steps of a block of trajectories, compiled: one loop for all solvers.

The block stays in the cache; what happens once a step (choosing coefficients, phases of drives) costs nothing beside
what happens to each trajectory. `stochbind.engine.reference` holds the same steps in NumPy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import types
from numba.extending import register_jitable

from stochbind import elementary
from stochbind.compiling import compiled
from stochbind.engine import noise
from stochbind.engine.kernels import add_one, add_to_two, aligned, cos_sin_quarters, fill, fill_normals, product
from stochbind.engine.tables import EXACT, HEUN, STRANG
from stochbind.fields import BUILT_IN
from stochbind.fields.light import optical_binding_force, tweezer_force
from stochbind.fields.traps import duffing_force, gaussian_trap_force, pendulum_force

for _function in (elementary.cos_sin, *BUILT_IN):
    register_jitable(forceinline=True)(_function)

_BATH = np.uint64(noise.Stream.BATH)
_TURN = 1.0 / 18446744073709551616.0
_ROW = types.float64[::1]
#: Type of the function that adds a user's forces to a row: kind, total, position, position of the other, parameters.
USER_FORCE = types.void(types.int64, _ROW, _ROW, _ROW, _ROW)


@compiled
def _set_of(linear: Any, step: Any) -> Any:
    """Index of the coefficients of a step."""
    if linear.start.shape[0] == 1:
        return linear.which[0]
    n = step % linear.period if linear.period > 0 else step
    return linear.which[np.searchsorted(linear.start, n, side="right") - 1]


@compiled
def _shift(out: Any, wave: Any, linear: Any, index: Any, step: Any) -> None:
    """Shift of a step and, in `wave`, 1 and the cosine and sine of each drive at its start."""
    for i in range(out.shape[0]):
        out[i] = linear.shift[index, i]
    wave[0] = 1.0
    for f in range(linear.turn.shape[0]):
        count = linear.phase[f] + np.uint64(step) * linear.turn[f]
        cosine, sine = cos_sin_quarters(np.float64(count) * _TURN * 4.0)
        wave[1 + 2 * f], wave[2 + 2 * f] = cosine, sine
        for i in range(out.shape[0]):
            out[i] += cosine * linear.drive[index, f, 0, i] + sine * linear.drive[index, f, 1, i]


@compiled
def _add_row(kind: Any, total: Any, x: Any, other: Any, p: Any, user: Any) -> None:
    """Add one directed force to a row of trajectories."""
    n = total.shape[0]
    if kind == 0:
        for b in range(n):
            total[b] += duffing_force(x[b], p)
    elif kind == 1:
        for b in range(n):
            total[b] += gaussian_trap_force(x[b], p)
    elif kind == 2:
        for b in range(n):
            total[b] += pendulum_force(x[b], p)
    elif kind == 3:
        for b in range(n):
            total[b] += tweezer_force(x[b], p)
    elif kind == 4:
        for b in range(n):
            total[b] += optical_binding_force(x[b], other[b], p)
    else:
        user(kind, total, x, other, p)


@compiled
def _evaluate(force: Any, each: Any, place: Any, state: Any, forces: Any, user: Any) -> None:
    """Force on each particle, (N, B), and if `each` has rows each directed force alone, (M, B)."""
    for j in range(force.shape[0]):
        row, unit, x = place[j], forces.unit[j], state[forces.position[j]]
        total = force[j]
        for b in range(row.shape[0]):
            row[b] = unit * x[b]
            total[b] = 0.0
    for m in range(forces.kind.shape[0]):
        j, k = forces.particle[m, 0], forces.particle[m, 1]
        total = force[j]
        if each.shape[0] == 0:
            _add_row(forces.kind[m], total, place[j], place[k], forces.parameter[m], user)
        else:
            one = each[m]
            for b in range(one.shape[0]):
                one[b] = 0.0
            _add_row(forces.kind[m], one, place[j], place[k], forces.parameter[m], user)
            for b in range(one.shape[0]):
                total[b] += one[b]


@compiled
def _push(state: Any, force: Any, amount: Any, forces: Any) -> None:
    """What the forces change in a part `amount` of a step."""
    for j in range(force.shape[0]):
        row, change, scale = state[forces.driven[j]], force[j], amount * forces.scale[j]
        for b in range(row.shape[0]):
            row[b] += scale * change[b]


@compiled
def _kick(
    state: Any, forces: Any, user: Any, force: Any, each: Any, place: Any, work: Any, lever: Any, known: Any
) -> None:
    """Half a step of the forces alone, by the explicit midpoint rule; exact where they drive velocities.

    Where they do, no position has changed since the kick before: if it was one, the forces are `known`. Adds the work
    of each directed force, force times mean velocity times time, to the rows of `work`, if there are any.
    """
    if forces.same:
        middle = state.copy()
        _evaluate(force, each, place, middle, forces, user)
        _push(middle, force, 0.25, forces)
        _evaluate(force, each, place, middle, forces, user)
        _push(state, force, 0.5, forces)
        return
    if not known:
        _evaluate(force, each, place, state, forces, user)
    if work.shape[0] > 0:
        for m in range(forces.kind.shape[0]):
            _add_work(work[m], each[m], state[forces.driven[forces.particle[m, 0]]], lever[forces.particle[m, 0]])
    _push(state, force, 0.5, forces)
    if work.shape[0] > 0:
        for m in range(forces.kind.shape[0]):
            _add_work(work[m], each[m], state[forces.driven[forces.particle[m, 0]]], lever[forces.particle[m, 0]])


@compiled
def _add_work(work: Any, force: Any, velocity: Any, lever: Any) -> None:
    # A quarter of a step with the velocity before, and a quarter with that after.
    quarter = 0.25 * lever
    for b in range(work.shape[0]):
        work[b] += quarter * velocity[b] * force[b]


@compiled
def _add_forms(total: Any, form: Any, wave: Any, both: Any, room: Any) -> None:
    """Add quadratic forms of (wave, state, normals) to the rows of `total`."""
    w = wave.shape[0]
    size = form.shape[1]
    n = room.shape[1]
    for f in range(form.shape[0]):
        row = total[f]
        constant = 0.0
        for p in range(w):
            for q in range(p, w):
                constant += form[f, p, q] * wave[p] * wave[q]
        for b in range(row.shape[0]):
            row[b] += constant
        for i in range(w, size, 2):
            # Two rows of the triangle at a time; the second begins with a zero.
            pair = i + 1 < size
            fill(room[0], _linear_weight(form, f, i, wave), n)
            fill(room[1], _linear_weight(form, f, i + 1, wave) if pair else 0.0, n)
            k = i + 1 if pair else i
            j = i
            while j + 4 <= size:
                add_to_two(
                    room[0], room[1], both[j - w], both[j + 1 - w],
                    both[j + 2 - w], both[j + 3 - w],
                    form[f, i, j], form[f, i, j + 1], form[f, i, j + 2], form[f, i, j + 3],
                    form[f, k, j], form[f, k, j + 1], form[f, k, j + 2], form[f, k, j + 3], n,
                )  # fmt: skip
                j += 4
            while j < size:
                add_one(room[0], both[j - w], form[f, i, j], n)
                add_one(room[1], both[j - w], form[f, k, j], n)
                j += 1
            _add_product(row, both[i - w], room[0])
            if pair:
                _add_product(row, both[i + 1 - w], room[1])


@compiled
def _linear_weight(form: Any, f: Any, i: Any, wave: Any) -> Any:
    linear = 0.0
    for p in range(wave.shape[0]):
        linear += form[f, p, i] * wave[p]
    return linear


@compiled
def _add_product(row: Any, x: Any, y: Any) -> None:
    for b in range(row.shape[0]):
        row[b] += x[b] * y[b]


@compiled
def path(
    scheme: Any,
    linear: Any,
    forces: Any,
    user: Any,
    account: Any,
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

    Rows of `total`: the forms of the account, then, if it has levers, the work of each directed force.
    """
    block = state.shape[1]
    n_forms, n_work = account.form.shape[0], forces.kind.shape[0] if account.lever.shape[0] > 0 else 0
    d, m = state.shape[0], linear.root.shape[2]
    # States with the normals of their step below them.
    x, y, z = aligned(d + m, block), aligned(d + m, block), aligned(d + m, block)
    x[:d] = state
    shift, wave = np.empty(state.shape[0]), np.empty(1 + 2 * linear.turn.shape[0])
    force, place = aligned(forces.scale.shape[0], block), aligned(forces.scale.shape[0], block)
    each, room = aligned(n_work, block), aligned(2, block)
    form_rows, work_rows = total[:n_forms], total[n_forms:]
    matrix, corrector = np.empty((d, d + m)), np.empty((d, d + m))
    if scheme == HEUN:
        corrector[:, :d], corrector[:, d:] = linear.corrector, linear.corrector_root
    step, last = first_step, -1
    for index in range(saved.shape[0]):
        for _ in range(save_every):
            s = _set_of(linear, step)
            if s != last:
                matrix[:, :d], matrix[:, d:] = linear.matrix[s], linear.root[s]
                last = s
            _shift(shift, wave, linear, s, step)
            normal = x[d:]
            fill_normals(normal, seed, _BATH, first_trajectory, step)
            if scheme == STRANG:
                _kick(x, forces, user, force, each, place, work_rows, account.lever, step > first_step)
            elif scheme != EXACT:
                _evaluate(force, each, place, x, forces, user)
            product(matrix, shift, x, y[:d])
            if n_forms > 0:
                _add_forms(form_rows, account.form, wave, x, room)
            if scheme == STRANG:
                _kick(y, forces, user, force, each, place, work_rows, account.lever, False)
            elif scheme != EXACT:
                _push(y, force, 1.0, forces)
            if scheme == HEUN:
                _evaluate(force, each, place, y, forces, user)
                y[d:] = normal
                product(corrector, linear.corrector_shift, y, z[:d])
                for i in range(d):
                    for b in range(block):
                        z[i, b] += 0.5 * (x[i, b] + y[i, b])
                _push(z, force, 0.5, forces)
                y, z = z, y
            x, y = y, x
            step += 1
        saved[index] = x[:d]
        saved_total[index] = total
    state[:] = saved[-1]
