"""The store: a Zarr group on disk, with its own ledger of what is done.

Layout, all of it plain Zarr v3::

    zarr.json            attributes: plan, fingerprint, versions, layout, digests of the constant arrays
    trajectory, time, particle                     coordinates
    position, velocity   (trajectory, time, particle, axis), in SI; unless there is no record
    statistics/...       (row, group, entry): what is added up while the run goes on
    engine/checkpoint    (time_block, trajectory, coordinate): scaled state at the end of each time block
    engine/ledger        (trajectory_block, time_block, byte): digests of the unit's data, zero until it is done
    engine/lock          an array that is never written; in its folder are the locks
    coefficients/...     arrays that define a step, computed once
    theory/...           exact drift, noise and steady state

A unit of work is one block of trajectories over one block of time. It writes whole chunks, which Zarr puts in place by
renaming; each is flushed to disk; the chunk of the ledger is written last. So a unit exists or it does not, whatever
is killed when. Every chunk carries a checksum, and what was never written reads as NaN.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import zarr

from stochbind import checks
from stochbind.engine import checking, extension, verification
from stochbind.engine.layout import Layout
from stochbind.engine.places import LocalPlace, Place, place
from stochbind.engine.plan import Plan
from stochbind.engine.stored_units import StoredUnits
from stochbind.engine.stored_units import Unit as Unit
from stochbind.engine.structure import SCHEMA, STEPS, write_structure
from stochbind.errors import (
    IncompleteError,
    StochbindError,
    StoreDamagedError,
    StoreError,
    StoreMismatchError,
)


class Store(StoredUnits):
    """A run on disk. Make one with `Store.create`, find one with `Store.open`.

    Attributes
    ----------
    place : Place
        Where it is.
    plan : Plan
        What is run.
    layout : Layout
        Sizes of the units of work.
    """

    def __init__(
        self, place: Place, group: zarr.Group, plan: Plan, layout: Layout, digests: dict[str, str], version: object
    ) -> None:
        self.place, self._group, self.plan, self.layout, self.digests = place, group, plan, layout, digests
        self._arrays = {}
        self._version = version

    @property
    def path(self) -> Path | str:
        """The directory, or the URL."""
        return self.place.path if isinstance(self.place, LocalPlace) else str(self.place)

    # ------------------------------------------------------------------ making and opening

    @classmethod
    def create(cls, path: str | Path, plan: Plan, layout: Layout | None = None) -> Self:
        """Make an empty store for a plan; it appears whole or not at all.

        Parameters
        ----------
        path : str or Path
            A new directory, or a URL.
        plan : Plan
            What will be run.
        layout : Layout, optional
            How the work is cut; by default as suits the plan.

        Raises
        ------
        StoreError
            If something else is in the way, or the disk has no room.
        """
        where, layout = place(path), layout or Layout.of(plan)
        where.create(lambda group: write_structure(group, plan, layout))
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path, *, check: bool = True) -> Self:
        """Open a store, and check that everything its ledger promises is there.

        Parameters
        ----------
        path : str or Path
            The directory, or a URL.
        check : bool
            Whether to look for every file; a worker that only writes need not.

        Raises
        ------
        StoreError
            If there is none, it cannot be read, or was written by a newer version.
        StoreDamagedError
            If files are missing.
        """
        where = place(path)
        version, data = cls.version(path), where.attributes()
        if "sweep" in data:
            raise StoreError(
                f"{where}: holds a sweep of many runs; open one of them, such as {where.child('points/0')}."
            )
        extension.require_none(where)
        schema = data.get("schema")
        if schema != SCHEMA:
            raise StoreError(
                f"{where}: has schema {checks.short(schema)}, this version of stochbind reads {SCHEMA}; "
                "take another path, or the version that wrote it."
            )
        if check:
            checking.check_seal(where, data)
        try:
            store: Any = where.zarr_store(read_only=not where.writable())
            # The metadata beside each array count, not their copies in the root: what is damaged there must be seen.
            group = zarr.open_group(
                store, mode="r+" if where.writable() else "r", zarr_format=3, use_consolidated=False
            )
            plan = _plan(json.dumps(data["plan"]))
            sizes = {
                name: checks.integer(name, size, minimum=1, error=StoreDamagedError)
                for name, size in data["layout"].items()
            }
            layout = Layout(**sizes)
            fingerprint, digests = data["fingerprint"], dict(data["digests"])
        except StochbindError as error:
            raise StoreDamagedError(f"{where}: its zarr.json was altered: {error}") from None
        except Exception as error:  # zarr's errors on damaged metadata are of many kinds
            raise StoreDamagedError(
                f"{where}: its zarr.json is damaged ({checking.cause(error)}); copy it again."
            ) from None
        if plan.fingerprint != fingerprint:
            raise StoreDamagedError(f"{where}: its plan and its fingerprint disagree; zarr.json was altered.")
        found = cls(where, group, plan, layout, digests, version)
        found.versions = dict(data["versions"])
        if check:
            checking.check_files(found)
        return found

    @classmethod
    def open_or_create(cls, path: str | Path, plan: Plan) -> Self:
        """The store of this plan at this path, new or not.

        Raises
        ------
        StoreMismatchError
            If the store there belongs to another plan; the message says what differs. Or if it is a point of a sweep.
        """
        from stochbind.engine.sweep_store import require_no_point

        require_no_point(path)
        if not place(path).exists():
            try:
                return cls.create(path, plan)
            except StoreError:
                if not place(path).exists():
                    raise  # otherwise another process, such as another part, was faster
        extension.roll_forward(place(path))
        store = cls.open(path)
        if store.plan.fingerprint != plan.fingerprint:
            if store.plan.forces and not plan.forces:
                names = ", ".join(f"`{force.function.__name__}`" for force in store.plan.forces)
                raise StoreMismatchError(
                    f"{path}: holds a run with forces of its own ({names}), which a store knows by name only; continue "
                    "it from Python, with the plan that it was started with, or choose another path."
                )
            if extension.is_longer(store.plan, plan):
                raise StoreMismatchError(
                    f"{path}: holds a shorter run of this plan, of {store.plan.n_trajectories} trajectories and "
                    f"{store.plan.n_steps} steps; make it longer with `stochbind extend {path} "
                    f"--trajectories {plan.n_trajectories} --steps {plan.n_steps}`."
                )
            difference = "; ".join(store.plan.difference(plan)[:8])
            raise StoreMismatchError(
                f"{path}: holds another run ({difference}); choose another path, or ask for the run it holds."
            )
        return store

    def require_same_steps(self) -> None:
        """Raise `StoreMismatchError` if this version of stochbind would make other numbers than the one that began."""
        if self.versions.get("steps") != str(STEPS):
            raise StoreMismatchError(
                f"{self.path}: was begun by stochbind {self.versions.get('stochbind')}, whose steps "
                f"({self.versions.get('steps')}) differ in their last bits from those of this version ({STEPS}); "
                "continue it with that one. It can be read by this one."
            )

    @staticmethod
    def version(path: str | Path) -> object:
        """What tells a store from others that were or will be at the same path."""
        where = place(path)
        if isinstance(where, LocalPlace):
            try:
                status = (where.path / "zarr.json").stat()
            except OSError:
                return None
            return status.st_mtime_ns, status.st_ino
        return hashlib.blake2b(where.read("zarr.json") or b"").digest()

    # ------------------------------------------------------------------ progress

    @property
    def done(self) -> npt.NDArray[np.bool_]:
        """Which units are done, shape (n_blocks, n_segments); read from the ledger on disk."""
        result: npt.NDArray[np.bool_] = np.any(self.read("engine/ledger", ...) != 0, axis=-1)
        return result

    def done_in(self, block: int) -> npt.NDArray[np.bool_]:
        """Which units of one block are done, shape (n_segments,)."""
        result: npt.NDArray[np.bool_] = np.any(self.read("engine/ledger", block) != 0, axis=-1)
        return result

    def is_done(self, block: int, segment: int) -> bool:
        """Whether one unit is done."""
        return bool(np.any(self.read("engine/ledger", (block, segment)) != 0))

    @property
    def pending(self) -> list[int]:
        """Blocks of trajectories that are not finished."""
        return [int(block) for block in np.flatnonzero(~self.done.all(axis=1))]

    def require_complete(self) -> None:
        """Raise `IncompleteError` unless every unit is done."""
        done = self.done
        if not done.all():
            raise IncompleteError(
                f"{self.path}: the run is not finished, {int(done.sum())} of {done.size} units are done; "
                "start the same run again to continue it."
            )

    @property
    def diverged(self) -> dict[int, int]:
        """Trajectories that left the range of floating-point numbers, and the index of their first such kept state.

        Without a record, the index is that of the last state of the segment in which they were first seen so.
        """
        found: dict[int, int] = {}
        for block, done in enumerate(self.done):
            found |= checking.settled(partial(self._diverged_in, block), partial(self.done_in, block), done)
        return found

    def _diverged_in(self, block: int, done: npt.NDArray[np.bool_]) -> dict[int, int]:
        """Those of a block, if these of its units are done; a checkpoint that was removed reads as if all were."""
        last = int(np.argmin(np.append(done, False))) - 1  # what diverges stays so: look at the end
        if last < 0 or not (self.plan.record or self.has_checkpoint(last, int(np.flatnonzero(done)[-1]))):
            return {}
        lost = np.flatnonzero(~np.isfinite(self.read_checkpoint(block, last)).all(axis=0))
        first = self.trajectories(block).start
        return {first + int(row): self._first_lost(block, int(row), last) for row in lost}

    def _first_lost(self, block: int, row: int, last: int) -> int:
        for segment in range(last + 1):
            times = self.saves(segment)
            if self.has_checkpoint(segment, last):
                if np.isfinite(self.read_checkpoint(block, segment)[:, row]).all():
                    continue
                if not self.quantities:
                    return times.stop - 1
                where = (self.trajectories(block).start + row, slice(times.start, times.stop))
                fine = np.ones(len(times), bool)
                for name in self.quantities:
                    fine &= np.isfinite(self.read(name, where).reshape(len(times), -1)).all(axis=1)
                return times.start + int(np.argmin(fine))
        return self.saves(last).stop - 1

    @contextmanager
    def lock(self, part: tuple[int, int] | None = None) -> Iterator[None]:
        """Hold the store for writing; a lock of a process that died holds nobody up."""
        with self.place.lock(part):
            if self.version(self.place.address) != self._version or self.place.read(extension.JOURNAL) is not None:
                raise StoreError(f"{self.path}: was changed since it was opened; start the same run again.")
            yield

    def sweep(self) -> None:
        """Remove what killed writers left behind; hold the lock."""
        self.place.sweep()

    def prune(self) -> None:
        """Remove checkpoints that no unit will start from, which late workers have left; hold the lock."""
        if self.plan.record:
            return
        stale = {
            self.keys(block, int(segment))[-2]
            for block, done in enumerate(self.done)
            for segment in np.flatnonzero(done & ~checking.kept_checkpoints(self, done))
        }
        self.place.delete(sorted(stale.intersection(self.place.keys("engine/checkpoint"))))

    def verify(self) -> None:
        """Read everything, and raise `StoreDamagedError` if anything is not what was written."""
        verification.verify(self).require_whole()


@lru_cache(maxsize=4)
def _plan(text: str) -> Plan:
    """The plan of a store; a worker opens the same store for each of its units."""
    return Plan.from_dict(json.loads(text), "its plan")
