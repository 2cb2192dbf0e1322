"""Commands that make and mend stores: run, extend, verify, repair."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stochbind import errors, reports
from stochbind.cli import sweeping
from stochbind.cli.common import (
    JsonOption,
    ParallelOption,
    QuietOption,
    ScenarioArgument,
    StoreArgument,
    WorkersOption,
    duration_of,
    part_of,
    progress,
    say,
    scenario_of,
)

if TYPE_CHECKING:
    from stochbind.engine.plan import Plan
    from stochbind.engine.store import Store

#: Damages that are told one by one.
_MOST_LINES = 20
OutputOption = Annotated[
    str, typer.Option("--output", "-o", help="Store to write, or to continue: a folder, or a URL.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    example = "stochbind run scenarios/unidirectional_pair.toml -o out/pair.zarr --trajectories 2000"
    app.command(epilog=f"Example: {example}")(run)
    app.command(epilog="Example: stochbind extend out/pair.zarr --trajectories 4000")(extend)
    app.command(epilog="Example: stochbind verify out/pair.zarr --recompute 10")(verify)
    app.command(epilog="Example: stochbind repair out/pair.zarr")(repair)


def run(
    scenario: ScenarioArgument,
    output: OutputOption,
    trajectories: Annotated[int | None, typer.Option(help="Number of trajectories.")] = None,
    steps: Annotated[int | None, typer.Option(help="Number of steps of each trajectory.")] = None,
    step: Annotated[str | None, typer.Option(help='Length of a step, with its unit: "2 us".')] = None,
    save_every: Annotated[int | None, typer.Option(help="Keep every so-manieth state.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all noise.")] = None,
    initial: Annotated[str | None, typer.Option(help="Begin: thermal, stationary, rest or ground.")] = None,
    solver: Annotated[str | None, typer.Option(help="Solver: exact, strang, heun, euler_maruyama, sdeint:...")] = None,
    ledger: Annotated[
        bool | None, typer.Option("--ledger/--no-ledger", help="Add up work and heat along each path.")
    ] = None,
    allowed_bias: Annotated[float | None, typer.Option(help="Largest error of a variance, such as 0.01.")] = None,
    record: Annotated[bool | None, typer.Option("--record/--no-record", help="Keep the trajectories.")] = None,
    statistics: Annotated[
        str | None, typer.Option(help="Add up while running: moments, correlations, spectra, currents; with commas.")
    ] = None,
    keep_bits: Annotated[int | None, typer.Option(help="Bits of the mantissa that recorded numbers keep.")] = None,
    parallel: ParallelOption = "dask",
    workers: WorkersOption = None,
    part: Annotated[str | None, typer.Option(help="Do only part k of K, such as 3/16: for job arrays.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and show the plan; write nothing.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Run a scenario into a store; the same line continues an interrupted run."""
    from stochbind.engine.plan import Plan
    from stochbind.scenario import Sweep

    laboratory, piece = scenario_of(scenario), part_of(part)
    base = laboratory.base if isinstance(laboratory, Sweep) else laboratory
    settings: dict[str, Any] = dict(
        n_trajectories=trajectories,
        n_steps=steps,
        step=None if step is None else duration_of(step, base),
        save_every=save_every,
        seed=seed,
        initial=initial,
        solver=solver,
        ledger=ledger,
        allowed_bias=allowed_bias,
        record=record,
        statistics=None
        if statistics is None
        else tuple(word.strip() for word in statistics.split(",") if word.strip()),
        keep_bits=keep_bits,
    )
    if isinstance(laboratory, Sweep):
        how: dict[str, Any] = {"parallel": parallel, "workers": workers, "dry_run": dry_run, "quiet": quiet}
        sweeping.run(laboratory, output, settings, part=piece, **how)
        return
    _run(Plan.from_scenario(laboratory, **settings), output, parallel, workers, piece, dry_run, quiet)


def _run(
    plan: Plan,
    output: str,
    parallel: str,
    workers: int | None,
    part: tuple[int, int] | None,
    dry_run: bool,
    quiet: bool,
) -> None:
    """Run one plan, or say what would be run."""
    if dry_run:
        plan.coefficients()  # where a solver refuses a step
        for line in reports.plan_lines(plan):
            print(line)
        return
    if not quiet:
        for line in reports.plan_lines(plan):
            say(line)
    from stochbind.engine.ensemble import finish, require_room
    from stochbind.engine.places import place
    from stochbind.engine.store import Store
    from stochbind.engine.workers.choice import check_place, n_processes

    check_place(parallel, place(output))
    if not place(output).exists():
        require_room(plan, output, n_processes(parallel, workers))
    store = Store.open_or_create(output, plan)
    if not store.pending:
        finish([store], plan.forces)
        store.verify()
        if not quiet:
            say(f"{output}: complete already, fingerprint {plan.fingerprint}.")
        return
    _finish(store, parallel, workers, part, quiet)


def extend(
    store: StoreArgument,
    trajectories: Annotated[int | None, typer.Option(help="New number of trajectories.")] = None,
    steps: Annotated[int | None, typer.Option(help="New number of steps of each trajectory.")] = None,
    parallel: ParallelOption = "dask",
    workers: WorkersOption = None,
    part: Annotated[str | None, typer.Option(help="Do only part k of K, such as 3/16: for job arrays.")] = None,
    quiet: QuietOption = False,
) -> None:
    """Make a run longer, as if it had been so long from the start; the same line continues it."""
    piece = part_of(part)
    if trajectories is None and steps is None:
        raise errors.PlanError("Nothing to do; give `--trajectories`, `--steps`, or both: the new numbers in all.")
    from stochbind.engine.extension import extend as make_longer

    found = make_longer(store, n_trajectories=trajectories, n_steps=steps)
    if not quiet:
        for line in reports.plan_lines(found.plan, found.layout):
            say(line)
    if found.pending:
        _finish(found, parallel, workers, piece, quiet)
    elif not quiet:
        say(f"{store}: complete already, fingerprint {found.plan.fingerprint}.")


def verify(
    store: StoreArgument,
    recompute: Annotated[
        int, typer.Option(min=0, help="Make so many units, chosen at random, anew, and compare them bit by bit.")
    ] = 0,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the choice; another one each time by default.")] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Compare a whole store with its digests, and name all that is damaged."""
    if sweeping.is_one(store):
        from stochbind.engine.sweep_repairing import examine_sweep as examine
    else:
        from stochbind.engine.repairing import examine

    with progress(quiet) as tell:
        count = None if tell is None else lambda done, total: tell(done, total, 0)
        report = examine(store, recompute=recompute, seed=seed, progress=count)
    if as_json:
        print(json.dumps(report.to_dict(), indent=2))
    else:
        for damage in report.damages[:_MOST_LINES]:
            print(damage)
        if len(report.damages) > _MOST_LINES:
            print(f"... and {len(report.damages) - _MOST_LINES} more (all with --json)")
    report.require_whole()
    if report.n_done < report.n_units:
        raise errors.IncompleteError(
            f"{store}: what is there is whole, but the run is not finished: {report.n_done} of {report.n_units} units "
            "are done; start the same run again to continue it."
        )
    if not (quiet or as_json):
        anew = f", {report.n_recomputed} of them made anew" if report.n_recomputed else ""
        print(f"{store}: all {report.n_units} units are what was written{anew}.")


def repair(
    store: StoreArgument, parallel: ParallelOption = "dask", workers: WorkersOption = None, quiet: QuietOption = False
) -> None:
    """Make anew what is damaged, and only that, to the same bytes."""
    if sweeping.is_one(store):
        from stochbind.engine.sweep_repairing import repair_sweep as mend
    else:
        from stochbind.engine.repairing import repair as mend
    from stochbind.engine.workers.choice import workers_of

    with workers_of(parallel, workers) as chosen, progress(quiet) as tell:
        report = mend(store, workers=chosen, progress=tell)
    if quiet:
        return
    for damage in report.damages[:_MOST_LINES]:
        print(f"{damage}: made anew")
    if len(report.damages) > _MOST_LINES:
        print(f"... and {len(report.damages) - _MOST_LINES} more")
    if report.whole:
        print(f"{store}: nothing is damaged.")


def _finish(store: Store, parallel: str, workers: int | None, part: tuple[int, int] | None, quiet: bool) -> None:
    """Make what is missing, and tell the end of it."""
    from stochbind.engine import compilation
    from stochbind.engine.ensemble import finish, prepare
    from stochbind.engine.workers.choice import workers_of

    plan = store.plan
    if not quiet and not compilation.is_compiled([item.kind for item in plan.statistics], plan.equations.forces):
        say("Compiling the loops: once after an installation, about ten seconds.")
    prepare(plan, store.coefficients)
    before, began = int(store.done.sum()), time.monotonic()
    with workers_of(parallel, workers) as chosen, progress(quiet) as tell:
        finish([store], plan.forces, workers=chosen, part=part, progress=tell)
    _tell_diverged(store)
    if quiet:
        return
    done, elapsed = store.done, time.monotonic() - began
    share = (int(done.sum()) - before) / done.size
    each = elapsed / max(share * plan.n_trajectories * plan.n_steps, 1.0)
    say(f"{elapsed:.3g} s, {each * 1e9:.3g} ns a step of a trajectory.")
    if done.all():
        say(f"{store.path}: complete, fingerprint {plan.fingerprint}.")
    else:
        assert part is not None
        say(f"{store.path}: part {part[0]}/{part[1]} is done; {int(done.sum())} of {done.size} units of the run are.")


def _tell_diverged(store: Store) -> None:
    """A warning of the trajectories that left the range of floating-point numbers."""
    diverged, plan = store.diverged, store.plan
    if diverged:
        first = min(diverged, key=lambda trajectory: (diverged[trajectory], trajectory))
        unit = "" if plan.scenario.reduced else " s"
        by = "by" if plan.record else "in the part of the run that ends at"  # no more is known
        say(
            f"warning: {len(diverged)} of {plan.n_trajectories} trajectories diverged, the first of them trajectory "
            f"{first} {by} {plan.time[diverged[first]]:.6g}{unit}; they are kept, and left out of averages."
        )
