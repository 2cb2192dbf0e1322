"""Running sweeps: the units of all points of a grid, made by one crew of workers.

Points are made one after the other, a few ahead of the workers. Whoever leads the run computes what determines the
numbers of all of them.
"""

from __future__ import annotations

import contextlib
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stochbind.engine.ensemble import Progress, check_part, make_units, prepare, require_room
from stochbind.engine.places import LocalPlace, Place, place
from stochbind.engine.plan import Plan
from stochbind.engine.structure import write_structure
from stochbind.engine.sweep_store import SweepStore, check_points, make, naming, plan_of, require_same_shape
from stochbind.engine.units import Task
from stochbind.engine.workers import Workers
from stochbind.engine.workers.choice import check_place, check_word, n_processes
from stochbind.errors import PlanError
from stochbind.forces import Force
from stochbind.scenario import Sweep
from stochbind.scenario.statistics import statistics_of

#: Points that are made before a worker asks for them.
_AHEAD = 4


def run_sweep(
    sweep: Sweep,
    path: str | Path,
    *,
    workers: Workers | str | None = None,
    part: tuple[int, int] | None = None,
    progress: Progress | None = None,
    forces: Sequence[Force] = (),
    **plan_overrides: Any,
) -> SweepStore:
    """Run all points of a sweep into one store, or continue the sweep that is there.

    Parameters
    ----------
    sweep : Sweep
        What to run.
    path : str or Path
        Directory of the store, or a URL; new, or holding this very sweep.
    workers, part, progress
        See `run`; a part is every K-th block of trajectories of all points.
    forces : sequence of Force, optional
        Forces of one's own, the same at all points.
    **plan_overrides
        Fields of `Plan` that replace those of the scenario's ``[run]`` table.

    Returns
    -------
    SweepStore
        The finished store; with `part`, one where that part is finished.

    Raises
    ------
    PlanError
        If a parameter cannot be swept in one store, or a run is asked for that cannot be right; points are named.
    UnstableError
        If the initial state is "stationary" and a point has no steady state.
    StoreMismatchError
        If the store there holds something else; the message says what differs.
    StoreError, IncompleteError
        See `run`.
    """
    check_part(part)
    if isinstance(workers, str):
        check_word(workers)
        check_place(workers, place(path))
    sweep, forces = with_run(sweep, **plan_overrides), tuple(forces)
    if not place(path).exists():
        word = workers if isinstance(workers, str) else "threads" if workers is None else "serial"
        require_room(check_points(sweep, forces)[0], path, n_processes(word), n_runs=sweep.size)
    store = SweepStore.open_or_create(path, sweep, forces)
    finish_sweep(store, forces, workers=workers, part=part, progress=progress)
    return store


def with_run(sweep: Sweep, **overrides: Any) -> Sweep:
    """The same sweep with another ``[run]`` table.

    Parameters
    ----------
    sweep : Sweep
        A sweep.
    **overrides
        Fields of `Plan`; None leaves that of the table.

    Raises
    ------
    PlanError
        If a number is impossible, or is swept.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    if not given:
        return sweep
    for name in given:
        if any(setting.parameter == f"run.{name}" for axis in sweep.axes for setting in axis.settings):
            raise PlanError(f"`{name}` is swept, so that it cannot be given; leave it out.")
    plan = Plan.from_scenario(sweep.point(0), **given)
    values = {name: getattr(plan, name) for name in given}
    if "statistics" in given:
        values["statistics"] = statistics_of(given["statistics"])  # each point begins them when it has settled
    base = sweep.base.model_copy(update={"run": sweep.base.run.model_copy(update=values)})
    return Sweep(base, sweep.axes, same_noise=sweep.same_noise)


def finish_sweep(
    store: SweepStore,
    forces: Sequence[Force] = (),
    *,
    workers: Workers | str | None = None,
    part: tuple[int, int] | None = None,
    progress: Progress | None = None,
) -> None:
    """Make all units of a sweep that are not done; see `run_sweep`."""
    done = store.done
    mine = np.ones_like(done)
    if part is not None:
        mine &= (np.arange(mine[..., 0].size) % part[1] == part[0] - 1).reshape(mine.shape[:2])[..., None]
    missing = mine & ~done
    if missing.any():
        with contextlib.ExitStack() as stack:
            stack.enter_context(store.place.lock(part))
            if part is None:
                _remove_remains(store.place)
            pool = stack.enter_context(ThreadPoolExecutor(1, "points"))
            stack.callback(pool.shutdown, cancel_futures=True)
            chains = _chains(store, missing, _Maker(store, tuple(forces)), pool)
            counts = (int((mine & done).sum()), int(mine.sum()))
            make_units(chains, counts, tuple(forces), workers=workers, progress=progress)
        if (mine & ~store.done).any():
            store.require_complete()


class _Point(NamedTuple):
    address: str
    done: npt.NDArray[np.bool_]


class _Maker:
    """Makes or opens the stores of points, one after the other."""

    def __init__(self, store: SweepStore, forces: tuple[Force, ...]) -> None:
        self._store, self._forces = store, forces
        self._first = plan_of(store.sweep, 0, forces)
        self._compiled: set[str] = set()

    def __call__(self, index: int) -> _Point:
        """The address of a point that is there and can be run, and which of its units are done."""
        store, sweep = self._store, self._store.sweep
        where = store.point_place(index)
        plan = plan_of(sweep, index, self._forces)
        if plan.solver not in self._compiled:
            with naming(sweep, index):
                prepare(plan, plan.coefficients())
            self._compiled.add(plan.solver)
        if not where.exists():
            require_same_shape(sweep, index, plan, self._first, store.layout)
            with naming(sweep, index):
                if make(where, lambda group: write_structure(group, plan, store.layout)):
                    return _Point(where.address, np.zeros((store.n_blocks, store.n_segments), dtype=np.bool_))
        return _Point(where.address, store.point(index).done)


def _chains(
    store: SweepStore, missing: npt.NDArray[np.bool_], maker: Callable[[int], _Point], pool: Executor
) -> Iterator[list[Task]]:
    """The units of each block of each point that are not done, in the order of time; points are made a few ahead."""
    indices = iter(np.flatnonzero(missing.any(axis=(1, 2))).tolist())
    coming: deque[tuple[int, Future[_Point]]] = deque()
    while True:
        while len(coming) < _AHEAD and (index := next(indices, None)) is not None:
            coming.append((index, pool.submit(maker, index)))
        if not coming:
            return
        index, future = coming.popleft()
        point = future.result()
        for block in np.flatnonzero(missing[index].any(axis=1)).tolist():
            segments = [segment for segment in range(store.n_segments) if not point.done[block, segment]]
            if segments:
                yield [Task(point.address, block, segment) for segment in segments]


def _remove_remains(where: Place) -> None:
    """Remove what killed runs left; the lock is held alone."""
    where.sweep()
    if isinstance(where, LocalPlace):
        for draft in where.file("points").glob(".*.draft"):
            shutil.rmtree(draft, ignore_errors=True)
