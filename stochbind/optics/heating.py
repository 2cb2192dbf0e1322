"""What light leaves in particles: absorbed power, and the friction of light itself."""

from __future__ import annotations

import numpy as np
from scipy import constants

from stochbind.checks import ComplexArray, FloatArray
from stochbind.optics.dipoles import Dipoles


def absorbed_power(dipoles: Dipoles, position: FloatArray) -> FloatArray:
    r"""Power that each particle absorbs, :math:`\tfrac12\varepsilon_0 c k\,\Phi^\dagger a\,\Phi`.

    With a, the absorbing part of the polarizability, as in `stochbind.optics.recoil.recoil`.

    Parameters
    ----------
    dipoles : Dipoles
        The particles and their light.
    position : (N, 3) float
        Their places [m].

    Returns
    -------
    (N,) float
        [W]; negative for a particle that amplifies light.

    Raises
    ------
    ScenarioError
        If particles overlap.
    """
    dipole, taken = _taken(dipoles, position)
    scattered = dipoles.reaction * np.sum(np.abs(dipole) ** 2, axis=-1)
    return _power(dipoles, taken - scattered)


def extinguished_power(dipoles: Dipoles, position: FloatArray) -> FloatArray:
    r"""Power that each particle takes from the light and scatters or absorbs [W], (N,); as `absorbed_power`.

    Where the polarizability holds no reaction to the particle's own radiation, the scattered power is added.
    """
    dipole, taken = _taken(dipoles, position)
    reaction = dipoles.light.wavenumber**3 / (6.0 * np.pi)
    missing = (reaction - dipoles.reaction) * np.sum(np.abs(dipole) ** 2, axis=-1)
    return _power(dipoles, taken + missing)


def _taken(dipoles: Dipoles, position: FloatArray) -> tuple[ComplexArray, FloatArray]:
    found = dipoles.solve(dipoles.checked_array(position))
    field = found.incident + found.scattered
    taken: FloatArray = np.einsum("ni,ni->n", field.conj(), found.dipole).imag
    return found.dipole, taken


def _power(dipoles: Dipoles, value: FloatArray) -> FloatArray:
    return 0.5 * constants.epsilon_0 * constants.c * dipoles.light.wavenumber * value


def radiative_temperature(power: FloatArray, radius: FloatArray, surroundings: float) -> FloatArray:
    r"""Temperature at which a black sphere radiates a power, :math:`(P/4\pi R^2\sigma + T_0^4)^{1/4}`.

    A particle is hotter: small ones radiate less than black bodies, and gas cools them little.

    Parameters
    ----------
    power : (N,) float
        [W]; what is negative counts as zero.
    radius : (N,) float
        [m].
    surroundings : float
        [K].

    Returns
    -------
    (N,) float
        [K].
    """
    area = 4.0 * np.pi * radius**2
    return np.asarray((np.maximum(power, 0.0) / (area * constants.Stefan_Boltzmann) + surroundings**4) ** 0.25)
