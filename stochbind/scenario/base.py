"""What every kind of scenario has in common."""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import tomli_w
from pydantic import BeforeValidator, Field, model_validator

from stochbind import checks
from stochbind.errors import PlanError
from stochbind.langevin import Langevin, Moments
from stochbind.optics.approximations import Deviation
from stochbind.oscillators import Oscillators
from stochbind.protocols import Drive, Protocol
from stochbind.quantities import quantity
from stochbind.scenario.parts import Part
from stochbind.scenario.statistics import Statistic, named_statistic

SolverName = Literal[
    "exact",
    "strang",
    "finite_baths",
    "heun",
    "euler_maruyama",
    "sdeint:itoEuler",
    "sdeint:stratHeun",
    "sdeint:itoSRI2",
    "sdeint:stratSRS2",
]
#: Largest error of a model that is accepted, or passes without a note.
LARGEST_MODEL_ERROR = 0.05
#: Largest size parameter kR for which a particle without Mie's coefficients is a dipole.
LARGEST_SIZE_PARAMETER = 1.0
#: Larger arrays are not compared with the self-consistent solution: it takes minutes.
LARGEST_COMPARED = 200

Text = Annotated[str, Field(max_length=2000)]


class Derived(NamedTuple):
    """A derived quantity: its value, SI unit (empty in reduced units) and meaning."""

    value: npt.NDArray[Any] | float
    unit: str
    meaning: str


def derived_errors(deviations: Mapping[str, Deviation]) -> dict[str, Derived]:
    """The errors of approximations as derived quantities; see `stochbind.optics.approximations`."""
    what = "of binding force, coupling, stiffness, diffusion; see Deviation"
    return {f"error_{name}": Derived(np.array(deviation), "", what) for name, deviation in deviations.items()}


def _named(given: Any) -> Any:
    """Statistics that are given by their names alone, as tables."""
    if not isinstance(given, (list, tuple)):
        return given
    return [named_statistic(item) if isinstance(item, str) else item for item in given]


class RunSettings(Part):
    """Defaults of a run, so that a scenario file is enough to start one; each can be overridden.

    Time is counted in steps: the record lasts ``n_steps * step``, and every ``save_every``-th state is kept.
    """

    step: Annotated[float, *quantity("time", "positive")] | None = None
    n_steps: Annotated[int, Field(strict=True, ge=1)] | None = None
    save_every: Annotated[int, Field(strict=True, ge=1)] | None = None
    n_trajectories: Annotated[int, Field(strict=True, ge=1)] | None = None
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**63)] | None = None
    initial: Literal["thermal", "stationary", "rest", "ground"] | None = None
    solver: SolverName | None = None
    ledger: Annotated[bool, Field(strict=True)] | None = None
    allowed_bias: Annotated[float, Field(strict=True, gt=0)] | None = None
    record: Annotated[bool, Field(strict=True)] | None = None
    statistics: Annotated[tuple[Statistic, ...], BeforeValidator(_named), Field(strict=False, max_length=20)] | None = (
        None
    )
    keep_bits: Annotated[int, Field(strict=True, ge=1, le=52)] | None = None


class HarmonicDrive(Part):
    """A sinusoidal force on one particle, ``force * cos(2 pi frequency t + phase)``, in a response experiment.

    `axis` names the direction of the force; it is needed where particles move along several.
    """

    particle: Annotated[int, Field(strict=True, ge=0)]
    axis: Annotated[str, Field(max_length=20)] | None = None
    force: Annotated[float, *quantity("force")]
    frequency: Annotated[float, *quantity("frequency", "positive")]
    phase: Annotated[float, *quantity("angle")] = 0.0


class Scenario(Part, abc.ABC):
    """A laboratory: N particles in their surroundings, in SI, with the source of the numbers.

    Read one with `Scenario.from_toml`, or make one of its kinds (`TweezerScenario`, `OscillatorScenario`) in Python,
    where bare numbers are SI. A scenario that exists is valid: everything is checked when it is made.
    """

    name: Annotated[str, Field(min_length=1, max_length=200)]
    kind: str
    source: Text = ""
    description: Text = ""
    drive: Annotated[tuple[HarmonicDrive, ...], Field(max_length=100)] = ()
    run: RunSettings = RunSettings()

    @model_validator(mode="after")
    def _check(self) -> Self:
        with checks.in_range(ValueError):
            self._check_physics()
        for index, drive in enumerate(self.drive):
            if drive.particle >= self.n_particles:
                raise ValueError(
                    f"drive[{index}].particle must be one of 0 to {self.n_particles - 1}, but is {drive.particle}"
                )
            if drive.axis not in self.axes and (drive.axis is not None or len(self.axes) > 1):
                given = "is missing" if drive.axis is None else f"is {checks.short(drive.axis)}"
                raise ValueError(f"drive[{index}].axis must be one of {', '.join(self.axes)}, but {given}")
        return self

    @abc.abstractmethod
    def _check_physics(self) -> None:
        """Raise `ValueError` if the numbers, each possible alone, do not go together."""

    @abc.abstractmethod
    def oscillators(self) -> Oscillators:
        """The coupled oscillators that the scenario comes to, averaged over time if it is modulated."""

    @abc.abstractmethod
    def derived(self) -> dict[str, Derived]:
        """Everything computed from the numbers of the scenario, in SI."""

    @property
    @abc.abstractmethod
    def n_particles(self) -> int:
        """Number of particles N."""

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the directions along which each particle moves."""
        return ("x",)

    @property
    def n_oscillators(self) -> int:
        """Number of oscillators: one for each particle and axis, in this order."""
        return self.n_particles * len(self.axes)

    @property
    def reduced(self) -> bool:
        """Whether the numbers are in reduced units."""
        return False

    def notes(self) -> list[str]:
        """Warnings about the validity of the model for these numbers, one sentence each."""
        return []

    @property
    def modulated(self) -> bool:
        """Whether couplings, stiffnesses and noise change with time; `oscillators` are then the average over it."""
        return False

    @property
    def changes_with_time(self) -> bool:
        """Whether the equations of motion change with time in any way: by drives, or because it is modulated."""
        return bool(self.drive) or self.modulated

    @property
    def stable(self) -> bool:
        """Whether every mode decays."""
        return self.langevin().stability.stable

    @property
    def growth_rate(self) -> float:
        """Largest growth rate of a mode [1/s], negative if all decay."""
        return self.langevin().stability.growth_rate

    @property
    def verdict(self) -> str:
        """Whether the array is stable, in words, to follow "The array is"."""
        return self.langevin().stability.sentence

    def require_constant(self, what: str) -> None:
        """Raise `PlanError` if the scenario is modulated.

        Parameters
        ----------
        what : str
            What needs equations that do not change, for the message.
        """
        if self.modulated:
            raise PlanError(f"{self.name}: has couplings that change with time, and {what} need constant ones.")

    def langevin(self) -> Langevin:
        """The equations of motion in scaled units, without drives, averaged over time if the scenario is modulated."""
        return self.oscillators().langevin()

    def initial_moments(self, initial: str) -> Moments:
        """State at time zero; see `Oscillators.initial_moments`.

        Parameters
        ----------
        initial : {"thermal", "stationary", "rest", "ground"}
            Which one; "stationary" only if the scenario is not modulated.

        Returns
        -------
        Moments
            Mean and covariance, in the scaled units of `langevin`.

        Raises
        ------
        UnstableError, PlanError
            If there is no such state.
        """
        if initial == "stationary":
            self.require_constant("steady states")
        return self.oscillators().initial_moments(initial)

    def driven(self, equations: Langevin) -> Langevin | Protocol:
        """Equations of these particles with all that changes with time; as they are, if there is nothing.

        Parameters
        ----------
        equations : Langevin
            Those of `langevin`, and forces of one's own beside them.

        Returns
        -------
        Langevin or Protocol
            What is solved.
        """
        return Protocol.constant(equations, drives=self._drives) if self.drive else equations

    @property
    def _drives(self) -> list[Drive]:
        turn = 1.0 if self.reduced else 2.0 * math.pi  # in reduced units a frequency is an angular one
        return [Drive(d.particle, d.force, turn * d.frequency, d.phase, axis=d.axis) for d in self.drive]

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain data, in SI: the form in which plans and stores keep a scenario."""
        return self.model_dump(mode="json", exclude_none=True, exclude_defaults=False)

    def to_toml(self) -> str:
        """The scenario as a TOML file that reads back as the same scenario, to the last bit."""
        data = self.model_dump(mode="json", exclude_none=True, context={"units": not self.reduced})
        if not data["run"]:
            del data["run"]
        return tomli_w.dumps(data)

    def __eq__(self, other: object) -> bool:
        """Whether all fields are equal (computed arrays, which are cached on the object, play no part)."""
        return type(self) is type(other) and isinstance(other, Scenario) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        """Hash of all fields."""
        return hash(self.model_dump_json())

    @staticmethod
    def from_toml(path: str | Path) -> Scenario:
        """Read a scenario file; only data are read, nothing in it is executed.

        Parameters
        ----------
        path : str or Path
            A TOML file. Dimensional numbers must carry units, unless the file says ``units = "reduced"``.

        Returns
        -------
        Scenario
            One of its kinds.

        Raises
        ------
        ScenarioError
            If the file is missing, is not TOML, or a field is wrong: one line for each fault.
        """
        from stochbind.scenario import files

        return files.read(path)
