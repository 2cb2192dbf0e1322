"""Verifying and repairing the store of a sweep: point by point, as single runs are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from stochbind.engine.checking import Damage
from stochbind.engine.ensemble import Progress
from stochbind.engine.repairing import examine, repair
from stochbind.engine.sweep_store import SweepStore
from stochbind.engine.verification import Report
from stochbind.engine.workers import Workers


def examine_sweep(
    path: str | Path,
    *,
    recompute: int = 0,
    seed: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Find all that is damaged in the points of a sweep; see `verify`.

    Parameters
    ----------
    path : str or Path
        Directory of the store, or its URL.
    recompute : int
        How many units, chosen at random among all points, are made anew and compared; those that are not done count.
    seed : int, optional
        Of the choice.
    progress : callable, optional
        Called with the numbers of points that were looked at and of all points.

    Raises
    ------
    StoreError
        If there is no store.
    StoreDamagedError
        If the description of the sweep itself is damaged.
    """
    store = SweepStore.open(path)
    choice = np.random.default_rng(seed).integers(store.sweep.size, size=recompute)
    counts = np.bincount(choice, minlength=store.sweep.size)
    reports = {}
    for index in range(store.sweep.size):
        if store.point_place(index).exists():
            reports[index] = examine(store.point_path(index), recompute=int(counts[index]), seed=seed)
            if reports[index].whole:
                store.point(index)  # the run of this very point
        if progress is not None:
            progress(index + 1, store.sweep.size)
    return _joined(store, reports)


def repair_sweep(path: str | Path, *, workers: Workers | str | None = None, progress: Progress | None = None) -> Report:
    """Make anew what is damaged in the points of a sweep, and only that; see `repair`.

    Parameters
    ----------
    path : str or Path
        Directory of the store, or its URL.
    workers : Workers or str, optional
        What makes the units; see `run`.
    progress : callable, optional
        Called with the numbers of points that were looked at, of all points, and of failures.

    Raises
    ------
    StoreError
        See `repair`.
    StoreDamagedError
        If what is damaged cannot be made anew here, or a point holds another run; the message says why.
    """
    store, reports = SweepStore.open(path), {}
    with store.place.lock():
        for index in range(store.sweep.size):
            if store.point_place(index).exists():
                reports[index] = repair(store.point_path(index), workers=workers)
            if progress is not None:
                progress(index + 1, store.sweep.size, 0)
        for index in reports:  # when all that can be mended is
            store.point(index)
    return _joined(store, reports)


def _joined(store: SweepStore, reports: dict[int, Report]) -> Report:
    damages: list[Damage] = []
    for index, report in reports.items():
        damages += [damage._replace(file=f"points/{index}/{damage.file}") for damage in report.damages]
    done = store.done
    recomputed = sum(report.n_recomputed for report in reports.values())
    return Report(str(store.path), tuple(damages), int(done.sum()), done.size, recomputed)
