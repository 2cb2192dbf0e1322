"""The command that answers a question with a sweep: study."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stochbind.cli import sweeping
from stochbind.cli.common import ParallelOption, QuietOption, WorkersOption, duration_of, say, scenario_of, shipped

if TYPE_CHECKING:
    from stochbind.scenario import Scenario, Sweep
    from stochbind.studies import Design

#: What is studied if no scenario is given.
_USUAL = "loos_klapp_pair"
_Scenario = Annotated[str, typer.Argument(help="A scenario file, or the name of a shipped one.")]
_SweepFile = Annotated[str, typer.Argument(help="A scenario file with a [sweep] table, or the name of a shipped one.")]
_Output = Annotated[str, typer.Option("--output", "-o", help="Folder of the study, to make or to continue.")]
_Trajectories = Annotated[int | None, typer.Option(min=2, help="Number of trajectories of each point.")]
_Steps = Annotated[int | None, typer.Option(min=256, help="Number of steps of each trajectory.")]
_SweepSteps = Annotated[int | None, typer.Option(min=1, help="Number of steps of each trajectory.")]
_Step = Annotated[str | None, typer.Option(help='Length of a step, with its unit: "2 us".')]
_Seed = Annotated[int | None, typer.Option(help="Seed of all noise.")]
_Figures = Annotated[
    list[str] | None, typer.Option("--figure", help="Format of the figure beside PNG: pdf or svg; may be repeated.")
]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Check and show the plan; write nothing.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    studies = typer.Typer(
        no_args_is_help=True, help="Answer a question by a sweep: a folder with its table, figure and report."
    )
    studies.command(epilog="Example: stochbind study refrigerator -o out/refrigerator")(refrigerator)
    studies.command("one-way", epilog="Example: stochbind study one-way cold_to_hot_pair -o out/one_way")(one_way)
    studies.command(epilog="Example: stochbind study sweep pair_through_directions -o out/directions")(sweep)
    app.add_typer(studies, name="study")


def refrigerator(
    output: _Output,
    scenario: _Scenario = _USUAL,
    points: Annotated[int, typer.Option(min=5, help="Number of ratios of the couplings.")] = 9,
    trajectories: _Trajectories = None,
    steps: _Steps = None,
    step: _Step = None,
    seed: _Seed = None,
    figure: _Figures = None,
    parallel: ParallelOption = "threads",
    workers: WorkersOption = None,
    dry_run: _DryRun = False,
    quiet: QuietOption = False,
) -> None:
    """Find where the light stops to cool the colder of two baths, and how well it cools; the same line continues."""
    from stochbind.studies import RefrigeratorDesign

    given = _given(scenario)
    design = RefrigeratorDesign(
        given, n_points=points, n_trajectories=trajectories, n_steps=steps, step=_length(step, given), seed=seed
    )
    _carry_out(design, output, figure, parallel, workers, dry_run, quiet)


def one_way(
    output: _Output,
    scenario: _Scenario = _USUAL,
    points: Annotated[int, typer.Option(min=3, help="Number of temperatures of the driven particle's bath.")] = 7,
    trajectories: _Trajectories = None,
    steps: _Steps = None,
    step: _Step = None,
    seed: _Seed = None,
    figure: _Figures = None,
    parallel: ParallelOption = "threads",
    workers: WorkersOption = None,
    dry_run: _DryRun = False,
    quiet: QuietOption = False,
) -> None:
    """Find what a particle that another one drives gives to its bath, whatever the bath; the same line continues.

    The weaker coupling of the pair is set to zero.
    """
    from stochbind.studies import OneWayDesign

    given = _given(scenario)
    design = OneWayDesign(
        given, n_points=points, n_trajectories=trajectories, n_steps=steps, step=_length(step, given), seed=seed
    )
    _carry_out(design, output, figure, parallel, workers, dry_run, quiet)


def sweep(
    output: _Output,
    scenario: _SweepFile,
    trajectories: _Trajectories = None,
    steps: _SweepSteps = None,
    step: _Step = None,
    seed: _Seed = None,
    figure: _Figures = None,
    parallel: ParallelOption = "threads",
    workers: WorkersOption = None,
    dry_run: _DryRun = False,
    quiet: QuietOption = False,
) -> None:
    """Run a sweep, and tell everything of its points beside the exact values; the same line continues."""
    from stochbind.studies import SweepDesign

    given = _given(scenario)
    design = SweepDesign(given, n_trajectories=trajectories, n_steps=steps, step=_length(step, given), seed=seed)
    _carry_out(design, output, figure, parallel, workers, dry_run, quiet)


def _given(text: str) -> Scenario | Sweep:
    """The scenario or the sweep of a file, or the shipped one of this name or of one near to it."""
    from stochbind.errors import ScenarioError

    known = shipped()
    if text in known or os.path.exists(text):
        return scenario_of(text)
    close = difflib.get_close_matches(text, known, n=1)
    hint = f"did you mean {close[0]}?" if close else "`stochbind scenarios` lists those that are shipped."
    raise ScenarioError(f"{text}: there is no such file and no such shipped scenario; {hint}")


def _length(step: str | None, given: Scenario | Sweep) -> float | None:
    """The length of a step, as it was written."""
    from stochbind.scenario import Sweep

    return None if step is None else duration_of(step, given.base if isinstance(given, Sweep) else given)


def _carry_out(
    design: Design,
    output: str,
    formats: list[str] | None,
    parallel: str,
    workers: int | None,
    dry_run: bool,
    quiet: bool,
) -> None:
    """Run the sweep of a study or continue it, write its files, and print what was found."""
    from stochbind.studies import base, folders

    folder, kinds = folders.checked(output), folders.checked_formats(formats or ())
    note = design.check()
    if note and (dry_run or not quiet):
        (print if dry_run else say)(f"Note: {note}")
    store = str(folder / folders.SWEEP)
    how: dict[str, bool] = {"dry_run": dry_run, "quiet": quiet}
    sweeping.run(design.sweep, store, {}, parallel=parallel, workers=workers, part=None, **how)
    if dry_run:
        return
    study = base.finished(design, Path(folder))
    study.write(kinds)
    for sentence in study.sentences():
        print(sentence)
    if not quiet:
        say(f"{folder}: table.csv, figure.png and report.html are written.")
    if not study.agrees:
        raise typer.Exit(3)
