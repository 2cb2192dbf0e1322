"""Solvers of the library sdeint, fed with our noise: an independent reference, one trajectory at a time.

The same normals make the same Brownian path, so that paths can be compared one to one.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from stochbind.checks import FloatArray
from stochbind.engine import bias, noise, reference
from stochbind.engine.baths import FiniteBaths
from stochbind.engine.programs import Coefficients, Program, force_kinds
from stochbind.engine.solvers import OWN_SOLVERS, EulerMaruyama, Heun, Solver, System, equations_of
from stochbind.langevin import Langevin

#: Most steps, times trajectories, that are taken: about ten minutes.
LARGEST_WORK = 2 * 10**7


class SdeintProgram(Program):
    """Runs an algorithm of sdeint."""

    algorithm: str

    def run(
        self,
        state: FloatArray,
        total: FloatArray,
        *,
        seed: int,
        first_trajectory: int,
        first_step: int,
        save_every: int,
        n_saves: int,
        compiled: bool = True,
    ) -> tuple[FloatArray, FloatArray]:
        """Advance a block in place; see `Program.run`."""
        import sdeint

        del compiled
        c = self.coefficients
        h, drift, constant, root = (
            float(np.ravel(c["step"])[0]),
            *(c[name] for name in ("drift_matrix", "constant_drift", "noise_matrix")),
        )
        _, forces, _ = self.tables
        kinds = force_kinds(self.forces)

        def f(x: FloatArray, t: float) -> FloatArray:
            del t
            result: FloatArray = drift @ x + constant
            if self.forces:
                force, _ = reference.evaluate(x[:, None], forces, kinds)
                result[forces.driven] += forces.scale * force[:, 0] / h
            return result

        def g(x: FloatArray, t: float) -> FloatArray:
            del x, t
            matrix: FloatArray = root
            return matrix

        solve = getattr(sdeint, self.algorithm)
        saved = np.empty((n_saves, *state.shape))
        steps = np.arange(save_every)
        for b in range(state.shape[1]):
            for index in range(n_saves):
                first = first_step + index * save_every
                normal = noise.normals(seed, noise.Stream.BATH, first_trajectory + b, first + steps, root.shape[1])
                extra: dict[str, Any] = {"dW": np.sqrt(h) * normal.T}
                # With additive noise the repeated integrals are multiplied by zero.
                integral = {"itoSRI2": "I", "stratSRS2": "J"}.get(self.algorithm)
                if integral:
                    extra[integral] = np.zeros((save_every, root.shape[1], root.shape[1]))
                with np.errstate(all="ignore"):  # trajectories that diverge are told later
                    path = solve(f, g, state[:, b].copy(), np.arange(save_every + 1) * h, **extra)
                state[:, b] = saved[index, :, b] = path[-1]
        return saved, np.zeros((n_saves, *total.shape))


class _Sdeint(Solver):
    scheme: ClassVar[int] = -1
    largest_work: ClassVar[int | None] = LARGEST_WORK
    algorithm: ClassVar[str]

    def linear_tables(self, system: System, step: float, n_steps: int) -> Coefficients:
        """The equations themselves; and tables of Euler's step, by which the shapes are known."""
        equations = equations_of(system)
        return {
            **EulerMaruyama().linear_tables(system, step, n_steps),
            "step": np.array(step / equations.time_unit),
            "drift_matrix": equations.drift_matrix,
            "constant_drift": equations.constant_drift,
            "noise_matrix": equations.noise_matrix,
        }

    def load(self, coefficients: Coefficients, forces: Any) -> Program:
        """A program of tables that were stored."""
        program = SdeintProgram(self.scheme, coefficients, tuple(forces))
        object.__setattr__(program, "algorithm", self.algorithm)
        return program


class ItoEuler(_Sdeint):
    """`sdeint.itoEuler`."""

    name: ClassVar[str] = "sdeint:itoEuler"
    algorithm: ClassVar[str] = "itoEuler"
    weak_order: ClassVar[float] = 1.0
    strong_order: ClassVar[float] = 1.0
    interpretation: ClassVar[str] = "Itô"

    def linear_step(self, drift: FloatArray, slope: FloatArray, equations: Langevin, step: float) -> bias.Step:
        """As `EulerMaruyama`."""
        return EulerMaruyama().linear_step(drift, slope, equations, step)


class StratHeun(_Sdeint):
    """`sdeint.stratHeun`."""

    name: ClassVar[str] = "sdeint:stratHeun"
    algorithm: ClassVar[str] = "stratHeun"
    weak_order: ClassVar[float] = 2.0
    strong_order: ClassVar[float] = 1.0
    interpretation: ClassVar[str] = "Stratonovich"

    def linear_step(self, drift: FloatArray, slope: FloatArray, equations: Langevin, step: float) -> bias.Step:
        """As `Heun`."""
        return Heun().linear_step(drift, slope, equations, step)


class ItoSRI2(_Sdeint):
    """`sdeint.itoSRI2`, of Rößler (2010)."""

    name: ClassVar[str] = "sdeint:itoSRI2"
    algorithm: ClassVar[str] = "itoSRI2"
    weak_order: ClassVar[float] = 1.0
    strong_order: ClassVar[float] = 1.0
    interpretation: ClassVar[str] = "Itô"

    def linear_step(self, drift: FloatArray, slope: FloatArray, equations: Langevin, step: float) -> bias.Step:
        """As `Heun`, but the noise of a step does not enter its predictor."""
        heun = Heun().linear_step(drift, slope, equations, step)
        return bias.Step(heun.matrix, np.sqrt(step / equations.time_unit) * equations.noise_matrix)


class StratSRS2(ItoSRI2):
    """`sdeint.stratSRS2`, of Rößler (2010)."""

    name: ClassVar[str] = "sdeint:stratSRS2"
    algorithm: ClassVar[str] = "stratSRS2"
    interpretation: ClassVar[str] = "Stratonovich"


#: All solvers by name.
SOLVERS: dict[str, Solver] = {
    **OWN_SOLVERS,
    **{solver.name: solver for solver in (FiniteBaths(), ItoEuler(), StratHeun(), ItoSRI2(), StratSRS2())},
}
