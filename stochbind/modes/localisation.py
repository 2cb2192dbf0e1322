r"""Where in an array its modes live: the skin effect of couplings that are stronger one way than the other.

In a chain with the couplings :math:`t_R` to the right and :math:`t_L` to the left, every right eigenvector is a wave
times :math:`(t_R/t_L)^{j/2}`, and piles up at one end; the left ones pile up at the other (Hatano and Nelson, Phys.
Rev. Lett. 77, 570 (1996)). A reciprocal chain has waves alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from stochbind import checks
from stochbind.checks import FloatArray
from stochbind.errors import ScenarioError
from stochbind.modes.spectrum import Modes

#: Weights below this share of the largest are round-off, and are left out of fits.
_LEAST_WEIGHT = 1e-26
#: The same of waves without their growth, of which smaller ones are nodes.
_LEAST_WAVE = 1e-8


class Localisation(NamedTuple):
    """Measures of where modes live; n modes of N particles.

    Attributes
    ----------
    participation_number : (n,) float
        How many particles take part, from 1 to N: the inverse of the inverse participation ratio.
    centre : (n,) float
        Mean position of the weight, in the unit of the positions.
    spread : (n,) float
        Its root mean square deviation from the centre.
    growth : (n,) float
        Rate at which the amplitude grows along the array, from a line through the logarithm of the amplitudes [1/unit
        of position]; its inverse is the localisation length. Nodes of the wave make it uncertain.
    length : (n,) float
        Localisation length, ``1 / |growth|``; infinite for a wave that does not grow.
    first, last : (n,) float
        Share of the first and of the last particles, as many as were asked for.
    """

    participation_number: FloatArray
    centre: FloatArray
    spread: FloatArray
    growth: FloatArray
    length: FloatArray
    first: FloatArray
    last: FloatArray


class SkinEffect(NamedTuple):
    r"""The skin effect of a whole spectrum.

    Attributes
    ----------
    growth : (n,) float
        Rate at which right eigenvectors grow along the array against the left ones, from a line through
        :math:`\tfrac12\log|r_j/l_j|` [1/unit of position]. The wave, which both have, is out of it, so that nodes do no
        harm: of the Hatano-Nelson chain it is :math:`\tfrac12\log|t_R/t_L|` for every mode.
    petermann : float
        Mean Petermann factor of the modes; infinite if two of them are one.
    condition : float
        Condition number of the matrix of right eigenvectors, of norm one: how much larger than without it transient
        growth may be, and how far a perturbation of the equations may move a frequency. Infinite at an exceptional
        point.
    centre : float
        Mean position of the right eigenvectors, from -1, all at the first end, to 1, all at the last.
    """

    growth: FloatArray
    petermann: float
    condition: float
    centre: float


def localisation(weight: Any, position: Any = None, *, edge: int = 1) -> Localisation:
    r"""Where vectors live.

    With weights w that add up to one the inverse participation ratio is :math:`\sum_j w_j^2`, the centre
    :math:`\sum_j w_jx_j`.

    Parameters
    ----------
    weight : (n, N) float
        Weight of each particle in each vector, such as `Modes.participation`, not negative; rows need not add up to
        one.
    position : (N,) float, optional
        Of the particles along the array; by default 0 to N - 1.
    edge : int, optional
        How many particles at each end count as its edge.

    Returns
    -------
    Localisation
        Measures of each vector.

    Raises
    ------
    ScenarioError
        If a shape is wrong, a weight is negative, a row is zero, or the edge is as long as the array.
    """
    given = checks.positive("weight", checks.array("weight", weight, ("n", "N")), or_zero=True)
    n = given.shape[1]
    place = _positions(position, n)
    checks.integer("edge", edge, minimum=1, maximum=n, error=ScenarioError)
    total = given.sum(axis=1, keepdims=True)
    if (total == 0).any():
        raise ScenarioError(f"`weight` must not be zero for all particles, but row {int(np.argmin(total))} is.")
    share = given / total
    centre = share @ place
    variance = np.maximum(share @ place**2 - centre**2, 0.0)
    growth = np.array([_slope(place, 0.5 * _logarithm(row), row, _LEAST_WEIGHT) for row in share])
    with np.errstate(divide="ignore"):
        length = 1.0 / np.abs(growth)
    return Localisation(
        participation_number=1.0 / np.sum(share**2, axis=1),
        centre=centre,
        spread=np.sqrt(variance),
        growth=growth,
        length=length,
        first=share[:, np.argsort(place)[:edge]].sum(axis=1),
        last=share[:, np.argsort(place)[-edge:]].sum(axis=1),
    )


def skin_effect(modes: Modes, position: Any = None) -> SkinEffect:
    """The skin effect of all modes of an array of one direction of motion.

    Parameters
    ----------
    modes : Modes
        Of N particles.
    position : (N,) float, optional
        Of the particles along the array; by default 0 to N - 1.

    Returns
    -------
    SkinEffect
        Growth of each mode, and measures of the whole spectrum.

    Raises
    ------
    ScenarioError
        If a shape is wrong, or a particle has several axes.
    """
    n = modes.participation.shape[1]
    place = _positions(position, n)
    if len({c.axis for c in modes.coordinate}) > 1:
        raise ScenarioError("The skin effect is told of one direction of motion, but the particles have several.")
    rows = [i for i, c in enumerate(modes.coordinate) if c.quantity in ("position", "amplitude", "real")]
    order = [modes.coordinate[i].particle for i in rows]
    right, left = np.abs(modes.right[rows]).T ** 2, np.abs(modes.left[rows]).T ** 2
    growth = np.array(
        [
            _slope(place[order], 0.25 * (_logarithm(r) - _logarithm(s)), np.sqrt(r * s), _LEAST_WAVE)
            for r, s in zip(right, left, strict=True)
        ]
    )
    half = 0.5 * float(np.ptp(place)) or 1.0
    centre = float(np.mean(modes.participation @ place) - 0.5 * (place.min() + place.max())) / half
    vectors = modes.right / np.linalg.norm(modes.right, axis=0)
    merged = bool((modes.order > 1).any())
    return SkinEffect(
        growth=growth,
        petermann=float(np.mean(modes.petermann)),
        condition=float("inf") if merged else float(np.linalg.cond(vectors)),
        centre=centre,
    )


def _positions(position: Any, n: int) -> FloatArray:
    """Positions of n particles."""
    return checks.array("position", np.arange(n) if position is None else position, (n,))


def _logarithm(weight: FloatArray) -> FloatArray:
    """Logarithm of weights; of those that are zero, minus infinity."""
    with np.errstate(divide="ignore"):
        result: FloatArray = np.log(weight)
    return result


def _slope(place: FloatArray, value: FloatArray, weight: FloatArray, least: float) -> float:
    """Slope of a line through values, of those whose weight is above a share of the largest; zero of but one."""
    good = (weight > least * weight.max()) & np.isfinite(value)
    x = place[good]
    if len(x) < 2 or np.ptp(x) == 0:
        return 0.0
    x = x - x.mean()
    return float(x @ value[good] / (x @ x))
