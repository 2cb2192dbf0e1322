"""Lines around areas of a plane, from a grid and bisection between its points."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from stochbind.checks import FloatArray

BoolArray = npt.NDArray[np.bool_]


def lines_around(
    inside: BoolArray, is_inside: Callable[[FloatArray, FloatArray], BoolArray], tolerance: float
) -> list[FloatArray]:
    """Lines around the areas of a grid that are inside.

    Each point of a line is on an edge of the grid, between a point that is inside and one that is not.

    Parameters
    ----------
    inside : (nx, ny) bool
        Which points of the grid are inside.
    is_inside : callable
        Whether other points are, by their places along both axes, counted in points of the grid.
    tolerance : float
        Largest error of a point, in spacings of the grid.

    Returns
    -------
    list of (m, 2) float
        Lines, in places along both axes; none where the grid ends.
    """
    from contourpy import contour_generator

    if inside.all() or not inside.any():
        return []
    found = contour_generator(z=inside.T.astype(np.float64)).lines(0.5)
    line = [np.asarray(each, np.float64) for each in found]
    # On the values 0 and 1 the line crosses every edge in its middle, which tells both ends of it.
    middle = np.concatenate(line)
    first, last = np.floor(middle), np.ceil(middle)
    flipped = ~inside[tuple(first.astype(np.int64).T)]
    inner, outer = np.where(flipped[:, None], last, first), np.where(flipped[:, None], first, last)
    for _ in range(max(0, math.ceil(-math.log2(tolerance)) - 1)):
        half = 0.5 * (inner + outer)
        within = is_inside(half[:, 0], half[:, 1])[:, None]
        inner, outer = np.where(within, half, inner), np.where(within, outer, half)
    point = 0.5 * (inner + outer)
    return [np.asarray(each) for each in np.split(point, np.cumsum([len(each) for each in line])[:-1])]
