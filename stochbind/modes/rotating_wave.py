r"""Underdamped arrays in a rotating frame: one complex amplitude for each oscillator, and what that leaves out.

:math:`a_j = (z_j + ip_j)e^{i\omega t}/\sqrt2`, with z and p in units of :math:`\sqrt{\hbar/m_j\Omega_j}` and
:math:`\sqrt{\hbar m_j\Omega_j}`, obeys :math:`\dot a = -iHa + \xi` as long as couplings, damping rates and
detunings are slow: what turns at :math:`2\omega` is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from stochbind import amplitudes, checks
from stochbind.checks import ComplexArray, FloatArray
from stochbind.errors import PlanError, ScenarioError
from stochbind.langevin import Langevin
from stochbind.modes.spectrum import modes
from stochbind.oscillators import Oscillators


@dataclass(frozen=True, eq=False, kw_only=True)
class RotatingFrame:
    r"""Equations of amplitudes in a rotating frame.

    Attributes
    ----------
    H : (N, N) complex
        Dynamical matrix [rad/s].
    symmetric_noise : (N, N) float
        :math:`\Gamma^\mathrm{sym}` [1/s], that of classical and of Wigner trajectories; see `normal_noise`.
    frequency : float
        :math:`\omega` of the frame [rad/s].
    reduced : bool
        Whether times are in reduced units.
    """

    H: ComplexArray
    symmetric_noise: FloatArray
    frequency: float
    reduced: bool = False

    @property
    def normal_noise(self) -> ComplexArray:
        r"""Normally ordered :math:`\Gamma` [1/s], shape (N, N).

        Raises
        ------
        NoiseError
            If no quantum noise has it: classical baths are colder than the vacuum, for instance; see
            `stochbind.quantum.quadratures.with_quantum_baths`.
        """
        return amplitudes.to_normal(self.H, self.symmetric_noise)

    def langevin(self, ordering: str = "symmetric") -> Langevin:
        """The equations of real and imaginary parts.

        Parameters
        ----------
        ordering : {"symmetric", "normal"}
            Of the noise, and so of the averages; see `stochbind.amplitudes`.

        Returns
        -------
        Langevin
            Of 2N coordinates. Its unit of time is that of the fastest rate in the frame.

        Raises
        ------
        PlanError
            If there is no such ordering.
        NoiseError
            If no quantum noise has the normal ordering.
        """
        if ordering not in ("symmetric", "normal"):
            raise PlanError(f'`ordering` must be "symmetric" or "normal", but is {checks.short(ordering)}.')
        noise: Any = self.symmetric_noise if ordering == "symmetric" else self.normal_noise
        rate = max(float(np.abs(self.H).max()), float(np.abs(noise).max())) or 1.0
        return Langevin.from_complex(self.H, noise, time_unit=1.0 / rate, reduced=self.reduced)


def rotating_frame(array: Oscillators, frequency: float | None = None) -> RotatingFrame:
    r"""An underdamped array in the frame that rotates near its frequencies.

    .. math::

        H_{jk} = \left(\Omega_j - \omega - \tfrac i2\gamma_j\right)\delta_{jk}
          - \frac{C_{jk}}{2\sqrt{m_jm_k\Omega_j\Omega_k}}, \qquad
        \Gamma^\mathrm{sym}_{jk} = \frac{m_j\gamma_jk_BT_j\delta_{jk} + \mathrm{Re}D_{jk}}
          {\hbar\sqrt{m_jm_k\Omega_j\Omega_k}}

    with :math:`\Omega_j = \sqrt{u_j/m_j}`, binding included. In reduced units :math:`\hbar = 1`.

    Parameters
    ----------
    array : Oscillators
        N oscillators; forces beyond the linear ones are left out.
    frequency : float, optional
        :math:`\omega` [rad/s]; by default the mean of :math:`\Omega_j`.

    Returns
    -------
    RotatingFrame
        The equations.

    Raises
    ------
    ScenarioError
        If the array is overdamped, a trap does not hold, or the frequency is not finite.

    References
    ----------
    Of two equal particles, with :math:`\omega + g_r` as the frequency of the frame: PRL, eqs. (8), (10), (11), but with
    D for the noise, where 2D is printed, and with the frequency :math:`\omega - \delta\omega/2` for particle 1.
    """
    if array.mass is None:
        raise ScenarioError("A rotating frame needs oscillations, but the array is overdamped; give it masses.")
    checks.positive("stiffness", array.stiffness)
    own = np.sqrt(array.stiffness / array.mass)
    mean = float(own.mean() if frequency is None else checks.array("frequency", frequency, ()))
    momentum = np.sqrt(np.outer(array.mass * own, array.mass * own))
    action = array.reduced_planck
    matrix = np.diag(own - mean - 0.5j * array.friction / array.mass) - array.coupling / (2.0 * momentum)
    return RotatingFrame(
        H=matrix.astype(np.complex128),
        symmetric_noise=array.force_noise / (action * momentum),
        frequency=mean,
        reduced=array.reduced,
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class RotatingWaveError:
    r"""Complex frequencies of an array in the rotating frame, and what they differ by from those of the full equations.

    Attributes
    ----------
    full : (N,) complex
        Frequencies of the full equations [rad/s].
    rotating : (N,) complex
        Those of H, to which that of the frame is added, in the same order [rad/s].
    scale : float
        Largest coupling in H, or damping rate if there is none [rad/s].
    """

    full: ComplexArray
    rotating: ComplexArray
    scale: float

    @property
    def difference(self) -> ComplexArray:
        """Rotating less full [rad/s], shape (N,)."""
        result: ComplexArray = self.rotating - self.full
        return result

    @property
    def relative(self) -> float:
        """Largest difference of a frequency, relative to the coupling."""
        return float(np.abs(self.difference).max() / self.scale) if self.scale > 0 else 0.0

    @property
    def relative_damping(self) -> float:
        """Largest difference of a rate of growth or decay, relative to the coupling."""
        return float(np.abs(self.difference.imag).max() / self.scale) if self.scale > 0 else 0.0


def rotating_wave_error(array: Oscillators, frequency: float | None = None) -> RotatingWaveError:
    r"""What a rotating frame leaves out, in the complex frequencies of an array.

    It is of the order of the coupling over :math:`\omega`, relative to the coupling.

    Parameters
    ----------
    array, frequency
        As for `rotating_frame`.

    Returns
    -------
    RotatingWaveError
        Both sets of frequencies.

    Raises
    ------
    ScenarioError
        As `rotating_frame` does, or if not all modes of the full equations oscillate.
    """
    frame = rotating_frame(array, frequency)
    found = modes(array)
    if len(found) != array.n_oscillators or not found.oscillating.all():
        raise ScenarioError(
            f"A rotating frame needs {array.n_oscillators} modes that oscillate, but only "
            f"{int(found.oscillating.sum())} do: the array is overdamped or unstable; weaken friction or coupling."
        )
    rotating = frame.frequency + modes(frame.H).frequency
    row, column = linear_sum_assignment(np.abs(found.frequency[:, None] - rotating))
    coupling = float(np.abs(frame.H - np.diag(np.diagonal(frame.H))).max(initial=0.0))
    return RotatingWaveError(
        full=found.frequency[row],
        rotating=rotating[column],
        scale=coupling or float(np.abs(frame.H.imag).max()),
    )
