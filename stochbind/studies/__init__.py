"""Studies: a question, the sweep that answers it, and a folder with its table, figure and report.

A folder of a study holds the store of its sweep, which continues after any interruption, ``table.csv``, ``figure.png``
and ``report.html``. The functions make it; what they return has the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stochbind.engine.ensemble import Progress
from stochbind.engine.workers import Workers
from stochbind.scenario import Scenario, Sweep
from stochbind.studies.base import Design as Design
from stochbind.studies.base import Study as Study
from stochbind.studies.base import carry_out as carry_out
from stochbind.studies.cooling import RefrigeratorDesign as RefrigeratorDesign
from stochbind.studies.cooling import RefrigeratorStudy as RefrigeratorStudy
from stochbind.studies.driving import OneWayDesign as OneWayDesign
from stochbind.studies.driving import OneWayStudy as OneWayStudy
from stochbind.studies.grid import SweepDesign as SweepDesign
from stochbind.studies.grid import SweepStudy as SweepStudy
from stochbind.studies.tables import Line as Line


def refrigerator(
    scenario: Scenario,
    directory: str | Path,
    *,
    n_points: int = 9,
    n_trajectories: int | None = None,
    n_steps: int | None = None,
    step: float | None = None,
    seed: int | None = None,
    formats: Sequence[str] = (),
    workers: Workers | str | None = None,
    progress: Progress | None = None,
) -> RefrigeratorStudy:
    """Find where the light stops to cool the colder of two baths, and how well it cools on the way there.

    The couplings onto the particles in the colder bath are swept, as multiples of those the other way, through the
    ratio of the temperatures, where heat changes its direction.

    Parameters
    ----------
    scenario : Scenario
        Of kind "oscillators", linear, with two bath temperatures; its couplings onto the hotter bath are kept.
    directory : str or Path
        Folder of the study; new, empty, or holding this very study, which is then continued.
    n_points : int
        Number of ratios, at least 5.
    n_trajectories, n_steps : int, optional
        Of each point; by default 256 of 65536 steps.
    step : float, optional
        Length of a step [s]; by default that of the scenario. A tenth to one of its relaxation times is best.
    seed : int, optional
        Of all noise; by default that of the scenario.
    formats : sequence of str
        Formats of the figure beside PNG: "pdf", "svg".
    workers, progress
        See `stochbind.run`.

    Returns
    -------
    RefrigeratorStudy
        With `zero`, where cooling ends, and `best`, where it is largest.

    Raises
    ------
    PlanError, ScenarioError
        If the scenario has not two baths, or is not linear, or the folder or a format cannot be one.
    UnstableError
        If a point has no steady state.
    TooFewSamplesError
        If the error bars are too large to find the change of sign.
    StoreError
        If the folder holds something else, or cannot be written.
    """
    design = RefrigeratorDesign(
        scenario, n_points=n_points, n_trajectories=n_trajectories, n_steps=n_steps, step=step, seed=seed
    )
    study = carry_out(design, directory, formats=formats, workers=workers, progress=progress)
    assert isinstance(study, RefrigeratorStudy)
    return study


def one_way(
    scenario: Scenario,
    directory: str | Path,
    *,
    n_points: int = 7,
    n_trajectories: int | None = None,
    n_steps: int | None = None,
    step: float | None = None,
    seed: int | None = None,
    formats: Sequence[str] = (),
    workers: Workers | str | None = None,
    progress: Progress | None = None,
) -> OneWayStudy:
    """Find what a particle that is driven by another gives to its bath, over a decade of the bath's temperature.

    Parameters
    ----------
    scenario : Scenario
        Of kind "oscillators", linear, of two particles. The weaker of their couplings is set to zero.
    directory, n_trajectories, n_steps, step, seed, formats, workers, progress
        See `refrigerator`.
    n_points : int
        Number of temperatures, at least 3, from 0.3 to 3 times that of the driver's bath.

    Returns
    -------
    OneWayStudy
        With `heat` and `change`, its dependence on the temperature, and `driver_heat`.

    Raises
    ------
    PlanError, UnstableError, StoreError
        See `refrigerator`.
    """
    design = OneWayDesign(
        scenario, n_points=n_points, n_trajectories=n_trajectories, n_steps=n_steps, step=step, seed=seed
    )
    study = carry_out(design, directory, formats=formats, workers=workers, progress=progress)
    assert isinstance(study, OneWayStudy)
    return study


def sweep(
    given: Sweep,
    directory: str | Path,
    *,
    n_trajectories: int | None = None,
    n_steps: int | None = None,
    step: float | None = None,
    seed: int | None = None,
    formats: Sequence[str] = (),
    workers: Workers | str | None = None,
    progress: Progress | None = None,
) -> SweepStudy:
    """Run a sweep, and tell everything that its points are compared by with the exact theory.

    Parameters
    ----------
    given : Sweep
        With a record, or with the statistic "moments".
    directory, n_trajectories, n_steps, step, seed, formats, workers, progress
        See `refrigerator`; by default those of the sweep.

    Returns
    -------
    SweepStudy
        The table.

    Raises
    ------
    PlanError, UnstableError, StoreError
        See `refrigerator`.
    """
    design = SweepDesign(given, n_trajectories=n_trajectories, n_steps=n_steps, step=step, seed=seed)
    study = carry_out(design, directory, formats=formats, workers=workers, progress=progress)
    assert isinstance(study, SweepStudy)
    return study
