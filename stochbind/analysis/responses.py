r"""Responses to forces: what is driven, what fluctuations would tell in equilibrium, and by how much that is wrong.

The susceptibility :math:`\chi_{jk}(\omega)`, displacement of j per force on k, is found in three ways:

- by driving k and reading j at the frequency of the drive, `driven_response`: right for any system;
- by regression of each state on the one before, `stochbind.analysis.transfer.response_transfer`: right for linear
  systems, in equilibrium or out of it;
- from correlations by the fluctuation-dissipation theorem, `naive_susceptibility`: right in equilibrium only. Out of
  it, what is found so is another number, and its direction may be the wrong one. By how much it is wrong is told as an
  effective temperature, that at which the theorem would hold (Cugliandolo, J. Phys. A 44, 483001 (2011)).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from stochbind.analysis import passes, windows
from stochbind.analysis.lock_in import LockIn
from stochbind.analysis.statistics import Estimate, Record
from stochbind.analysis.transfer import (
    Direction,
    Transfer,
    Transfers,
    asymmetry_of_ratio,
    at_resonance,
    jackknife,
    pairs,
    regressed_equations,
    resonant_susceptibility,
    susceptibility,
    transfers_of,
)
from stochbind.checks import ComplexArray, FloatArray
from stochbind.errors import PlanError, TooFewSamplesError
from stochbind.langevin import Langevin
from stochbind.oscillators import Oscillators
from stochbind.protocols import Drive

#: Blocks of time that a driven record of few trajectories is cut in, at most, and their length in decay times.
_MOST_BLOCKS, _BLOCK = 64, 10.0
_FEW_TRAJECTORIES = 32
#: A ratio of responses is told only if the larger one is this many standard errors from zero.
_SIGNIFICANT = 10.0


@dataclass(frozen=True, eq=False)
class DrivenResponse:
    r"""Displacements per force on one oscillator, at the frequency of the force.

    Attributes
    ----------
    real, imaginary : Estimate
        Parts of :math:`\chi_{jk}(\omega)` for all j [m/N], (N,), in the convention :math:`e^{-i\omega t}`.
    modulus : Estimate
        :math:`|\chi_{jk}|` [m/N], (N,); not less than zero, hence too large where it is within its error bar of zero.
    exact : (N,) complex
        What linear equations without the further forces give.
    oscillator : int
        k.
    angular_frequency : float
        :math:`\omega` [rad/s].
    """

    real: Estimate
    imaginary: Estimate
    modulus: Estimate
    exact: ComplexArray
    oscillator: int
    angular_frequency: float

    @property
    def value(self) -> ComplexArray:
        """The susceptibility [m/N], (N,)."""
        result: ComplexArray = self.real.value + 1j * self.imaginary.value
        return result


def driven_response(
    dataset: xr.Dataset, array: Oscillators, drive: Drive, *, others: Sequence[Drive] = (), start: int | None = None
) -> DrivenResponse:
    r"""Response of all oscillators to a drive, from the record of a run in which it acts.

    With :math:`F \cos\theta` the force on k, and :math:`a \cos\theta + b \sin\theta + c` fitted to the position of j,
    the susceptibility is :math:`(a + ib)/F`. What oscillates with other drives of the same run is fitted together with
    it.

    Parameters
    ----------
    dataset : xarray.Dataset
        A record, of dims (trajectory, time, particle[, axis]), in SI, with the times of its states since the drive set
        in with its phase.
    array : Oscillators
        The array.
    drive : Drive
        The force, on a particle.
    others : sequence of Drive
        All other drives of the run. Their frequencies must differ from that of the drive by one beat within the window
        or more.
    start : int, optional
        First state of the window; by default after six decay times of the slowest mode, or half of the record.

    Returns
    -------
    DrivenResponse
        With error bars.

    Raises
    ------
    PlanError
        If the force is zero or does not oscillate, or another drive has the same frequency or nearly so.
    UnstableError
        If there is no steady response.
    IncompleteError
        If states are missing.
    TooFewSamplesError
        If the states do not resolve the drives, or there are too few of them.
    """
    equations = array.langevin()
    k = drive.oscillator(equations)
    for name, value in (("force", drive.force), ("angular_frequency", drive.angular_frequency)):
        if value == 0:
            raise PlanError(f"`{name}` of the drive must not be zero for a response to it.")
    equations.require_stable("The response to a drive")
    time = dataset["time"].to_numpy()
    if len(time) < 8:
        raise TooFewSamplesError(
            f"A response needs at least 8 states of each trajectory, but the record has {len(time)}."
        )
    interval = float(time[1] - time[0])
    rate = equations.stability.growth_rate
    begin = windows.settled(rate, interval, len(time)) if start is None else start
    duration = interval * (len(time) - begin)
    fitted = [drive, *_told_apart(drive, others, duration)]
    blocks = 1
    if dataset.sizes["trajectory"] < _FEW_TRAJECTORIES:
        blocks = max(1, min(_MOST_BLOCKS, math.floor(-rate * duration / _BLOCK)))
    cells = passes.cut(dataset, start=begin, n_blocks=blocks)
    where = equations.select("position")
    lock = LockIn(where, cells.n_groups, fitted, first_time=float(time[begin]), interval=interval)
    passes.read(dataset, equations, [lock], start=begin, cells=cells)
    scale = equations.unit[where] / drive.force

    def parts(sums: FloatArray) -> FloatArray:
        return lock.amplitudes(sums)[..., 0, :] * scale

    both, replicate = jackknife(lock.sums, parts)
    size = np.hypot(both.value[0], both.value[1])
    n = len(replicate)
    moduli = np.hypot(replicate[:, 0], replicate[:, 1])
    of_size = np.sqrt((n - 1) / n * ((moduli - moduli.mean(axis=0)) ** 2).sum(axis=0))
    of_both = np.hypot(both.stderr[0], both.stderr[1])
    # Near zero the modulus hardly varies with one of the parts, and its own error bar would be too short.
    stderr = np.where(size > 3.0 * of_both, of_size, of_both)
    return DrivenResponse(
        real=Estimate(both.value[0], both.stderr[0], both.n_eff),
        imaginary=Estimate(both.value[1], both.stderr[1], both.n_eff),
        modulus=Estimate(size, stderr, both.n_eff),
        exact=susceptibility(array, equations, drive.angular_frequency)[:, k],
        oscillator=k,
        angular_frequency=drive.angular_frequency,
    )


def _told_apart(drive: Drive, others: Sequence[Drive], duration: float) -> list[Drive]:
    """Of the other drives those that oscillate, one of each frequency; `PlanError` if one is not told from the drive.

    All of one frequency are one cosine and one sine, and what a constant force does is in the constant.
    """
    kept: dict[float, Drive] = {}
    for other in others:
        omega = other.angular_frequency
        if other.force == 0 or omega == 0:
            continue
        if abs(omega - drive.angular_frequency) * duration < 2.0 * math.pi:
            raise PlanError(
                f"Two drives of this run, at {drive.angular_frequency:.6g} and {omega:.6g} rad/s, do not beat once in "
                f"the {duration:.4g} s that are averaged, so that the responses to them are not told apart; set their "
                "frequencies further apart, run longer, or drive in runs of their own."
            )
        kept[omega] = other
    return list(kept.values())


def driven_transfer(first: DrivenResponse, second: DrivenResponse) -> Transfer:
    """Directional transfer of signals, from two runs: one with a drive on one oscillator, one with it on the other.

    Parameters
    ----------
    first, second : DrivenResponse
        Of independent runs of the same array, at the same frequency.

    Returns
    -------
    Transfer
        Ratio of the susceptibilities, weak to strong, and asymmetry; the strong direction is that of the larger exact
        susceptibility.

    Raises
    ------
    PlanError
        If both drives are on the same oscillator, or at different frequencies.
    TooFewSamplesError
        If the strong direction is not told from zero.
    """
    if first.oscillator == second.oscillator or not math.isclose(
        first.angular_frequency, second.angular_frequency, rel_tol=1e-6
    ):
        raise PlanError(
            "Two responses are compared of drives on two oscillators at one frequency, but the drives are on "
            f"{first.oscillator} and {second.oscillator}, at {first.angular_frequency:.6g} and "
            f"{second.angular_frequency:.6g} rad/s."
        )
    if abs(first.exact[second.oscillator]) < abs(second.exact[first.oscillator]):
        first, second = second, first
    j, k = second.oscillator, first.oscillator
    strong, strong_error = float(first.modulus.value[j]), float(first.modulus.stderr[j])
    weak, weak_error = float(second.modulus.value[k]), float(second.modulus.stderr[k])
    if not strong > _SIGNIFICANT * strong_error:
        raise TooFewSamplesError(
            f"The response of {j} to a force on {k} is {strong:.3g} with error bar {strong_error:.3g}: too little to "
            "take a ratio to; drive harder, or run longer."
        )
    ratio = weak / strong
    stderr = math.hypot(weak_error, ratio * strong_error) / strong
    n_eff = min(first.modulus.n_eff, second.modulus.n_eff)
    found = Estimate(np.asarray(ratio), np.asarray(stderr), n_eff)
    return Transfer(Direction(j, k), found, asymmetry_of_ratio(found))


def naive_susceptibility(
    array: Oscillators, equations: Langevin, second: FloatArray, angular_frequency: float
) -> ComplexArray:
    r"""What correlations say of the susceptibility if the fluctuation-dissipation theorem is taken to hold.

    .. math:: \chi^{FDT}_{jk}(\omega) = \frac{1}{k_B T_k} [C_{jk}(0)
              + i\omega \int_0^\infty C_{jk}(t)\,e^{i\omega t}\,dt], \qquad C(t) = e^{At} \Sigma,

    with the bath temperature of k, on which the force acts. It is the susceptibility in equilibrium, and only there
    (Kubo, Rep. Prog. Phys. 29, 255 (1966)).

    Parameters
    ----------
    array : Oscillators
        The array, with bath temperatures above zero.
    equations : Langevin
        Their equations: exact, or found by `stochbind.analysis.transfer.regressed_equations`.
    second : (2N, 2N) or (N, N) float
        Second moments in scaled units, exact or found.
    angular_frequency : float
        :math:`\omega` [rad/s].

    Returns
    -------
    (N, N) complex
        [m/N].

    Raises
    ------
    PlanError
        If a bath has no temperature.
    """
    if (array.thermal_energy <= 0).any():
        j = int(np.flatnonzero(array.thermal_energy <= 0)[0])
        raise PlanError(
            f"The fluctuation-dissipation theorem needs bath temperatures above zero, but bath_temperature[{j}] is 0."
        )
    n = array.n_oscillators
    omega = angular_frequency * equations.time_unit
    whole = second + 1j * omega * equations.susceptibility(angular_frequency) @ second
    scale = np.outer(equations.unit[:n], equations.unit[:n]) / array.thermal_energy[None, :]
    result: ComplexArray = whole[:n, :n] * scale
    return result


def effective_temperature(
    array: Oscillators, equations: Langevin, second: FloatArray, angular_frequency: float
) -> FloatArray:
    r"""Effective temperature over that of the bath, (N,): :math:`\mathrm{Im}\,\chi^{FDT}_{jj}/\mathrm{Im}\,\chi_{jj}`.

    One for all oscillators and frequencies in equilibrium; elsewhere it depends on both. Parameters as for
    `naive_susceptibility`; the frequency must not be zero.
    """
    naive = naive_susceptibility(array, equations, second, angular_frequency)
    real = susceptibility(array, equations, angular_frequency)
    result: FloatArray = np.diagonal(naive).imag / np.diagonal(real).imag
    return result


def found_effective_temperature(
    array: Oscillators, equations: Langevin, record: Record, angular_frequency: float
) -> Estimate:
    """Effective temperatures over those of the baths that a record shows; see `effective_temperature`.

    Parameters
    ----------
    array : Oscillators
        The array.
    equations : Langevin
        Its exact equations; see `stochbind.analysis.transfer.regressed_equations`.
    record : Record
        Of a run.
    angular_frequency : float
        Not zero [rad/s].

    Returns
    -------
    Estimate
        (N,).

    Raises
    ------
    TooFewSamplesError
        If states are kept too rarely to follow the motion.
    """

    def ratio(part: Record) -> FloatArray:
        return effective_temperature(array, regressed_equations(equations, part), part.second[0], angular_frequency)

    value, replicate = record.regrouped(_FEW_TRAJECTORIES).jackknife(ratio)
    n = len(replicate)
    stderr = np.sqrt((n - 1) / n * ((replicate - replicate.mean(axis=0)) ** 2).sum(axis=0))
    return Estimate(value, stderr, float(n))


def naive_response_transfer(array: Oscillators, equations: Langevin, record: Record) -> Transfers:
    """As `stochbind.analysis.transfer.response_transfer`, by the fluctuation-dissipation theorem: wrong on purpose.

    In equilibrium it agrees, and elsewhere the difference is that of the theorem. The strong direction is that of the
    exact response, so that a ratio above one means that the theorem points the other way.
    """

    def response(part: Record) -> ComplexArray:
        return resonant_naive_susceptibility(array, regressed_equations(equations, part), part.second[0])

    exact = np.abs(resonant_susceptibility(array, equations))
    directions = pairs(exact * (1 - np.eye(len(exact))))
    return transfers_of(directions, *record.regrouped(_FEW_TRAJECTORIES).jackknife(response))


def resonant_naive_susceptibility(array: Oscillators, equations: Langevin, second: FloatArray) -> ComplexArray:
    r"""`naive_susceptibility` of each pair at its own resonance [m/N], (N, N).

    Overdamped that is zero frequency, where it is :math:`\langle q_j q_k \rangle/k_BT_k`: the ratio of both directions
    is that of the temperatures, whatever couples. For a pair with noise of its own each it is so at all frequencies.
    """
    return at_resonance(array, lambda omega: naive_susceptibility(array, equations, second, omega))
