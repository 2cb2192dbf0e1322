"""Inner loops over records that NumPy would do in many readings of memory: compiled, piece by piece in the cache."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from stochbind.compiling import compiled

#: So many steps of time are worked on at once.
_STEPS = 256
#: Exponents are cut off here, so that numbers and their squares stay finite.
_LARGEST_EXPONENT = 300.0


@compiled
def half_products(before: Any, after: Any, center: Any, late: Any, early: Any, out: Any) -> None:
    r"""Half the products of two residuals of each step, added up over their components.

    .. math:: \tfrac12 \sum_i r_i r_{d+i}, \qquad r = L\,(y - c) + E\,(x - c)

    Parameters
    ----------
    before, after : (n, t, d) float
        States x and y before and after each step.
    center : (d,) float
        c.
    late, early : (2 d, d) float
        L and E.
    out : (n, t) float
        Filled with the result.
    """
    n, t, d = before.shape
    x, y = np.empty((d, _STEPS)), np.empty((d, _STEPS))
    first, second, total = np.empty(_STEPS), np.empty(_STEPS), np.empty(_STEPS)
    for a in range(n):
        for begin in range(0, t, _STEPS):
            size = min(_STEPS, t - begin)
            for j in range(d):
                for b in range(size):
                    x[j, b] = before[a, begin + b, j] - center[j]
                    y[j, b] = after[a, begin + b, j] - center[j]
            total[:] = 0.0
            for i in range(d):
                first[:] = 0.0
                second[:] = 0.0
                for j in range(d):
                    p, q, r, s = late[i, j], early[i, j], late[d + i, j], early[d + i, j]
                    for b in range(size):
                        first[b] += p * y[j, b] + q * x[j, b]
                        second[b] += r * y[j, b] + s * x[j, b]
                for b in range(size):
                    total[b] += first[b] * second[b]
            for b in range(size):
                out[a, begin + b] = 0.5 * total[b]


@compiled
def count_entropy(entropy: Any, cells: Any, edge: Any, sums: Any, histogram: Any) -> None:
    r"""Add up functions of the entropy s of stretches, and count them in bins, cell by cell.

    Parameters
    ----------
    entropy : (n, m) float
        Of m stretches of each of n trajectories.
    cells : (n,) int
        Cell of each trajectory.
    edge : (n_bins + 1,) float
        Edges of bins of one width. What is beyond them counts in the first or the last bin.
    sums : (n_cells, 7 or more) float
        Added to: one, :math:`s`, :math:`s^2`, :math:`e^{-s}`, :math:`e^{-2s}`,
        :math:`\mathrm{sign}(s)\,[1 - \tanh(s/2)]` and :math:`s\,[1 - \tanh(s/2)]`. Exponents count as at most 300.
    histogram : (2, n_cells, n_bins) float
        Added to: numbers in the bins, and their entropy.
    """
    n, m = entropy.shape
    last = len(edge) - 2
    per_width = (last + 1) / (edge[last + 1] - edge[0])
    for a in range(n):
        cell = cells[a]
        for b in range(m):
            s = entropy[a, b]
            backwards = math.exp(min(-s, _LARGEST_EXPONENT))
            bounded = 2.0 * backwards / (1.0 + backwards)
            row = sums[cell]
            row[0] += 1.0
            row[1] += s
            row[2] += s**2
            row[3] += backwards
            row[4] += backwards**2
            row[5] += np.sign(s) * bounded
            row[6] += s * bounded
            place = last
            if s < edge[0]:
                place = 0
            elif s < edge[last]:
                place = int((s - edge[0]) * per_width)
                while s < edge[place]:
                    place -= 1
                while s >= edge[place + 1]:
                    place += 1
            histogram[0, cell, place] += 1.0
            histogram[1, cell, place] += s


@compiled
def follow(key: Any, begin: Any, window: Any, follower: Any, number: Any) -> None:
    """Find what comes after something, within a window.

    Parameters
    ----------
    key : (n,) int
        Ascending.
    begin : (m,) int
        Any; fast where it ascends in long runs.
    window : int
        Longest distance.
    follower : (m,) int
        Filled with the first key after each one, or zero if there is none.
    number : (m,) int
        Filled with how many of them are within the window.
    """
    after, until, before = 0, 0, begin[0] if len(begin) else 0
    for a in range(len(begin)):
        if begin[a] < before:
            after = np.searchsorted(key, begin[a], side="right")
            until = after
        before = begin[a]
        while after < len(key) and key[after] <= begin[a]:
            after += 1
        until = max(until, after)
        while until < len(key) and key[until] <= begin[a] + window:
            until += 1
        follower[a] = key[after] if after < len(key) else 0
        number[a] = until - after
