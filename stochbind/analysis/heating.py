r"""Heating rates of normal modes: by the recoil of scattered photons, which is correlated, and by the gas.

Noise forces of the covariance :math:`2F`, :math:`F = m\gamma k_BT + \mathrm{Re}D`, heat the normal mode with the
orthonormal shape e by the power :math:`\sum_{jk} e_j F_{jk} e_k / \sqrt{m_jm_k}`. Of two equal particles these are the
centre of mass and the stretch, and recoil heats them by :math:`(D_{11} \pm \mathrm{Re}D_{12})/m`: particles that
scatter into each other's light share their recoil. A quantum of mode k is :math:`\hbar\omega_k`, in reduced units
:math:`\omega_k`.

PRL stands for Rudolph et al., Phys. Rev. Lett. 133, 233603 (2024), PRA for Phys. Rev. A 110, 063507 (2024).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from scipy import optimize

from stochbind import checks
from stochbind.analysis.temperatures import NormalModes, normal_modes
from stochbind.checks import FloatArray
from stochbind.errors import ScenarioError
from stochbind.optics.pairs import Rates, recoil_ratio
from stochbind.oscillators import Oscillators
from stochbind.scenario import Scenario, TweezerScenario

#: Modes whose frequencies differ by less than this, relatively, count as one frequency.
_DEGENERATE = 1e-9
#: Pressures between which recoil and gas are looked for to heat alike [Pa].
_PRESSURES = (1e-20, 1e6)


class ModeHeating(NamedTuple):
    """Heating of each normal mode.

    Attributes
    ----------
    modes : NormalModes
        Frequencies [rad/s] and shapes of the modes.
    recoil, gas : (N,) float
        Power that recoil, and that the noise of the gas, puts into each mode [W].
    quantum : (N,) float
        Energy of one quantum of each mode [J].
    """

    modes: NormalModes
    recoil: FloatArray
    gas: FloatArray
    quantum: FloatArray

    @property
    def recoil_rate(self) -> FloatArray:
        """Quanta per second from recoil [1/s], (N,)."""
        return self.recoil / self.quantum

    @property
    def gas_rate(self) -> FloatArray:
        """Quanta per second from the gas [1/s], (N,)."""
        return self.gas / self.quantum

    @property
    def rate(self) -> FloatArray:
        """Quanta per second from both [1/s], (N,)."""
        return self.recoil_rate + self.gas_rate


def heating_modes(array: Oscillators) -> NormalModes:
    """Normal modes, among those of equal frequency the ones whose noises are uncorrelated.

    Where forces alone leave the modes undetermined, as for equal particles without coupling, the noise decides: there
    recoil alone makes centre of mass and stretch different.

    Parameters
    ----------
    array : Oscillators
        N oscillators, underdamped.

    Returns
    -------
    NormalModes
        As `stochbind.analysis.temperatures.normal_modes`, but for rotations among modes of equal frequency.

    Raises
    ------
    ScenarioError
        If the array is overdamped, or the reciprocal part of the forces does not hold.
    """
    root = np.sqrt(_mass(array))
    rate, shape = normal_modes(array)
    noise = shape.T @ (array.force_noise / np.outer(root, root)) @ shape
    turned = shape.copy()
    edge = np.flatnonzero(np.diff(rate) > _DEGENERATE * rate[1:]) + 1
    for group in np.split(np.arange(len(rate)), edge):
        if len(group) > 1:
            turned[:, group] = shape[:, group] @ np.linalg.eigh(noise[np.ix_(group, group)])[1]
    first = np.argmax(np.abs(turned) > np.abs(turned).max(axis=0) * (1.0 - _DEGENERATE), axis=0)
    return NormalModes(rate, turned * np.sign(turned[first, np.arange(len(rate))]))


def mode_heating(array: Oscillators) -> ModeHeating:
    r"""Exact heating of each normal mode, by recoil and by gas.

    Parameters
    ----------
    array : Oscillators
        N oscillators, underdamped.

    Returns
    -------
    ModeHeating
        Powers and quanta, in the order of `heating_modes`.

    Raises
    ------
    ScenarioError
        As for `heating_modes`.

    References
    ----------
    PRL, eqs. (7) and (8): the diffusion of the momenta.
    """
    root = np.sqrt(_mass(array))
    modes = heating_modes(array)
    shape = modes.shape / root[:, None]
    recoil = np.einsum("jk,jl,lk->k", shape, np.asarray(array.diffusion).real, shape)
    gas = shape.T**2 @ (array.friction * array.thermal_energy)
    return ModeHeating(modes, recoil, gas, array.reduced_planck * modes.rate)


def noise_correlation(array: Oscillators) -> FloatArray:
    r"""Correlation coefficients :math:`F_{jk}/\sqrt{F_{jj}F_{kk}}` of the noise forces.

    Equal particles without coupling have these between their momenta, and between their displacements, at any time
    after a release from rest, and in the steady state, where :math:`\langle p_1p_2\rangle = \mathrm{Re}D_{12}/\gamma`.

    Parameters
    ----------
    array : Oscillators
        N oscillators.

    Returns
    -------
    (N, N) float
        Coefficients; the diagonal is one, but zero for a particle without noise.
    """
    force = array.force_noise
    size = np.sqrt(np.diagonal(force))
    inverse = np.divide(1.0, size, out=np.zeros_like(size), where=size > 0.0)
    result: FloatArray = force * inverse[:, None] * inverse
    return result


def collective_recoil(rates: Rates) -> FloatArray:
    r"""Recoil heating of centre of mass and stretch of a pair, :math:`\tfrac12(D_{11} + D_{22}) \pm \mathrm{Re}D_{12}`.

    Parameters
    ----------
    rates : Rates
        Rates of the pair.

    Returns
    -------
    (..., 2) float
        Quanta per time, in the unit of the rates: of the common motion, then of the differential one.

    References
    ----------
    PRL, below eq. (8).
    """
    mean, cross = rates.recoil.mean(axis=-1), rates.recoil_correlation.real
    return np.stack([mean + cross, mean - cross], axis=-1)


def largest_difference(distance: Any, wavenumber: float, z_r: float) -> FloatArray:
    r"""Relative difference of the recoil heating of both modes of a pair, at the best distances nearby.

    .. math::

        \frac{2\,\mathrm{Re}D_{12}}{D_{11}} = \frac{15\kappa^2}{kd\,(5\kappa^2 + 2k^2)}, \qquad \kappa = k - 1/z_R

    in the far field, for equal phases, polarizations across the pair, and :math:`|\sin kd| = 1`. It is twice the
    largest coupling rate over the recoil heating.

    Parameters
    ----------
    distance : (...) float
        d [m].
    wavenumber, z_r : float
        k [1/m] and Rayleigh range [m].

    Returns
    -------
    (...) float
        Difference over the mean.

    Raises
    ------
    ScenarioError
        If one of them is not positive, or no beam is that tight.

    References
    ----------
    PRL, eq. (8); PRA, eqs. (87a) and (87b), the latter as corrected in `stochbind.optics.binding`.
    """
    d = checks.positive("distance", checks.real_numbers("distance", distance))
    return np.asarray(2.0 / (wavenumber * d * recoil_ratio(wavenumber, z_r)))


def distance_of_difference(difference: Any, wavenumber: float, z_r: float) -> FloatArray:
    """Distance beyond which the relative difference of both heating rates is below a given one.

    Parameters
    ----------
    difference : (...) float
        Difference over the mean, positive.
    wavenumber, z_r : float
        k [1/m] and Rayleigh range [m].

    Returns
    -------
    (...) float
        Distance [m]: the inverse of `largest_difference`.

    Raises
    ------
    ScenarioError
        As `largest_difference` does.
    """
    wanted = checks.positive("difference", checks.real_numbers("difference", difference))
    return np.asarray(2.0 / (wavenumber * wanted * recoil_ratio(wavenumber, z_r)))


def pressure_of_equal_heating(scenario: TweezerScenario) -> FloatArray:
    r"""Pressure at which the gas heats each particle as recoil does, :math:`m\gamma(p)\,k_BT = \mathrm{Re}D_{jj}`.

    Below it recoil is the stronger one.

    Parameters
    ----------
    scenario : TweezerScenario
        Spheres in tweezers; its own pressure plays no part.

    Returns
    -------
    (N,) float
        Pressure [Pa].

    Raises
    ------
    ScenarioError
        If the scenario is of another kind, recoil heats a particle more than this gas does at any pressure, or its bath
        is at zero temperature.
    """
    if not isinstance(scenario, TweezerScenario):
        kind = scenario.kind if isinstance(scenario, Scenario) else type(scenario).__name__
        raise ScenarioError(
            'The pressure at which gas heats like recoil needs spheres in a gas, kind = "tweezers", but `scenario` is '
            f'"{kind}"; give one of that kind.'
        )
    array = scenario.oscillators()
    recoil = np.asarray(array.diffusion).real.diagonal()
    result = np.empty(len(recoil))
    for j, (power, energy) in enumerate(zip(recoil, array.thermal_energy, strict=True)):
        radius = scenario.radius[j : j + 1]

        def excess(
            logarithm: float, radius: FloatArray = radius, power: float = power, energy: float = energy
        ) -> float:
            friction = scenario.gas.model_copy(update={"pressure": math.exp(logarithm)}).friction(radius)
            return float(friction[0] * energy / power) - 1.0

        low, high = (math.log(pressure) for pressure in _PRESSURES)
        if not excess(low) < 0.0 < excess(high):
            raise ScenarioError(
                f"Gas at {energy / array.boltzmann:.6g} K heats particle {j} less than recoil does at any pressure up "
                f"to {_PRESSURES[1]:.0e} Pa; lower the power of the light."
            )
        result[j] = math.exp(optimize.brentq(excess, low, high, xtol=1e-13))
    return result


def _mass(array: Oscillators) -> FloatArray:
    if array.mass is None:
        raise ScenarioError("Heating rates need velocities, but the array is overdamped; give it masses.")
    return np.asarray(array.mass)
