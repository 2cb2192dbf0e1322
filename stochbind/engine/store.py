"""The store: a Zarr group on disk, with its own ledger of what is done.

Layout, all of it plain Zarr v3::

    zarr.json            attributes: plan, fingerprint, versions, layout, digests of the constant arrays
    trajectory, time, particle                     coordinates
    position, velocity   (trajectory, time, particle, axis), in SI
    engine/checkpoint    (time_block, trajectory, coordinate): scaled state at the end of each time block
    engine/ledger        (trajectory_block, time_block, byte): digest of the block's data, zero until it is done
    coefficients/...     arrays that define a step, computed once
    theory/...           exact drift, noise and steady state

A unit of work is one block of trajectories over one block of time. It writes whole chunks, which Zarr puts in place by
renaming; each is flushed to disk; the chunk of the ledger is written last. So a unit exists or it does not, whatever
is killed when. Every chunk carries a checksum, and what was never written reads as NaN.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import zarr

from stochbind import checks
from stochbind.checks import FloatArray
from stochbind.engine.creation import create
from stochbind.engine.disk import cause, exclusive, flush, has_content, own_attributes
from stochbind.engine.plan import Plan
from stochbind.engine.structure import (
    DIGEST_BYTES,
    SCHEMA,
    ArrayPlan,
    Layout,
    array_digest,
    arrays,
    quantities,
)
from stochbind.errors import (
    IncompleteError,
    StochbindError,
    StoreDamagedError,
    StoreError,
    StoreMismatchError,
)


class Store:
    """A run on disk. Make one with `Store.create`, find one with `Store.open`.

    Attributes
    ----------
    path : Path
        The directory.
    plan : Plan
        What is run.
    layout : Layout
        Sizes of the units of work.
    """

    def __init__(self, path: Path, group: zarr.Group, plan: Plan, layout: Layout, digests: dict[str, str]) -> None:
        self.path, self._group, self.plan, self.layout, self._digests = path, group, plan, layout, digests

    # ------------------------------------------------------------------ making and opening

    @classmethod
    def create(cls, path: str | Path, plan: Plan) -> Self:
        """Make an empty store for a plan; it appears whole or not at all.

        Raises
        ------
        StoreError
            If something else is in the way, or the disk has no room.
        """
        create(Path(path), plan)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path, *, check: bool = True) -> Self:
        """Open a store, and check that everything its ledger promises is there.

        Parameters
        ----------
        path : str or Path
            The directory.
        check : bool
            Whether to look for every file; a worker that only writes need not.

        Raises
        ------
        StoreError
            If there is none, it cannot be read, or was written by a newer version.
        StoreDamagedError
            If files are missing.
        """
        path = Path(path)
        data = own_attributes(path)
        schema = data.get("schema")
        if schema != SCHEMA:
            raise StoreError(
                f"{path}: has schema {checks.short(schema)}, this version of stochbind reads {SCHEMA}; use a newer one."
            )
        try:
            mode: Any = "r+" if os.access(path, os.W_OK) else "r"
            # The metadata beside each array count, not their copies in the root: what is damaged there must be seen.
            group = zarr.open_group(path, mode=mode, zarr_format=3, use_consolidated=False)
            plan = _plan(json.dumps(data["plan"]))
            sizes = {
                name: checks.integer(name, size, minimum=1, error=StoreDamagedError)
                for name, size in data["layout"].items()
            }
            layout = Layout(**sizes)
            fingerprint, digests = data["fingerprint"], dict(data["digests"])
        except StochbindError as error:
            raise StoreDamagedError(f"{path}: its zarr.json was altered: {error}") from None
        except Exception as error:  # zarr's errors on damaged metadata are of many kinds
            raise StoreDamagedError(f"{path}: its zarr.json is damaged ({cause(error)}); copy it again.") from None
        if plan.fingerprint != fingerprint:
            raise StoreDamagedError(f"{path}: its plan and its fingerprint disagree; zarr.json was altered.")
        store = cls(path, group, plan, layout, digests)
        if check:
            store.check_files()
        return store

    @classmethod
    def open_or_create(cls, path: str | Path, plan: Plan) -> Self:
        """The store of this plan at this path, new or not.

        Raises
        ------
        StoreMismatchError
            If the store there belongs to another plan; the message says what differs.
        """
        if not os.path.exists(path):
            return cls.create(path, plan)
        store = cls.open(path)
        if store.plan.fingerprint != plan.fingerprint:
            if store.plan.forces and not plan.forces:
                names = ", ".join(f"`{force.function.__name__}`" for force in store.plan.forces)
                raise StoreMismatchError(
                    f"{path}: holds a run with forces of its own ({names}), which a store knows by name only; continue "
                    "it from Python, with the plan that it was started with, or choose another path."
                )
            difference = "; ".join(store.plan.difference(plan)[:8])
            raise StoreMismatchError(
                f"{path}: holds another run ({difference}); choose another path, or ask for the run it holds."
            )
        return store

    def check_files(self) -> None:
        """Raise `StoreDamagedError` if a file is missing or empty that the structure or the ledger promises."""
        structure = arrays(self.plan, self.layout)
        nodes = (*structure, *self._constants(), "engine", "coefficients", "theory")
        self._require_content([self.path / name / "zarr.json" for name in nodes])
        for name, wanted in structure.items():
            array = self._array(name)
            found = ArrayPlan(array.shape, array.chunks, str(array.dtype), array.metadata.dimension_names)  # type: ignore[union-attr]
            if found != wanted:
                raise StoreDamagedError(
                    f"{self.path}: {name}/zarr.json was altered: it says {tuple(found)}, where the plan of the store "
                    f"wants {tuple(wanted)}; copy it again."
                )
        for name in self._constants():
            if array_digest(self._read(name, ...)) != self._digests[name]:
                raise StoreDamagedError(f"{self.path}: {name} is not what was written; copy the store again.")
        for block, segment in zip(*np.nonzero(self.done), strict=True):
            files = self._files(int(block), int(segment))
            self._require_content(files, self._remedy(files[-1]))

    def verify(self) -> None:
        """Read all trajectories, and raise `StoreDamagedError` if any is not what was written."""
        for block, segment in zip(*np.nonzero(self.done), strict=True):
            try:
                agree = self.digests_agree(int(block), int(segment))
                reason = "are not those that were written"
            except StoreDamagedError as error:
                agree, reason = False, f"cannot be read ({str(error).removeprefix(f'{self.path}: ').split(';')[0]})"
            if not agree:
                rows = self.trajectories(int(block))
                remedy = self._remedy(self._files(int(block), int(segment))[-1])
                raise StoreDamagedError(
                    f"{self.path}: the states of trajectories {rows.start} to {rows.stop - 1} {reason}; {remedy}."
                )

    def _remedy(self, ledger: Path) -> str:
        return f"copy the store again, or remove {ledger} and start the same run again to make them anew"

    def _require_content(self, files: list[Path], remedy: str = "copy it again") -> None:
        missing = [str(file.relative_to(self.path)) for file in files if not has_content(file)]
        if missing:
            others = f", and so are {len(missing) - 1} other files" if len(missing) > 1 else ""
            raise StoreDamagedError(
                f"{self.path}: {missing[0]} is missing or empty{others}: the store is damaged or only half copied; "
                f"{remedy}."
            )

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
        result: npt.NDArray[np.bool_] = np.any(self._read("engine/ledger", ...) != 0, axis=-1)
        return result

    def done_of(self, block: int) -> npt.NDArray[np.bool_]:
        """Which units of one block of trajectories are done, shape (n_segments,)."""
        result: npt.NDArray[np.bool_] = np.any(self._read("engine/ledger", block) != 0, axis=-1)
        return result

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
        """Trajectories that left the range of floating-point numbers, and the index of their first such kept state."""
        found: dict[int, int] = {}
        done = self.done
        for segment in range(self.n_segments):
            if not done[:, segment].any():
                continue
            lost = ~np.isfinite(self._read("engine/checkpoint", segment)).all(axis=-1)
            size = self.layout.trajectories_per_block
            for trajectory in np.flatnonzero(lost & np.repeat(done[:, segment], size)[: len(lost)]):
                if int(trajectory) not in found:
                    times = self.saves(segment)
                    where = (int(trajectory), slice(times.start, times.stop))
                    fine = np.ones(len(times), bool)
                    for name in self.quantities:
                        values = self._read(name, where).reshape(len(times), -1)
                        fine &= np.isfinite(values).all(axis=1)
                    found[int(trajectory)] = times.start + int(np.argmin(fine))
        return found

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the store for writing; the kernel frees the lock when the process ends, however it ends."""
        with exclusive(self.path):
            yield

    def sweep(self) -> None:
        """Remove what killed writers left behind; hold the lock."""
        for leftover in self.path.rglob("*.partial"):
            leftover.unlink(missing_ok=True)

    # ------------------------------------------------------------------ data in and out

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names of the recorded arrays."""
        return quantities(self.plan)

    @cached_property
    def coefficients(self) -> dict[str, FloatArray]:
        """The arrays that define a step, as the run was started with."""
        names = [name.removeprefix("coefficients/") for name in self._constants() if name.startswith("coefficients/")]
        return {name: self._read(f"coefficients/{name}", ...) for name in names}

    def trajectories(self, block: int) -> range:
        """Indices of the trajectories of a block."""
        size = self.layout.trajectories_per_block
        return range(block * size, min((block + 1) * size, self.plan.n_trajectories))

    def saves(self, segment: int) -> range:
        """Indices of the kept states of a block of time."""
        size = self.layout.saves_per_block
        return range(segment * size, min((segment + 1) * size, self.plan.n_saves))

    def read_checkpoint(self, block: int, segment: int) -> FloatArray:
        """Scaled states, and what the ledger added up, at the end of a unit; shape (width, n_trajectories)."""
        rows = self.trajectories(block)
        try:
            state = self._read("engine/checkpoint", (segment, slice(rows.start, rows.stop)))
        except StoreDamagedError as error:
            reason = str(error).split("; ")[0]
            raise StoreDamagedError(f"{reason}; {self._remedy(self._files(block, segment)[-1])}.") from None
        return np.ascontiguousarray(state.T)

    def write(self, block: int, segment: int, data: Mapping[str, FloatArray], checkpoint: FloatArray) -> None:
        """Write a unit: data, flush, checkpoint, flush, and last the ledger.

        Parameters
        ----------
        block, segment : int
            Which.
        data : mapping of str to (n_trajectories, n_saves, ...) float
            Recorded arrays, in SI.
        checkpoint : (n_trajectories, width) float
            What the next unit starts from.

        Raises
        ------
        StoreError
            If the disk refuses; nothing is half-written.
        """
        rows, times = self.trajectories(block), self.saves(segment)
        digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
        try:
            for name in self.quantities:
                values = np.ascontiguousarray(data[name])
                digest.update(values.tobytes())
                self._array(name)[rows.start : rows.stop, times.start : times.stop] = values
            checkpoint = np.ascontiguousarray(checkpoint)
            digest.update(checkpoint.tobytes())
            self._array("engine/checkpoint")[segment, rows.start : rows.stop] = checkpoint
            ledger = self._files(block, segment)
            for file in ledger[:-1]:
                flush(file)
                flush(file.parent)
            self._array("engine/ledger")[block, segment] = np.frombuffer(digest.digest(), np.uint8)
            flush(ledger[-1])
            flush(ledger[-1].parent)
        except OSError as error:
            raise StoreError(
                f"{self.path}: cannot be written: {error.strerror or error}; what is finished is kept, start the same "
                "run again to continue."
            ) from None

    def digests_agree(self, block: int, segment: int) -> bool:
        """Whether the data of a finished unit still have the digest of the ledger."""
        rows, times = self.trajectories(block), self.saves(segment)
        digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
        for name in self.quantities:
            data = self._read(name, (slice(rows.start, rows.stop), slice(times.start, times.stop)))
            digest.update(np.ascontiguousarray(data).tobytes())
        digest.update(np.ascontiguousarray(self.read_checkpoint(block, segment).T).tobytes())
        return digest.digest() == self._read("engine/ledger", (block, segment)).tobytes()

    def _array(self, name: str) -> zarr.Array[Any]:
        try:
            array = self._group[name]
        except Exception as error:  # zarr's errors on damaged metadata are of many kinds
            raise StoreDamagedError(
                f"{self.path}: {name}/zarr.json is damaged ({cause(error)}); copy it again."
            ) from None
        if not isinstance(array, zarr.Array):
            raise StoreDamagedError(f"{self.path}: {name}/zarr.json was altered: it is no array; copy it again.")
        # Chunks of nothing but NaN, of trajectories that all diverged, are data too.
        return array.with_config({"write_empty_chunks": True})

    def _read(self, name: str, where: Any) -> npt.NDArray[Any]:
        array = self._array(name)
        try:
            return np.asarray(array[where])
        except Exception as error:  # the codecs' errors on damaged chunks are of many kinds
            raise StoreDamagedError(
                f"{self.path}: {name} cannot be read ({cause(error)}); a chunk of it is damaged, copy it again."
            ) from None

    def _files(self, block: int, segment: int) -> list[Path]:
        """Chunk files of a unit, the ledger's last."""
        keys: dict[str, tuple[int, ...]] = {
            name: (block, segment, *[0] * (self._array(name).ndim - 2)) for name in self.quantities
        }
        keys["engine/checkpoint"] = (segment, block, 0)
        keys["engine/ledger"] = (block, segment, 0)
        return [self.path / name / self._array(name).metadata.encode_chunk_key(key) for name, key in keys.items()]

    def _constants(self) -> list[str]:
        """Names of the arrays that are written when the store is made."""
        return sorted(self._digests)


@lru_cache(maxsize=4)
def _plan(text: str) -> Plan:
    """The plan of a store; a worker opens the same store for each of its blocks."""
    return Plan.from_dict(json.loads(text), "its plan")
