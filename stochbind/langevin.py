r"""Langevin equations as arrays, and the exact truth about them.

:math:`dx = (A x + c)\,dt + B\,dW`, with real arrays in scaled units: coordinate i in SI is ``unit[i] * x[i]``, time in
seconds is ``time_unit * t``. All times given to methods are in seconds; all states they take or return are scaled.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import linalg
from scipy.sparse.csgraph import connected_components

from stochbind import checks
from stochbind.checks import ComplexArray, FloatArray
from stochbind.errors import PlanError, ScenarioError, UnstableError

#: Up to this many coordinates, coefficients are computed in extended precision (where the platform has it).
EXTENDED_PRECISION_UP_TO = 128
#: Largest relative error of a stationary covariance that is returned.
LARGEST_COVARIANCE_ERROR = 1e-6


class Coordinate(NamedTuple):
    """What a coordinate is: ``("position", 0, "z")`` is the position of particle 0 along z."""

    quantity: str
    particle: int
    axis: str


class Propagator(NamedTuple):
    r"""One exact step, :math:`x' = E x + e + \eta` with :math:`\eta \sim N(0, S)`.

    Attributes
    ----------
    matrix : (d, d) float
        :math:`E = e^{A t}`.
    shift : (d,) float
        :math:`e = \int_0^t e^{A s} c\,ds`.
    covariance : (d, d) float
        :math:`S = \int_0^t e^{A s} B B^T e^{A^T s} ds`.
    """

    matrix: FloatArray
    shift: FloatArray
    covariance: FloatArray


class Moments(NamedTuple):
    """Mean, shape (d,), and covariance, shape (d, d), of a Gaussian state, in scaled units."""

    mean: FloatArray
    covariance: FloatArray


class Stability(NamedTuple):
    """Verdict on the long-time behaviour.

    Attributes
    ----------
    stable : bool
        Whether every mode decays, beyond the round-off of the eigenvalues.
    growth_rate : float
        Largest real part of the eigenvalues of A [1/s]; negative if stable, zero within round-off.
    round_off : float
        Uncertainty of that rate [1/s]. It is large where A is nearly defective, at an exceptional point.
    angular_frequency : float
        Magnitude of the imaginary part of that eigenvalue [rad/s].
    mode : (d,) complex
        Its eigenvector, scaled to norm 1.
    participation : dict of int to float
        Share of each particle in the squared positions of the mode.
    reduced : bool
        Whether times are in reduced units.
    """

    stable: bool
    growth_rate: float
    round_off: float
    angular_frequency: float
    mode: ComplexArray
    participation: dict[int, float]
    reduced: bool

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        who = ", ".join(
            f"particle {j} ({share:.0%})"
            for j, share in sorted(self.participation.items(), key=lambda item: -item[1])[:3]
            if share >= 0.005
        )
        if self.reduced:
            mode = f"the mode at angular frequency {self.angular_frequency:.6g} of {who}"
        else:
            mode = f"the mode at {self.angular_frequency / (2 * math.pi):.6g} Hz of {who}"
        unit = "" if self.reduced else " 1/s"
        if self.stable:
            return f"stable: {mode} decays slowest, at {-self.growth_rate:.6g}{unit}"
        if self.growth_rate > 0:
            return f"unstable: {mode} grows at {self.growth_rate:.6g}{unit}"
        return (
            f"not damped, as far as double precision can tell: the growth rate of {mode} is zero "
            f"within {self.round_off:.2g}{unit}"
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Langevin:
    r"""Linear Langevin equations with additive, correlated noise.

    Parameters
    ----------
    drift_matrix : (d, d) float
        A [1/time_unit].
    noise_covariance : (d, d) float
        :math:`B B^T` [1/time_unit], positive semidefinite: the rate at which the noise alone makes the covariance
        grow. For a noise force it is twice the momentum diffusion.
    constant_drift : (d,) float, optional
        c [1/time_unit]; zero by default.
    coordinate : sequence of Coordinate, optional
        What each coordinate is; by default positions of d particles along x.
    unit : (d,) float, optional
        Value of one unit of each coordinate in SI (or in the units of the scenario file); one by default.
    time_unit : float, optional
        Value of one unit of time [s]; one by default.
    reduced : bool, optional
        Whether `unit` and `time_unit` are in reduced units; only messages depend on it.

    Raises
    ------
    ScenarioError
        If a shape is wrong or a number is not finite.
    NoiseError
        If the noise covariance is not positive semidefinite.
    """

    drift_matrix: FloatArray
    noise_covariance: FloatArray
    constant_drift: FloatArray = None  # type: ignore[assignment]
    coordinate: tuple[Coordinate, ...] = ()
    unit: FloatArray = None  # type: ignore[assignment]
    time_unit: float = 1.0
    reduced: bool = False

    def __post_init__(self) -> None:
        drift = checks.array("drift_matrix", self.drift_matrix, ("d", "d"))
        d = len(drift)
        noise = checks.array("noise_covariance", self.noise_covariance, (d, d))
        checks.positive_semidefinite("noise_covariance", noise)
        constant = np.zeros(d) if self.constant_drift is None else self.constant_drift
        unit = np.ones(d) if self.unit is None else self.unit
        coordinate = self.coordinate or tuple(Coordinate("position", j, "x") for j in range(d))
        if len(coordinate) != d:
            raise ScenarioError(f"`coordinate` must name {d} coordinates, but names {len(coordinate)}.")
        time_unit = checks.positive("time_unit", checks.array("time_unit", self.time_unit, ()))
        for name, value in {
            "drift_matrix": drift,
            "noise_covariance": noise,
            "constant_drift": checks.array("constant_drift", constant, (d,)),
            "unit": checks.positive("unit", checks.array("unit", unit, (d,))),
            "coordinate": tuple(Coordinate(*c) for c in coordinate),
            "time_unit": float(time_unit),
        }.items():
            object.__setattr__(self, name, value)

    @property
    def dimension(self) -> int:
        """Number of coordinates d."""
        return len(self.drift_matrix)

    @cached_property
    def noise_matrix(self) -> FloatArray:
        """B [time_unit^-1/2], the root of the noise covariance; see `covariance_root`."""
        return covariance_root(self.noise_covariance)

    def propagator(self, duration: float) -> Propagator:
        r"""Exact step of any length.

        The Taylor series of E, e and S over :math:`h = t/2^s` with :math:`|A| h \le 1/4`, then s doublings,
        :math:`S(2h) = S(h) + E(h) S(h) E(h)^T`. Every term of the doubling is positive semidefinite, so nothing
        cancels, whatever the damping (the usual block exponential holds :math:`e^{-At}`, which overflows). Theory
        page, eq. (12).

        Parameters
        ----------
        duration : float
            Length of the step [s], not negative.

        Returns
        -------
        Propagator
            Matrix, shift and covariance, in scaled units.

        Raises
        ------
        PlanError
            If the duration is negative or not finite, or an unstable mode outgrows floating point.
        """
        if not (math.isfinite(duration) and duration >= 0):
            raise PlanError(f"`duration` must be zero or positive, but is {duration}.")
        kind: Any = np.longdouble if self.dimension <= EXTENDED_PRECISION_UP_TO else np.float64
        t = kind(duration) / kind(self.time_unit)
        drift = self.drift_matrix.astype(kind)
        size = float(np.abs(drift).sum(axis=0).max() * t)
        doublings = max(0, math.ceil(math.log2(size * 4.0))) if size > 0 else 0
        h = t / kind(2) ** doublings
        matrix, shift, covariance = _taylor(
            drift, self.constant_drift.astype(kind), self.noise_covariance.astype(kind), h
        )
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in range(doublings):
                covariance = covariance + matrix @ covariance @ matrix.T
                shift = shift + matrix @ shift
                matrix = matrix @ matrix
            result = Propagator(
                matrix.astype(np.float64),
                shift.astype(np.float64),
                (0.5 * (covariance + covariance.T)).astype(np.float64),
            )
        if not all(np.isfinite(part).all() for part in result):
            raise PlanError(
                f"Over {duration:.6g} s the system outgrows floating point ({self.stability.sentence}); "
                "ask for a shorter time."
            )
        return result

    @cached_property
    def stability(self) -> Stability:
        """Whether there is a steady state, and which mode decides."""
        # The spectrum of a one-way array is that of its strongly connected parts. Taken together, they form
        # nearly defective matrices whose eigenvalues carry errors of the square root of the round-off.
        count, part = connected_components(self.drift_matrix != 0, directed=True, connection="strong")
        best: tuple[float, float, float, ComplexArray] = (-math.inf, 0.0, 0.0, np.zeros(0, complex))
        eps = float(np.finfo(float).eps)
        for index in range(count):
            member = np.flatnonzero(part == index)
            block = self.drift_matrix[np.ix_(member, member)]
            value, left, right = linalg.eig(block, left=True, right=True)  # type: ignore[misc]
            top = int(np.argmax(value.real))
            if value[top].real > best[0]:
                mode = np.zeros(self.dimension, complex)
                mode[member] = right[:, top]
                # First order perturbation theory, for an error of ten units in the last place. Near an exceptional
                # point left and right vectors are orthogonal, and the error of the eigenvalue tends to a square root.
                overlap = max(float(abs(np.vdot(left[:, top], right[:, top]))), math.sqrt(eps))
                round_off = 10 * eps * float(np.abs(block).max(initial=0.0)) / overlap
                best = (float(value[top].real), float(abs(value[top].imag)), round_off, mode)
        rate, frequency, round_off, mode = best
        weight: dict[int, float] = {}
        for amplitude, coordinate in zip(mode, self.coordinate, strict=True):
            if coordinate.quantity == "position":
                weight[coordinate.particle] = weight.get(coordinate.particle, 0.0) + abs(amplitude) ** 2
        total = sum(weight.values()) or 1.0
        return Stability(
            stable=bool(rate < -round_off),
            growth_rate=rate / self.time_unit if abs(rate) > round_off else 0.0,
            round_off=round_off / self.time_unit,
            angular_frequency=frequency / self.time_unit,
            mode=mode,
            participation={j: share / total for j, share in weight.items()},
            reduced=self.reduced,
        )

    def require_stable(self, purpose: str) -> None:
        """Raise `UnstableError` unless there is a steady state.

        Parameters
        ----------
        purpose : str
            What needs it; the subject of the error's first sentence.
        """
        if not self.stability.stable:
            raise UnstableError(
                f"{purpose} needs a steady state, but the system is {self.stability.sentence}. "
                "Add damping or change the coupling, or study the transient from another initial state.",
                self.stability.growth_rate,
            )

    @cached_property
    def stationary(self) -> Moments:
        r"""Exact steady state: :math:`A\Sigma + \Sigma A^T + B B^T = 0` and :math:`A \mu + c = 0`.

        The Lyapunov equation is solved by SciPy and refined with residuals in extended precision: at Q = 1e9 the
        plain solution is right to 1e-7 only. Errors are relative to the largest element: variances below its
        round-off come out as zero. Theory page, eq. (11).

        Raises
        ------
        UnstableError
            If a mode grows or is not damped, or double precision cannot tell.
        """
        self.require_stable("The stationary covariance")
        kind: Any = np.longdouble if self.dimension <= EXTENDED_PRECISION_UP_TO else np.float64
        drift = self.drift_matrix.astype(kind)
        noise = self.noise_covariance.astype(kind)
        covariance = np.zeros_like(noise)
        for _ in range(4):
            half = drift @ covariance
            residual = (half + half.T + noise).astype(np.float64)
            with warnings.catch_warnings():  # of bad conditioning: whether it matters is told below
                warnings.simplefilter("ignore")
                step = linalg.solve_continuous_lyapunov(self.drift_matrix, -residual)
            covariance = covariance + 0.5 * (step + step.T).astype(kind)
        if not np.abs(step).max() <= LARGEST_COVARIANCE_ERROR * float(np.abs(covariance).max()):
            raise UnstableError(
                "The stationary covariance cannot be resolved in double precision: the slowest decay, "
                f"{-self.stability.growth_rate:.3g}{'' if self.reduced else ' 1/s'}, is too close to an exceptional "
                "point. Change the coupling or add damping, or study the transient.",
                self.stability.growth_rate,
            )
        mean: FloatArray = np.linalg.solve(self.drift_matrix, -self.constant_drift).astype(np.float64)
        # Round-off of variances that are as good as zero may be negative; then no covariance of theirs means anything.
        lost = np.diagonal(covariance) <= 0
        covariance[lost], covariance[:, lost] = 0, 0
        result = Moments(mean, covariance.astype(np.float64))
        for part in result:
            part.setflags(write=False)
        return result

    @property
    def steady(self) -> Moments | None:
        """The steady state, or None if there is none, or none that can be resolved; see `stationary`."""
        try:
            return self.stationary if self.stability.stable else None
        except UnstableError:
            return None

    def stationary_covariance(self) -> FloatArray:
        """Exact stationary covariance, (d, d), in scaled units; see `stationary`."""
        return self.stationary.covariance

    def moments(self, time: float, initial: Moments) -> Moments:
        """Exact mean and covariance at `time` [s], from a Gaussian state at time zero; any system, stable or not."""
        step = self.propagator(time)
        covariance = step.matrix @ initial.covariance @ step.matrix.T + step.covariance
        return Moments(step.matrix @ initial.mean + step.shift, 0.5 * (covariance + covariance.T))

    def susceptibility(self, angular_frequency: float) -> ComplexArray:
        r"""Response of every coordinate to a drive of every equation.

        :math:`(-i\omega - A)^{-1}`, for :math:`\dot x = A x + f_0 e^{-i\omega t}`, in scaled units.

        Parameters
        ----------
        angular_frequency : float
            :math:`\omega` [rad/s].

        Returns
        -------
        (d, d) complex
            Element [i, j]: amplitude of coordinate i per drive of equation j [time_unit].
        """
        omega = angular_frequency * self.time_unit
        result = np.linalg.inv(-1j * omega * np.eye(self.dimension) - self.drift_matrix)
        return result.astype(np.complex128)

    def select(self, quantity: str) -> npt.NDArray[np.intp]:
        """Indices of the coordinates of one quantity, such as ``"position"``, in the order of the particles."""
        return np.array([i for i, c in enumerate(self.coordinate) if c.quantity == quantity], dtype=np.intp)


def covariance_root(covariance: FloatArray) -> FloatArray:
    r"""Root L of a covariance, :math:`L L^T = S`.

    L is the symmetric root of the correlation matrix, its rows scaled by the standard deviations. It is unique,
    changes continuously, exists for rank-deficient noise (a Cholesky factor does not), and keeps the relative
    precision of small variances (the symmetric root of S itself does not: over a short step the variance of a
    position is the cube of that of its velocity).

    Parameters
    ----------
    covariance : (d, d) float
        Positive semidefinite.

    Returns
    -------
    (d, d) float
        L.
    """
    deviation = np.sqrt(np.clip(np.diagonal(covariance), 0.0, None))
    inverse = np.where(deviation > 0, 1.0 / np.where(deviation > 0, deviation, 1.0), 0.0)
    correlation = covariance * inverse[:, None] * inverse[None, :]
    value, vector = np.linalg.eigh(0.5 * (correlation + correlation.T))
    root: FloatArray = deviation[:, None] * (vector * np.sqrt(np.clip(value, 0.0, None))) @ vector.T
    return root


def _taylor(drift: Any, constant: Any, noise: Any, h: Any) -> tuple[Any, Any, Any]:
    """Series of exp(A h), of the shift and of the covariance, for |A| h <= 1/4."""
    power = drift * h
    increment = power.copy()
    shift_term = constant * h
    shift = shift_term.copy()
    noise_term = noise * h
    covariance = noise_term.copy()
    for order in range(2, 24):  # 0.5^23 / 24! is far below the last place
        shift_term = drift @ shift_term * (h / order)
        shift = shift + shift_term
        half = drift @ noise_term * (h / order)
        noise_term = half + half.T
        covariance = covariance + noise_term
        power = drift @ power * (h / order)
        increment = increment + power
    return np.eye(len(drift), dtype=drift.dtype) + increment, shift, covariance
