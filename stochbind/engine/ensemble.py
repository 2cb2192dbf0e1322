"""Ensembles: blocks of trajectories into a store, serially or spread over processes.

Parallelism enters only as a map: any callable ``map(function, items)`` that yields the results, in any order. The
truth about what is done is the ledger on disk, not the map; a worker gets a path and a number, and returns a number.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import multiprocessing
import os
import pickle
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from stochbind.checks import FloatArray
from stochbind.engine import accounts
from stochbind.engine.blocks import initial_state, n_cores
from stochbind.engine.plan import Plan
from stochbind.engine.programs import Coefficients
from stochbind.engine.solvers import OWN_SOLVERS
from stochbind.engine.store import Store
from stochbind.engine.stored_forces import require_known
from stochbind.errors import IncompleteError, PlanError
from stochbind.forces import Force

Progress = Callable[[int, int], None]


class Map(Protocol):
    """Like the built-in `map` of one iterable; results may come in any order."""

    def __call__(self, function: Callable[[int], int], items: Iterable[int], /) -> Iterable[int]:
        """Apply `function` to every item."""


def run(plan: Plan, path: str | Path, *, map: Map | None = None, progress: Progress | None = None) -> Store:
    """Run a plan into a store, or continue the run that is there.

    Parameters
    ----------
    plan : Plan
        What to run.
    path : str or Path
        Directory of the Zarr store; new, or holding this very plan.
    map : callable, optional
        How blocks are spread: by default over threads, one for each core; or the built-in `map` (serially), or what
        `process_map` or `dask_map` give. The numbers do not depend on it.
    progress : callable, optional
        Called with the number of finished blocks of trajectories and their total, after each.

    Returns
    -------
    Store
        The finished store.

    Raises
    ------
    StoreError
        If the path is taken, locked, or cannot be written.
    StoreMismatchError
        If the store there holds another plan.
    IncompleteError
        If workers were lost and blocks are missing at the end; the same call continues.
    """
    store = Store.open_or_create(path, plan)
    if not store.pending:
        return store
    with store.lock():
        store.sweep()
        pending = store.pending
        total = store.n_blocks
        if progress is not None:
            progress(total - len(pending), total)
        prepare(plan, store.coefficients)
        work = functools.partial(run_block, str(store.path.resolve()), plan.forces)
        with contextlib.nullcontext(map) if map is not None else thread_map(n_cores()) as spread:
            for finished, _ in enumerate(spread(work, pending), total - len(pending) + 1):
                if progress is not None:
                    progress(finished, total)
    store.require_complete()
    return store


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
    if plan.solver in OWN_SOLVERS:
        from stochbind.engine import compilation

        compilation.compile_for(plan.solver_instance().load(coefficients, plan.equations.forces))


@contextlib.contextmanager
def thread_map(n_threads: int) -> Iterator[Map]:
    """A map over threads, for `run`: the compiled loops run side by side.

    Parameters
    ----------
    n_threads : int
        Number of threads.
    """
    with futures.ThreadPoolExecutor(n_threads) as pool:

        def spread(function: Callable[[int], int], items: Iterable[int], /) -> Iterator[int]:
            open_tasks = [pool.submit(function, item) for item in items]
            try:
                for task in futures.as_completed(open_tasks):
                    yield task.result()
            finally:
                for task in open_tasks:
                    task.cancel()

        yield spread


def run_block(path: str, forces: tuple[Force, ...], block: int) -> int:
    """Finish one block of trajectories of a store, from its last checkpoint on; returns the block.

    Parameters
    ----------
    path : str
        Directory of the store.
    forces : tuple of Force
        Forces of the user's own, which a store knows by name only.
    block : int
        Which.
    """
    file = Path(path, "zarr.json")
    store = _opened(path, file.stat().st_mtime_ns if file.exists() else 0)
    plan, coefficients = store.plan, store.coefficients
    program = plan.solver_instance().load(coefficients, (*plan.scenario.langevin().forces, *forces))
    rows, done = store.trajectories(block), store.done_of(block)
    start = initial_state(plan.seed, coefficients["initial_mean"], coefficients["initial_root"], rows)
    d = len(start)
    both: FloatArray | None = None
    for segment in range(store.n_segments):
        if done[segment]:
            both = None
            continue
        if both is None:
            first = np.concatenate([start, np.zeros((program.n_totals, len(rows)))])
            both = store.read_checkpoint(block, segment - 1) if segment else first
        state, total = np.ascontiguousarray(both[:d]), np.ascontiguousarray(both[d:])
        times = store.saves(segment)
        states, totals = program.run(
            state,
            total,
            seed=plan.seed,
            first_trajectory=rows.start,
            first_step=times.start * plan.save_every,
            save_every=plan.save_every,
            n_saves=len(times),
        )
        both = np.concatenate([state, total])
        store.write(block, segment, recorded(plan, coefficients["unit"], start, states, totals), both.T)
    return block


@functools.lru_cache(maxsize=4)
def _opened(path: str, version: int) -> Store:
    """A store, opened once for all blocks that a process makes; `version` tells it from others at the same path."""
    del version
    return Store.open(path, check=False)


def recorded(
    plan: Plan, unit: FloatArray, start: FloatArray, states: FloatArray, totals: FloatArray
) -> dict[str, FloatArray]:
    """The recorded arrays of a unit in SI, each (n_trajectories, n_saves, ...)."""
    n = plan.scenario.n_particles
    with np.errstate(all="ignore"):  # trajectories that diverge are told at the end
        result = {
            name: (states[:, index * n : (index + 1) * n] * unit[index * n : (index + 1) * n, None]).transpose(2, 0, 1)[
                ..., None
            ]
            for index, name in enumerate(("position", "velocity")[: len(unit) // n])
        }
        if plan.ledger:
            ledger = accounts.settle(plan.scenario.oscillators(), plan.system, start, states, totals)
            result |= {name: np.moveaxis(value, -1, 0) for name, value in ledger._asdict().items()}
    return result


@contextlib.contextmanager
def process_map(n_workers: int) -> Iterator[Map]:
    """A map over a pool of processes, for `run`.

    Parameters
    ----------
    n_workers : int
        Number of processes.
    """
    context = multiprocessing.get_context("spawn")
    with futures.ProcessPoolExecutor(n_workers, mp_context=context, initializer=_end_with_parent) as pool:

        def spread(function: Callable[[int], int], items: Iterable[int], /) -> Iterator[int]:
            _require_portable(function)
            queue = iter(items)
            open_tasks: set[futures.Future[int]] = set()
            try:
                open_tasks |= {pool.submit(function, item) for item in itertools.islice(queue, 2 * n_workers)}
                while open_tasks:
                    ready, open_tasks = futures.wait(open_tasks, return_when=futures.FIRST_COMPLETED)
                    for task in ready:
                        yield task.result()
                    open_tasks |= {pool.submit(function, item) for item in itertools.islice(queue, len(ready))}
            except futures.process.BrokenProcessPool:
                raise IncompleteError(
                    "A worker process died. Start the same run again to continue it; if workers die at once, a script "
                    'that starts them needs `if __name__ == "__main__":` around its main part.'
                ) from None
            finally:
                for task in open_tasks:
                    task.cancel()

        yield spread


def _require_portable(function: Callable[[int], int]) -> None:
    """Raise `PlanError` if a function cannot be handed to another process."""
    try:
        pickle.dumps(function)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise PlanError(
            f"This run cannot be handed to other processes ({error}); define its forces by `def` at the top level of a "
            "module, or spread the work over threads."
        ) from None


def _end_with_parent() -> None:
    """End this worker when its driver ends, however it ends: a killed driver cannot tell its workers."""

    def wait() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def dask_map(client: Any) -> Map:
    """A map over the workers of a Dask client, for `run`.

    Only a window of tasks is ever with the scheduler, so that its memory does not grow with the number of blocks.
    Blocks whose worker dies are given to another; blocks are idempotent.

    Parameters
    ----------
    client : distributed.Client
        Of a cluster whose workers see the store's path.
    """
    from distributed import CancelledError, KilledWorker, as_completed
    from distributed.comm.core import CommClosedError
    from distributed.scheduler import NoWorkerError

    def spread(function: Callable[[int], int], items: Iterable[int], /) -> Iterator[int]:
        call = uuid.uuid4().hex  # two runs may share a client; blocks of one are not those of the other

        def submit(item: int) -> Any:
            return client.submit(function, item, pure=False, key=f"block-{item}-{call}")

        slots = max(1, sum(client.nthreads().values()))
        queue = iter(items)
        window = as_completed([submit(item) for item in itertools.islice(queue, 3 * slots)])
        try:
            for task in window:
                yield task.result()
                task.release()
                for item in itertools.islice(queue, 1):
                    window.add(submit(item))
        except (KilledWorker, NoWorkerError, CancelledError, CommClosedError) as error:
            raise IncompleteError(
                f"The Dask cluster lost its workers or its scheduler ({type(error).__name__}); start the same run "
                "again to continue it."
            ) from None
        finally:
            with contextlib.suppress(Exception):  # the scheduler may be gone
                for task in list(window.futures):
                    task.cancel()

    return spread


@contextlib.contextmanager
def local_cluster(n_workers: int) -> Iterator[Any]:
    """A Dask client of a cluster of processes on this machine, one thread each.

    Parameters
    ----------
    n_workers : int
        Number of worker processes.
    """
    import dask
    from distributed import Client, LocalCluster

    settings = {
        "distributed.scheduler.allowed-failures": 20,
        "distributed.scheduler.no-workers-timeout": "5 minutes",
        "distributed.nanny.pre-spawn-environ.NUMBA_NUM_THREADS": 1,
    }
    # What happens to workers is told by exceptions; the log of distributed repeats it as tracebacks.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with dask.config.set(settings):
        try:
            cluster = LocalCluster(
                n_workers=n_workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",
                scheduler_kwargs={"dashboard": False},
                silence_logs=logging.CRITICAL,
            )
        except (OSError, RuntimeError, TimeoutError) as error:
            raise IncompleteError(
                f"The Dask cluster cannot start ({error}). A script that starts one needs "
                '`if __name__ == "__main__":` around its main part; or spread the work over processes.'
            ) from None
        with cluster, Client(cluster) as client:
            yield client
