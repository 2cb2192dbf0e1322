r"""Light fields with their exact derivatives: plane waves, Gaussian tweezers, and sums of them.

Fields are complex amplitudes in SI, with the time dependence :math:`e^{-i\omega t}`; a real field is
:math:`\mathrm{Re}(E e^{-i\omega t})`. Electric and magnetic field come as one six-vector :math:`(E, \eta H)`, both in
V/m, with :math:`\eta = \mu_0 c`.
"""

from stochbind.optics.waves.base import Superposition, Values, Wave, coherent_groups
from stochbind.optics.waves.lasers import (
    GaussianTweezer,
    PlaneWave,
    amplitude_of_intensity,
    amplitude_of_power,
    parallel_tweezers,
    standing_wave,
)
from stochbind.optics.waves.polarizations import circular, elliptical, linear, transverse_basis

__all__ = [
    "GaussianTweezer",
    "PlaneWave",
    "Superposition",
    "Values",
    "Wave",
    "amplitude_of_intensity",
    "amplitude_of_power",
    "circular",
    "coherent_groups",
    "elliptical",
    "linear",
    "parallel_tweezers",
    "standing_wave",
    "transverse_basis",
]
