r"""Homodyne detection of the light that particles scatter, and the conditional state that it leaves.

The light that is detected tells where the particles are. With the efficiency :math:`\eta_j`, the record of particle j
is :math:`dy_j = q_j\,dt + dv_j`, with white noise of the density :math:`\hbar^2 / 8\eta_jD_{jj}`. The Wigner function
of what is known then moves as that of a classical particle with the whole noise 2 Re D would whose position is so
recorded: the conditional state is what the Kalman-Bucy filter makes of the record, and the measured array is a
`Langevin` with records for further coordinates. The phase of the local oscillator is the one that tells most of the
positions; noise of the record and of the forces are then independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy import linalg

from stochbind import checks
from stochbind.checks import FloatArray
from stochbind.errors import ScenarioError, UnstableError
from stochbind.langevin import Langevin, Moments
from stochbind.oscillators import Oscillators
from stochbind.quantum.quadratures import quadratures
from stochbind.quantum.riccati import filtered_covariance, filtering, steady_covariance, unseen
from stochbind.quantum.symplectic import mode_indices
from stochbind.stability import Coordinate


def largest_efficiency(array: Oscillators) -> float:
    r"""The largest efficiency with which all particles can be detected at once.

    Light that two particles scatter into the same directions cannot be detected twice:
    :math:`D - \mathrm{diag}(\eta_jD_{jj})` must stay positive semidefinite. With one efficiency for all that is the
    smallest eigenvalue of D scaled to unit diagonal; for a pair :math:`1 - |D_{12}|/\sqrt{D_{11}D_{22}}`.

    Parameters
    ----------
    array : Oscillators
        N oscillators with recoil.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    ScenarioError
        If a particle has no recoil.
    """
    diffusion = np.asarray(array.diffusion)
    recoil = _require_recoil(np.diagonal(diffusion).real, range(array.n_oscillators))
    scale = np.sqrt(recoil)
    return float(np.clip(np.linalg.eigvalsh(diffusion / scale[:, None] / scale)[0], 0.0, 1.0))


@dataclass(frozen=True, eq=False)
class Homodyne:
    r"""Homodyne detection of the positions of particles.

    Parameters
    ----------
    array : Oscillators
        N oscillators, underdamped, whose recoil diffusion D is that of the light that is detected.
    efficiency : float or (M,) float
        :math:`\eta`, the share of the information in the scattered light that the detectors get: above 0, up to 1.
    particles : int or sequence of int, optional
        The M oscillators that are detected, each once; all by default.

    Raises
    ------
    ScenarioError
        If the array is overdamped or a trap does not hold; if an efficiency is not above 0 and up to 1; if a particle
        is not there, named twice, or without recoil.
    NoiseError
        If the detectors would get more than the light carries: :math:`D - \mathrm{diag}(\eta_jD_{jj})` must be
        positive semidefinite; see `largest_efficiency`.

    References
    ----------
    PRL, way (i) of reducing the recoil: the diffusion of what is not known is
    :math:`D_{jj}' = (1 - \eta)D_{jj}`.
    """

    array: Oscillators
    efficiency: float | FloatArray
    particles: int | Sequence[int] | None = None

    def __post_init__(self) -> None:
        n = self.array.n_oscillators
        given = range(n) if self.particles is None else self.particles
        particles = tuple(int(j) for j in mode_indices("particles", given, n))
        efficiency = checks.real_numbers("efficiency", self.efficiency)
        if np.asarray(self.efficiency).dtype.kind not in "iuf":  # NumPy would make numbers of texts and of yes and no
            raise ScenarioError(f"`efficiency` must be a number, but is {checks.short(self.efficiency)}.")
        wide = np.full(len(particles), efficiency) if efficiency.ndim == 0 else efficiency
        efficiency = checks.positive("efficiency", checks.array("efficiency", wide, (len(particles),)))
        if efficiency.max() > 1.0:
            raise ScenarioError(f"`efficiency` must be at most 1, but is {efficiency.max():.6g}.")
        object.__setattr__(self, "particles", particles)
        object.__setattr__(self, "efficiency", efficiency)
        _ = self.equations
        diffusion = np.array(self.array.diffusion)
        index = self.index
        _require_recoil(np.diagonal(diffusion).real[index], particles)
        _require_carried(diffusion, index, self.information, float(efficiency.max()))

    @property
    def index(self) -> Any:
        """Indices of the oscillators that are detected, shape (M,)."""
        return np.array(self.particles, dtype=np.intp)

    @cached_property
    def equations(self) -> Langevin:
        """The equations of motion in quadratures; see `stochbind.quantum.quadratures.quadratures`."""
        return quadratures(self.array)

    @property
    def information(self) -> FloatArray:
        r"""Rates of detected information, :math:`\eta_jD_{jj}` [N^2 s], shape (M,)."""
        result: FloatArray = self.efficiency * np.diagonal(np.asarray(self.array.diffusion)).real[self.index]
        return result

    @property
    def record_noise(self) -> FloatArray:
        r"""Density of the noise of each record, :math:`\hbar^2 / 8\eta_jD_{jj}` [m^2 s], shape (M,)."""
        return self.array.reduced_planck**2 / (8.0 * self.information)

    @property
    def relative_noise(self) -> FloatArray:
        """The same in quadratures and the unit of time of `equations`, shape (M,)."""
        result: FloatArray = self.record_noise / (self.equations.unit[self.index] ** 2 * self.equations.time_unit)
        return result

    @property
    def observation(self) -> FloatArray:
        """C, which picks the positions that are detected out of all quadratures, shape (M, 2N)."""
        result: FloatArray = np.eye(self.equations.dimension)[self.index]
        return result

    @property
    def information_matrix(self) -> FloatArray:
        r""":math:`C^TR^{-1}C`, with :math:`8\eta_jD_{jj}/\hbar m\Omega` at the detected positions, (2N, 2N)."""
        result: FloatArray = self.observation.T / self.relative_noise @ self.observation
        return result


def conditional_covariance(homodyne: Homodyne, time: Any = None, initial: FloatArray | None = None) -> FloatArray:
    r"""Covariance of the conditional state, which is the same for every record.

    :math:`\dot V = AV + VA^T + N - V\,\mathrm{diag}(8\eta D)\,V`, in quadratures, with :math:`8\eta D` at the detected
    positions. Exact at any time, and in the steady state, which also arrays can have that are not stable.

    Parameters
    ----------
    homodyne : Homodyne
        The detection.
    time : float or (n,) float, optional
        Times since the state `initial` [s], not negative; by default the steady state is meant.
    initial : (2N, 2N) float, optional
        Covariance at time zero, in quadratures; needed if there is a time.

    Returns
    -------
    (2N, 2N) or (n, 2N, 2N) float
        V.

    Raises
    ------
    ScenarioError
        If there are times and no initial covariance or the other way round, or a number is impossible.
    NoiseError
        If the initial covariance is not positive semidefinite.
    UnstableError
        If there is no steady state, because some motion is neither damped nor detected; or none that double precision
        can tell, because the measurement is too weak.

    References
    ----------
    The same equation for the optimal classical filter: Kalman and Bucy, J. Basic Eng. 83, 95 (1961).
    """
    if (time is None) != (initial is None):
        raise ScenarioError("`time` and `initial` must be given together, or neither, for the steady state.")
    equations = homodyne.equations
    parts = equations.drift_matrix, equations.noise_covariance, homodyne.information_matrix
    if time is None:
        covariance, found = steady_covariance(*parts)
        if not found:
            raise unsettled(homodyne, "There is no steady conditional state")
        return covariance
    given = checks.array("initial", initial, (equations.dimension, equations.dimension))
    checks.positive_semidefinite("initial", given)
    times = checks.positive("time", checks.real_numbers("time", time), or_zero=True) / equations.time_unit
    result = [filtered_covariance(filtering(*parts, float(duration)), given) for duration in times.ravel()]
    return np.array(result).reshape(*times.shape, *given.shape)


def unsettled(homodyne: Homodyne, what: str) -> UnstableError:
    """The error of a conditional state that does not settle, with the reason; `what` begins its sentence."""
    equations, rate = homodyne.equations, float(homodyne.information_matrix.max()) / homodyne.equations.time_unit
    why, remedy = "because some motion is neither damped nor detected", "detect more particles"
    if not unseen(equations.drift_matrix, homodyne.observation):
        why = f"because a rate of measurement of {rate:.3g} is below what double precision resolves"
        remedy = "raise `efficiency`"
    sentence = f"{what}, {why} (the array is {equations.stability.sentence}); {remedy}, or study the transient."
    return UnstableError(sentence, equations.stability.growth_rate)


def measured(homodyne: Homodyne) -> Langevin:
    """The measured array as equations: quadratures, and records as further coordinates.

    Coordinate ``("record", j, axis)`` is the integral over time of the position of j as detected [m s]. Records wander
    off, so that there is no steady state; trajectories, moments and the propagator are as for any equations. Start
    them from `measured_moments`.

    Parameters
    ----------
    homodyne : Homodyne
        The detection.

    Returns
    -------
    Langevin
        With 2N + M coordinates; the unit of a record is such that its noise is one.
    """
    equations, count = homodyne.equations, len(homodyne.index)
    d, noise = equations.dimension, np.sqrt(homodyne.relative_noise)
    drift = np.zeros((d + count, d + count))
    drift[:d, :d] = equations.drift_matrix
    drift[d:, :d] = homodyne.observation / noise[:, None]
    unit = noise * equations.unit[homodyne.index] * equations.time_unit
    covariance = linalg.block_diag(equations.noise_covariance, np.eye(count))
    return extended(equations, drift, covariance, named(homodyne, "record"), unit)


def measured_moments(homodyne: Homodyne, moments: Moments) -> Moments:
    """The initial state of a measured array: that of its quadratures, with all records at zero.

    Parameters
    ----------
    homodyne : Homodyne
        The detection.
    moments : Moments
        Mean (2N,) and covariance (2N, 2N), in quadratures; see `stochbind.quantum.quadratures.to_quadratures`.

    Returns
    -------
    Moments
        Of the 2N + M coordinates of `measured`.

    Raises
    ------
    ScenarioError
        If a shape is wrong or a number is not finite.
    """
    d, count = homodyne.equations.dimension, len(homodyne.index)
    mean = checks.array("mean", moments.mean, (d,))
    covariance = checks.array("covariance", moments.covariance, (d, d))
    return Moments(np.pad(mean, (0, count)), np.pad(covariance, (0, count)))


def named(homodyne: Homodyne, quantity: str) -> tuple[Coordinate, ...]:
    """Coordinates of one quantity, one for each detected oscillator."""
    return tuple(homodyne.equations.coordinate[j]._replace(quantity=quantity) for j in homodyne.index)


def extended(
    equations: Langevin,
    drift_matrix: FloatArray,
    noise_covariance: FloatArray,
    coordinates: Sequence[Coordinate],
    unit: FloatArray,
) -> Langevin:
    """Equations with further coordinates behind those they have.

    Parameters
    ----------
    equations : Langevin
        Of d coordinates.
    drift_matrix, noise_covariance : (d + e, d + e) float
        Of all.
    coordinates : sequence of Coordinate
        The e further ones.
    unit : (e,) float
        Theirs.
    """
    return replace(
        equations,
        drift_matrix=drift_matrix,
        noise_covariance=noise_covariance,
        constant_drift=np.pad(equations.constant_drift, (0, len(coordinates))),
        coordinate=(*equations.coordinate, *coordinates),
        unit=np.concatenate([equations.unit, unit]),
    )


def _require_carried(diffusion: Any, index: Any, information: FloatArray, largest: float) -> None:
    """Raise `NoiseError` unless D less the detected information is positive semidefinite."""
    left = diffusion.copy()
    left[index, index] -= information
    scale = np.sqrt(np.diagonal(diffusion).real)
    scale = np.where(scale > 0, scale, 1.0)
    inverse = np.linalg.pinv(diffusion / scale[:, None] / scale, hermitian=True)[np.ix_(index, index)]
    asked = np.sqrt(information) / scale[index]
    excess = float(np.linalg.norm(asked[:, None] * inverse * asked, 2))  # of what is asked for over what there is
    checks.positive_semidefinite(
        "D - diag(efficiency * D_jj)",
        left,
        " The detectors cannot get more information than the light carries; lower `efficiency`, which may be at most "
        f"{np.floor(1e4 * largest / max(excess, 1.0)) / 1e4:.4f} here.",
    )


def _require_recoil(recoil: FloatArray, particles: Sequence[int]) -> FloatArray:
    """Return `recoil`, or raise `ScenarioError` unless all of it is positive."""
    dark = np.flatnonzero(recoil <= 0)
    if len(dark):
        raise ScenarioError(
            f"Oscillator {particles[dark[0]]} cannot be detected, because its recoil diffusion is zero; give it the "
            'recoil of the light: `recoil_rate` of kind "array", `momentum_diffusion` of kind "oscillators".'
        )
    return recoil
