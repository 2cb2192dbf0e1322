r"""Pairs of particles along a plane wave, with an electric and a magnetic dipole each; Kerker pairs among them.

The wave and the equations are those of `stochbind.optics.rows`. A is the particle upstream, B the one downstream, and
:math:`L = x_B - x_A`. A particle with :math:`\alpha_m = \alpha_e` scatters nothing backward (first Kerker condition),
one with :math:`\alpha_m = -\alpha_e` nothing forward (second). An ideal pair of the second kind is one-way: A feels B,
and B hardly feels A. No passive particle is ideal in that way: extinction needs light that is scattered forward.

After one event, and to leading order, an ideal pair of the second kind has

.. math::

    f_B = \frac{\varepsilon_0 |E_0|^2}{8\pi}
          \left[\frac{6 |\alpha_e|^2}{L^4} - \frac{4k\,\mathrm{Re}\alpha_e \mathrm{Im}\alpha_e}{L^3}\right],

while :math:`f_A` falls off as 1/L.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from scipy import optimize

from stochbind import checks
from stochbind.checks import FloatArray
from stochbind.errors import ScenarioError
from stochbind.optics import reciprocity, rows

#: Points of a wavelength at which `equilibria` looks for a change of sign.
_POINTS_PER_WAVELENGTH = 400


class PairForces(NamedTuple):
    """Forces on two particles in a row, A upstream and B downstream, as functions of their distance L.

    Attributes
    ----------
    isolated : (2,) float
        Force on A and on B if they were alone [N].
    force_a, force_b : (...) float
        f of A and B: what the other one adds to it [N].
    slope_a, slope_b : (...) float
        Derivatives of f with respect to L [N/m].
    jacobian : (..., 2, 2) float
        Element ``[j, k]`` is the derivative of the force on j by the position of k, in the order A, B [N/m].
    """

    isolated: FloatArray
    force_a: FloatArray
    force_b: FloatArray
    slope_a: FloatArray
    slope_b: FloatArray
    jacobian: FloatArray


class Curves(NamedTuple):
    """Interaction and its non-reciprocity as functions of the distance.

    Attributes
    ----------
    distance : (n,) float
        L [m].
    force_a, force_b : (n,) float
        f of A and B [N].
    zeroth, first : (n,) float
        Non-reciprocity factors along x, of the forces and of their derivatives.
    """

    distance: FloatArray
    force_a: FloatArray
    force_b: FloatArray
    zeroth: FloatArray
    first: FloatArray


class Equilibrium(NamedTuple):
    """A distance at which two particles are pushed alike by each other.

    Attributes
    ----------
    distance : float
        L [m].
    stiffness : float
        Derivative of :math:`f_A - f_B` with respect to L [N/m].
    """

    distance: float
    stiffness: float

    @property
    def stable(self) -> bool:
        """Whether particles that come too close are driven apart, and those too far apart together."""
        return self.stiffness > 0.0


def pair_forces(
    distance: Any, electric: Any, magnetic: Any, wavenumber: float, amplitude: float, *, events: int | None = 1
) -> PairForces:
    """Forces on two particles in a row, and their exact derivatives with respect to the distance.

    Parameters
    ----------
    distance : (...) float
        L [m].
    electric, magnetic : complex or (2,) complex
        Polarizabilities [m^3] of A and B; a number is that of both.
    wavenumber, amplitude, events
        As for `stochbind.optics.rows.row_forces`.

    Returns
    -------
    PairForces
        Forces and derivatives.

    Raises
    ------
    ScenarioError
        If a distance is not positive, or as `stochbind.optics.rows.row_forces` does.

    References
    ----------
    Jazayeri et al., eqs. (3)-(5).
    """
    length = checks.positive("distance", checks.real_numbers("distance", distance))
    position = np.stack([np.zeros_like(length), length], axis=-1)
    found = rows.row_forces(position, electric, magnetic, wavenumber, amplitude, events=events)
    return PairForces(
        found.isolated,
        found.interaction[..., 0],
        found.interaction[..., 1],
        found.jacobian[..., 0, 1],
        found.jacobian[..., 1, 1],
        found.jacobian,
    )


def pair_curves(
    distance: Any, electric: Any, magnetic: Any, wavenumber: float, amplitude: float, *, events: int | None = 1
) -> Curves:
    """Forces on a pair and both non-reciprocity factors along the axis, as functions of the distance.

    With the dipoles of a silicon sphere this is the dipole model of Fig. 4 of Jazayeri et al.; for Figs. 3 and 5 see
    `ideal_curves`.

    Parameters
    ----------
    distance : (n,) float
        L [m].
    electric, magnetic, wavenumber, amplitude, events
        As for `pair_forces`.

    Returns
    -------
    Curves
        The curves.

    Raises
    ------
    ScenarioError
        As `pair_forces` does.
    """
    length = checks.array("distance", distance, ("n",))
    pair = pair_forces(length, electric, magnetic, wavenumber, amplitude, events=events)
    return Curves(
        length,
        pair.force_a,
        pair.force_b,
        reciprocity.factor(pair.force_a, pair.force_b),
        reciprocity.factor(pair.slope_a, pair.slope_b),
    )


def ideal_curves(
    distance: Any, electric: complex, wavenumber: float, amplitude: float, *, events: int | None = 1
) -> dict[str, Curves]:
    r"""Curves of the three ideal pairs that have one electric polarizability in common.

    ``"electric dipoles"`` (:math:`\alpha_m = 0`) and ``"second Kerker"`` (:math:`\alpha_m = -\alpha_e`) are those of
    Fig. 3 of Jazayeri et al., ``"first Kerker"`` (:math:`\alpha_m = \alpha_e`) that of Fig. 5. The text to Fig. 5 tells
    of two unstable zeros of :math:`f_A - f_B` and of forces of the same order. Between two unstable zeros there must be
    a stable one; and the stated equations give none at all, and forces of the same order below half a wavelength only.

    Parameters
    ----------
    distance : (n,) float
        L [m].
    electric : complex
        :math:`\alpha_e` [m^3].
    wavenumber, amplitude, events
        As for `pair_forces`.

    Returns
    -------
    dict of str to Curves
        The curves by name.

    Raises
    ------
    ScenarioError
        As `pair_forces` does.
    """
    ratio = {"electric dipoles": 0.0, "first Kerker": 1.0, "second Kerker": -1.0}
    return {
        name: pair_curves(distance, electric, factor * electric, wavenumber, amplitude, events=events)
        for name, factor in ratio.items()
    }


def equilibria(
    shortest: float,
    longest: float,
    electric: Any,
    magnetic: Any,
    wavenumber: float,
    amplitude: float,
    *,
    events: int | None = 1,
) -> tuple[Equilibrium, ...]:
    r"""Distances at which :math:`f_A - f_B`, positive where the particles attract each other, changes sign.

    It is sampled 400 times in a wavelength; where two samples of one sign have an extremum between them that comes
    closest to zero, the sign at the extremum is looked at as well, so that a pair of zeros is not stepped over.

    Parameters
    ----------
    shortest, longest : float
        Range of L [m].
    electric, magnetic, wavenumber, amplitude, events
        As for `pair_forces`.

    Returns
    -------
    tuple of Equilibrium
        In ascending order of the distance. Stable and unstable ones take turns.

    Raises
    ------
    ScenarioError
        If the range is empty or not positive, or as `pair_forces` does.
    """
    low, high = (float(checks.array(name, v, ())) for name, v in (("shortest", shortest), ("longest", longest)))
    if not 0.0 < low < high:
        raise ScenarioError(f"`shortest` must be positive and below `longest`, but they are {low:.6g} and {high:.6g}.")
    k = float(checks.positive("wavenumber", checks.array("wavenumber", wavenumber, ())))

    def binding(length: Any) -> tuple[FloatArray, FloatArray]:
        pair = pair_forces(length, electric, magnetic, wavenumber, amplitude, events=events)
        return pair.force_a - pair.force_b, pair.slope_a - pair.slope_b

    def root(which: int, left: float, right: float) -> float:
        return float(optimize.brentq(lambda x: float(binding(x)[which]), left, right, xtol=1e-15 * low, rtol=1e-14))

    grid = np.linspace(low, high, 16 + math.ceil(_POINTS_PER_WAVELENGTH * (high - low) * k / (2.0 * math.pi)))
    force, slope = binding(grid)
    side, way = np.sign(force), np.sign(force * slope)  # on which side of zero, and whether away from it
    turning = (side[:-1] == side[1:]) & (way[:-1] < 0) & (way[1:] > 0)
    extra = [root(1, grid[i], grid[i + 1]) for i in np.flatnonzero(turning)]
    grid = np.sort(np.concatenate([grid, extra]))
    positive = binding(grid)[0] > 0
    zeros = [root(0, grid[i], grid[i + 1]) for i in np.flatnonzero(positive[1:] != positive[:-1])]
    return tuple(Equilibrium(zero, float(binding(zero)[1])) for zero in zeros)
