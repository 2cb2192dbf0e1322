r"""The mode that antireciprocal coupling cools, and how far: recoil of the same light holds it above its ground state.

An array with antireciprocal coupling has *quasi-modes*, amplitudes :math:`\eta = u^\dagger x` with a left eigenvector u
of its drift. Each obeys :math:`\dot\eta = \lambda\eta + u^\dagger\xi` alone, whatever the others do: one that decays
saturates, though another grows and the array has no steady state. With quadratures as coordinates and
:math:`[\eta, \eta^\dagger] = 1`, that is :math:`u^\dagger J u = -i`, its occupation n tends to

.. math:: n + \tfrac12 = \frac{u^\dagger N u}{-2\,\mathrm{Re}\lambda}

with the noise N of symmetrised trajectories. PRL stands for Rudolph et al., Phys. Rev. Lett. 133, 233603 (2024).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from stochbind import checks
from stochbind.analysis.passes import cut, read
from stochbind.analysis.statistics import Estimate, jackknife, weighted_mean
from stochbind.checks import ComplexArray, FloatArray
from stochbind.errors import ScenarioError
from stochbind.modes import spectrum
from stochbind.oscillators import Oscillators
from stochbind.quantum.quadratures import quadratures

#: Least commutator of a quasi-mode, for a vector of norm one: below it is no quantum of its own.
_LEAST_COMMUTATOR = 1e-6


def saturated_occupation(
    recoil: Any, antireciprocal: Any, *, damping: Any = 0.0, thermal_occupation: Any = 0.0
) -> FloatArray:
    r"""Occupation at which both quasi-modes of an antireciprocal pair become steady.

    .. math:: n + \tfrac12 = \frac{D_{11} + \gamma(n_\mathrm{th} + \tfrac12)}{2g_a + \gamma}

    is that of the decaying mode, :math:`(a_1 - ia_2)/\sqrt2` for positive :math:`g_a`; the growing one has
    :math:`-g_a`, and is held by the gas only if :math:`2g_a < \gamma`. Without gas :math:`n = D_{11}/2g_a - \tfrac12`,
    in the far field :math:`D_{11}kd/2G - \tfrac12`. Two equal particles in the rotating frame, with :math:`g_r = 0` and
    equal frequencies, binding included; the real part of :math:`D_{12}` plays no part.

    Parameters
    ----------
    recoil : (...) float
        :math:`D_{11} = D_{22}` [1/s].
    antireciprocal : (...) float
        :math:`g_a` of the decaying mode, :math:`-g_a` of the growing one [1/s].
    damping : (...) float
        :math:`\gamma`, damping rate by the gas [1/s].
    thermal_occupation : (...) float
        :math:`n_\mathrm{th}` of the gas.

    Returns
    -------
    (...) float
        n; infinite where the mode grows.

    Raises
    ------
    ScenarioError
        If recoil is below the coupling, which light cannot do, or a number is negative that must not be.

    References
    ----------
    PRL, text below eq. (12). The noise printed below its eq. (11), 2D for the amplitudes, is that of the momenta; with
    it n would be twice as large.
    """
    d, g = checks.real_numbers("recoil", recoil), checks.real_numbers("antireciprocal", antireciprocal)
    gamma = checks.positive("damping", checks.real_numbers("damping", damping), or_zero=True)
    thermal = checks.real_numbers("thermal_occupation", thermal_occupation)
    checks.positive("thermal_occupation", thermal, or_zero=True)
    if (d < np.abs(g)).any():
        raise ScenarioError(
            "`recoil` must be at least as large as `antireciprocal`, as the same light makes both, but is "
            f"{checks.short(recoil)} beside {checks.short(antireciprocal)}."
        )
    rate = 2.0 * g + gamma
    with np.errstate(divide="ignore", invalid="ignore"):
        number = (d + gamma * (thermal + 0.5)) / rate - 0.5
    return np.asarray(np.where(rate > 0.0, number, math.inf))


@dataclass(frozen=True, eq=False)
class QuasiModes:
    r"""Quasi-modes of an array, slowest decay or fastest growth first.

    Attributes
    ----------
    value : (K,) complex
        :math:`\lambda` [1/s], with a negative imaginary part; the amplitude grows at its real part.
    left : (2N, K) complex
        u, of quadratures: :math:`\eta = u^\dagger x`.
    noise : (K,) float
        :math:`u^\dagger N u` [1/s], the rate at which symmetrised noise feeds :math:`|\eta|^2`.
    """

    value: ComplexArray
    left: ComplexArray
    noise: FloatArray

    @property
    def growth_rate(self) -> FloatArray:
        """Of the amplitude [1/s], negative for modes that decay; (K,)."""
        return self.value.real

    @property
    def occupation(self) -> FloatArray:
        """Occupation that each mode tends to, infinite for those that grow; (K,)."""
        rate = -2.0 * self.growth_rate
        with np.errstate(divide="ignore"):
            return np.asarray(np.where(rate > 0.0, self.noise / np.abs(rate) - 0.5, math.inf))

    def occupation_at(self, time: Any, covariance: FloatArray) -> FloatArray:
        r"""Exact occupation at times, from a covariance of quadratures, zero in the mean, at time zero.

        Parameters
        ----------
        time : (T,) float
            [s].
        covariance : (2N, 2N) float
            Symmetrised, of quadratures: half the identity in the ground state.

        Returns
        -------
        (T, K) float
            Occupations.
        """
        t = checks.array("time", time, ("T",))[:, None]
        start = np.einsum("ik,ij,jk->k", self.left.conj(), covariance, self.left).real
        double = 2.0 * self.growth_rate
        with np.errstate(divide="ignore", invalid="ignore"):
            fed = np.where(double == 0.0, t, np.expm1(double * t) / double)
        result: FloatArray = start * np.exp(double * t) + self.noise * fed - 0.5
        return result


def quasi_modes(array: Oscillators) -> QuasiModes:
    """Quasi-modes of the whole drift of an array, without the rotating-wave approximation.

    Parameters
    ----------
    array : Oscillators
        N oscillators, underdamped; forces beyond the linear ones are left out.

    Returns
    -------
    QuasiModes
        Those that oscillate, N of them unless some are overdamped.

    Raises
    ------
    ScenarioError
        If the array is overdamped, a trap does not hold, the array is at an exceptional point, or a mode has no quantum
        of its own, as where reciprocal coupling alone makes it grow.

    Notes
    -----
    Overdamped modes have no quantum of their own either, and are left out.
    """
    equations = quadratures(array)
    n = array.n_oscillators
    found = spectrum.modes(equations)
    if (~found.oscillating & (found.frequency.imag > found.round_off)).any():
        raise ScenarioError(
            "A quasi-mode must have a quantum of its own, but one grows without oscillating; weaken the coupling."
        )
    kept = np.flatnonzero(found.oscillating)
    if (found.order[kept] > 1).any():
        raise ScenarioError(
            "Quasi-modes need eigenvectors of their own, but the array is at an exceptional point; change its coupling "
            "or its frequencies."
        )
    kept = kept[np.argsort(-found.frequency[kept].imag, kind="stable")]
    left = found.left[:, kept] / np.linalg.norm(found.left[:, kept], axis=0)
    # [z, p] = i, so that the commutator of the amplitude is i u^+ J u with J = [[0, 1], [-1, 0]].
    commutator = 1j * np.sum(left[:n].conj() * left[n:] - left[n:].conj() * left[:n], axis=0)
    if not (commutator.real > _LEAST_COMMUTATOR).all():
        raise ScenarioError(
            "A quasi-mode must have a quantum of its own, but one has the commutator "
            f"{float(commutator.real.min()):.2g}; weaken the coupling."
        )
    left = left / np.sqrt(commutator.real)
    noise = np.einsum("ik,ij,jk->k", left.conj(), equations.noise_covariance, left).real
    return QuasiModes(-1j * found.frequency[kept], left, noise / equations.time_unit)


def quasi_amplitudes(dataset: xr.Dataset, array: Oscillators) -> ComplexArray:
    r"""Amplitudes :math:`\eta` of a record, symmetrised: the mean of their squares is the occupation and one half.

    Parameters
    ----------
    dataset : xarray.Dataset
        With `position` and `velocity` (trajectory, time, particle), in SI; read into memory.
    array : Oscillators
        As for `quasi_modes`.

    Returns
    -------
    (n_trajectories, T, K) complex
        Amplitudes, in the order of `quasi_modes`.

    Raises
    ------
    ScenarioError
        As for `quasi_modes`.
    """
    modes, unit = quasi_modes(array), quadratures(array).unit
    n = array.n_oscillators
    parts = [dataset[name].transpose("trajectory", "time", ...).to_numpy() for name in ("position", "velocity")]
    position, velocity = (part.reshape(*part.shape[:2], n) for part in parts)
    turned = modes.left.conj() / unit[:, None]
    result: ComplexArray = position @ turned[:n] + velocity @ turned[n:]
    return result


@dataclass(frozen=True, eq=False)
class QuasiRecord:
    """What a record tells of quasi-modes.

    Attributes
    ----------
    modes : QuasiModes
        The exact ones.
    occupation : Estimate
        Mean occupation of each over the window, (K,).
    growth_rate : Estimate
        Rate at which the amplitude of each grows [1/s], (K,), from its regression on itself one state earlier.
    times : (T,) float
        Of the states in the window [s].
    """

    modes: QuasiModes
    occupation: Estimate
    growth_rate: Estimate
    times: FloatArray


def quasi_record(dataset: xr.Dataset, array: Oscillators, *, start: int = 0) -> QuasiRecord:
    """Occupations and growth rates of quasi-modes from a record, read once in bounded memory.

    Parameters
    ----------
    dataset : xarray.Dataset
        With `position` and `velocity` (trajectory, time, particle), in SI.
    array : Oscillators
        As for `quasi_modes`.
    start : int
        First state of the window.

    Returns
    -------
    QuasiRecord
        Estimates with error bars from the scatter between groups of trajectories.

    Raises
    ------
    ScenarioError
        As for `quasi_modes`.
    IncompleteError
        If states are missing.
    TooFewSamplesError
        If there are fewer than eight trajectories, or two states.
    """
    modes = quasi_modes(array)
    cells = cut(dataset, start=start)
    equations = array.langevin()
    scale = equations.unit / quadratures(array).unit
    sums = _Squares(modes.left * scale[:, None], cells.n_groups)
    reading = read(dataset, equations, [sums], start=start, cells=cells)
    count = np.bincount(cells.group)[:, None] * reading.n_states
    occupation = weighted_mean(sums.square / count - 0.5, cells.weight)

    def growth(lagged: FloatArray, before: FloatArray) -> FloatArray:
        return np.asarray(np.log(np.hypot(lagged[..., 0], lagged[..., 1]) / before) / reading.interval)

    lagged = np.stack([sums.lagged.real, sums.lagged.imag], axis=-1)
    rate = jackknife(growth, lagged / count[..., None], sums.before / count, weight=cells.weight)
    return QuasiRecord(modes, occupation, rate, dataset["time"].to_numpy()[start:])


class _Squares:
    """Squares of quasi-amplitudes, and their products one state apart: a `stochbind.analysis.passes.Pass`."""

    def __init__(self, left: ComplexArray, n_groups: int) -> None:
        self._left = left.conj()
        shape = (n_groups, left.shape[1])
        self.square, self.before, self.lagged = np.zeros(shape), np.zeros(shape), np.zeros(shape, complex)
        self._previous: ComplexArray | None = None

    def add(self, state: FloatArray, *, cells: npt.NDArray[np.intp], first: int, last: bool) -> None:
        """Take the next piece; see `stochbind.analysis.passes.Pass`."""
        del first
        amplitude: ComplexArray = state @ self._left
        np.add.at(self.square, cells, (np.abs(amplitude) ** 2).sum(axis=1))
        if self._previous is not None:
            amplitude = np.concatenate([self._previous, amplitude], axis=1)
        before, after = amplitude[:, :-1], amplitude[:, 1:]
        np.add.at(self.before, cells, (np.abs(before) ** 2).sum(axis=1))
        np.add.at(self.lagged, cells, (after * before.conj()).sum(axis=1))
        self._previous = None if last else amplitude[:, -1:].copy()
