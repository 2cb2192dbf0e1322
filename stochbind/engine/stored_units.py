"""What a store knows of its units: where their data are, and how they are written and read."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Any, NamedTuple

import google_crc32c
import numpy as np
import numpy.typing as npt
import zarr

from stochbind.checks import FloatArray
from stochbind.engine.abstract_place import cause
from stochbind.engine.chunks import encode_chunk
from stochbind.engine.layout import Layout, quantities
from stochbind.engine.places import Place
from stochbind.engine.plan import Plan
from stochbind.engine.structure import DIGEST_BYTES
from stochbind.errors import StoreDamagedError


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

    @property
    def arrays(self) -> dict[str, FloatArray]:
        """Recorded arrays and statistics, by their names in a store."""
        return self.data | {f"statistics/{name}": value for name, value in self.statistics.items()}


class StoredUnits:
    """The data of a store, unit by unit.

    Attributes
    ----------
    place : Place
        Where it is.
    plan : Plan
        What is run.
    layout : Layout
        Sizes of the units of work.
    digests : dict of str to str
        Digests of the constant arrays.
    versions : dict of str to str
        Of stochbind and what it uses, when the run was begun.
    """

    place: Place
    plan: Plan
    layout: Layout
    digests: dict[str, str]
    versions: dict[str, str]
    _group: zarr.Group
    _arrays: dict[str, zarr.Array[Any]]

    @property
    def n_blocks(self) -> int:
        """Number of blocks of trajectories."""
        return -(-self.plan.n_trajectories // self.layout.trajectories_per_block)

    @property
    def n_segments(self) -> int:
        """Number of blocks of time."""
        return -(-self.plan.n_saves // self.layout.saves_per_block)

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
        arrays = {name: unit.arrays[name] for name in self.regions(block, segment)}
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
        return self.data_digest(block, segment, unit.arrays) + self.checkpoint_digest(unit.checkpoint)

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
                f"{self.place}: {name}/zarr.json is damaged ({cause(error)}); copy it again."
            ) from None
        if not isinstance(array, zarr.Array):
            raise StoreDamagedError(f"{self.place}: {name}/zarr.json was altered: it is no array; copy it again.")
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
                f"{self.place}: {name} cannot be read ({cause(error)}); a chunk of it is damaged: "
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
