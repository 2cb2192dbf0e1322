"""The analysis of a run: one reading, all findings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

import numpy as np
import xarray as xr

from stochbind import checks
from stochbind.analysis import passes, points, windows
from stochbind.analysis.findings import (
    directions,
    energy,
    heating,
    irreversibility,
    knowledge,
    measurement,
    quantum,
    spread,
)
from stochbind.analysis.findings.base import Finding, Setting, Subject
from stochbind.analysis.second_moments import SecondMoments
from stochbind.analysis.statistics import Record, exact_record
from stochbind.checks import FloatArray
from stochbind.errors import PlanError, TooFewSamplesError
from stochbind.scenario import Scenario, parse

#: Surrogates of the transfer entropy by default.
N_SURROGATES = 19


@dataclass(frozen=True)
class Analysis:
    """All findings of a run.

    Attributes
    ----------
    findings : tuple of Finding
        Section by section.
    notes : tuple of str
        What cannot be told, and why.
    window : tuple of float
        First and last time of the states that are averaged [s].
    n_trajectories, n_states : int
        Numbers of trajectories, and of states of each.
    n_eff : float
        Number of independent samples behind the averages.
    steady : bool
        Whether they are of a steady state without drives, of linear equations: where not, what needs one is left out.
    """

    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    window: tuple[float, float]
    n_trajectories: int
    n_states: int
    n_eff: float
    steady: bool

    def __getitem__(self, key: tuple[str, str]) -> Finding:
        """The finding of one quantity, such as ``analysis["transfer entropy", "0 <- 1"]``."""
        if not (isinstance(key, tuple) and len(key) == 2):
            raise KeyError(f"a quantity and where, such as ('transfer entropy', '0 <- 1'), but not {key!r}")
        for finding in self.findings:
            if (finding.quantity, finding.where) == key:
                return finding
        places = [finding.where for finding in self.findings if finding.quantity == key[0]]
        known = f"; there are {', '.join(map(repr, places))}" if places else "; `quantities` lists what there is"
        raise KeyError(f"no finding {key[0]!r} of {key[1]!r}{known}")

    def __repr__(self) -> str:
        """In short."""
        return (
            f"<Analysis of {self.n_trajectories} trajectories: {len(self.findings)} findings, {len(self.notes)} notes>"
        )

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names of all quantities, in their order."""
        return tuple(dict.fromkeys(finding.quantity for finding in self.findings))

    @property
    def sections(self) -> tuple[str, ...]:
        """Names of the sections, in their order."""
        return tuple(dict.fromkeys(finding.section for finding in self.findings))

    def table(self) -> xr.Dataset:
        """All findings as one dataset along ``finding``, to be filtered and written."""
        columns = list(zip(*self.findings, strict=True))
        return xr.Dataset(
            {name: ("finding", np.array(column)) for name, column in zip(Finding._fields, columns, strict=True)}
        )


def analyse(
    dataset: xr.Dataset,
    scenario: Scenario | None = None,
    *,
    initial: str | None = None,
    start_time: float | None = None,
    n_history: int = 1,
    n_surrogates: int = N_SURROGATES,
    n_windows: int = 0,
    line_window: int | None = None,
    efficiency: float | None = None,
    coefficients: Mapping[str, FloatArray] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Analysis:
    """Answer how hot everything is, where heat flows, who pays, which way signals go, and how reliable it all is.

    A record is read once, or twice if it has few trajectories, in bounded memory. Of a run without trajectories, the
    statistics that it kept are used.

    Parameters
    ----------
    dataset : xarray.Dataset
        A finished run, as `stochbind.open` gives it, or one point of a sweep.
    scenario : Scenario, optional
        The theory to compare with; by default the scenario of the run.
    initial : str, optional
        Initial state; by default that of the run.
    start_time : float, optional
        First time to average over [s], of a record; by default six decay times of the slowest mode, but not beyond
        half of the record.
    n_history, n_surrogates : int
        Earlier states that count as the past for transfer entropy, and number of its surrogates.
    n_windows : int
        Number of windows of time in which temperatures and heat are told besides; they take further readings.
    line_window : int, optional
        States in a window of the spectra from which lines are fitted, which takes further readings; lines are fitted
        anyway to spectra that the run kept.
    efficiency : float, optional
        Then the light that all particles scatter is detected with this efficiency, the record is filtered, and what is
        known of the motion is told.
    coefficients : mapping of str to array, optional
        Tables of the solver of the run (`Store.coefficients`): then temperatures are also compared with those that its
        steps keep, which are not those of the equations but for exact steps.
    progress : callable, optional
        Called with the numbers of states read and of all states.

    Returns
    -------
    Analysis
        Everything that the run can tell.

    Raises
    ------
    PlanError
        If a number is impossible, the run kept neither trajectories nor moments, or an efficiency is given for a run
        that no linear filter is made for.
    ScenarioError, NoiseError, UnstableError
        If the particles cannot be detected with this efficiency, or what is known does not settle.
    IncompleteError
        If the run is not finished.
    TooFewSamplesError
        If there are fewer than two trajectories or two states.
    """
    for name, value in (("n_surrogates", n_surrogates), ("n_windows", n_windows)):
        checks.integer(name, value, minimum=0, error=PlanError)
    notes: list[str] = []
    dataset = windows.without_diverged(points.one_run(dataset), notes)
    scenario = parse(dataset.attrs["scenario"]) if scenario is None else scenario
    initial = dataset.attrs["initial"] if initial is None else initial
    if "position" not in dataset:
        if start_time is not None:
            raise PlanError(
                "`start_time` is for runs that kept trajectories; averages kept without them have their own."
            )
        if efficiency is not None:
            raise PlanError("`efficiency` is for runs that kept trajectories, which this one did not.")
        subject = _of_statistics(dataset, scenario, initial, notes)
        return _result(subject, _of_moments(subject, n_windows, None, coefficients))
    setting = _setting(dataset, scenario, initial, start_time, notes)
    cells = _cells(setting)
    moments = SecondMoments(cells.n_groups, setting.equations.dimension)
    entropy = irreversibility.entropy_pass(setting, cells.n_groups)
    embedding = knowledge.transfer_pass(setting, cells.n_groups, n_history=n_history, n_surrogates=n_surrogates)
    pairs = directions.passes_of(setting, cells.n_groups)
    detection = measurement.filter_pass(setting, efficiency, cells.n_groups)
    readers = [one for one in (moments, entropy, embedding, detection, *(pairs or ())) if one is not None]
    reading = passes.read(dataset, setting.equations, readers, start=setting.start, cells=cells, progress=progress)
    found = Record(
        **moments.averages(reading), weight=reading.weight, interval=reading.interval, n_states=reading.n_states
    )
    subject = _with_moments(setting, found)
    rows = _of_moments(subject, n_windows, line_window, coefficients)
    rows += directions.response_findings(subject)
    rows += heating.heating_findings(subject)
    rows += quantum.quantum_findings(subject)
    if detection is not None:
        rows += measurement.measurement_findings(subject, detection)
    if entropy is not None:
        rows += irreversibility.theorem_findings(subject, entropy)
    transfer = None
    if embedding is not None:
        more, transfer = knowledge.transfer_findings(subject, embedding)
        rows += more
    if pairs is not None:
        rows += directions.direction_findings(subject, pairs, transfer)
    return _result(subject, rows)


def _of_moments(
    subject: Subject, n_windows: int, line_window: int | None, coefficients: Mapping[str, FloatArray] | None
) -> list[Finding]:
    """What does not need the passes of the reading."""
    rows = [*energy.temperature_findings(subject), *energy.step_findings(subject, coefficients)]
    rows += [*energy.bath_findings(subject), *spread.line_findings(subject, line_window)]
    rows += [*spread.history_findings(subject, n_windows), *energy.heat_findings(subject)]
    rows += [*spread.distribution_findings(subject), *irreversibility.cumulant_findings(subject)]
    rows += energy.cooling_findings(subject)
    rows += [*irreversibility.entropy_findings(subject), *irreversibility.precision_findings(subject)]
    rows += knowledge.information_findings(subject)
    return rows


def _setting(
    dataset: xr.Dataset, scenario: Scenario, initial: str, start_time: float | None, notes: list[str]
) -> Setting:
    """The part of a record that is analysed."""
    if dataset.sizes["trajectory"] < 2 and dataset.sizes["time"] < 2:
        raise TooFewSamplesError("Averages need at least 2 states of each trajectory, but the record has 1.")
    time = dataset["time"].to_numpy()
    if len(time) < 2:
        raise TooFewSamplesError("Averages need at least 2 states of each trajectory, but the record has 1.")
    interval = float(time[1] - time[0])
    baths = scenario.oscillators().baths
    if start_time is None and baths is not None and baths.finite.any():
        start = 0  # what changes is compared from the first state on
    elif start_time is None:
        start = windows.settled(scenario.growth_rate if scenario.stable else 0.0, interval, len(time))
    else:
        start = int(np.searchsorted(time, start_time - 1e-9 * interval))
        if not (start_time >= 0.0 and start <= len(time) - 2):
            raise PlanError(
                "`start_time` must not be negative, and must leave two states or more of the record, which ends at "
                f"{time[-1]:.6g}, but is {start_time:.6g}."
            )
    return Setting(
        dataset, scenario, initial, start, len(time) - start, interval, float(time[start]), float(time[-1]),
        dataset.sizes["trajectory"], _is_steady(dataset, scenario, initial, float(time[start]), notes), notes,
    )  # fmt: skip


def _is_steady(dataset: xr.Dataset, scenario: Scenario, initial: str, first_time: float, notes: list[str]) -> bool:
    """Whether what is averaged is of a steady state without drives, of linear equations; a note says why not."""
    equations, baths = scenario.langevin(), scenario.oscillators().baths
    reason = None
    if baths is not None and baths.finite.any():
        reason = "the temperatures of baths change"
    elif equations.forces or dataset.attrs.get("own_forces"):
        reason = "the forces are not linear, and what is exact is so of linear ones"
    elif scenario.drive:
        reason = "drives act"
    elif scenario.modulated:
        reason = "couplings change with time"
    elif equations.steady is None:
        reason = f"there is none: the array is {equations.stability.sentence}"
    elif not windows.is_settled(equations, initial, first_time):
        reason = "the record ends before six decay times of the slowest mode, or shortly after; run longer"
    if reason is not None:
        notes.append(f"What needs a steady state is left out, as {reason}.")
    return reason is None


def _cells(setting: Setting) -> passes.Cells:
    """Independent parts of the record: trajectories, and of a steady state stretches of time."""
    if setting.steady:
        return passes.independent_cells(setting.dataset, setting.equations, start=setting.start)
    return passes.cut(setting.dataset, start=setting.start)


def _with_moments(setting: Setting, found: Record) -> Subject:
    exact = None
    if setting.linear:
        exact = exact_record(
            setting.scenario.driven(setting.equations),
            setting.scenario.initial_moments(setting.initial),
            first_time=setting.first_time,
            interval=setting.interval,
            n_states=setting.n_states,
        )
    if found.n_groups < 2:
        raise TooFewSamplesError(
            "Error bars need at least 2 trajectories, or one that is long beside its correlations; run more, or longer."
        )
    return Subject(**{item.name: getattr(setting, item.name) for item in fields(Setting)}, found=found, exact=exact)


def _of_statistics(dataset: xr.Dataset, scenario: Scenario, initial: str, notes: list[str]) -> Subject:
    """The run without its trajectories."""
    window = windows.accumulated(dataset, scenario, initial)
    steady = _is_steady(dataset, scenario, initial, window.first_time, notes)
    setting = Setting(
        dataset, scenario, initial, 0, window.found.n_states, window.found.interval, window.first_time,
        window.last_time, window.n_trajectories, steady, notes,
    )  # fmt: skip
    notes.append("Fluctuation theorems and transfer entropy need trajectories, which the run did not keep.")
    exact = window.exact if setting.linear else None
    return Subject(
        **{item.name: getattr(setting, item.name) for item in fields(Setting)}, found=window.found, exact=exact
    )


def _result(subject: Subject, rows: list[Finding]) -> Analysis:
    return Analysis(
        findings=tuple(rows),
        notes=tuple(dict.fromkeys(subject.notes)),
        window=(subject.first_time, subject.last_time),
        n_trajectories=subject.n_trajectories,
        n_states=subject.n_states,
        n_eff=float(subject.found.n_groups),
        steady=subject.steady,
    )
