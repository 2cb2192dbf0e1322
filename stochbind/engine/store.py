"""The store: a Zarr group on disk, with its own ledger of what is done.

Layout, all of it plain Zarr v3::

    zarr.json            attributes: plan, fingerprint, versions, layout, digests of the constant arrays
    trajectory, time, particle                     coordinates
    position, velocity   (trajectory, time, particle, axis), in SI; unless there is no record
    statistics/...       (row, group, entry): what is added up while the run goes on
    engine/checkpoint    (time_block, trajectory, coordinate): scaled state at the end of each time block
    engine/ledger        (trajectory_block, time_block, byte): digests of the unit's data, zero until it is done
    engine/seal.json     digests of all metadata, and a copy of zarr.json
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
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Self

import google_crc32c
import numpy as np
import numpy.typing as npt
import zarr

from stochbind import checks
from stochbind.checks import FloatArray
from stochbind.engine import checking, extension, verification
from stochbind.engine.chunks import encode_chunk
from stochbind.engine.layout import Layout, quantities
from stochbind.engine.places import LocalPlace, Place, place
from stochbind.engine.plan import Plan
from stochbind.engine.structure import (
    DIGEST_BYTES,
    SCHEMA,
    write_structure,
)
from stochbind.errors import (
    IncompleteError,
    StochbindError,
    StoreDamagedError,
    StoreError,
    StoreMismatchError,
)


class Unit(NamedTuple):
    """What a unit writes.

    Attributes
    ----------
    data : dict of str to (n_trajectories, n_saves, ...) float
        Recorded arrays, in SI.
    statistics : dict of str to (n_rows, n_groups, n_entries) float
        What was added up, in scaled units.
    checkpoint : (n_trajectories, width) float
        What the next unit starts from.
    """

    data: dict[str, FloatArray]
    statistics: dict[str, FloatArray]
    checkpoint: FloatArray


class Store:
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
        self._arrays: dict[str, zarr.Array[Any]] = {}
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
        extension.roll_forward(where)
        version, data = cls.version(path), where.attributes()
        if "sweep" in data:
            raise StoreError(
                f"{where}: holds a sweep of many runs; open one of them, such as {where.child('points/0')}."
            )
        schema = data.get("schema")
        if schema != SCHEMA:
            raise StoreError(
                f"{where}: has schema {checks.short(schema)}, this version of stochbind reads {SCHEMA}; use the one "
                "that wrote it."
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
        if check:
            checking.check_files(found)
        return found

    @classmethod
    def open_or_create(cls, path: str | Path, plan: Plan) -> Self:
        """The store of this plan at this path, new or not.

        Raises
        ------
        StoreMismatchError
            If the store there belongs to another plan; the message says what differs.
        """
        if not place(path).exists():
            return cls.create(path, plan)
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
    def n_blocks(self) -> int:
        """Number of blocks of trajectories."""
        return -(-self.plan.n_trajectories // self.layout.trajectories_per_block)

    @property
    def n_segments(self) -> int:
        """Number of blocks of time."""
        return -(-self.plan.n_saves // self.layout.saves_per_block)

    @property
    def done(self) -> npt.NDArray[np.bool_]:
        """Which units are done, shape (n_blocks, n_segments); read from the ledger on disk."""
        result: npt.NDArray[np.bool_] = np.any(self.read("engine/ledger", ...) != 0, axis=-1)
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
        done = self.done
        for block in range(self.n_blocks):
            last = int(np.argmin(np.append(done[block], False))) - 1  # what diverges stays so: look at the end
            if last < 0 or not (self.plan.record or self.has_checkpoint(last, int(np.flatnonzero(done[block])[-1]))):
                continue
            for row in np.flatnonzero(~np.isfinite(self.read_checkpoint(block, last)).all(axis=0)):
                found[self.trajectories(block).start + int(row)] = self._first_lost(block, int(row), last)
        return found

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

    # ------------------------------------------------------------------ data in and out

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names of the recorded arrays."""
        return quantities(self.plan)

    @cached_property
    def coefficients(self) -> dict[str, FloatArray]:
        """The arrays that define a step, as the run was started with."""
        names = [
            name.removeprefix("coefficients/") for name in sorted(self.digests) if name.startswith("coefficients/")
        ]
        return {name: self.read(f"coefficients/{name}", ...) for name in names}

    def trajectories(self, block: int) -> range:
        """Indices of the trajectories of a block."""
        size = self.layout.trajectories_per_block
        return range(block * size, min((block + 1) * size, self.plan.n_trajectories))

    def saves(self, segment: int) -> range:
        """Indices of the kept states of a block of time."""
        size = self.layout.saves_per_block
        return range(segment * size, min((segment + 1) * size, self.plan.n_saves))

    def regions(self, block: int, segment: int) -> dict[str, tuple[slice, slice]]:
        """Where the data of a unit are: of each recorded array, then of each statistic."""
        rows, times = self.trajectories(block), self.saves(segment)
        record = (slice(rows.start, rows.stop), slice(times.start, times.stop))
        result = {name: record for name in self.quantities}
        group = self.layout.trajectories_per_group
        groups = slice(rows.start // group, -(-rows.stop // group))
        for item in self.plan.reducers:
            windows = slice(times.start // item.window, -(-times.stop // item.window))
            result[f"statistics/{item.name}"] = (windows if item.per_window else slice(segment, segment + 1), groups)
        return result

    def has_checkpoint(self, segment: int, last: int) -> bool:
        """Whether the checkpoint of a unit is kept, if `last` is the last one of its block that is done.

        Without a record, it is that of the last one only, and of the last but one of a whole run.
        """
        return self.plan.record or segment == last or (segment == last - 1 and last == self.n_segments - 1)

    def read_checkpoint(self, block: int, segment: int) -> FloatArray:
        """Scaled states, and what the ledger added up, at the end of a unit; shape (width, n_trajectories)."""
        rows = self.trajectories(block)
        state = self.read("engine/checkpoint", (segment, slice(rows.start, rows.stop)))
        return np.ascontiguousarray(state.T)

    def verify(self) -> None:
        """Read everything, and raise `StoreDamagedError` if anything is not what was written."""
        verification.verify(self).require_whole()

    def write(self, block: int, segment: int, unit: Unit) -> None:
        """Write a unit: data, checkpoint, flush, and last the ledger.

        Parameters
        ----------
        block, segment : int
            Which.
        unit : Unit
            Its numbers.

        Raises
        ------
        StoreError
            If the disk refuses; nothing is half-written.
        """
        keys = self.keys(block, segment)
        data = unit.data | {f"statistics/{name}": value for name, value in unit.statistics.items()}
        arrays = {name: data[name] for name in self.regions(block, segment)}
        arrays["engine/checkpoint"] = unit.checkpoint[None]
        entry = np.frombuffer(self.digest(block, segment, unit), np.uint8)[None, None]
        # Chunks are made while those before them are flushed; the ledger comes when all of them are on the disk.
        files = zip(arrays, keys, strict=False)
        self.place.write_all((key, encode_chunk(self.array(name), arrays[name])) for name, key in files)
        if not self.plan.record and segment >= 2:  # before the ledger, so that a kill leaves nothing that is not needed
            self.place.delete(self.keys(block, segment - 2)[-2:-1])
        self.place.write_all([(keys[-1], encode_chunk(self.array("engine/ledger"), entry))])

    def read_unit(self, block: int, segment: int, *, checkpoint: bool = True) -> Unit:
        """What a unit wrote."""
        data: dict[str, FloatArray] = {
            name: self.read(name, where) for name, where in self.regions(block, segment).items()
        }
        names = self.quantities
        statistics = {name[11:]: value for name, value in data.items() if name not in names}
        end = self.read_checkpoint(block, segment).T if checkpoint else np.zeros((0, 0))
        return Unit({name: data[name] for name in names}, statistics, end)

    def digest(self, block: int, segment: int, unit: Unit) -> bytes:
        """Digests of a unit, as they are in the ledger: of its data, and of its checkpoint."""
        data = unit.data | {f"statistics/{name}": value for name, value in unit.statistics.items()}
        return self.data_digest(block, segment, data) + self.checkpoint_digest(unit.checkpoint)

    def data_digest(self, block: int, segment: int, data: dict[str, FloatArray]) -> bytes:
        """Digest of what a unit wrote into the recorded arrays and the statistics."""
        parts = hashlib.blake2b(digest_size=DIGEST_BYTES // 2)
        for name in self.regions(block, segment):
            parts.update(_checksum(data[name]))
        return parts.digest()

    @staticmethod
    def checkpoint_digest(state: FloatArray) -> bytes:
        """Digest of the checkpoint of a unit, (n_trajectories, width)."""
        return hashlib.blake2b(_checksum(state), digest_size=DIGEST_BYTES // 2).digest()

    def array(self, name: str) -> zarr.Array[Any]:
        """One of the arrays."""
        if name in self._arrays:
            return self._arrays[name]
        try:
            array = self._group[name]
        except Exception as error:  # zarr's errors on damaged metadata are of many kinds
            raise StoreDamagedError(
                f"{self.path}: {name}/zarr.json is damaged ({checking.cause(error)}); copy it again."
            ) from None
        if not isinstance(array, zarr.Array):
            raise StoreDamagedError(f"{self.path}: {name}/zarr.json was altered: it is no array; copy it again.")
        # Chunks of nothing but NaN, of trajectories that all diverged, are data too.
        self._arrays[name] = array.with_config({"write_empty_chunks": True})
        return self._arrays[name]

    def read(self, name: str, where: Any) -> npt.NDArray[Any]:
        """Part of one of the arrays."""
        array = self.array(name)
        try:
            return np.asarray(array[where])
        except Exception as error:  # the codecs' errors on damaged chunks are of many kinds
            raise StoreDamagedError(
                f"{self.path}: {name} cannot be read ({checking.cause(error)}); a chunk of it is damaged: "
                f"`stochbind verify` tells which, and `stochbind repair` makes it anew."
            ) from None

    def keys(self, block: int, segment: int) -> list[str]:
        """Files of a unit; the last two are those of the checkpoint and of the ledger."""
        places: dict[str, tuple[int, ...]] = {
            name: (block, segment, *[0] * (self.array(name).ndim - 2)) for name in self.quantities
        }
        places |= {f"statistics/{item.name}": (segment, block, 0) for item in self.plan.reducers}
        places["engine/checkpoint"] = (segment, block, 0)
        places["engine/ledger"] = (block, segment, 0)
        return [f"{name}/{self.array(name).metadata.encode_chunk_key(key)}" for name, key in places.items()]


def _checksum(data: FloatArray) -> bytes:
    """Size and CRC-32C of an array, which costs little beside writing it."""
    numbers = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
    checksum: int = google_crc32c.value(numbers)
    return len(numbers).to_bytes(8, "little") + checksum.to_bytes(4, "little")


@lru_cache(maxsize=4)
def _plan(text: str) -> Plan:
    """The plan of a store; a worker opens the same store for each of its units."""
    return Plan.from_dict(json.loads(text), "its plan")
