"""What the commands do with a sweep: run, info, validate."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import typer

from stochbind import errors, reports
from stochbind.cli.common import progress, say

if TYPE_CHECKING:
    from stochbind.analysis.validation import Validation
    from stochbind.engine.plan import Plan
    from stochbind.engine.sweep_store import SweepStore
    from stochbind.scenario import Sweep


def run(
    sweep: Sweep,
    output: str,
    overrides: dict[str, Any],
    *,
    parallel: str,
    workers: int | None,
    part: tuple[int, int] | None,
    dry_run: bool,
    quiet: bool,
) -> None:
    """Run all points of a sweep into one store; the same line continues it."""
    from stochbind.engine.ensemble import require_room
    from stochbind.engine.places import place
    from stochbind.engine.sweep_store import SweepStore, check_points
    from stochbind.engine.sweeps import with_run
    from stochbind.engine.workers.choice import check_place, n_processes

    check_place(parallel, place(output))
    sweep = with_run(sweep, **overrides)
    new = dry_run or not place(output).exists()
    if new:
        plans = check_points(sweep)
        if dry_run:
            plans[0].coefficients()  # where a solver refuses a step
        if dry_run or not quiet:
            for line in _lines(sweep, plans):
                (print if dry_run else say)(line)
        if dry_run:
            return
        require_room(plans[0], output, n_processes(parallel, workers), n_runs=sweep.size)
    store = SweepStore.open_or_create(output, sweep)
    if store.done.all():
        store.verify()
        if not quiet:
            say(f"{output}: complete already, fingerprint {store.fingerprint}.")
        return
    _finish(store, parallel, workers, part, quiet)


def _finish(store: SweepStore, parallel: str, workers: int | None, part: tuple[int, int] | None, quiet: bool) -> None:
    from stochbind.engine import compilation
    from stochbind.engine.sweeps import finish_sweep
    from stochbind.engine.workers.choice import workers_of

    plan = store.plan(0)
    if not quiet and not compilation.is_compiled([item.kind for item in plan.statistics], plan.equations.forces):
        say("Compiling the loops: once after an installation, about ten seconds.")
    began = time.monotonic()
    with workers_of(parallel, workers) as chosen, progress(quiet) as tell:
        finish_sweep(store, workers=chosen, part=part, progress=tell)
    _tell_diverged(store)
    if quiet:
        return
    done = store.done
    say(f"{time.monotonic() - began:.3g} s.")
    if done.all():
        say(f"{store.path}: complete, fingerprint {store.fingerprint}.")
    else:
        assert part is not None
        say(f"{store.path}: part {part[0]}/{part[1]} is done; {int(done.sum())} of {done.size} units of the sweep are.")


def _tell_diverged(store: SweepStore) -> None:
    """A warning of the points where trajectories left the range of floating-point numbers."""
    found = {
        index: len(lost)
        for index in range(store.sweep.size)
        if store.point_place(index).exists() and (lost := store.point(index).diverged)
    }
    if found:
        index = next(iter(found))
        say(
            f"warning: trajectories diverged at {len(found)} of {store.sweep.size} points, the first of them "
            f"{store.sweep.label(index)}: {found[index]} trajectories; they are kept, and left out of averages."
        )


def _lines(sweep: Sweep, plans: list[Plan]) -> Iterator[str]:
    """What a sweep is about to do, one line each."""
    from stochbind.engine.layout import Forecast, Layout

    first = plans[0]
    yield (
        f"{sweep.base.name}: {axes_line(sweep)}; at each {first.n_trajectories} trajectories of {first.n_steps} steps "
        f"of {first.step:.6g}{'' if sweep.base.reduced else ' s'}, {first.n_saves} states "
        + ("kept." if first.record else "taken, none kept.")
    )
    if first.statistics:
        yield f"Statistics: {', '.join(item.name for item in first.statistics)}."
    yield reports.forecast_line(Forecast.of(first, Layout.of(first, sweep.size)).times(sweep.size))
    unstable = [plan for plan in plans if not plan.scenario.stable]
    looked = "" if len(plans) == sweep.size else f" of {len(plans)} that were looked at"
    yield f"No steady state at {len(unstable)} points{looked}." if unstable else f"All points{looked} are stable."
    short = next((note for plan in plans if (note := plan.relaxation_note())), None)
    if short:
        yield f"Note: at some points: {short}"


def is_one(path: str) -> bool:
    """Whether a store holds a sweep, as far as can be told of one that may be damaged."""
    from stochbind.engine.sweep_store import is_sweep

    try:
        return is_sweep(path)
    except errors.StoreError:
        return False


def axes_line(sweep: Sweep) -> str:
    """Number of points, and of values along each axis."""
    axes = " x ".join(f"{axis.name} {len(axis)}" for axis in sweep.axes)
    noise = "the same noise at all" if sweep.same_noise else "noise of its own at each"
    return f"{sweep.size} points ({axes}), {noise}"


def report(store: SweepStore) -> dict[str, Any]:
    """What the store of a sweep holds and how far it is."""
    done = store.done
    of_points = done.all(axis=(1, 2))
    return {
        "path": str(store.path),
        "fingerprint": store.fingerprint,
        "complete": bool(done.all()),
        "points_done": int(of_points.sum()),
        "points_begun": sum(store.point_place(index).exists() for index in range(store.sweep.size)),
        "points_total": store.sweep.size,
        "units_done": int(done.sum()),
        "units_total": int(done.size),
    }


def validate(path: str, as_json: bool) -> None:
    """Compare each point of a finished sweep with the exact theory; fails if any disagrees."""
    from stochbind.analysis.validation import validate as compare
    from stochbind.engine.reading import dataset_of
    from stochbind.engine.sweep_store import SweepStore

    store = SweepStore.open(path)
    store.require_complete()
    found: list[Validation] = []
    for index in range(store.sweep.size):
        point = store.point(index)
        point.verify()
        found.append(compare(dataset_of(point)))
    agree = all(result.agrees for result in found)
    if as_json:
        points = [_judgement(store, index, result) for index, result in enumerate(found)]
        print(json.dumps(reports.json_ready({"agrees": agree, "points": points}), indent=2, allow_nan=False))
    else:
        _print_table(store, found)
    if not agree:
        raise typer.Exit(3)


def _judgement(store: SweepStore, index: int, result: Validation) -> dict[str, Any]:
    return {
        "point": index,
        "parameters": store.sweep.coordinates(index),
        "agrees": result.agrees,
        "worst": result.worst._asdict() if result.judged else None,
        "notes": result.notes,
    }


def _print_table(store: SweepStore, found: list[Validation]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    sweep = store.sweep
    table = Table(title=f"{store.path}: {sweep.size} points", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("point", justify="right", no_wrap=True)
    for axis in sweep.axes:
        table.add_column(f"{axis.name} {axis.unit}".rstrip(), justify="right", no_wrap=True)
    for name in ("worst quantity", "of"):
        table.add_column(name, no_wrap=True)
    table.add_column("z", justify="right", no_wrap=True)
    for index, result in enumerate(found):
        values = [f"{v:.6g}" if isinstance(v, float) else str(v) for v in sweep.coordinates(index).values()]
        worst, z = result.worst, "no verdict"
        if result.judged:
            z = f"{worst.z:+.2f}" if abs(worst.z) <= 5 else f"[bold red]{worst.z:+.2f}[/]"
        table.add_row(str(index), *values, worst.quantity, worst.where, z)
    # A table that is cut says nothing: as wide as it must be, whatever the number of axes.
    Console(width=Console(width=10_000).measure(table).maximum).print(table)
    console = Console(width=max(84, shutil.get_terminal_size().columns if sys.stdout.isatty() else 100))
    for note in dict.fromkeys(note for result in found for note in result.notes):
        count = sum(note in result.notes for result in found)
        at = "" if count == len(found) else f" (at {count} of {len(found)} points)"
        console.print(f"Note: {note}{at}", highlight=False)
    judged = [abs(result.worst.z) for result in found if result.judged]
    if not judged:
        console.print("No verdict: no quantity has an exact value.", highlight=False)
        return
    wrong = sum(not result.agrees for result in found)
    verdict = f"DISAGREEMENT at {wrong} of {len(found)} points" if wrong else "All points agree"
    console.print(f"{verdict}: the largest |z| is {max(judged):.2f} (limit 5).", highlight=False)
