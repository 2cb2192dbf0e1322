r"""Whole forces of light on coupled dipoles, in explicit loops: compiled, and with the same bits on every processor.

Nothing here needs a compiler: `light_forces` as it is, in plain Python, gives the same bits, slowly. All constants come
in one row of numbers, as `stochbind.fields.dipole_tables` writes it.

Trajectories go through in groups of `stochbind.fields.dipole_lanes.LANES`. Of each particle there are one or two blocks
of three complex components, of the electric and the magnetic dipole.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stochbind.fields import dipole_lanes as lanes
from stochbind.fields import dipole_pairs as pairs
from stochbind.fields.dipole_lanes import LANES
from stochbind.fields.dipole_tables import (
    FAR_FIELD,
    MULTIPLE,
    ONE_EVENT,
    PART_HEADER,
    POLARIZABILITY,
    RECOIL,
    WAVE,
    WAVE_HEADER,
)

#: Derivatives of a mode that are kept for each wave at each particle: up to the fifth.
MODES = 21
HIGHEST = 5
#: Pivots are exchanged where another element is so many times larger in square.
LARGEST_RATIO = 16.0


def light_forces(displacement: Any, table: Any, out: Any) -> None:
    """Forces beyond the linear ones.

    Parameters
    ----------
    displacement : (D, B) float
        Of each coordinate that moves, from the origin [m].
    table : (P,) float
        All constants; see `stochbind.fields.dipole_tables`.
    out : (D, B) float
        Forces less their value and their linear terms at the origin [N]; NaN where particles touch or are nowhere.
    """
    n, n_free, n_parts = int(table[0]), int(table[1]), int(table[2])
    begin = 3 + 9 * n + 2 * n_free + n_free * n_free + n * n
    for d in range(n_free):
        lanes.clear(out[d])
    for _ in range(n_parts):
        begin = add_part(out, displacement, table, begin)
    finish(out, displacement, table)


def put_in_place(place: Any, displacement: Any, table: Any, first: Any) -> None:
    """Places of all particles; a group that is not full repeats the last trajectory."""
    n, n_free = place.shape[0], displacement.shape[0]
    last = displacement.shape[1] - 1
    for i in range(3 * n):
        row, start, origin = place[i // 3], (i % 3) * LANES, table[3 + i]
        for b in range(LANES):
            row[start + b] = origin
    for d in range(n_free):
        i = int(table[3 + 3 * n + d])
        row, start = place[i // 3], (i % 3) * LANES
        for b in range(LANES):
            row[start + b] += displacement[d, min(first + b, last)]


def finish(out: Any, displacement: Any, table: Any) -> None:
    """Add the forces of traps, take away constant and linear terms, and mark trajectories that are lost."""
    n, n_free = int(table[0]), displacement.shape[0]
    free = 3 + 3 * n
    stiffness = free + n_free
    constant = stiffness + 6 * n
    jacobian = constant + n_free
    touching = jacobian + n_free * n_free
    place, moved = np.empty((n, 3 * LANES)), np.empty((n_free, LANES))
    lost, total = np.empty(LANES), np.empty(LANES)
    for first in range(0, displacement.shape[1], LANES):
        put_in_place(place, displacement, table, first)
        for d in range(n_free):
            for b in range(LANES):
                moved[d, b] = displacement[d, min(first + b, displacement.shape[1] - 1)]
        lanes.clear(lost)
        for j in range(n):
            lanes.mark_nowhere(lost, place[j])
            for k in range(j):
                lanes.mark_touching(lost, place[j], place[k], table[touching + j * n + k])
        for d in range(n_free):
            i = int(table[free + d])
            row, start = place[i // 3], (i % 3) * LANES
            spring, centre, force = table[stiffness + i], table[stiffness + 3 * n + i], table[constant + d]
            for b in range(LANES):
                total[b] = -(spring * (row[start + b] - centre)) - force
            for e in range(n_free):
                lanes.subtract_scaled(total, moved[e], table[jacobian + d * n_free + e])
            for b in range(min(LANES, displacement.shape[1] - first)):
                out[d, first + b] = np.nan if lost[b] > 0.0 else out[d, first + b] + total[b]


def add_part(out: Any, displacement: Any, table: Any, begin: Any) -> Any:
    """Add the forces of one group of coherent waves; returns where the next one begins in the table."""
    n, n_free = int(table[0]), displacement.shape[0]
    blocks, mode, k = int(table[begin]), int(table[begin + 1]), table[begin + 2]
    n_waves, scale = int(table[begin + 3]), table[begin + 4]
    begin += PART_HEADER
    alpha = table[begin : begin + n * POLARIZABILITY].reshape((n, 2, 18))
    begin += n * POLARIZABILITY
    waves = table[begin : begin + n_waves * WAVE].reshape((n_waves, WAVE))
    place, force = np.empty((n, 3 * LANES)), np.empty((n, 3 * LANES))
    modes, room = np.empty((n * n_waves * MODES, 2 * LANES)), np.empty((2 * (HIGHEST + 1) + 3, 2 * LANES))
    light = np.empty((n * blocks, 6 * LANES))
    first, second, dipole, field = np.empty_like(light), np.empty_like(light), np.empty_like(light), light.copy()
    pair = np.empty((n * (n - 1) // 2, pairs.PAIR_ROWS * LANES))
    size = 3 * n * blocks if mode == MULTIPLE and n > 1 else 0
    matrix = np.empty(size * (size + 1) * 2 * LANES)
    for start in range(0, displacement.shape[1], LANES):
        put_in_place(place, displacement, table, start)
        illuminate(light, modes, room, place, waves, k, blocks)
        separate(pair, place, k, mode == FAR_FIELD)
        lanes.clear(force.reshape(-1))
        if size > 0:
            scatter_all(dipole, matrix, pair, light, alpha, blocks)
            pull(force, pair, dipole, dipole, blocks)
        else:
            induce(first, light, alpha, blocks)
            scatter_once(field, pair, first, blocks)
            induce(second, field, alpha, blocks)
            lanes.add_rows(dipole.reshape(-1), first.reshape(-1), second.reshape(-1))
            pull(force, pair, dipole if mode == ONE_EVENT else first, first, blocks)
            if blocks == 2 and mode != ONE_EVENT:
                recoil(force, second, RECOIL)
        push(force, modes, room, dipole, waves, blocks)
        if blocks == 2:
            recoil(force, dipole, -RECOIL)
        for d in range(n_free):
            i = int(table[3 + 3 * n + d])
            row, axis = force[i // 3], (i % 3) * LANES
            for b in range(min(LANES, displacement.shape[1] - start)):
                out[d, start + b] += scale * row[axis + b]
    return begin + n_waves * WAVE


# ---------------------------------------------------------------------- light


def illuminate(light: Any, modes: Any, room: Any, place: Any, waves: Any, k: Any, blocks: Any) -> None:
    """The light at all particles, and the derivatives of the modes of all waves there."""
    n_waves = waves.shape[0]
    local = room[:2].reshape(-1)
    for j in range(place.shape[0]):
        for block in range(blocks):
            lanes.clear(light[j * blocks + block])
        for w in range(n_waves):
            wave, base = waves[w], (j * n_waves + w) * MODES
            degree = int(wave[0])
            lanes.local_place(local, place[j], wave, k)
            if degree < 0:
                lanes.plane_phase(modes[base], local)
            else:
                differentiate(modes[base : base + MODES], room, wave[13], degree + 2)
            for t in range((max(degree, 0) + 1) * (max(degree, 0) + 2) // 2):
                for block in range(blocks):
                    start = WAVE_HEADER + 12 * t + 6 * block
                    lanes.add_field(light[j * blocks + block], modes[base + t], wave[start : start + 6])


def differentiate(modes: Any, room: Any, square: Any, top: Any) -> None:
    """Mode of a tweezer and its transverse derivatives, those of one order together.

    In `room` are the place along the axes of the beam, the width s, and the derivatives along one axis and the other.
    """
    local, width, along, beside = room[:2].reshape(-1), room[2], room[3 : 4 + HIGHEST], room[4 + HIGHEST :]
    lanes.tweezer_mode(along[0], width, local, square)
    lanes.clear(beside[0])
    for b in range(LANES):
        beside[0, b] = 1.0
    for m in range(top):
        before = max(m - 1, 0)
        lanes.next_slope(along[m + 1], along[m], along[before], width, local[:LANES], m)
        lanes.next_slope(beside[m + 1], beside[m], beside[before], width, local[LANES : 2 * LANES], m)
    for order in range(top + 1):
        for m in range(order + 1):
            lanes.multiply(modes[order * (order + 1) // 2 + m], along[order - m], beside[m])


def push(force: Any, modes: Any, room: Any, dipole: Any, waves: Any, blocks: Any) -> None:
    r"""Add the force of the light on all dipoles, :math:`\mathrm{Re}\, \Pi^\dagger \partial_a \Phi`."""
    n_waves = waves.shape[0]
    local, weight = room[:2].reshape(-1), room[2]
    for j in range(force.shape[0]):
        for w in range(n_waves):
            wave, base = waves[w], (j * n_waves + w) * MODES
            degree = int(wave[0])
            lanes.clear(local)
            for order in range(max(degree, 0) + 1):
                for m in range(order + 1):
                    t = order * (order + 1) // 2 + m
                    lanes.clear(weight)
                    for block in range(blocks):
                        start = WAVE_HEADER + 12 * t + 6 * block
                        lanes.add_weight(weight, dipole[j * blocks + block], wave[start : start + 6])
                    lanes.push_along(local, weight, modes[base + t])
                    if degree >= 0:
                        once = base + (order + 1) * (order + 2) // 2 + m
                        twice = base + (order + 2) * (order + 3) // 2 + m
                        lanes.push_across(local, weight, modes[once], modes[once + 1])
                        lanes.push_spread(local, weight, modes[twice], modes[twice + 2])
            lanes.turn_back(force[j], local, wave)


# ---------------------------------------------------------------------- dipoles


def induce(dipole: Any, field: Any, alpha: Any, blocks: Any) -> None:
    """Dipoles of all particles in a field."""
    for j in range(alpha.shape[0]):
        for block in range(blocks):
            lanes.induce(dipole[j * blocks + block], field[j * blocks + block], alpha[j, block])


def recoil(force: Any, dipole: Any, amount: Any) -> None:
    """Add the forces of the particles' own light; of electric and magnetic dipoles."""
    for j in range(force.shape[0]):
        lanes.add_recoil(force[j], dipole[2 * j], dipole[2 * j + 1], amount)


def separate(pair: Any, place: Any, k: Any, far: Any) -> None:
    """Separations and radial functions of all pairs j > k, from k to j, in the order of j."""
    for j in range(place.shape[0]):
        for m in range(j):
            row = pair[j * (j - 1) // 2 + m]
            pairs.separate(row, place[j], place[m], k)
            if far:
                pairs.far_radial(row)
            else:
                pairs.exact_radial(row)


def scatter_once(field: Any, pair: Any, source: Any, blocks: Any) -> None:
    """Field of all dipoles at the others."""
    lanes.clear(field.reshape(-1))
    n = field.shape[0] // blocks
    for j in range(n):
        for k in range(n):
            if j != k:
                row, sign = pair[max(j, k) * (max(j, k) - 1) // 2 + min(j, k)], 1.0 if j > k else -1.0
                for block in range(blocks):
                    pairs.add_own(field[j * blocks + block], row, source[k * blocks + block])
                if blocks == 2:
                    pairs.add_turned(field[2 * j], row, source[2 * k + 1], sign)
                    pairs.add_turned(field[2 * j + 1], row, source[2 * k], -sign)


def pull(force: Any, pair: Any, receiver: Any, source: Any, blocks: Any) -> None:
    """Add the forces on all dipoles in the field of the others."""
    n = force.shape[0]
    for j in range(n):
        for k in range(n):
            if j != k:
                row, sign = pair[max(j, k) * (max(j, k) - 1) // 2 + min(j, k)], 1.0 if j > k else -1.0
                for block in range(blocks):
                    pairs.pull_own(force[j], row, receiver[j * blocks + block], source[k * blocks + block], sign)
                if blocks == 2:
                    pairs.pull_turned(force[j], row, receiver[2 * j], source[2 * k + 1], 1.0)
                    pairs.pull_turned(force[j], row, receiver[2 * j + 1], source[2 * k], -1.0)


# ---------------------------------------------------------------------- multiple scattering


def scatter_all(dipole: Any, matrix: Any, pair: Any, light: Any, alpha: Any, blocks: Any) -> None:
    r"""Dipoles in the self-consistent field, from :math:`(1 - \mathcal G \alpha) \Phi = \Phi^L`."""
    rows = light.shape[0]
    columns = matrix.reshape((-1, 6 * LANES))
    n = rows // blocks
    for k in range(n):
        for block in range(blocks):
            for i in range(3):
                start = ((k * blocks + block) * 3 + i) * rows
                fill_column(columns[start : start + rows], pair, alpha[k, block, 2 * i :], k, block, blocks, i)
    for row in range(rows):
        lanes.copy(columns[3 * rows * rows + row], light[row])
    solve(matrix.reshape((-1, 2 * LANES)), 3 * rows, 3 * blocks)
    induce(dipole, columns[3 * rows * rows :], alpha, blocks)


def fill_column(column: Any, pair: Any, alpha: Any, k: Any, block: Any, blocks: Any, i: Any) -> None:
    """A column of the matrix: what component i of a field at particle k does to all others through its dipole."""
    x, y, z = complex(alpha[0], alpha[1]), complex(alpha[6], alpha[7]), complex(alpha[12], alpha[13])
    for j in range(column.shape[0] // blocks):
        if j == k:
            for other in range(blocks):
                lanes.clear(column[j * blocks + other])
            for b in range(LANES):
                column[j * blocks + block, 2 * i * LANES + b] = 1.0
        else:
            row, sign = pair[max(j, k) * (max(j, k) - 1) // 2 + min(j, k)], 1.0 if j > k else -1.0
            pairs.own_column(column[j * blocks + block], row, x, y, z)
            if blocks == 2:
                pairs.turned_column(column[2 * j + 1 - block], row, sign if block == 1 else -sign, x, y, z)


def solve(element: Any, size: Any, own: Any) -> None:
    """Solve the equations of one matrix for each trajectory, of which the first `own` rows begin with the identity.

    The elements are those of one column after another, the last one the right side, which becomes the solution. The
    first rows need no pivots; below, they are exchanged where that keeps rounding errors small.
    """
    larger = np.empty(LANES)
    right = size * size
    for p in range(size):
        if p >= own:
            exchange(element, larger, p, size)
            lanes.invert(element[p * size + p])
            for i in range(p + 1, size):
                lanes.multiply(element[p * size + i], element[p * size + i], element[p * size + p])
        start = max(p + 1, own)
        for column in range(start, size + 1):
            for i in range(start, size):
                lanes.subtract_product(element[column * size + i], element[p * size + i], element[column * size + p])
    for c in range(size - 1, own - 1, -1):
        lanes.multiply(element[right + c], element[right + c], element[c * size + c])
        for i in range(c):
            lanes.subtract_product(element[right + i], element[c * size + i], element[right + c])


def exchange(element: Any, larger: Any, p: Any, size: Any) -> None:
    """Exchange row p with the one of the largest element in its column, in the trajectories where its own is small."""
    lanes.clear(larger)
    for i in range(p + 1, size):
        lanes.keep_larger(larger, element[p * size + i])
    for b in range(LANES):
        if larger[b] > LARGEST_RATIO * squared(element[p * size + p], b):
            i = p + 1
            while squared(element[p * size + i], b) != larger[b]:
                i += 1
            for column in range(p, size + 1):
                one, other = element[column * size + p], element[column * size + i]
                for part in range(b, 2 * LANES, LANES):
                    value = one[part]
                    one[part] = other[part]
                    other[part] = value


def squared(row: Any, b: Any) -> Any:
    """Square of the absolute value in one trajectory."""
    return row[b] * row[b] + row[LANES + b] * row[LANES + b]
