"""The same steps in plain NumPy: the readable reference, and the way of forces that cannot be compiled.

Every function does the operations of its compiled twin in `stochbind.engine.paths` in the same order, so that the
results agree bit for bit. Coefficients come as the same tuples of arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from stochbind.checks import FloatArray
from stochbind.engine import noise
from stochbind.engine.tables import EXACT, HEUN, STRANG, Account, Forces, Linear


class Kind(NamedTuple):
    """What a kind of force is.

    A function of arrays, whether it takes two positions, how many parameters, and whether it takes all positions, with
    the parameters of all, and gives the forces on all.
    """

    function: Callable[..., Any]
    pair: bool
    n_parameters: int
    collective: bool = False


Kinds = Mapping[int, Kind]
#: What makes the normals of a step, like `stochbind.engine.noise.normals`.
Normals = Callable[[int, int, FloatArray, int, int], FloatArray]


def path(
    scheme: int,
    linear: Linear,
    forces: Forces,
    kinds: Kinds,
    account: Account,
    state: FloatArray,
    total: FloatArray,
    *,
    seed: int,
    first_trajectory: int,
    first_step: int,
    save_every: int,
    n_saves: int,
    normals: Normals = noise.normals,
) -> tuple[FloatArray, FloatArray]:
    """Twin of `stochbind.engine.paths.path`; returns the kept states and totals."""
    saved, saved_total = np.empty((n_saves, *state.shape)), np.empty((n_saves, *total.shape))
    trajectory = np.arange(first_trajectory, first_trajectory + state.shape[1])
    n = first_step
    for index in range(n_saves):
        for _ in range(save_every):
            normal = normals(seed, noise.Stream.BATH, trajectory, n, linear.root.shape[2])
            state[:] = step(scheme, linear, forces, kinds, account, state, total, normal, n)
            n += 1
        saved[index], saved_total[index] = state, total
    return saved, saved_total


def step(
    scheme: int,
    linear: Linear,
    forces: Forces,
    kinds: Kinds,
    account: Account,
    state: FloatArray,
    total: FloatArray,
    normal: FloatArray,
    n: int,
) -> FloatArray:
    """State (d, B) after step n, a pure function of state and noise; `total` (R, B) is added to in place."""
    s = set_of(linear, n)
    shift, wave = shift_of(linear, s, n)
    n_forms = len(account.form)
    work = total[n_forms:]
    x, force = state.copy(), np.zeros((0, 0))
    if scheme == STRANG:
        _kick(x, forces, kinds, work, account.lever)
    elif scheme != EXACT:
        force, _ = evaluate(x, forces, kinds)
    y = linear_step(linear.matrix[s], shift, linear.root[s], x, normal)
    if n_forms:
        _add_forms(total[:n_forms], account.form, wave, x, normal)
    if scheme == STRANG:
        _kick(y, forces, kinds, work, account.lever)
    elif scheme != EXACT:
        _push(y, force, 1.0, forces)
    if scheme == HEUN:
        force, _ = evaluate(y, forces, kinds)
        z = linear_step(linear.corrector, linear.corrector_shift, linear.corrector_root, y, normal)
        z += 0.5 * (x + y)
        _push(z, force, 0.5, forces)
        return z
    return y


def set_of(linear: Linear, n: int) -> int:
    """Index of the coefficients of step n."""
    period = int(linear.period)
    index = np.searchsorted(linear.start, n % period if period else n, side="right") - 1
    return int(linear.which[index])


def shift_of(linear: Linear, s: int, n: int) -> tuple[FloatArray, FloatArray]:
    """Shift of step n, and 1 with the cosine and sine of each drive at its start."""
    shift, wave = linear.shift[s].copy(), np.ones(1 + 2 * len(linear.turn))
    for f in range(len(linear.turn)):
        count = (int(linear.phase[f]) + n * int(linear.turn[f])) % 2**64
        cosine, sine = noise.cos_sin_quarters(np.array([float(count) / 2.0**64 * 4.0]))
        wave[1 + 2 * f], wave[2 + 2 * f] = cosine[0], sine[0]
        shift += wave[1 + 2 * f] * linear.drive[s, f, 0] + wave[2 + 2 * f] * linear.drive[s, f, 1]
    return shift, wave


def linear_step(
    matrix: FloatArray, shift: FloatArray, root: FloatArray, state: FloatArray, normal: FloatArray
) -> FloatArray:
    """Twin of `stochbind.engine.kernels.linear_step`: ``E x + e + L z``."""
    result = np.empty_like(state)
    for i in range(len(state)):
        row = np.full(state.shape[1], shift[i])
        for j in range(len(state)):
            row = row + matrix[i, j] * state[j]
        for j in range(len(normal)):
            row = row + root[i, j] * normal[j]
        result[i] = row
    return result


def evaluate(state: FloatArray, forces: Forces, kinds: Kinds) -> tuple[FloatArray, Sequence[FloatArray]]:
    """Force on each particle, (N, B), and each directed force alone."""
    place = [forces.unit[j] * state[forces.position[j]] for j in range(len(forces.unit))]
    for row in place:
        row.setflags(write=False)  # a function that works in place would move the particles of others
    total = np.zeros((len(forces.unit), state.shape[1]))
    whole = {}
    for number, of in kinds.items():
        if of.collective:
            parameters = np.ascontiguousarray(forces.parameter[forces.kind == number, : of.n_parameters])
            whole[number] = of.function(np.stack(place), parameters)
    each = []
    for kind, (j, k), p in zip(forces.kind, forces.particle, forces.parameter, strict=True):
        of = kinds[int(kind)]
        if of.collective:
            each.append(whole[int(kind)][j])
        else:
            arguments = (place[j], place[k]) if of.pair else (place[j],)
            each.append(np.zeros(state.shape[1]) + of.function(*arguments, p[: of.n_parameters]))
        total[j] += each[-1]
    return total, each


def _push(state: FloatArray, force: FloatArray, amount: float, forces: Forces) -> None:
    for j in range(len(force)):
        state[forces.driven[j]] += amount * forces.scale[j] * force[j]


def _kick(state: FloatArray, forces: Forces, kinds: Kinds, work: FloatArray, lever: FloatArray) -> None:
    if forces.same:
        middle = state.copy()
        _push(middle, evaluate(middle, forces, kinds)[0], 0.25, forces)
        _push(state, evaluate(middle, forces, kinds)[0], 0.5, forces)
        return
    force, each = evaluate(state, forces, kinds)
    before = state.copy()
    _push(state, force, 0.5, forces)
    for m in range(len(work)):
        j = forces.particle[m, 0]
        for velocity in (before, state):
            work[m] += 0.25 * lever[j] * velocity[forces.driven[j]] * each[m]


def _add_forms(total: FloatArray, form: FloatArray, wave: FloatArray, state: FloatArray, normal: FloatArray) -> None:
    z = np.concatenate([np.repeat(wave[:, None], state.shape[1], axis=1), state, normal])
    w = len(wave)
    for f in range(len(form)):
        constant = 0.0
        for p in range(w):
            for q in range(p, w):
                constant += form[f, p, q] * wave[p] * wave[q]
        row = total[f]
        row += constant
        for i in range(w, len(z)):
            linear = 0.0
            for p in range(w):
                linear += form[f, p, i] * wave[p]
            room = np.full(state.shape[1], linear)
            for j in range(i, len(z)):
                room += form[f, i, j] * z[j]
            row += z[i] * room
