r"""Langevin equations as arrays, and the exact truth about them.

:math:`dx = (A x + c + f(x))\,dt + B\,dW`, with real arrays in scaled units: coordinate i in SI is ``unit[i] * x[i]``,
time in seconds is ``time_unit * t``. All times given to methods are in seconds; all states they take or return are
scaled. Everything called exact is of the linear part.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stochbind import amplitudes, checks
from stochbind.checks import ComplexArray, FloatArray
from stochbind.errors import PlanError, ScenarioError, UnstableError
from stochbind.forces import Force
from stochbind.propagation import Propagator, covariance_root, lyapunov, propagate
from stochbind.stability import Coordinate, Stability, stability

#: Slower than so much of the rate of friction relaxation is lost in equations with inertia.
_CREEPING = 1e-10
_LESS_FRICTION = (
    "Friction damps velocities more than 1e10 times as fast as positions relax: leave the inertia out (no masses), or "
    "take less friction or stiffer traps."
)


class Moments(NamedTuple):
    """Mean, shape (d,), and covariance, shape (d, d), of a Gaussian state, in scaled units."""

    mean: FloatArray
    covariance: FloatArray


@dataclass(frozen=True, eq=False, kw_only=True)
class Langevin:
    r"""Langevin equations with additive, correlated noise: a linear part, and forces beyond it.

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
    forces : sequence of Force, optional
        Forces beyond the linear ones, along as many positions as there are.
    mobility : (N,) float, optional
        What a force on particle j drives, per force: the acceleration 1/m, or overdamped the velocity 1/friction; in
        SI, one by default.

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
    forces: tuple[Force, ...] = ()
    mobility: FloatArray = None  # type: ignore[assignment]

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
            "forces": Force.require_all(self.forces),
        }.items():
            object.__setattr__(self, name, value)
        n = len(self.select("position"))
        mobility = np.ones(n)  # nothing to check where there are no positions, as for complex amplitudes
        if self.mobility is not None and (n or np.size(self.mobility)):
            mobility = checks.positive("mobility", checks.array("mobility", self.mobility, (n,)))
        mobility.setflags(write=False)
        object.__setattr__(self, "mobility", mobility)
        for index, force in enumerate(self.forces):
            if force.n_oscillators != n:
                raise ScenarioError(
                    f"forces[{index}] acts along {force.n_oscillators} positions, but there are {n} of them."
                )

    @classmethod
    def from_complex(
        cls,
        H: Any,
        Gamma: Any,
        C: Any = None,
        *,
        constant: Any = None,
        time_unit: float = 1.0,
        unit: Any = None,
        reduced: bool = False,
    ) -> Langevin:
        r"""Equations of M complex amplitudes, :math:`\dot a = -iHa + c + \xi`, in 2M real coordinates.

        The coordinates are the real parts, ``("real", j, "a")``, then the imaginary parts, ``("imaginary", j, "a")``,
        of :math:`a = (z + ip)/\sqrt2`. See `stochbind.amplitudes` for the way back, and for the orderings of quantum
        noise.

        Parameters
        ----------
        H : (M, M) complex
            Dynamical matrix [1/s], not necessarily Hermitian.
        Gamma : (M, M) complex
            :math:`\langle\xi_j(t)\xi_k^*(t')\rangle = \Gamma_{jk}\,\delta(t-t')` [1/s]; Hermitian.
        C : (M, M) complex, optional
            :math:`\langle\xi_j(t)\xi_k(t')\rangle = C_{jk}\,\delta(t-t')` [1/s]; symmetric; zero by default.
        constant : (M,) complex, optional
            c [1/s]; zero by default.
        time_unit : float, optional
            Value of one unit of time [s].
        unit : (M,) float, optional
            Value of one unit of each amplitude; one by default, for amplitudes whose squares are quanta.
        reduced : bool, optional
            Whether times and units are in reduced units; only messages depend on it.

        Returns
        -------
        Langevin
            With 2M coordinates, none of which is a position.

        Raises
        ------
        ScenarioError
            If a shape is wrong or a number is not finite.
        NoiseError
            If no noise has these covariances.
        """
        drift, noise = amplitudes.real_form(H, Gamma, C)
        m = len(drift) // 2
        scale = float(checks.positive("time_unit", checks.array("time_unit", time_unit, ())))
        given = checks.complex_array("constant", np.zeros(m) if constant is None else constant, (m,))
        return cls(
            drift_matrix=drift * scale,
            noise_covariance=noise * scale,
            constant_drift=amplitudes.real_parts(given) * scale,
            coordinate=tuple(Coordinate(part, j, "a") for part in ("real", "imaginary") for j in range(m)),
            unit=np.ones(2 * m) if unit is None else np.tile(checks.array("unit", unit, (m,)), 2),
            time_unit=scale,
            reduced=reduced,
        )

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
        result = propagate(self.drift_matrix, self.constant_drift, self.noise_covariance, duration, self.time_unit)
        if not all(np.isfinite(part).all() for part in result):
            raise PlanError(
                f"Over {duration:.6g}{'' if self.reduced else ' s'} the system outgrows floating point "
                f"({self.stability.sentence}); ask for a shorter time."
            )
        return result

    @cached_property
    def stability(self) -> Stability:
        """Whether there is a steady state, and which mode decides."""
        return stability(self.drift_matrix, self.coordinate, self.time_unit, reduced=self.reduced)

    def require_stable(self, purpose: str) -> None:
        """Raise `UnstableError` unless there is a steady state.

        Parameters
        ----------
        purpose : str
            What needs it; the subject of the error's first sentence.
        """
        if not self.stability.stable:
            remedy = "Add damping or change the coupling, or study the transient from another initial state."
            raise UnstableError(
                f"{purpose} needs a steady state, but the system is {self.stability.sentence}. "
                f"{_LESS_FRICTION if self._creeps else remedy}",
                self.stability.growth_rate,
            )

    @property
    def _creeps(self) -> bool:
        """Whether friction leaves a mode so slow that equations with inertia do not resolve it."""
        verdict, velocity = self.stability, self.select("velocity")
        slow = max(abs(verdict.growth_rate), verdict.round_off)
        friction = -self.drift_matrix[velocity, velocity].min(initial=0.0) / self.time_unit
        return verdict.growth_rate <= 0 and verdict.angular_frequency <= slow < _CREEPING * friction

    @cached_property
    def stationary(self) -> Moments:
        r"""Exact steady state: :math:`A\Sigma + \Sigma A^T + B B^T = 0` and :math:`A \mu + c = 0`.

        See `stochbind.propagation.lyapunov`. Errors are relative to the largest element: variances below its round-off
        come out as zero. Theory page, eq. (11).

        Raises
        ------
        UnstableError
            If a mode grows or is not damped, or double precision cannot tell.
        """
        self.require_stable("The stationary covariance")
        covariance, resolved = lyapunov(self.drift_matrix, self.noise_covariance)
        if not resolved:
            remedy = "It is too close to an exceptional point: change the coupling or add damping."
            raise UnstableError(
                "The stationary covariance cannot be resolved in double precision; the slowest decay is "
                f"{-self.stability.growth_rate:.3g}{'' if self.reduced else ' 1/s'}. "
                f"{_LESS_FRICTION if self._creeps else remedy}",
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

    @property
    def driven(self) -> npt.NDArray[np.intp]:
        """Indices of the coordinates that forces drive: the velocities, or the positions if there are none."""
        velocity = self.select("velocity")
        return velocity if len(velocity) else self.select("position")

    @property
    def force_scale(self) -> FloatArray:
        """Scaled drift of the driven coordinate per force on the particle, shape (N,)."""
        result: FloatArray = self.mobility * self.time_unit / self.unit[self.driven]
        return result

    def drift(self, state: FloatArray) -> FloatArray:
        r"""The whole drift :math:`A x + c + f(x)` [1/time_unit], for scaled states of shape (d, ...)."""
        constant = self.constant_drift.reshape(-1, *[1] * (state.ndim - 1))
        result: FloatArray = np.tensordot(self.drift_matrix, state, axes=1) + constant
        where = self.select("position")
        wide = (-1, *[1] * (state.ndim - 1))
        for force in self.forces:
            value = force(state[where] * self.unit[where].reshape(wide))
            result[self.driven] += self.force_scale.reshape(wide) * value
        return result

    def with_forces(self, *forces: Force) -> Langevin:
        """The same equations with these forces beside those it has."""
        return replace(self, forces=(*self.forces, *Force.require_all(forces)))

    def select(self, quantity: str) -> npt.NDArray[np.intp]:
        """Indices of the coordinates of one quantity, such as ``"position"``, in the order of the particles."""
        return np.array([i for i, c in enumerate(self.coordinate) if c.quantity == quantity], dtype=np.intp)
