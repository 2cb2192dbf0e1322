"""Verifying and repairing the store of a sweep: point by point, as single runs are."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import zarr

from stochbind.engine.checking import Damage
from stochbind.engine.ensemble import Progress
from stochbind.engine.places import LocalPlace
from stochbind.engine.repairing import examine, repair, sealed_attributes
from stochbind.engine.structure import ENGINE, bytes_digest, versions, write_structure, write_sweep_structure
from stochbind.engine.sweep_store import SweepStore
from stochbind.engine.verification import Report
from stochbind.engine.workers import Workers
from stochbind.errors import StoreDamagedError


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
    store = SweepStore.open(path, check=False)
    choice = np.random.default_rng(seed).integers(store.sweep.size, size=recompute)
    counts = np.bincount(choice, minlength=store.sweep.size)
    found, reports = store.group_damages(), {}
    for index in range(store.sweep.size):
        if store.point_place(index).exists():
            if lost := _lost_copies(store, index):
                found += lost
            else:
                reports[index] = examine(store.point_path(index), recompute=int(counts[index]), seed=seed)
                if reports[index].whole:
                    store.point(index)  # the run of this very point
        if progress is not None:
            progress(index + 1, store.sweep.size)
    return _joined(store, found, reports)


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
    store, reports = SweepStore.open(path, check=False), {}
    with store.place.lock():
        found = _mend_groups(store)
        for index in range(store.sweep.size):
            if store.point_place(index).exists():
                found += _restore(store, index)
                reports[index] = repair(store.point_path(index), workers=workers)
            if progress is not None:
                progress(index + 1, store.sweep.size, 0)
        for index in reports:  # when all that can be mended is
            store.point(index)
    return _joined(store, found, reports)


def _lost_copies(store: SweepStore, index: int) -> list[Damage]:
    """Both copies of what the run of a point is, if neither can be read."""
    where, keys = store.point_place(index), ("zarr.json", ENGINE)
    if any(sealed_attributes(where, key) for key in keys):
        return []
    faults = {key: "was altered" if where.read(key) else "is missing or empty" for key in keys}
    return [Damage(f"points/{index}/{key}", fault) for key, fault in faults.items()]


def _restore(store: SweepStore, index: int) -> list[Damage]:
    """Make the second copy of what the run of a point is from the sweep, if both are lost; `repair` makes the first.

    All else that is made with a store must be there as this machine makes it: else its numbers may be of others.
    """
    lost = _lost_copies(store, index)
    if not lost:
        return []
    where, plan = store.point_place(index), store.plan(index)
    files = _fresh(lambda group: write_structure(group, plan, store.layout))
    keys = [key for key in files if key not in ("zarr.json", ENGINE)]
    same = store.place.attributes()["versions"] == versions() and all(where.read(key) == files[key] for key in keys)
    if not same:
        raise StoreDamagedError(
            f"{where}: both copies of what the run is, zarr.json and {ENGINE}, are damaged, and not all else is what "
            "this version of stochbind writes on this machine; remove this folder, and start the same sweep again to "
            "make it anew."
        )
    with where.lock():
        where.write(ENGINE, files[ENGINE])
    return lost[1:]


def _mend_groups(store: SweepStore) -> list[Damage]:
    """Make damaged groups of the whole anew; gives what was damaged."""
    found = store.group_damages()
    if found:
        files, digests = _fresh(write_sweep_structure), store.place.attributes()["metadata"]
        for damage in found:
            if bytes_digest(files[damage.file]) != digests[damage.file]:
                raise StoreDamagedError(
                    f"{store.path}: {damage.file} is damaged, and was written by other versions of stochbind or zarr; "
                    "copy it from a backup."
                )
            store.place.write(damage.file, files[damage.file])
    return found


def _fresh(write: Callable[[zarr.Group], None]) -> dict[str, bytes]:
    """Files of a new store, by their keys."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = LocalPlace(Path(folder) / "store.zarr")
        scratch.create(write)
        return {key: scratch.read(key) or b"" for key in scratch.keys("")}


def _joined(store: SweepStore, found: list[Damage], reports: dict[int, Report]) -> Report:
    damages = list(found)
    for index, report in reports.items():
        damages += [damage._replace(file=f"points/{index}/{damage.file}") for damage in report.damages]
    done = store.done
    recomputed = sum(report.n_recomputed for report in reports.values())
    return Report(str(store.path), tuple(damages), int(done.sum()), done.size, recomputed)
