r"""Squeezed vacuum sent at the particles: less recoil, and a noisier record.

What is squeezed is the quadrature of the vacuum that pushes a particle, in one mode of light with the overlap
:math:`\zeta` with the field that the particle scatters. The recoil diffusion of each particle falls to
:math:`D_{jj}' = D_{jj}\,[1 - |\zeta_j|^2 (1 - s)]`, s being the variance in units of that of the vacuum. The other
quadrature, in which the light tells of the position, is noisier by 1/s in that mode. Correlations of the recoil between
particles, and the coupling, stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stochbind import checks
from stochbind.checks import FloatArray
from stochbind.errors import ScenarioError
from stochbind.optics.pairs import Rates
from stochbind.oscillators import Oscillators
from stochbind.quantum.entanglement import entanglement_threshold
from stochbind.quantum.measurement import Homodyne

#: What the squeezing parameter r means: the variance is :math:`e^{-r}`, or the amplitude is.
CONVENTIONS = {"variance": 1.0, "amplitude": 2.0}


@dataclass(frozen=True)
class SqueezedLight:
    r"""Squeezed vacuum, one mode for each particle.

    Parameters
    ----------
    overlap : float
        :math:`|\zeta|` of the mode with the scattered field, from 0 to 1.
    squeezing : float
        r, not negative.
    convention : {"variance", "amplitude"}
        Whether the squeezed variance is :math:`e^{-r}`, as the letter writes it, or the amplitude is :math:`e^{-r}`
        and the variance :math:`e^{-2r}`, as of the usual squeezing operator S(r).

    Raises
    ------
    ScenarioError
        If a number is out of range, or the convention is unknown.

    References
    ----------
    PRL, way (ii), which does not say what r is; Gonzalez-Ballester et al., PRX Quantum 4, 030331 (2023).
    """

    overlap: float
    squeezing: float
    convention: str

    def __post_init__(self) -> None:
        _overlap(self.overlap)
        checks.positive("squeezing", checks.array("squeezing", self.squeezing, ()), or_zero=True)
        _factor(self.convention)

    @property
    def variance(self) -> float:
        """s, that of the squeezed quadrature in units of that of the vacuum."""
        return math.exp(-_factor(self.convention) * self.squeezing)

    @property
    def recoil_factor(self) -> float:
        r""":math:`D_{jj}'/D_{jj} = 1 - |\zeta|^2 (1 - s)`."""
        return 1.0 - self.overlap**2 * (1.0 - self.variance)

    def record_factor(self, efficiency: Any) -> FloatArray:
        r"""Noise of a record relative to that in vacuum, :math:`1 + \eta|\zeta|^2 (1/s - 1)`.

        The squeezed mode is the share :math:`|\zeta|^2` of what is detected, and the share :math:`1 - \eta` that is
        lost is replaced by vacuum.

        Parameters
        ----------
        efficiency : (...) float
            :math:`\eta`.
        """
        result: FloatArray = 1.0 + np.asarray(efficiency) * self.overlap**2 * (1.0 / self.variance - 1.0)
        return result


def squeezed_recoil(array: Oscillators, light: SqueezedLight) -> Oscillators:
    """The same array in squeezed vacuum.

    Parameters
    ----------
    array : Oscillators
        N oscillators with recoil.
    light : SqueezedLight
        The light at each of them.

    Returns
    -------
    Oscillators
        With less recoil of each; correlations and couplings are the same.

    Raises
    ------
    NoiseError
        If more is squeezed than the correlations of the recoil allow: its imaginary part, which makes the coupling
        antireciprocal, cannot be squeezed.
    """
    diffusion = np.array(array.diffusion)
    index = np.arange(array.n_oscillators)
    diffusion[index, index] *= light.recoil_factor
    checks.positive_semidefinite(
        "diffusion in squeezed light", diffusion, " Squeeze less: the correlations of the recoil are not squeezed."
    )
    return replace(array, diffusion=diffusion)


def squeezed_homodyne(
    array: Oscillators, efficiency: Any, light: SqueezedLight, particles: int | Sequence[int] | None = None
) -> Homodyne:
    r"""Homodyne detection of particles in squeezed vacuum.

    The detected information falls to :math:`\eta D_{jj} / [1 + \eta|\zeta|^2 (1/s - 1)]`. Squeezing so trades it for
    less recoil; with full overlap and no losses the conditional state of one oscillator stays pure.

    Parameters
    ----------
    array : Oscillators
        N oscillators, with the recoil that they have in vacuum.
    efficiency : float or (M,) float
        :math:`\eta` of the detectors.
    light : SqueezedLight
        The light.
    particles : sequence of int, optional
        As for `Homodyne`.

    Returns
    -------
    Homodyne
        Of the array with less recoil; its efficiency is the information as a share of that recoil.

    Raises
    ------
    ScenarioError, NoiseError
        As `Homodyne` and `squeezed_recoil` do.
    """
    vacuum = Homodyne(array, efficiency, particles)
    told = vacuum.efficiency / light.record_factor(vacuum.efficiency)
    share = np.minimum(told / light.recoil_factor, 1.0)  # at full overlap it is 1 within round-off
    return Homodyne(squeezed_recoil(array, light), share, vacuum.particles)


def least_squeezing(rates: Rates, overlap: float, convention: str) -> float:
    r"""The squeezing parameter up to which optical binding of a pair entangles nothing.

    Beyond it :math:`\sqrt{D_{11}'D_{22}'}` is below
    :math:`G' = \sqrt{(\mathrm{Re}D_{12})^2 + g_r^2}`, see `stochbind.quantum.entanglement.never_entangles`: the
    correlations of the recoil are not squeezed.

    .. math::

        r = -\frac1c \log\left[1 - \frac{1 - G'/\sqrt{D_{11}D_{22}}}{|\zeta|^2}\right], \qquad c = 1 \text{ or } 2

    Squeezed light can be that strong only if :math:`|g_a| < |g_r|`; see `squeezed_recoil`.

    Parameters
    ----------
    rates : Rates
        Of one pair, in vacuum.
    overlap : float
        :math:`|\zeta|`, above 0, up to 1.
    convention : {"variance", "amplitude"}
        As for `SqueezedLight`; c is 1 or 2.

    Returns
    -------
    float
        r; zero if no squeezing is needed, infinity if no squeezing is enough, as for
        :math:`|\zeta|^2 \le 1 - G'/\sqrt{D_{11}D_{22}}`.

    Raises
    ------
    ScenarioError
        If a number is out of range, the rates are not those of one pair, or the convention is unknown.
    """
    recoil = checks.positive("recoil", checks.array("recoil", rates.recoil, (2,)))
    share = _overlap(overlap) ** 2
    factor = _factor(convention)
    needed = 1.0 - float(entanglement_threshold(rates)) / math.sqrt(recoil.prod())
    if needed <= 0.0:
        return 0.0
    return -math.log1p(-needed / share) / factor if needed < share else math.inf


def _overlap(overlap: Any) -> float:
    value = float(checks.positive("overlap", checks.array("overlap", overlap, ()), or_zero=True))
    if value > 1.0:
        raise ScenarioError(f"`overlap` must be at most 1, but is {value:.6g}.")
    return value


def _factor(convention: Any) -> float:
    if not isinstance(convention, str) or convention not in CONVENTIONS:
        raise ScenarioError(
            f"`convention` must be one of {', '.join(map(repr, CONVENTIONS))}, but is {checks.short(convention)}."
        )
    return CONVENTIONS[convention]
