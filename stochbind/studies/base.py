"""What all studies have in common: a sweep that is run or continued, and what is made of it."""

from __future__ import annotations

import abc
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from stochbind import checks
from stochbind.analysis.findings.analyses import analyse
from stochbind.analysis.validation import LARGEST_Z
from stochbind.engine.ensemble import Progress
from stochbind.engine.reading import dataset_of
from stochbind.engine.store import Store
from stochbind.engine.sweep_store import SweepStore, check_points
from stochbind.engine.sweeps import run_sweep
from stochbind.engine.workers import Workers
from stochbind.errors import PlanError
from stochbind.scenario import OscillatorScenario, Scenario, Sweep
from stochbind.scenario.parameters import Value
from stochbind.studies import folders, pages
from stochbind.studies.notes import Notes, step_note
from stochbind.studies.tables import Column, Line, as_csv, column, lines_of_findings, worst

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Trajectories of each point of a study of a steady state, and every so-manieth state that is taken.
_USUAL_TRAJECTORIES, _SAVE_EVERY = 256, 4
#: Fewest steps: a whole window of the statistics.
_FEWEST_STEPS = 64 * _SAVE_EVERY


@dataclass(frozen=True, eq=False, kw_only=True)
class Study(abc.ABC):
    """A finished study.

    Attributes
    ----------
    directory : Path
        Its folder.
    sweep : Sweep
        What was run.
    fingerprint : str
        Identity of the numbers.
    table : tuple of Line
        Every quantity at every point; see `column`.
    notes : tuple of str
        What the comparison with the exact theory had to say, and at which points unless at all.
    """

    directory: Path
    sweep: Sweep
    fingerprint: str
    table: tuple[Line, ...]
    notes: tuple[str, ...]

    @property
    @abc.abstractmethod
    def title(self) -> str:
        """What the study is of, in a few words."""

    @property
    @abc.abstractmethod
    def shown(self) -> Sequence[str]:
        """Quantities that the report lists; the file of the table has all."""

    @abc.abstractmethod
    def findings(self) -> Iterator[str]:
        """What was found, one sentence each."""

    @abc.abstractmethod
    def figure(self) -> Figure:
        """The figure of the study; its last panel is of the deviations of all quantities."""

    @abc.abstractmethod
    def panels(self) -> Iterator[str]:
        """What the panels of the figure show, a sentence or two for each, but for the last."""

    def caption(self, figure: Figure) -> str:
        """What the figure of the study shows, panel by panel, and what its error bars are."""
        from stochbind.plots.studies import hides_error_bars

        judged, far = self._judged(), worst(self.table)
        largest = "" if far is None else f", the largest of which is {abs(far.z):.2f}"
        last = (
            f"Deviations of {judged} quantities from their exact values in standard errors{largest}, beside the normal "
            "distribution; the outermost bars hold all beyond."
        )
        bars = "shorter than the points everywhere" if hides_error_bars(figure) else "not seen where points hide them"
        shown = " ".join(f"({name}) {text}" for name, text in zip("abcdefgh", (*self.panels(), last), strict=False))
        return f"{shown} Points are simulated, lines are exact; error bars are one standard error, {bars}."

    def column(self, quantity: str, where: str = "") -> Column:
        """One quantity at all points that have it, such as ``("bath heat", "cold")``; `KeyError` if none has."""
        return column(self.table, quantity, where)

    @property
    def agrees(self) -> bool:
        """Whether every quantity is within five standard errors of its exact value."""
        far = worst(self.table)
        return far is None or abs(far.z) <= LARGEST_Z

    @property
    def unit(self) -> str:
        """SI unit of a power; empty in reduced units."""
        return "" if self.sweep.base.reduced else "W"

    def sentences(self) -> Iterator[str]:
        """What was found, and how far all of it is from the exact values."""
        yield from self.findings()
        far = worst(self.table)
        if far is None:
            yield "No verdict: no quantity has an exact value."
            return
        verdict = "All agree" if self.agrees else "DISAGREEMENT"
        what = f"{far.quantity}{' of ' * bool(far.where)}{far.where} at point {far.point}"
        yield f"{verdict}: of {self._judged()} quantities the largest |z| is {abs(far.z):.2f} (limit 5), {what}."

    def _judged(self) -> int:
        """Number of quantities that have an exact value."""
        return sum(not math.isnan(line.exact) for line in self.table)

    def write(self, formats: Sequence[str] = ()) -> None:
        """Write table.csv, figure.png and report.html, and the figure in other formats, each whole or not at all.

        Parameters
        ----------
        formats : sequence of str
            "pdf", "svg".

        Raises
        ------
        PlanError
            If a format is unknown.
        StoreError
            If a file cannot be written.
        """
        figure = self.figure()
        pictures = {kind: folders.drawn(figure, kind) for kind in folders.checked_formats(("png", *formats))}
        folders.write(self.directory, "table.csv", as_csv(self.table))
        for kind, picture in pictures.items():
            folders.write(self.directory, f"figure.{kind}", picture)
        folders.write(self.directory, "report.html", pages.report(self, figure, pictures["png"]))


class Design(abc.ABC):
    """A study that can be carried out: its sweep, and how its points are told.

    Attributes
    ----------
    sweep : Sweep
        What to run.
    """

    sweep: Sweep

    @abc.abstractmethod
    def evaluate(self, store: SweepStore, directory: Path) -> Study:
        """The study of a finished sweep."""

    def check(self) -> str | None:
        """Raise what would end the sweep, or leave nothing to tell, before it begins; else a note on long steps."""
        plans = check_points(self.sweep)
        for plan in plans:
            if not plan.record and "moments" not in [item.name for item in plan.statistics]:
                raise PlanError(
                    'The sweep keeps neither trajectories nor moments, so nothing can be told of it; add "moments" '
                    "to the `statistics` of its `[run]` table."
                )
        return next((note for plan in plans if (note := step_note(plan))), None)


def carry_out(
    design: Design,
    directory: str | Path,
    *,
    formats: Sequence[str] = (),
    workers: Workers | str | None = None,
    progress: Progress | None = None,
) -> Study:
    """Run the sweep of a study, or continue it, and write its files.

    Parameters
    ----------
    design : Design
        What to do.
    directory : str or Path
        Folder of the study, new or holding this very study.
    formats : sequence of str
        Formats of the figure beside PNG: "pdf", "svg".
    workers, progress
        See `stochbind.run`.

    Returns
    -------
    Study
        The finished study.

    Raises
    ------
    StoreError
        If the folder holds something else.
    PlanError
        If the folder has the name of a file, or a format is unknown.
    """
    folder, formats = folders.checked(directory), folders.checked_formats(formats)
    design.check()
    run_sweep(design.sweep, folder / folders.SWEEP, workers=workers, progress=progress)
    study = finished(design, folder)
    study.write(formats)
    return study


def finished(design: Design, directory: Path) -> Study:
    """The study of the finished sweep in a folder; `IncompleteError` if it is not finished."""
    store = SweepStore.open(directory / folders.SWEEP)
    store.require_complete()
    return design.evaluate(store, directory)


def notes_of(sweep: Sweep) -> Notes:
    """No notes yet, for those of all points of a sweep."""
    return Notes(sweep.base.oscillators().names, sweep.size)


def points(store: SweepStore) -> Iterator[tuple[int, Store, xr.Dataset]]:
    """Number, store and dataset of each point, compared with their digests first."""
    for index in range(store.sweep.size):
        point = store.point(index)
        point.verify()
        yield index, point, dataset_of(point)


def steady_run(n_trajectories: int | None, n_steps: int, step: float | None, seed: int | None) -> dict[str, Any]:
    """Settings of a run that begins in its steady state, keeps no trajectories, and adds up what a table needs.

    Raises
    ------
    PlanError
        If a number is too small.
    """
    count = _USUAL_TRAJECTORIES if n_trajectories is None else n_trajectories
    return {
        "n_trajectories": checks.integer("n_trajectories", count, minimum=2, error=PlanError),
        "n_steps": checks.integer("n_steps", n_steps, minimum=_FEWEST_STEPS, error=PlanError),
        "step": step,
        "save_every": _SAVE_EVERY,
        "seed": seed,
        "initial": "stationary",
        "record": False,
        "ledger": True,
        "statistics": ("moments", "currents"),
    }


def analysed(
    index: int, parameters: Mapping[str, Value], store: Store, dataset: xr.Dataset, notes: Notes
) -> Iterator[Line]:
    """The lines of the analysis of a point; its notes are added."""
    result = analyse(dataset, coefficients=store.coefficients)
    long = step_note(store.plan)
    notes.add(index, [long, *result.notes] if long else result.notes)
    return lines_of_findings(index, parameters, result.findings)


def require_oscillators(scenario: Scenario | Sweep, what: str) -> OscillatorScenario:
    """The scenario, if it is one of given oscillators with linear forces and constant ones at most; else `PlanError`.

    Parameters
    ----------
    scenario : Scenario or Sweep
        What was given.
    what : str
        What the study changes, for the message.
    """
    if isinstance(scenario, Sweep):
        raise PlanError(
            f"{scenario.base.name}: is a sweep already; give a single scenario, or study it as a sweep of your own."
        )
    if not isinstance(scenario, OscillatorScenario):
        raise PlanError(
            f"{scenario.name}: is a scenario of {scenario.kind}, whose {what} follow from the light; give one of kind "
            '= "oscillators".'
        )
    if scenario.oscillators().forces or scenario.drive:
        raise PlanError(f"{scenario.name}: has drives, or forces that are not linear; this study is of linear ones.")
    if np.any(scenario.oscillators().diffusion):
        raise PlanError(
            f"{scenario.name}: has momentum diffusion, which heats whatever the couplings are; leave it out, or study "
            "it as a sweep of your own."
        )
    if scenario.oscillators().has_finite_baths:
        raise PlanError(
            f"{scenario.name}: has baths of a finite heat capacity, which have no steady currents; leave out "
            "`heat_capacity`."
        )
    return scenario
