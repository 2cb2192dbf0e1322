"""Ensembles: the units of a run, or of many, handed to workers until the ledger on disk has them all."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np

from stochbind.checks import short
from stochbind.engine.accounts import Ledger
from stochbind.engine.driver import Failure, drive
from stochbind.engine.independent import SOLVERS
from stochbind.engine.layout import Forecast, Layout
from stochbind.engine.places import LocalPlace, place
from stochbind.engine.plan import Plan
from stochbind.engine.programs import Coefficients
from stochbind.engine.store import Store
from stochbind.engine.stored_forces import require_known
from stochbind.engine.units import Task, run_unit
from stochbind.engine.workers import Workers
from stochbind.engine.workers.choice import check_place, check_word, n_processes, workers_of
from stochbind.errors import IncompleteError, PlanError, StoreError
from stochbind.forces import Force
from stochbind.scenario import Sweep

if TYPE_CHECKING:
    from stochbind.engine.sweep_store import SweepStore

#: Folder of the reports of failed units: in that of an array, where Zarr does not look.
FAILED = "engine/ledger/failed"
#: Told of units that are done, of all units, and of failures so far.
Progress = Callable[[int, int, int], None]


@overload
def run(
    plan: Plan,
    path: str | Path,
    *,
    workers: Workers | str | None = None,
    part: tuple[int, int] | None = None,
    progress: Progress | None = None,
) -> Store: ...


@overload
def run(
    plan: Sweep,
    path: str | Path,
    *,
    workers: Workers | str | None = None,
    part: tuple[int, int] | None = None,
    progress: Progress | None = None,
) -> SweepStore: ...


def run(
    plan: Plan | Sweep,
    path: str | Path,
    *,
    workers: Workers | str | None = None,
    part: tuple[int, int] | None = None,
    progress: Progress | None = None,
) -> Store | SweepStore:
    """Run a plan into a store, or continue the run that is there.

    Parameters
    ----------
    plan : Plan or Sweep
        What to run: a plan, or all points of a sweep into one store; see `run_sweep`.
    path : str or Path
        Directory of the Zarr store, or a URL; new, or holding this very plan.
    workers : Workers or str, optional
        What runs the units: by default threads, one for each core. A word for other workers of this machine, a Dask
        scheduler or a cluster file, see `workers_of`; or what `process_workers`, `dask_workers` and their like give.
        The numbers do not depend on it.
    part : (int, int), optional
        Do only part k of K, counted from 1; K processes that know nothing of each other finish the run together.
    progress : callable, optional
        Called after each unit with the numbers of finished units, of all units, and of failures.

    Returns
    -------
    Store or SweepStore
        The finished store; with `part`, one where that part is finished.

    Raises
    ------
    PlanError
        If the run cannot fit into the memory of this machine, or the workers are wrong or do not see the store.
    StoreError
        If the path is taken, locked, or cannot be written, or its disk has no room.
    StoreMismatchError
        If the store there holds another plan.
    IncompleteError
        If workers were lost, or units failed, and are missing at the end; the same call continues.
    """
    check_part(part)
    if isinstance(workers, str):
        check_word(workers)
        check_place(workers, place(path))
    if isinstance(plan, Sweep):
        from stochbind.engine.sweeps import run_sweep

        return run_sweep(plan, path, workers=workers, part=part, progress=progress)
    if not place(path).exists():
        word = workers if isinstance(workers, str) else "threads" if workers is None else "serial"
        require_room(plan, path, n_processes(word))
    store = Store.open_or_create(path, plan)
    finish([store], plan.forces, workers=workers, part=part, progress=progress)
    return store


def check_part(part: tuple[int, int] | None) -> None:
    """Raise `PlanError` unless a part is two whole numbers, the first from 1 to the second."""
    if part is None:
        return
    fine = isinstance(part, tuple) and len(part) == 2 and all(type(number) is int for number in part)
    if not fine or not 1 <= part[0] <= part[1]:
        raise PlanError(f"`part` must be (k, K) with k from 1 to K, but is {short(part)}.")


def require_room(plan: Plan, path: str | Path, n_workers: int = 1, n_runs: int = 1) -> Forecast:
    """What a run will need; raises if it cannot fit.

    Parameters
    ----------
    plan : Plan
        What will be run.
    path : str or Path
        Where to.
    n_workers : int
        Units that are made at once on this machine.
    n_runs : int
        How many runs of this size.

    Raises
    ------
    StoreError
        If the disk has no room.
    PlanError
        If the memory of this machine is too small.
    """
    forecast, where = Forecast.of(plan, Layout.of(plan, n_runs) if n_runs > 1 else None).times(n_runs), place(path)
    free = where.free_bytes()
    if free is not None and forecast.n_bytes > free:
        raise StoreError(
            f"{path}: needs up to {forecast.n_bytes / 1e9:.3g} GB, but {free / 1e9:.3g} GB are free there; use fewer "
            "trajectories, a larger save_every, no record but statistics, or another disk."
        )
    memory = _memory()
    if n_workers * forecast.worker_bytes > memory:
        raise PlanError(
            f"{n_workers} workers need about {n_workers * forecast.worker_bytes / 1e9:.3g} GB of memory, but there are "
            f"{memory / 1e9:.3g} GB; use fewer workers, or keep fewer states."
        )
    return forecast


def _memory() -> float:
    """Memory that this process may use [byte]."""
    total = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with contextlib.suppress(OSError, ValueError):  # a container may be allowed less; "max" if it is not
        total = min(total, float(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return total


def finish(
    stores: Sequence[Store],
    forces: tuple[Force, ...],
    *,
    workers: Workers | str | None = None,
    part: tuple[int, int] | None = None,
    progress: Progress | None = None,
) -> None:
    """Make all units of some stores that are not done; see `run`."""
    if not any(len(store.pending) for store in stores):
        _tidy(stores)
        return
    with contextlib.ExitStack() as stack:
        for store in stores:
            stack.enter_context(store.lock(part))
            if part is None:
                store.sweep()
        chains = [chain for store in stores for chain in _chains(store, part)]
        total = sum(store.n_blocks * store.n_segments for store in stores)
        if part is not None:
            total = sum(len(_blocks(store, part)) * store.n_segments for store in stores)
        if chains:
            prepare(dataclasses.replace(stores[0].plan, forces=forces), stores[0].coefficients)
        make_units(chains, (total - sum(map(len, chains)), total), forces, workers=workers, progress=progress)
    for store in stores:
        missing = [block for block in store.pending if block in _blocks(store, part)]
        if missing:
            store.require_complete()
    _tidy(stores)


def _tidy(stores: Sequence[Store]) -> None:
    """Remove what killed or late workers and failed units left in finished stores, unless somebody else holds them."""
    for store in stores:
        if not store.pending:
            with contextlib.suppress(StoreError), store.lock():
                store.sweep()
                store.prune()
                store.place.delete(store.place.keys(FAILED))
                if isinstance(store.place, LocalPlace):
                    with contextlib.suppress(OSError):
                        (store.place.path / FAILED).rmdir()


def _blocks(store: Store, part: tuple[int, int] | None) -> range:
    return range(store.n_blocks) if part is None else range(part[0] - 1, store.n_blocks, part[1])


def _chains(store: Store, part: tuple[int, int] | None) -> Iterator[list[Task]]:
    """The units of each block that are not done, in the order of time."""
    done, address = store.done, store.place.address
    for block in _blocks(store, part):
        chain = [Task(address, block, segment) for segment in range(store.n_segments) if not done[block, segment]]
        if chain:
            yield chain


def make_units(
    chains: Iterable[list[Task]],
    n_units: tuple[int, int],
    forces: tuple[Force, ...],
    *,
    workers: Workers | str | None = None,
    progress: Progress | None = None,
) -> None:
    """Make units of stores that are locked and prepared for.

    Parameters
    ----------
    chains : iterable of list of Task
        What is missing: the units of a chain are made in order. A chain is taken only when there is a place for it.
    n_units : (int, int)
        Units that are done already, and all of them, for the progress.
    forces : tuple of Force
        Forces of the user's own.
    workers, progress
        See `run`.

    Raises
    ------
    IncompleteError
        If workers were lost, or units failed again and again.
    """
    (done, total), failed = n_units, 0

    def count(*_: object) -> None:
        nonlocal done
        done += 1
        tell()

    def count_failure(*_: object) -> None:
        nonlocal failed
        failed += 1
        tell()

    def tell() -> None:
        if progress is not None:
            progress(done, total, failed)

    tell()
    if done == total:
        return
    work = functools.partial(run_unit, forces)
    with contextlib.ExitStack() as stack:
        if workers is None or isinstance(workers, str):
            workers = stack.enter_context(workers_of(workers or "threads"))
        failures = drive(work, chains, workers, progress=count, report_failure=count_failure)
        if failures:
            _tell_failures(failures)


def _tell_failures(failures: tuple[Failure, ...]) -> None:
    """Write down units that failed again and again, and raise `IncompleteError` that names the first."""
    sentence = ""
    for failure in failures:
        task = failure.task
        store = Store.open(task.path, check=False)
        rows = store.trajectories(task.block)
        report = {
            "block": task.block,
            "segment": task.segment,
            "trajectories": [rows.start, rows.stop - 1],
            "seed": store.plan.seed,
            "failures": failure.n_failures,
            "error": failure.error,
            "traceback": failure.traceback,
            "host": socket.gethostname(),
        }
        key = f"{FAILED}/{task.block}-{task.segment}.json"
        store.place.write(key, json.dumps(report, indent=2).encode())
        sentence = sentence or (
            f"{store.path}: {len(failures)} units failed {failure.n_failures} times each and were given up, the "
            f"first of them that of trajectories {rows.start} to {rows.stop - 1} in segment {task.segment}: "
            f"{failure.error} All others are done, or were not begun after many such failures; reports are in "
            f"{FAILED}. Remove the cause and start the same run again."
        )
    raise IncompleteError(sentence)


def prepare(plan: Plan, coefficients: Coefficients) -> None:
    """Compile what a run needs, so that workers find it on disk; and find a force that cannot be evaluated.

    Parameters
    ----------
    plan : Plan
        What will be run.
    coefficients : dict of str to array
        Those of its store.
    """
    require_known(plan.forces)
    if SOLVERS[plan.solver].largest_work is None:  # those of sdeint have nothing to compile
        from stochbind.engine import compilation

        compilation.compile_for(plan.solver_instance().load(coefficients, plan.equations.forces))
    _compile_statistics(plan)


def _compile_statistics(plan: Plan) -> None:
    """Take a window of one trajectory at rest into each statistic."""
    from stochbind.engine.reducers.accumulation import Accumulator

    d, n = plan.equations.dimension, plan.scenario.n_oscillators
    for item in plan.reducers:
        length = item.window
        taker = Accumulator([item], first=-(-item.start // length) * length, n_trajectories=1, group=1)
        ledger, before = (
            Ledger(np.zeros((size, n, n, 1)), np.zeros((size, n, 1)), np.zeros((size, n, 1))) for size in (length, 1)
        )
        taker.add(np.zeros((length, d, 1)), ledger, before)
