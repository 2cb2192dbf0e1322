"""Places and phases of tweezers in chains, rings and lattices.

Places are those of the foci in the plane across the light, from the distance of neighbours, in its unit. Phases are
those of the light at the foci, in radians.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from stochbind import checks
from stochbind.checks import FloatArray
from stochbind.errors import ScenarioError


def chain(n: int, spacing: float) -> FloatArray:
    """Places in a row along x, from the origin on.

    Parameters
    ----------
    n : int
        Number of places.
    spacing : float
        Distance of neighbours.

    Returns
    -------
    (n, 2) float
        Places.

    Raises
    ------
    ScenarioError
        If a number is not positive.
    """
    return square(1, n, spacing)


def ring(n: int, spacing: float) -> FloatArray:
    r"""Places on a circle around the origin, counter-clockwise, the first on the x axis.

    The circle has the radius :math:`a/2\sin(\pi/n)`, so that neighbours are the distance a apart.

    Parameters
    ----------
    n : int
        Number of places, at least 3.
    spacing : float
        Distance of neighbours a.

    Returns
    -------
    (n, 2) float
        Places.

    Raises
    ------
    ScenarioError
        If there are less than three places, or the distance is not positive.
    """
    count = checks.integer("n", n, minimum=3, error=ScenarioError)
    angle = 2.0 * math.pi * np.arange(count) / count
    radius = positive_number("spacing", spacing) / (2.0 * math.sin(math.pi / count))
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def square(rows: int, columns: int, spacing: float) -> FloatArray:
    """Places of a square lattice, row by row: place ``r * columns + c`` is at (c, r) times the distance.

    Parameters
    ----------
    rows, columns : int
        Their numbers.
    spacing : float
        Distance of neighbours.

    Returns
    -------
    (rows * columns, 2) float
        Places.

    Raises
    ------
    ScenarioError
        If a number is not positive.
    """
    row, column = _sites(rows, columns)
    return positive_number("spacing", spacing) * np.stack([column, row], axis=-1)


def triangular(rows: int, columns: int, spacing: float) -> FloatArray:
    """Places of a triangular lattice, row by row, each row moved along x by half the distance beside the one before.

    Parameters
    ----------
    rows, columns : int
        Their numbers.
    spacing : float
        Distance of neighbours, of which a place within has six.

    Returns
    -------
    (rows * columns, 2) float
        Places.

    Raises
    ------
    ScenarioError
        If a number is not positive.
    """
    row, column = _sites(rows, columns)
    return positive_number("spacing", spacing) * np.stack([column + 0.5 * row, 0.5 * math.sqrt(3.0) * row], axis=-1)


def stepped_phases(rows: int, columns: int, step: float, row_step: float = 0.0) -> FloatArray:
    r"""Phases that grow from place to place: the light of a plane wave that is tilted.

    Parameters
    ----------
    rows, columns : int
        Of the lattice; a chain or ring of n is one row of n.
    step, row_step : float
        :math:`\varphi_{j+1} - \varphi_j` along a row, and from row to row [rad].

    Returns
    -------
    (rows * columns,) float
        Phases [rad], that of the first place zero.

    Raises
    ------
    ScenarioError
        If a number is not positive, or a step is not finite.
    """
    row, column = _sites(rows, columns)
    result: FloatArray = column * finite_number("step", step) + row * finite_number("row_step", row_step)
    return result


def alternating_phases(rows: int, columns: int, step: float) -> FloatArray:
    """Phases that are zero and `step` in turn, in two dimensions as on a chessboard.

    Parameters
    ----------
    rows, columns : int
        Of the lattice; a chain or ring of n is one row of n.
    step : float
        Phase of every other place [rad].

    Returns
    -------
    (rows * columns,) float
        Phases [rad].

    Raises
    ------
    ScenarioError
        If a number is not positive, or the step is not finite.
    """
    row, column = _sites(rows, columns)
    result: FloatArray = finite_number("step", step) * ((row + column) % 2)
    return result


def winding_phases(n: int, winding: int) -> FloatArray:
    r"""Phases of a ring that grow by whole turns on the way round, :math:`2\pi m j/n`.

    Parameters
    ----------
    n : int
        Number of places.
    winding : int
        m, the number of turns; negative for the other sense.

    Returns
    -------
    (n,) float
        Phases [rad].

    Raises
    ------
    ScenarioError
        If a number is not a whole one, or n is not positive.
    """
    count = checks.integer("n", n, minimum=1, error=ScenarioError)
    turns = checks.integer("winding", winding, minimum=-count, maximum=count, error=ScenarioError)
    return stepped_phases(1, count, 2.0 * math.pi * turns / count)


def _sites(rows: int, columns: int) -> tuple[FloatArray, FloatArray]:
    """Row and column of each place, row by row."""
    counts = [
        checks.integer(name, value, minimum=1, error=ScenarioError)
        for name, value in (("rows", rows), ("columns", columns))
    ]
    row, column = np.divmod(np.arange(counts[0] * counts[1], dtype=np.float64), counts[1])
    return row, column


def positive_number(name: str, value: Any) -> float:
    """`value` as a float; raises `ScenarioError` unless it is one positive number."""
    return float(checks.positive(name, checks.array(name, value, ())))


def finite_number(name: str, value: Any) -> float:
    """`value` as a float; raises `ScenarioError` unless it is one finite number."""
    return float(checks.array(name, value, ()))
