"""What a scenario of tweezers leaves out, where it matters: one sentence each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stochbind.scenario.base import LARGEST_MODEL_ERROR

if TYPE_CHECKING:
    from stochbind.scenario.tweezers import TweezerScenario

#: Barrier, in thermal energies, below which a note says that a particle leaves its tweezer.
LOWEST_BARRIER = 10.0
#: Relative spread of the frequencies in a lattice above which a note tells it.
LARGEST_SPREAD_OF_FREQUENCIES = 1e-3


def notes(scenario: TweezerScenario) -> list[str]:
    """All notes on a scenario."""
    z_r = scenario.rayleigh_range
    result = []
    shift, softening = scenario.pushed_equilibrium
    j = int(softening.argmin())
    if softening[j] < 0.95 and not scenario.full:
        result.append(
            f"Radiation pressure moves particle {j} by {shift[j]:.0%} of the Rayleigh range, where its trap is "
            f"{1.0 - softening[j]:.0%} softer than at the focus; the model takes stiffness and couplings at the "
            "focus."
        )
    permittivity = (3.0 + 2.0 * scenario.susceptibility) / (3.0 - scenario.susceptibility)
    mie = 0.6 * (scenario.wavenumber * scenario.radius) ** 2 * np.abs(permittivity - 2.0) / (permittivity + 2.0)
    j = int(mie.argmax())
    if mie[j] > LARGEST_MODEL_ERROR:
        result.append(
            f"Particle {j} is not small beside the wavelength: its polarizability differs from Mie's by about "
            f"{mie[j]:.0%}."
        )
    equations = scenario.langevin()
    if scenario.full:
        height = scenario.barrier / np.maximum(scenario.oscillators().thermal_energy, 1e-300)
        j = int(height.argmin())
        if height[j] < LOWEST_BARRIER:
            result.append(
                f"The barrier that keeps particle {j} in its tweezer against radiation pressure is "
                f"{height[j]:.2g} k_B T high: sooner or later a trajectory leaves it."
            )
    elif equations.steady is not None:
        spread = np.sqrt(np.diagonal(equations.steady.covariance)) * equations.unit
        ratio = spread[: scenario.n_particles] / z_r
        if ratio.max() > 0.1:
            j = int(ratio.argmax())
            result.append(
                f"The steady motion of particle {j} spreads over {ratio[j]:.0%} of the Rayleigh range, where the "
                "trap is no longer harmonic."
            )
    if scenario.lattice is not None and not scenario.lattice.equal_frequencies:
        bound = np.sqrt(np.abs(scenario.oscillators().stiffness / scenario.mass))
        spread_of_all = float(np.ptp(bound) / bound.mean())
        if spread_of_all > LARGEST_SPREAD_OF_FREQUENCIES:
            result.append(
                f"Optical binding makes the frequencies of the lattice differ by up to {spread_of_all:.1%}; "
                + (
                    'powers at which they are equal are found for forces = "linear" alone.'
                    if scenario.full
                    else "set lattice.equal_frequencies = true for powers at which they are equal."
                )
            )
    return result
