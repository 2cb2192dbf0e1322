"""Plan: everything that determines the numbers of a run, and nothing that does not."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from stochbind import checks
from stochbind.checks import FloatArray
from stochbind.engine import bias, noise
from stochbind.engine.independent import SOLVERS
from stochbind.engine.programs import Coefficients, Program
from stochbind.engine.requests import positive_number, require_fit, require_ledger, require_name, resolved
from stochbind.engine.solvers import Solver, System
from stochbind.engine.stored_forces import described, remembered
from stochbind.errors import PlanError, StochbindError
from stochbind.forces import Force
from stochbind.langevin import Langevin
from stochbind.propagation import covariance_root
from stochbind.scenario import Scenario, scenario_from_dict
from stochbind.scenario.statistics import Statistic, statistics_of

if TYPE_CHECKING:
    from stochbind.engine.reducers.base import Reducer

#: Most states of a trajectory that can be kept: their times are one array.
LARGEST_N_SAVES = 10**8
#: Fields of a scenario that do not change its numbers.
_WORDS = ("name", "source", "description", "run")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to run. Its fingerprint is the identity of the run.

    Batch size, number of workers, their kind and the path are not part of a plan: they do not change the numbers.

    Parameters
    ----------
    scenario : Scenario
        The laboratory.
    step : float
        Length of a step [s].
    n_steps : int
        Number of steps of each trajectory.
    n_trajectories : int
        Number of trajectories.
    save_every : int
        Keep every so-manieth state; divides `n_steps`. The first state kept is at ``save_every * step``.
    seed : int
        Seed of all noise, 0 to 2^63 - 1.
    initial : {"thermal", "stationary", "rest", "ground"}
        State at time zero; see `Oscillators.initial_moments`.
    solver : str, optional
        Name of a solver; by default "exact", or "strang" if there are forces beyond the linear ones, or
        "finite_baths" if a bath of the scenario is finite.
    ledger : bool
        Whether to add up work and heat along each trajectory.
    allowed_bias : float
        Largest relative error of a steady variance that the step may cause.
    forces : sequence of Force
        Forces of one's own, beside those of the scenario.
    record : bool
        Whether to keep the trajectories.
    statistics : sequence of Statistic or str
        What to add up while the run goes on, with or without a record; see `stochbind.statistics`.
    keep_bits : int, optional
        Bits of the mantissa that recorded numbers keep, 1 to 52, to save disk; all by default. The run itself, and its
        statistics, are not rounded.

    Raises
    ------
    PlanError
        If a number is impossible, or the step would give wrong physics.
    UnstableError
        If the initial state is "stationary" and there is no steady state.
    """

    scenario: Scenario
    step: float
    n_steps: int
    n_trajectories: int
    save_every: int = 1
    seed: int = 0
    initial: str = "thermal"
    solver: str = ""
    ledger: bool = False
    allowed_bias: float = bias.LARGEST_BIAS
    forces: tuple[Force, ...] = ()
    record: bool = True
    statistics: tuple[Statistic, ...] = ()
    keep_bits: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.scenario, Scenario):
            raise PlanError(f"`scenario` must be a Scenario, but is {type(self.scenario).__name__}.")
        require_name(self.solver)
        integers = {
            "n_steps": checks.integer("n_steps", self.n_steps, minimum=1, maximum=noise.LARGEST_STEP, error=PlanError),
            "n_trajectories": checks.integer(
                "n_trajectories",
                self.n_trajectories,
                minimum=1,
                maximum=noise.LARGEST_TRAJECTORY,
                error=PlanError,
            ),
            "save_every": checks.integer("save_every", self.save_every, minimum=1, error=PlanError),
            "seed": checks.integer("seed", self.seed, minimum=0, error=PlanError),
        }
        for name in ("step", "allowed_bias"):
            object.__setattr__(self, name, positive_number(name, getattr(self, name)))
        for name, value in integers.items():
            object.__setattr__(self, name, value)
        if self.n_steps % self.save_every:
            raise PlanError(
                f"`save_every` must divide `n_steps`, but {self.n_steps} / {self.save_every} leaves "
                f"{self.n_steps % self.save_every}; try n_steps = {self.n_steps - self.n_steps % self.save_every}."
                if self.save_every <= self.n_steps
                else f"`save_every` must be at most `n_steps` = {self.n_steps}, but is {self.save_every}."
            )
        if self.n_saves > LARGEST_N_SAVES:
            raise PlanError(
                f"A record holds at most {LARGEST_N_SAVES} states, but {self.n_saves} are asked for; use a larger "
                "`save_every`."
            )
        for name in ("ledger", "record"):
            if not isinstance(getattr(self, name), bool):
                raise PlanError(f"`{name}` must be True or False, but is {checks.short(getattr(self, name))}.")
        if self.keep_bits is not None:
            bits = checks.integer("keep_bits", self.keep_bits, minimum=1, maximum=52, error=PlanError)
            object.__setattr__(self, "keep_bits", bits if bits < 52 and self.record else None)
        if not (isinstance(self.forces, Sequence) and all(isinstance(force, Force) for force in self.forces)):
            raise PlanError(f"`forces` must be a sequence of Force, but is {checks.short(self.forces)}.")
        object.__setattr__(self, "forces", tuple(self.forces))
        object.__setattr__(self, "solver", self.solver or self._usual_solver)
        require_fit(self.solver, self.n_steps, self.n_trajectories)
        if self.ledger:
            require_ledger(self.solver)
        self.solver_instance()  # which must know what to do with the baths
        with checks.in_range(PlanError):
            self._require_possible()
        keeps = not (
            self.equations.forces or self.scenario.changes_with_time or self.scenario.oscillators().has_finite_baths
        )
        statistics = resolved(
            statistics_of(self.statistics),
            growth_rate=self.scenario.growth_rate,
            steady=self.initial == "stationary" and keeps,  # otherwise that is not the steady state of the run
            save_interval=self.save_interval,
            n_saves=self.n_saves,
        )
        object.__setattr__(self, "statistics", statistics)
        if not (self.record or self.statistics):
            raise PlanError('Without a record there must be statistics; ask for some, such as "moments".')
        _ = self.reducers  # where statistics must fit

    def _require_possible(self) -> None:
        """Raise unless the initial state is there, forces of one's own fit, and nothing outgrows floating point."""
        _ = self.equations
        start = self.scenario.initial_moments(self.initial)
        if self.ledger:
            self.scenario.require_constant("ledgers")
        if self.scenario.modulated:
            self.system.moments(self.duration, start)
        elif not self.scenario.langevin().stability.stable:
            self.scenario.langevin().propagator(self.step * self.n_steps)

    @classmethod
    def from_scenario(cls, scenario: Scenario, **override: Any) -> Self:
        """The plan that the scenario's ``[run]`` table asks for.

        Parameters
        ----------
        scenario : Scenario
            The laboratory.
        **override
            Fields of the plan that replace those of the table; None leaves the table's.

        Returns
        -------
        Plan
            The plan.

        Raises
        ------
        PlanError
            If a number is neither in the table nor given, or is impossible.
        """
        known = {field.name for field in fields(cls)} - {"scenario"}
        unknown = sorted(set(override) - known)
        if not isinstance(scenario, Scenario):
            raise PlanError(f"`scenario` must be a Scenario, but is {type(scenario).__name__}; read it with from_toml.")
        if unknown:
            raise PlanError(f"A plan has no field `{unknown[0]}`; its fields are {', '.join(sorted(known))}.")
        run = scenario.run
        values = {name: getattr(run, name) for name in run.model_fields_set if getattr(run, name) is not None}
        values.update({name: value for name, value in override.items() if value is not None})
        for name in ("step", "n_steps", "n_trajectories"):
            if name not in values:
                raise PlanError(
                    f"`{name}` is neither in the [run] table of the scenario {scenario.name!r} nor given; give it as "
                    f"--{name.replace('_', '-').removeprefix('n-')} or {name}=."
                )
        return cls(scenario=scenario, **values)

    @property
    def n_saves(self) -> int:
        """Number of states kept of each trajectory."""
        return self.n_steps // self.save_every

    @property
    def save_interval(self) -> float:
        """Time between kept states [s]."""
        return self.save_every * self.step

    @property
    def time(self) -> FloatArray:
        """Times of the kept states [s], shape (n_saves,): whole numbers of steps times the step."""
        return np.arange(self.save_every, self.n_steps + 1, self.save_every, dtype=np.float64) * self.step

    @property
    def equations(self) -> Langevin:
        """The equations, with all forces."""
        equations = self.scenario.langevin()  # what is known of it, such as its steady state, is found once
        return equations.with_forces(*self.forces) if self.forces else equations

    @property
    def system(self) -> System:
        """What is solved: the equations, with all that changes them with time."""
        return self.scenario.driven(self.equations)

    @property
    def _usual_solver(self) -> str:
        if self.scenario.oscillators().has_finite_baths:
            return "finite_baths"
        return "strang" if self.forces or self.scenario.langevin().forces else "exact"

    @cached_property
    def reducers(self) -> tuple[Reducer, ...]:
        """What accumulates the statistics, in their order.

        Raises
        ------
        PlanError
            If a statistic cannot be had from this run.
        """
        if not self.statistics:
            return ()
        from stochbind.engine.reducers.base import Context
        from stochbind.engine.reducers.kinds import reducers_of

        array, equations = self.scenario.oscillators(), self.equations
        context = Context.of(array, equations, interval=self.save_interval, n_saves=self.n_saves, ledger=self.ledger)
        return reducers_of(self.statistics, context)

    def solver_instance(self) -> Solver:
        """The solver, for the oscillators of the scenario.

        Raises
        ------
        PlanError
            If it cannot do what their baths do.
        """
        return SOLVERS[self.solver].of(self.scenario.oscillators())

    def bias(self) -> float:
        """Largest relative error of a steady variance by the step; NaN if there is no steady state to judge by."""
        verdict = bias.judge(self.solver_instance(), self.equations, self.step)
        return abs(verdict.largest)

    def program(self) -> Program:
        """The solver made ready, with the ledger if there is one.

        Raises
        ------
        PlanError
            If the step would give wrong physics, or the solver or the ledger cannot do this.
        """
        with checks.in_range(PlanError):
            solver = self.solver_instance()
            program = solver.program(self.system, self.step, self.n_steps, allowed_bias=self.allowed_bias)
            if self.ledger:
                array = self.scenario.oscillators()
                program.coefficients.update(solver.ledger_tables(array, self.system, self.step))
        return program

    def coefficients(self) -> Coefficients:
        """All arrays that a worker needs: those of the solver, the initial state and the units."""
        result = self.program().coefficients
        with checks.in_range(PlanError):
            initial = self.scenario.initial_moments(self.initial)
            result["initial_mean"] = initial.mean
            result["initial_root"] = covariance_root(initial.covariance)
        result["unit"] = self.equations.unit
        return result

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain data; `from_dict` reads it back."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["forces"] = [described(force) for force in self.forces]
        values["statistics"] = [item.model_dump(mode="json") for item in self.statistics]
        return {**values, "scenario": self.scenario.to_dict(), "noise": noise.SCHEME}

    @classmethod
    def from_dict(cls, data: dict[str, Any], origin: str = "plan") -> Self:
        """The plan that `to_dict` described.

        Raises
        ------
        PlanError
            If the data are no plan of this version.
        """
        try:
            values = dict(data)
            scheme = values.pop("noise")
            scenario = scenario_from_dict(values.pop("scenario"), origin)
            if scheme != noise.SCHEME:
                raise PlanError(f"{origin}: was made with the noise {scheme!r}, this version makes {noise.SCHEME!r}.")
            values["forces"] = tuple(remembered(data) for data in values.get("forces", ()))
            return cls(scenario=scenario, **values)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, StochbindError):
                raise
            raise PlanError(f"{origin}: holds no plan that this version can read ({error}).") from None

    @property
    def identity(self) -> dict[str, Any]:
        """The part of `to_dict` that determines the numbers: names and sources do not.

        What has its default value is left out, so that a field which a later version adds, and which by default
        changes nothing, leaves the identity of old runs alone.
        """
        scenario = self.scenario.model_dump(mode="json", exclude_defaults=True)
        data = self.to_dict()
        data["scenario"] = {key: value for key, value in scenario.items() if key not in _WORDS}
        data["scenario"]["kind"] = self.scenario.kind
        for field in fields(self):
            usual = {"solver": self._usual_solver, "forces": [], "statistics": []}.get(field.name, field.default)
            if usual is not MISSING and data[field.name] == usual:
                del data[field.name]
        return data

    @cached_property
    def fingerprint(self) -> str:
        """Hash of everything that determines the numbers, 32 hexadecimal digits."""
        text = json.dumps(self.identity, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def difference(self, other: Plan) -> list[str]:
        """What differs from another plan, one ``field: this -> other`` each."""
        mine, theirs = self.to_dict(), other.to_dict()
        for data in (mine, theirs):
            data["scenario"] = {key: value for key, value in data["scenario"].items() if key not in _WORDS}
        return differences(mine, theirs)

    @property
    def duration(self) -> float:
        """Length of each trajectory [s]."""
        return self.n_steps * self.step

    def relaxation_note(self) -> str | None:
        """A sentence if the record is short beside the slowest decay, else None."""
        rate = self.scenario.growth_rate
        if not self.scenario.stable or self.initial == "stationary":
            return None
        decays = -rate * self.duration
        if decays >= 5.0:
            return None
        steps = 5.0 / -rate / self.step
        return (
            f"The record lasts {decays:.2g} decay times of the slowest mode, too short to reach the steady state "
            f"(about {f'{steps:.3g}' if steps > 1e9 else math.ceil(steps)} steps would do)."
        )


def differences(mine: Any, theirs: Any, path: str = "") -> list[str]:
    """What differs between plain data, one ``path: this -> other`` each."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        return [
            line
            for key in sorted(set(mine) | set(theirs))
            for line in differences(mine.get(key), theirs.get(key), f"{path}.{key}" if path else key)
        ]
    if isinstance(mine, list) and isinstance(theirs, list) and len(mine) == len(theirs):
        return [
            line
            for index, pair in enumerate(zip(mine, theirs, strict=True))
            for line in differences(*pair, f"{path}[{index}]")
        ]
    return [] if mine == theirs else [f"{path}: {checks.short(mine)} -> {checks.short(theirs)}"]
