"""Sums whose bits do not depend on how the work is cut.

Over trajectories, adjacent pairs are added, then adjacent pairs of those, and so on; what is missing at the end counts
as zero. So parts whose sizes are powers of two are branches of one binary tree, and it does not matter where it is cut.

Sums over trajectories and time have no one order for all cuts, so they are exact: each number is rounded to a multiple
of `COARSE`, and what is left to a multiple of `FINE`, and sums of such numbers are not rounded, as long as they stay
below 2^53 multiples. In scaled units that holds for sums up to 2^33, and for 2^24 numbers; beyond, sums are still right
to rounding, but their last bits may depend on the cut.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stochbind.checks import FloatArray
from stochbind.compiling import compiled, forced_inline

#: Trajectories that the compiled loops take at a time; a power of two.
STRIP = 128
#: Groups that are told apart when read, at most; see `stochbind.analysis.statistics.N_GROUPS`.
N_GROUPS = 256
#: Beyond this, in scaled units or joules, a trajectory counts as diverged: its squares leave the range of numbers.
LARGEST = 1e100
#: Grids of exact sums.
COARSE, FINE = 2.0**-20, 2.0**-50
_TO_COARSE, _TO_FINE = 1.5 * 2.0**52 * COARSE, 1.5 * 2.0**52 * FINE


def _pairs(data: FloatArray, axis: int) -> FloatArray:
    """Sums of adjacent pairs along an axis."""
    data = np.moveaxis(data, axis, 0)
    result = data[0::2].copy()
    result[: len(data) // 2] += data[1::2]
    return np.moveaxis(result, 0, axis)


def merge_groups(data: FloatArray, factor: int) -> FloatArray:
    """Sums over adjacent groups.

    Parameters
    ----------
    data : (n_rows, n_groups, n_entries) float
        Sums of each group.
    factor : int
        How many groups become one; a power of two.

    Returns
    -------
    (n_rows, ceil(n_groups / factor), n_entries) float
        Sums of the larger groups.
    """
    if factor < 1 or factor & (factor - 1):
        raise ValueError(f"`factor` must be a power of two, but is {factor}.")
    while factor > 1:
        data, factor = _pairs(data, 1), factor // 2
    return data


def merge_rows(data: FloatArray) -> FloatArray:
    """Sum over all rows of time, (1, n_groups, n_entries)."""
    while len(data) > 1:
        data = _pairs(data, 0)
    return data


def canonical(data: FloatArray, n_trajectories: int, group: int) -> tuple[FloatArray, int]:
    """The data in at most 256 groups, the same for whatever smaller groups they were stored in.

    Parameters
    ----------
    data : (n_rows, n_groups, n_entries) float
        Sums of each group.
    n_trajectories : int
        Number of trajectories in all.
    group : int
        Trajectories of a group, a power of two.

    Returns
    -------
    data : (n_rows, at most 256, n_entries) float
        Sums of larger groups.
    group : int
        Trajectories of each.
    """
    factor = 1
    while -(-n_trajectories // (group * factor)) > N_GROUPS:
        factor *= 2
    return merge_groups(data, factor), group * factor


def columns(n_entries: int, n_trajectories: int, group: int, strip: int = STRIP) -> tuple[FloatArray, int]:
    """Room for what `fold` writes, (n_columns, n_entries), and the trajectories of each column."""
    width = min(group, strip)
    return np.zeros((-(-n_trajectories // strip) * (strip // width), n_entries)), width


def grouped(folded: FloatArray, n_trajectories: int, group: int, width: int) -> FloatArray:
    """From the columns of strips to groups, (n_groups, n_entries)."""
    result: FloatArray = merge_groups(folded[None], group // width)[0, : -(-n_trajectories // group)]
    return result


def inlined(function: Any) -> Any:
    """Compile into its callers."""
    result: Any = forced_inline(function)
    return result


@inlined
def fold(leaf: Any, taking: Any, width: Any, out: Any, column: Any, entry: Any) -> None:
    """Sum the rows of one strip by adjacent pairs, to columns of `width` trajectories; those not taking part are zero.

    The sum of row e goes to ``out[column:, entry + e]``. What is in `leaf` is lost.
    """
    m = taking.shape[0]
    whole = 1
    while whole < m:
        whole *= 2
    n_columns = max(1, whole // width)
    for e in range(leaf.shape[0]):
        row = leaf[e]
        for b in range(m):
            row[b] = row[b] if taking[b] else 0.0
        for b in range(m, whole):
            row[b] = 0.0
        size = whole
        while size > n_columns:
            size //= 2
            for b in range(size):
                row[b] = row[2 * b] + row[2 * b + 1]
        for c in range(n_columns):
            out[column + c, entry + e] = row[c]


@inlined
def split(row: Any, rest: Any, factor: Any, n: Any) -> None:
    """``factor row`` on two grids: multiples of COARSE stay in `row`, those of FINE go to `rest`."""
    for b in range(n):
        x = row[b] * factor
        coarse = (x + _TO_COARSE) - _TO_COARSE
        row[b] = coarse
        rest[b] = ((x - coarse) + _TO_FINE) - _TO_FINE


@inlined
def add_four(row: Any, x0: Any, y0: Any, x1: Any, y1: Any, x2: Any, y2: Any, x3: Any, y3: Any, n: Any) -> None:
    """``row += x0 y0 + x1 y1 + x2 y2 + x3 y3``, from left to right."""
    for b in range(n):
        row[b] = row[b] + x0[b] * y0[b] + x1[b] * y1[b] + x2[b] * y2[b] + x3[b] * y3[b]


@inlined
def add_product(row: Any, x: Any, y: Any, n: Any) -> None:
    """``row += x y``."""
    for b in range(n):
        row[b] += x[b] * y[b]


@compiled
def first_lost(states: Any, lost: Any, out: Any) -> None:
    """Index of the first state at which each trajectory is not finite; the number of states if it never is.

    Parameters
    ----------
    states : (n, d, B) float
        Scaled states.
    lost : (B,) bool
        Which were lost before; updated.
    out : (B,) int
        The indices.
    """
    n, d, size = states.shape
    bad = np.zeros(size)
    for t in range(n):
        for i in range(d):
            row = states[t, i]
            for b in range(size):
                bad[b] += 0.0 if np.abs(row[b]) <= LARGEST else 1.0
    for b in range(size):
        out[b] = 0 if lost[b] else n
        if bad[b] > 0.0 and not lost[b]:
            lost[b] = True
            for t in range(n - 1, -1, -1):
                for i in range(d):
                    if not np.abs(states[t, i, b]) <= LARGEST:
                        out[b] = t
