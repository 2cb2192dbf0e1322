r"""Coupled oscillators: the harmonic array that every linear scenario reduces to.

:math:`m_j \ddot q_j = -u_j q_j + \sum_k C_{jk} q_k - m_j\gamma_j \dot q_j + \xi_j`, where :math:`C_{jk}` is the effect
on j of k and the noise forces have the covariance
:math:`\langle \xi_j \xi_k \rangle = 2 (m_j\gamma_j k_B T_j \delta_{jk} + \mathrm{Re} D_{jk})\,\delta(t - t')`.
Theory page, eq. (10).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import constants
from scipy.sparse import csgraph

from stochbind import checks
from stochbind.checks import ComplexArray, FloatArray
from stochbind.errors import PlanError, ScenarioError
from stochbind.forces import Force
from stochbind.langevin import Langevin, Moments
from stochbind.stability import Coordinate

#: Most directions of motion.
MOST_AXES = 3


def checked_axes(name: str, axes: Any) -> tuple[str, ...]:
    """Names of directions as a tuple, or `ScenarioError` unless they are one to three different names."""
    given = tuple(axes) if isinstance(axes, (tuple, list)) else (axes,)
    good = all(isinstance(axis, str) and axis.isidentifier() for axis in given) and len(set(given)) == len(given)
    if not (good and 1 <= len(given) <= MOST_AXES):
        raise ScenarioError(
            f'`{name}` must be the name of a direction, or one to {MOST_AXES} different names such as ("x", "z"), but '
            f"is {checks.short(axes)}."
        )
    return given


def oscillator_names(n_particles: int, axes: Sequence[str]) -> tuple[str, ...]:
    """Names of oscillators in their order, of each particle along one axis after another: "0", or "0x", "0y"."""
    return tuple(f"{j}{axis if len(axes) > 1 else ''}" for j in range(n_particles) for axis in axes)


def coordinate_names(coordinates: Sequence[Coordinate]) -> list[str]:
    """Names of coordinates, such as "position 0"; where there are several axes, "position 0x"."""
    several = len({c.axis for c in coordinates}) > 1
    return [f"{c.quantity} {c.particle}{c.axis if several else ''}" for c in coordinates]


#: Least heat capacity of a finite bath, in units of Boltzmann's constant: a bath of four degrees of freedom.
LEAST_CAPACITY = 2.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Baths:
    """Baths that oscillators share, and how much heat they hold.

    A finite bath cools by what it gives: its temperature is that at time zero less the heat given over its capacity.

    Parameters
    ----------
    member : (N,) int
        Bath of each oscillator, from 0 on; every bath has one or more.
    heat_capacity : (K,) float
        Of each bath [J/K], or a number in reduced units; infinite if the bath keeps its temperature.
    name : sequence of str, optional
        Name of each bath; by default its number.

    Raises
    ------
    ScenarioError
        If a bath has no oscillators, or the names are not as many different ones as there are baths.
    """

    member: npt.NDArray[np.intp]
    heat_capacity: FloatArray
    name: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        capacity = np.array(self.heat_capacity, dtype=np.float64)
        capacity.setflags(write=False)
        given = checks.array("baths.member", self.member, ("N",))
        member = given.astype(np.intp)
        if not (capacity.ndim == 1 and np.array_equal(np.unique(given), np.arange(len(capacity)))):
            raise ScenarioError(
                "`baths.member` must name every bath of `baths.heat_capacity` by its number, 0, 1, ..., but holds "
                f"{checks.short(np.unique(given).tolist())} for capacities of shape {capacity.shape}."
            )
        name = tuple(self.name) or tuple(str(index) for index in range(len(capacity)))
        if len(name) != len(capacity) or len(set(name)) != len(name):
            raise ScenarioError(f"`baths.name` must hold {len(capacity)} different names, but is {checks.short(name)}.")
        member.setflags(write=False)
        for field, value in {"member": member, "heat_capacity": capacity, "name": name}.items():
            object.__setattr__(self, field, value)

    @property
    def finite(self) -> npt.NDArray[np.bool_]:
        """Which baths change their temperature, shape (K,)."""
        result: npt.NDArray[np.bool_] = np.isfinite(self.heat_capacity)
        return result

    def of_each(self, value: npt.NDArray[Any]) -> FloatArray:
        """Sum of a quantity (..., N) of oscillators over those of each bath, (..., K)."""
        membership = self.member[:, None] == np.arange(len(self.heat_capacity))
        result: FloatArray = value @ membership.astype(np.float64)
        return result


@dataclass(frozen=True, eq=False, kw_only=True)
class Oscillators:
    """N coupled oscillators, each in its own bath or sharing baths, in SI or reduced units.

    Parameters
    ----------
    stiffness : (N,) float
        u: total restoring stiffness of j with the others held fixed [N/m].
    friction : (N,) float
        Friction coefficient, mass times damping rate [kg/s].
    bath_temperature : (N,) float
        [K]; in reduced units, an energy.
    coupling : (N, N) float
        C: force on j per displacement of k [N/m]; zero diagonal; need not be symmetric.
    mass : (N,) float, optional
        [kg]. Without masses the motion is overdamped: positions only.
    diffusion : (N, N) float or complex, optional
        D: momentum diffusion beside that of the baths, such as photon recoil [N^2 s]. Hermitian, positive
        semidefinite; only its real part is noise, its imaginary part is already in the coupling.
    axis : str or tuple of str
        Names of the A directions of motion. With several, each particle is A oscillators: oscillator i is particle
        ``i // A`` along axis ``i % A``, and N counts oscillators. Bath, mass and friction are given for each.
    reduced : bool
        Reduced units, with Boltzmann's constant one.
    forces : sequence of Force
        Forces beyond the springs and the linear coupling.
    baths : Baths, optional
        Baths that are shared, some of which may be finite; `bath_temperature` is then that at time zero, and equal
        within a bath. By default every oscillator has an infinite bath of its own.

    Raises
    ------
    ScenarioError
        If a shape is wrong, a number is not finite, a sign is impossible, or a finite bath is too small.
    NoiseError
        If the diffusion is not positive semidefinite.
    """

    stiffness: FloatArray
    friction: FloatArray
    bath_temperature: FloatArray
    coupling: FloatArray
    mass: FloatArray | None = None
    diffusion: ComplexArray | FloatArray | None = None
    axis: str | tuple[str, ...] = "x"
    reduced: bool = False
    forces: tuple[Force, ...] = ()
    baths: Baths | None = None

    def __post_init__(self) -> None:
        stiffness = checks.array("stiffness", self.stiffness, ("N",))
        n = len(stiffness)
        axes = checked_axes("axis", (self.axis,) if isinstance(self.axis, str) else self.axis)
        if n % len(axes):
            raise ScenarioError(
                f"`stiffness` must hold {len(axes)} values for each particle, one along each of {', '.join(axes)}, but "
                f"holds {n}."
            )
        friction = checks.positive("friction", checks.array("friction", self.friction, (n,)), or_zero=True)
        if self.mass is None:
            checks.positive("friction", friction)
            mass = None
        else:
            mass = checks.positive("mass", checks.array("mass", self.mass, (n,)))
        temperature = checks.array("bath_temperature", self.bath_temperature, (n,))
        checks.positive("bath_temperature", temperature, or_zero=True)
        coupling = checks.array("coupling", self.coupling, (n, n))
        if np.diagonal(coupling).any():
            j = int(np.flatnonzero(np.diagonal(coupling))[0])
            raise ScenarioError(
                f"`coupling` must have a zero diagonal, but coupling[{j}, {j}] is {coupling[j, j]:.6g}; "
                f"add it to stiffness[{j}], with the opposite sign."
            )
        given = np.zeros((n, n)) if self.diffusion is None else np.asarray(self.diffusion)
        real = checks.array("diffusion", given.real, (n, n))
        imaginary = checks.array("diffusion", given.imag, (n, n))
        diffusion = real + 1j * imaginary
        checks.positive_semidefinite("diffusion", diffusion)
        diffusion.setflags(write=False)
        for name, value in {
            "stiffness": stiffness,
            "friction": friction,
            "mass": mass,
            "bath_temperature": temperature,
            "coupling": coupling,
            "diffusion": diffusion,
            "axis": axes,
            "forces": Force.require_all(self.forces),
        }.items():
            object.__setattr__(self, name, value)
        if self.baths is not None:
            self._require_baths(self.baths)

    def _require_baths(self, baths: Baths) -> None:
        """Raise `ScenarioError` unless the baths are those of these oscillators, and large enough."""
        if len(baths.member) != self.n_oscillators:
            raise ScenarioError(
                f"`baths.member` must hold {self.n_oscillators} numbers, one for each oscillator, but holds "
                f"{len(baths.member)}."
            )
        first = np.unique(baths.member, return_index=True)[1]
        differ = np.flatnonzero(self.bath_temperature != self.bath_temperature[first][baths.member])
        if len(differ):
            name = baths.name[baths.member[differ[0]]]
            raise ScenarioError(
                f"`bath_temperature` must be the same for all oscillators of bath {name}, but that of oscillator "
                f"{differ[0]} differs."
            )
        small = np.flatnonzero(~(baths.heat_capacity >= LEAST_CAPACITY * self.boltzmann))
        if len(small):
            unit = "" if self.reduced else " J/K"
            raise ScenarioError(
                f"`heat_capacity` of bath {baths.name[small[0]]} must be at least {LEAST_CAPACITY:g} k_B, which is "
                f"{LEAST_CAPACITY * self.boltzmann:.6g}{unit}, but is {baths.heat_capacity[small[0]]:.6g}{unit}."
            )

    @cached_property
    def cluster(self) -> npt.NDArray[np.intp]:
        """Number of the cluster of each oscillator, shape (N,): those that couplings or common recoil connect."""
        connected = (self.coupling != 0) | (np.asarray(self.diffusion) != 0)
        result: npt.NDArray[np.intp] = csgraph.connected_components(connected, directed=False)[1].astype(np.intp)
        return result

    @property
    def has_finite_baths(self) -> bool:
        """Whether the temperature of a bath changes with the heat it gives."""
        return self.baths is not None and bool(self.baths.finite.any())

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the directions of motion."""
        assert isinstance(self.axis, tuple)
        return self.axis

    @property
    def n_oscillators(self) -> int:
        """Number of oscillators N: one for each particle and axis."""
        return len(self.stiffness)

    @property
    def n_particles(self) -> int:
        """Number of particles."""
        return self.n_oscillators // len(self.axes)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Name of each oscillator: that of its particle, "0", or with several axes of both, "0x"."""
        return oscillator_names(self.n_particles, self.axes)

    @property
    def overdamped(self) -> bool:
        """Whether there are positions only."""
        return self.mass is None

    @property
    def boltzmann(self) -> float:
        """Boltzmann's constant [J/K], or one in reduced units."""
        return 1.0 if self.reduced else constants.k

    @property
    def reduced_planck(self) -> float:
        r""":math:`\hbar` [J s], or one in reduced units."""
        return 1.0 if self.reduced else constants.hbar

    @property
    def thermal_energy(self) -> FloatArray:
        """Energy ``k_B T_j`` of each bath [J], shape (N,)."""
        return self.boltzmann * self.bath_temperature

    @property
    def force_noise(self) -> FloatArray:
        r"""Half the covariance of the noise forces, :math:`m\gamma k_B T + \mathrm{Re} D` [N^2 s], shape (N, N)."""
        result: FloatArray = np.diag(self.friction * self.thermal_energy) + np.asarray(self.diffusion).real
        return result

    @property
    def force_matrix(self) -> FloatArray:
        """Minus the Jacobian of all conservative and binding forces, ``diag(u) - C`` [N/m], shape (N, N)."""
        return np.diag(self.stiffness) - self.coupling

    def langevin(self) -> Langevin:
        """The equations of motion, in scaled units; made once.

        Positions first, then velocities. Time is scaled by the fastest rate, energy by the largest bath energy
        (recoil included), so that thermal coordinates are of order one.

        Returns
        -------
        Langevin
            With 2N coordinates, or N if overdamped.
        """
        return self._langevin

    @cached_property
    def _langevin(self) -> Langevin:
        n = self.n_oscillators
        friction, force, noise = self.friction, self.force_matrix, self.force_noise
        with np.errstate(divide="ignore", invalid="ignore"):
            heating = np.where(friction > 0, np.diagonal(noise) / friction, 0.0)
        energy = float(heating.max()) or self.boltzmann
        place = [(j, axis) for j in range(self.n_particles) for axis in self.axes]
        label = tuple(Coordinate("position", *where) for where in place)
        if self.mass is None:
            rate = float(np.abs(self.stiffness / friction).max()) or 1.0
            # A stiffness of the same order for all, so that positions come out of order one.
            unit = np.sqrt(energy / np.where(self.stiffness > 0, self.stiffness, friction * rate))
            drift = -force / friction[:, None] / rate * (unit[None, :] / unit[:, None])
            covariance = 2.0 * noise / np.outer(friction * unit, friction * unit) / rate
            return Langevin(
                drift_matrix=drift,
                noise_covariance=covariance,
                coordinate=label,
                unit=unit,
                time_unit=1.0 / rate,
                reduced=self.reduced,
                forces=self.forces,
                mobility=1.0 / friction,
            )
        mass = self.mass
        rate = math.sqrt(float(np.abs(self.stiffness / mass).max())) or float((friction / mass).max()) or 1.0
        velocity = np.sqrt(energy / mass)
        drift = np.zeros((2 * n, 2 * n))
        drift[:n, n:] = np.eye(n)
        drift[n:, :n] = -force / np.sqrt(np.outer(mass, mass)) / rate**2
        drift[n:, n:] = -np.diag(friction / mass / rate)
        covariance = np.zeros_like(drift)
        covariance[n:, n:] = 2.0 * noise / np.sqrt(np.outer(mass, mass)) / energy / rate
        return Langevin(
            drift_matrix=drift,
            noise_covariance=covariance,
            coordinate=label + tuple(Coordinate("velocity", *where) for where in place),
            unit=np.concatenate([velocity / rate, velocity]),
            time_unit=1.0 / rate,
            reduced=self.reduced,
            forces=self.forces,
            mobility=1.0 / mass,
        )

    def initial_moments(self, initial: str) -> Moments:
        r"""Gaussian state at time zero, in the scaled units of `langevin`.

        Parameters
        ----------
        initial : {"thermal", "stationary", "rest", "ground"}
            Each particle alone in equilibrium with its bath, as if uncoupled; the exact steady state; all at rest at
            the origin; or each particle alone in its quantum ground state, of the energy :math:`\hbar\Omega_j/2`,
            in reduced units with :math:`\hbar = 1`.

        Returns
        -------
        Moments
            Mean and covariance.

        Raises
        ------
        UnstableError
            For "stationary", if there is no steady state.
        PlanError
            For "thermal" and "ground", if a trap does not hold its particle; for "ground", if the motion is
            overdamped; or if the name is unknown.
        """
        equations = self.langevin()
        d = equations.dimension
        if initial == "stationary":
            equations.require_stable('The initial state "stationary"')
            return equations.stationary
        if initial == "rest":
            return Moments(np.zeros(d), np.zeros((d, d)))
        if initial not in ("thermal", "ground"):
            raise PlanError(
                f'`initial` must be "thermal", "stationary", "rest" or "ground", but is {checks.short(initial)}.'
            )
        if len(loose := np.flatnonzero(self.stiffness <= 0)):
            raise PlanError(
                f'The initial state "{initial}" needs traps that hold, but stiffness[{loose[0]}] is '
                f'{self.stiffness[loose[0]]:.6g}; use initial = "rest".'
            )
        energy = self.thermal_energy
        if initial == "ground":
            if self.mass is None:
                raise PlanError('The initial state "ground" needs masses, but the motion is overdamped; use "rest".')
            energy = 0.5 * self.reduced_planck * np.sqrt(self.stiffness / self.mass)
        variance = energy / self.stiffness
        if self.mass is not None:
            variance = np.concatenate([variance, energy / self.mass])
        return Moments(np.zeros(d), np.diag(variance / equations.unit**2))
