"""The command line: run, info, validate, plot, scenarios.

Results go to standard output, progress and messages to standard error. Exit codes: 0 done, 1 a bug, 2 a mistake in the
command or the scenario, 3 a check failed (numbers disagree, or data are damaged), 4 the physics forbids it (no steady
state), 74 reading or writing failed, 75 not finished (the same command continues), 130 and 143 interrupted.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib.resources
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from stochbind import errors, reports

if TYPE_CHECKING:
    from stochbind.analysis.validation import Validation
    from stochbind.engine.ensemble import Map
    from stochbind.engine.store import Store
    from stochbind.scenario import Scenario

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Stochastic trajectories of optically bound and levitated nanoparticle arrays.",
)

_EXIT_CODES: tuple[tuple[type[errors.StochbindError], int], ...] = (
    (errors.StoreDamagedError, 3),
    (errors.StoreMismatchError, 2),
    (errors.IncompleteError, 75),
    (errors.StoreLockedError, 75),
    (errors.StoreError, 74),
    (errors.UnstableError, 4),
    (errors.StochbindError, 2),
)


class Parallel(StrEnum):
    """How blocks of trajectories are spread."""

    serial = "serial"
    threads = "threads"
    processes = "processes"
    dask = "dask"


ScenarioArgument = Annotated[str, typer.Argument(help="A scenario file, or the name of a shipped one.")]
StoreArgument = Annotated[Path, typer.Argument(help="Directory of a Zarr store.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.command(epilog="Example: stochbind run scenarios/unidirectional_pair.toml -o out/pair.zarr --trajectories 2000")
def run(
    scenario: ScenarioArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="Store to write, or to continue.")],
    trajectories: Annotated[int | None, typer.Option(help="Number of trajectories.")] = None,
    steps: Annotated[int | None, typer.Option(help="Number of steps of each trajectory.")] = None,
    step: Annotated[str | None, typer.Option(help='Length of a step, with its unit: "2 us".')] = None,
    save_every: Annotated[int | None, typer.Option(help="Keep every so-manieth state.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all noise.")] = None,
    initial: Annotated[str | None, typer.Option(help="State at time zero: thermal, stationary or rest.")] = None,
    solver: Annotated[str | None, typer.Option(help="Solver: exact, strang, heun, euler_maruyama, sdeint:...")] = None,
    ledger: Annotated[
        bool | None, typer.Option("--ledger/--no-ledger", help="Add up work and heat along each path.")
    ] = None,
    allowed_bias: Annotated[float | None, typer.Option(help="Largest error of a variance, such as 0.01.")] = None,
    parallel: Annotated[Parallel, typer.Option(help="How to spread the work.")] = Parallel.dask,
    workers: Annotated[int | None, typer.Option(min=1, help="Number of worker processes.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and show the plan; write nothing.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only errors.")] = False,
) -> None:
    """Run a scenario into a store; the same line continues an interrupted run."""
    from stochbind.engine.plan import Plan

    laboratory = _scenario(scenario)
    plan = Plan.from_scenario(
        laboratory,
        n_trajectories=trajectories,
        n_steps=steps,
        step=None if step is None else _duration(step, laboratory),
        save_every=save_every,
        seed=seed,
        initial=initial,
        solver=solver,
        ledger=ledger,
        allowed_bias=allowed_bias,
    )
    if dry_run:
        plan.coefficients()  # where a solver refuses a step
        for line in reports.plan_lines(plan):
            print(line)
        return
    if not quiet:
        for line in reports.plan_lines(plan):
            _say(line)
    from stochbind.engine.ensemble import prepare
    from stochbind.engine.ensemble import run as run_plan
    from stochbind.engine.store import Store

    store = Store.open_or_create(output, plan)
    if not store.pending:
        store.verify()
        if not quiet:
            _say(f"{output}: complete already, fingerprint {plan.fingerprint}.")
        return
    from stochbind.engine import compilation

    if not quiet and not compilation.is_compiled():
        _say("Compiling the loops: once after an installation, about ten seconds.")
    prepare(plan, store.coefficients)
    with _spread(parallel, workers or os.cpu_count() or 1) as spread, _progress(quiet) as progress:
        store = run_plan(plan, output, map=spread, progress=progress)
    _tell_diverged(store)
    if not quiet:
        _say(f"{store.path}: complete, fingerprint {plan.fingerprint}.")


@app.command(epilog="Example: stochbind info scenarios/unidirectional_pair.toml --json")
def info(
    path: Annotated[str, typer.Argument(help="A scenario (file or shipped name) or a store.")],
    as_json: JsonOption = False,
) -> None:
    """Show a scenario with all derived quantities, or a store with its progress."""
    import numpy as np

    store = None
    if Path(path).is_dir():
        from stochbind.engine.store import Store

        store = Store.open(path)
        scenario = store.plan.scenario
    else:
        scenario = _scenario(path)
    equations = scenario.langevin()
    stability = equations.stability
    derived = scenario.derived()
    if as_json:
        report: dict[str, Any] = {
            "scenario": scenario.to_dict(),
            "derived": {
                name: {"value": np.asarray(item.value).tolist(), "unit": item.unit, "meaning": item.meaning}
                for name, item in derived.items()
            },
            "stability": {
                "stable": stability.stable,
                "growth_rate": stability.growth_rate,
                "round_off": stability.round_off,
                "angular_frequency": stability.angular_frequency,
                "participation": stability.participation,
            },
            "notes": scenario.notes(),
        }
        if store is not None:
            report["store"] = reports.store_report(store)
        print(json.dumps(reports.json_ready(report), indent=2, allow_nan=False))
        return
    print(f"{scenario.name} ({scenario.kind}, {scenario.n_particles} particles)")
    for text in (scenario.description, scenario.source and f"Source: {scenario.source}"):
        if text:
            print(text.strip())
    print()
    width = max(len(name) for name in derived)
    for name, item in derived.items():
        value = np.array2string(np.asarray(item.value), precision=6, separator=", ", prefix=" " * (width + 2))
        print(f"{name:{width}}  {value} {item.unit}".rstrip() + f"  ({item.meaning})")
    print(f"\nThe array is {stability.sentence}.")
    for note in scenario.notes():
        print(f"Note: {note}")
    if store is not None:
        print()
        for key, value in reports.store_report(store).items():
            print(f"{key}: {value}")


@app.command(epilog="Example: stochbind validate out/pair.zarr")
def validate(store: StoreArgument, as_json: JsonOption = False) -> None:
    """Compare a finished run with the exact theory; fails if anything is off by more than five standard errors."""
    result, _ = _validation(store)
    if as_json:
        report = {
            "agrees": result.agrees,
            "window": result.window,
            "n_trajectories": result.n_trajectories,
            "stable": result.stable,
            "rows": [row._asdict() for row in result.rows],
            "notes": result.notes,
        }
        print(json.dumps(reports.json_ready(report), indent=2, allow_nan=False))
    else:
        reports.print_validation(store, result)
    if not result.agrees:
        raise typer.Exit(3)


@app.command(epilog="Example: stochbind plot out/pair.zarr -o pair.png")
def plot(
    store: StoreArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="Figure to write: .png, .pdf or .svg.")],
) -> None:
    """Draw the figure of a finished run: paths, temperatures, energy currents, response and deviations."""
    from stochbind import plots
    from stochbind.analysis import transfer
    from stochbind.analysis.validation import without_diverged
    from stochbind.engine.reading import open_dataset

    if output.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise errors.PlanError(f"`--output` must end in .png, .pdf or .svg, but is {str(output)!r}.")
    result, scenario = _validation(store)
    dataset, array = without_diverged(open_dataset(store), []), scenario.oscillators()
    exact = plots.Response(*transfer.spectrum(array, array.langevin(), 800))
    found = None
    try:
        if not scenario.drive:  # their motion is not fluctuation
            found = plots.Response(*transfer.found_spectrum(array, dataset, 60))
    except errors.TooFewSamplesError:
        pass
    figure = plots.overview(
        dataset, result, exact, found, bath_temperature=array.bath_temperature, reduced=scenario.reduced
    )
    try:
        figure.savefig(output, dpi=150)
    except OSError as error:
        raise errors.StoreError(f"{output}: cannot be written: {error.strerror or error}.") from None
    _say(f"{output}: written.")


@app.command(epilog="Example: stochbind scenarios unidirectional_pair > my_pair.toml")
def scenarios(
    name: Annotated[str | None, typer.Argument(help="Print the file of this one.")] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of scenario files.")] = False,
) -> None:
    """List the shipped scenarios, or print one of them as a start for your own."""
    from stochbind.scenario import Scenario, json_schema

    if schema:
        print(json.dumps(json_schema(), indent=2))
        return
    shipped = _shipped()
    if name is not None:
        if name not in shipped:
            raise errors.ScenarioError(f"There is no shipped scenario {name!r}; there are {', '.join(shipped)}.")
        print(shipped[name].read_text(encoding="utf-8"), end="")
        return
    for key, path in shipped.items():
        description = " ".join(Scenario.from_toml(path).description.split())
        print(f"{key}: {description}")


def main() -> NoReturn:
    """Run the command line; errors of the user become one sentence and an exit code."""
    signal.signal(signal.SIGTERM, partial(_interrupted, 143))
    signal.signal(signal.SIGINT, partial(_interrupted, 130))
    try:
        app()
    except errors.StochbindError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(next(code for kind, code in _EXIT_CODES if isinstance(error, kind)))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(74)
    except OSError as error:
        print(f"error: {error.filename or 'the system'}: {error.strerror or error}.", file=sys.stderr)
        sys.exit(74)
    sys.exit(0)


def _tell_diverged(store: Store) -> None:
    """A warning of the trajectories that left the range of floating-point numbers."""
    diverged, plan = store.diverged, store.plan
    if diverged:
        first = min(diverged, key=lambda trajectory: (diverged[trajectory], trajectory))
        unit = "" if plan.scenario.reduced else " s"
        _say(
            f"warning: {len(diverged)} of {plan.n_trajectories} trajectories diverged, the first of them trajectory "
            f"{first} by {plan.time[diverged[first]]:.6g}{unit}; they are kept, and left out of averages."
        )


def _interrupted(code: int, *_: object) -> NoReturn:
    """End in order, once: a second signal while workers are being stopped changes nothing."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    _say("interrupted; what is finished is kept, and the same command continues it")
    sys.exit(code)


def _shipped() -> dict[str, Path]:
    """Scenario files that come with the package, by name: of the clone, or inside the wheel."""
    package = Path(str(importlib.resources.files("stochbind")))
    for directory in (package / "_scenarios", package.parent / "scenarios"):
        if directory.is_dir():
            return {path.stem: path for path in sorted(directory.glob("*.toml"))}
    return {}


def _scenario(text: str) -> Scenario:
    from stochbind.scenario import Scenario

    shipped = _shipped()
    if os.path.exists(text) and not (text in shipped and os.path.isdir(text)):
        return Scenario.from_toml(text)
    if text in shipped:
        return Scenario.from_toml(shipped[text])
    close = difflib.get_close_matches(text, shipped, n=1)
    if close:
        raise errors.ScenarioError(f"{text}: there is no such file and no such scenario; did you mean {close[0]}?")
    return Scenario.from_toml(text)


def _duration(text: str, scenario: Scenario) -> float:
    from stochbind.quantities import KINDS, parse

    try:
        return float(text) if scenario.reduced else parse(text, KINDS["time"])
    except ValueError as error:
        reason = f"must be a bare number in reduced units, but is {text!r}" if scenario.reduced else str(error)
        raise errors.PlanError(f"`--step` {reason.rstrip('.')}.") from None


@contextlib.contextmanager
def _spread(parallel: Parallel, workers: int) -> Iterator[Map]:
    from stochbind.engine import ensemble

    if parallel is Parallel.serial:
        yield map
    elif parallel is Parallel.threads:
        with ensemble.thread_map(workers) as spread:
            yield spread
    elif parallel is Parallel.processes:
        with ensemble.process_map(workers) as spread:
            yield spread
    else:
        with ensemble.local_cluster(workers) as client:
            yield ensemble.dask_map(client)


@contextlib.contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on a terminal, else a line every ten seconds and at the end."""
    if quiet:
        yield None
        return
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task("blocks", total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    spoken = time.monotonic()

    def speak(done: int, total: int) -> None:
        nonlocal spoken
        if done == total or time.monotonic() - spoken > 10:
            spoken = time.monotonic()
            _say(f"{done} of {total} blocks done")

    yield speak


def _validation(path: Path) -> tuple[Validation, Scenario]:
    from stochbind.analysis.validation import validate as compare
    from stochbind.engine.reading import open_dataset
    from stochbind.engine.store import Store

    store = Store.open(path)
    store.require_complete()
    store.verify()
    return compare(open_dataset(path)), store.plan.scenario


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
