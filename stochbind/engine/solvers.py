"""Solvers: how a block of trajectories is advanced.

A solver turns equations and a step into tables of coefficients, once, in the process that starts the run. They are
stored with the run, and workers only ever load them: `expm` and BLAS give other bits on other processors.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import ClassVar, final

import numpy as np

from stochbind.checks import FloatArray
from stochbind.engine import accounts, bias, tables
from stochbind.engine.linearisation import with_drift
from stochbind.engine.programs import Coefficients, Program, force_tables
from stochbind.errors import PlanError
from stochbind.forces import Force
from stochbind.langevin import Langevin
from stochbind.oscillators import Oscillators
from stochbind.propagation import covariance_root
from stochbind.protocols import Protocol

#: What a run solves: equations, or equations that change with time.
System = Langevin | Protocol


def equations_of(system: System) -> Langevin:
    """The equations, or those of the first piece of a protocol: coordinates, units and forces."""
    return system.equations if isinstance(system, Protocol) else system


class Solver(abc.ABC):
    """Advances blocks of trajectories; stateless. Declares what it promises; the tests measure it.

    Attributes
    ----------
    name : str
        As in plans and on the command line.
    scheme : int
        Which steps the loops take; see `stochbind.engine.tables`.
    weak_order, strong_order : float
        Orders, in the step, of the error of averages and of paths (for additive noise); infinite if exact.
    exact_if_linear : bool
        Whether the law of a linear system is exact at any step.
    interpretation : str
        Of the stochastic integral; with additive noise it makes no difference.
    takes_forces, takes_protocols : bool
        Whether there may be forces beyond the linear ones, and coefficients that change with time.
    keeps_ledger : bool
        Whether work and heat can be added up along the way.
    largest_work : int or None
        Most steps, times trajectories, that it is fit for.
    """

    name: ClassVar[str]
    scheme: ClassVar[int]
    weak_order: ClassVar[float]
    strong_order: ClassVar[float]
    exact_if_linear: ClassVar[bool] = False
    interpretation: ClassVar[str] = "either"
    takes_forces: ClassVar[bool] = True
    takes_protocols: ClassVar[bool] = False
    keeps_ledger: ClassVar[bool] = False
    largest_work: ClassVar[int | None] = None

    @abc.abstractmethod
    def linear_tables(self, system: System, step: float, n_steps: int) -> Coefficients:
        """Tables of the linear part of the steps, of length `step` [s]."""

    @abc.abstractmethod
    def linear_step(self, drift: FloatArray, slope: FloatArray, equations: Langevin, step: float) -> bias.Step:
        """One step as a linear map, for equations with the linear drift `drift` and forces of gradient `slope`.

        Both are (d, d), scaled; the noise and the units are those of `equations`. What `bias` judges a step by.
        """

    def of(self, array: Oscillators | None) -> Solver:
        """The solver for these oscillators, of which all that a solver needs but their baths is in the equations.

        Raises
        ------
        PlanError
            If their baths are finite, and it keeps the temperatures of baths fixed.
        """
        if array is not None and array.has_finite_baths:
            raise PlanError(
                f"The solver {self.name!r} keeps the temperatures of baths fixed, but there are baths of a finite heat "
                'capacity; use solver = "finite_baths".'
            )
        return self

    def ledger_tables(self, array: Oscillators, system: System, step: float) -> Coefficients:
        """Tables of what the ledger adds up; see `stochbind.engine.accounts.ledger_tables`."""
        return accounts.ledger_tables(array, system, step)

    def program(
        self, system: System, step: float, n_steps: int = 1, *, allowed_bias: float = bias.LARGEST_BIAS
    ) -> Program:
        """The solver made ready for a system and a step.

        Parameters
        ----------
        system : Langevin or Protocol
            What to solve.
        step : float
            Length of a step [s].
        n_steps : int
            Number of steps that will be asked for.
        allowed_bias : float
            Largest relative error of a steady variance that the step may cause.

        Returns
        -------
        Program
            The tables, and what runs them.

        Raises
        ------
        PlanError
            If the step would give wrong physics, or the solver cannot solve this.
        """
        equations = equations_of(system)
        if equations.forces and not self.takes_forces:
            raise PlanError(
                f"The solver {self.name!r} solves linear equations, but there are forces beyond the linear ones; use "
                'solver = "strang".'
            )
        if isinstance(system, Protocol) and not self.takes_protocols:
            raise PlanError(
                f"The solver {self.name!r} takes equations that do not change with time; use "
                f'solver = "{"strang" if equations.forces else "exact"}".'
            )
        if isinstance(system, Protocol) and equations.forces:
            _require_still(system)
        coefficients = {**self.linear_tables(system, step, n_steps), **force_tables(equations, step)}
        for piece in bias.pieces(system):
            bias.require_small(self, piece, step, n_steps, allowed_bias)
        return self.load(coefficients, equations.forces)

    def load(self, coefficients: Coefficients, forces: Sequence[Force]) -> Program:
        """A program of tables that were stored, with the forces whose functions they need."""
        return Program(self.scheme, coefficients, tuple(forces))


def _require_still(protocol: Protocol) -> None:
    """Raise `PlanError` if a kick moves a position: the forces of its step would be of first order only."""
    where = protocol.equations.select("position")
    for index, kick in enumerate(protocol.kicks):
        moved = kick.shift is not None and np.any(np.asarray(kick.shift)[where] != 0)
        if kick.matrix is not None:
            moved = moved or np.any(np.asarray(kick.matrix)[where] != np.eye(protocol.equations.dimension)[where])
        if moved:
            raise PlanError(
                f"kicks[{index}] moves positions, which beside forces beyond the linear ones is not supported; kick "
                "velocities, or end one simulation at the jump and begin another."
            )


class _Flow(Solver):
    """Solvers with the exact flow of the linear part."""

    exact_if_linear: ClassVar[bool] = True
    takes_protocols: ClassVar[bool] = True
    keeps_ledger: ClassVar[bool] = True

    def linear_tables(self, system: System, step: float, n_steps: int) -> Coefficients:
        """Propagators, their shifts, and the roots of their noise; see `Langevin.propagator`, `Protocol.schedule`."""
        if isinstance(system, Langevin):
            one = system.propagator(step)
            root = covariance_root(one.covariance)
            return {"matrix": one.matrix[None], "shift": one.shift[None], "root": root[None]}
        schedule = system.schedule(step, n_steps)
        result: Coefficients = {
            "matrix": schedule.matrix,
            "shift": schedule.shift,
            "root": np.stack([covariance_root(covariance) for covariance in schedule.covariance]),
            "start": schedule.start,
            "which": schedule.which,
            "period": np.array(schedule.period, np.int64),
        }
        if len(schedule.turn):
            result |= {
                "drive": schedule.drive,
                "turn": schedule.turn.view(np.int64),
                "phase": schedule.phase.view(np.int64),
            }
        return result

    def linear_step(self, drift: FloatArray, slope: FloatArray, equations: Langevin, step: float) -> bias.Step:
        """Half a kick, the flow, half a kick."""
        exact = with_drift(equations, drift).propagator(step)
        root = covariance_root(exact.covariance)
        gain = 0.5 * step / equations.time_unit * slope
        kick = np.eye(len(drift)) + gain + 0.5 * gain @ gain
        return bias.Step(kick @ exact.matrix @ kick, kick @ root)


@final
class Exact(_Flow):
    r"""Exact in law for linear equations, at any step: :math:`x' = E x + e + L \xi`.

    E, e and :math:`S = L L^T` come from `Langevin.propagator`; :math:`\xi` are independent standard normals.
    Theory page, eq. (12).
    """

    name: ClassVar[str] = "exact"
    scheme: ClassVar[int] = tables.EXACT
    weak_order: ClassVar[float] = float("inf")
    strong_order: ClassVar[float] = float("inf")
    takes_forces: ClassVar[bool] = False


@final
class Strang(_Flow):
    r"""Half a kick by the forces, the exact flow of the linear part, half a kick (Strang 1968).

    The kick solves :math:`\dot x = f(x)` for half a step by the explicit midpoint rule, which is exact where forces
    drive velocities. Of weak order 2; without forces it is `Exact`. Each step takes one set of normals, and the forces
    are evaluated at the same place by the last kick of a step and the first of the next.
    """

    name: ClassVar[str] = "strang"
    scheme: ClassVar[int] = tables.STRANG
    weak_order: ClassVar[float] = 2.0
    strong_order: ClassVar[float] = 1.0


@final
class EulerMaruyama(Solver):
    r"""The scheme of Euler and Maruyama, of Itô: :math:`x' = x + h\,a(x) + B\sqrt h\,\xi`.

    For teaching and comparison: it heats an oscillator, by :math:`1/(1 - Q \Omega h)`.
    """

    name: ClassVar[str] = "euler_maruyama"
    scheme: ClassVar[int] = tables.EULER
    weak_order: ClassVar[float] = 1.0
    strong_order: ClassVar[float] = 1.0
    interpretation: ClassVar[str] = "Itô"

    def linear_tables(self, system: System, step: float, n_steps: int) -> Coefficients:
        """``1 + h A``, ``h c`` and ``sqrt(h) B``."""
        equations, h = equations_of(system), step / equations_of(system).time_unit
        identity = np.eye(equations.dimension)
        return {
            "matrix": (identity + h * equations.drift_matrix)[None],
            "shift": (h * equations.constant_drift)[None],
            "root": (np.sqrt(h) * equations.noise_matrix)[None],
        }

    def linear_step(self, drift: FloatArray, slope: FloatArray, equations: Langevin, step: float) -> bias.Step:
        """``1 + h A``."""
        h = step / equations.time_unit
        return bias.Step(np.eye(len(drift)) + h * (drift + slope), np.sqrt(h) * equations.noise_matrix)


@final
class Heun(Solver):
    r"""The scheme of Heun, of Stratonovich: :math:`x' = x + \tfrac h2 (a(x) + a(y)) + B\sqrt h\,\xi`, y by Euler's.

    For teaching and comparison: an oscillator gains energy from :math:`Q \approx 4/(\Omega h)^3` on.
    """

    name: ClassVar[str] = "heun"
    scheme: ClassVar[int] = tables.HEUN
    weak_order: ClassVar[float] = 2.0
    strong_order: ClassVar[float] = 1.0
    interpretation: ClassVar[str] = "Stratonovich"

    def linear_tables(self, system: System, step: float, n_steps: int) -> Coefficients:
        """The step of Euler, and the corrector ``h/2 A``, ``h/2 c`` and ``sqrt(h)/2 B``."""
        equations, h = equations_of(system), step / equations_of(system).time_unit
        return {
            **EulerMaruyama().linear_tables(system, step, n_steps),
            "corrector": 0.5 * h * equations.drift_matrix,
            "corrector_shift": 0.5 * h * equations.constant_drift,
            "corrector_root": 0.5 * np.sqrt(h) * equations.noise_matrix,
        }

    def linear_step(self, drift: FloatArray, slope: FloatArray, equations: Langevin, step: float) -> bias.Step:
        """``1 + h A + (h A)^2 / 2``, and ``1 + h A / 2`` before the noise."""
        h = step / equations.time_unit
        gain = h * (drift + slope)
        identity = np.eye(len(drift))
        root = (identity + 0.5 * gain) @ (np.sqrt(h) * equations.noise_matrix)
        return bias.Step(identity + gain + 0.5 * gain @ gain, root)


#: Our own solvers by name; see `stochbind.engine.independent` for those of sdeint.
OWN_SOLVERS: dict[str, Solver] = {solver.name: solver for solver in (Exact(), Strang(), Heun(), EulerMaruyama())}
