"""Classes on a regular grid of two parameters, with most points known from their neighbours.

A coarse lattice is computed. Between its lines the grid is halved again and again: a new point takes the class of the
lattice points around it where these agree, and is computed where they do not. After each halving the boundaries are
followed: any point that was filled in and has a neighbour of another class is computed too, until none is left. So
both sides of every boundary in the result are computed. What can be missed is a region of another class that has none
of its points on the coarse lattice and touches no boundary that was found.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
#: Classes at points of the grid, given by their places along both axes.
Classifier = Callable[[IntArray, IntArray], IntArray]


class Grid(NamedTuple):
    """Classes of a grid.

    Attributes
    ----------
    code : (nx, ny) int
        Class of each point.
    computed : (nx, ny) bool
        Whether it was computed there, and not taken from its neighbours.
    """

    code: IntArray
    computed: BoolArray


def exhaustive(classify: Classifier, shape: tuple[int, int]) -> Grid:
    """Classes of all points, each computed.

    Parameters
    ----------
    classify : callable
        Takes places along x and along y, each (n,) int, and gives classes, (n,) int.
    shape : (int, int)
        Points along x and along y.

    Returns
    -------
    Grid
        With every point computed.
    """
    place_x, place_y = (each.ravel() for each in np.indices(shape))
    return Grid(classify(place_x, place_y).reshape(shape), np.ones(shape, bool))


def adaptive(classify: Classifier, shape: tuple[int, int], coarse: int) -> Grid:
    """Classes of all points, computed on a coarse lattice and at the boundaries, and filled in between.

    Parameters
    ----------
    classify : callable
        As for `exhaustive`.
    shape : (int, int)
        Points along x and along y.
    coarse : int
        Every so many points along each axis is a line of the first lattice, and the last point too; a power of two.

    Returns
    -------
    Grid
        As `exhaustive` gives, unless a region is missed; see the module.
    """
    code, computed = np.zeros(shape, np.int64), np.zeros(shape, bool)

    def compute(place_x: IntArray, place_y: IntArray) -> None:
        code[place_x, place_y] = classify(place_x, place_y)
        computed[place_x, place_y] = True

    lines = [lattice_lines(length, coarse) for length in shape]
    compute(*_mesh(lines))
    spacing = coarse
    while spacing > 1:
        spacing //= 2
        finer = [lattice_lines(length, spacing) for length in shape]
        place_x, place_y = _fill(code, lines, finer)
        fresh = ~computed[place_x, place_y]
        compute(place_x[fresh], place_y[fresh])
        _follow(code, computed, finer, compute)
        lines = finer
    return Grid(code, computed)


def lattice_lines(length: int, spacing: int) -> IntArray:
    """Places of the lines of a lattice along one axis: every so many points, and the last one.

    Parameters
    ----------
    length : int
        Points along the axis.
    spacing : int
        Points from line to line.

    Returns
    -------
    (n,) int
        Places.
    """
    return np.union1d(np.arange(0, length, spacing), [length - 1]).astype(np.int64)


def _mesh(lines: list[IntArray]) -> tuple[IntArray, IntArray]:
    place_x, place_y = np.meshgrid(*lines, indexing="ij")
    return place_x.ravel(), place_y.ravel()


def _fill(code: IntArray, lines: list[IntArray], finer: list[IntArray]) -> tuple[IntArray, IntArray]:
    """Fill in the finer lattice where the points around agree; return the places where they do not."""
    lower, upper = [], []
    for before, now in zip(lines, finer, strict=True):
        after = np.searchsorted(before, now)
        upper.append(before[after])
        lower.append(np.where(before[after] == now, now, before[after - 1]))
    corners = [code[np.ix_(x, y)] for x in (lower[0], upper[0]) for y in (lower[1], upper[1])]
    agree = np.logical_and.reduce([corner == corners[0] for corner in corners[1:]])
    place_x, place_y = np.meshgrid(*finer, indexing="ij")
    code[place_x[agree], place_y[agree]] = corners[0][agree]
    return place_x[~agree], place_y[~agree]


def _follow(
    code: IntArray, computed: BoolArray, lines: list[IntArray], compute: Callable[[IntArray, IntArray], None]
) -> None:
    """Compute what was filled in beside another class, on one lattice, until nothing changes."""
    mesh = np.ix_(*lines)
    place_x, place_y = np.meshgrid(*lines, indexing="ij")
    while (wanted := _beside_another(code[mesh]) & ~computed[mesh]).any():
        compute(place_x[wanted], place_y[wanted])


def _beside_another(code: IntArray) -> BoolArray:
    """Which points have a point of another class among the eight around them."""
    n, m = code.shape
    result = np.zeros(code.shape, bool)
    for shift_x, shift_y in ((1, 0), (0, 1), (1, 1), (1, -1)):
        here = (slice(0, n - shift_x), slice(max(0, -shift_y), m - max(0, shift_y)))
        there = (slice(shift_x, n), slice(max(0, shift_y), m + min(0, shift_y)))
        differ = code[here] != code[there]
        result[here] |= differ
        result[there] |= differ
    return result
