"""What is on disk beside what the plan and the ledger promise: finding damage, and saying what to do about it.

Every file is accounted for. The zarr.json of the root is sealed; it holds digests of those of all members, which are
its own second copy, and of the numbers of all constants. The ledger holds digests of what each unit has written, and
every chunk, those of the ledger, too, ends with a checksum. What is harmless: a number of the root's zarr.json that is
written in other characters, and files that nobody asked for. An entry of the ledger that was removed, with none after
it, makes a run that is not finished; it is continued like any other.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from stochbind.checks import FloatArray
from stochbind.engine.abstract_place import cause as cause
from stochbind.engine.places import Place
from stochbind.engine.structure import ArrayPlan, array_digest, arrays, bytes_digest, seal
from stochbind.errors import StoreDamagedError

if TYPE_CHECKING:
    from stochbind.engine.store import Store

_LOST = "is missing or empty"
_ALTERED = "was altered"
#: Numbers of a long constant that are read at once.
_PIECE = 2**20
_Found = TypeVar("_Found", bound=Collection[object])


class Damage(NamedTuple):
    """Something that is not what was written.

    Attributes
    ----------
    file : str
        Key of the file, or of an array if it is not known which of its files.
    fault : str
        What is wrong with it.
    block, segment : int or None
        The unit that it belongs to, if it does.
    trajectories : range or None
        Those of the unit.
    """

    file: str
    fault: str
    block: int | None = None
    segment: int | None = None
    trajectories: range | None = None

    def __str__(self) -> str:
        if self.trajectories is None:
            return f"{self.file} {self.fault}"
        rows = self.trajectories
        return f"{self.file} {self.fault} (trajectories {rows.start} to {rows.stop - 1} in segment {self.segment})"


def told(name: str, damages: Sequence[Damage]) -> str:
    """The sentence for damages: the first, their number, and the remedy."""
    others = f", and {len(damages) - 1} more like it" if len(damages) > 1 else ""
    it = "them" if others else "it"
    return f"{name}: {damages[0]}{others}: the store is damaged; {remedy(name)} {it} anew."


def remedy(name: str) -> str:
    """What to do, but for the last words: "it anew."."""
    return f"`stochbind repair {name}` makes"


# ---------------------------------------------------------------------- metadata and constants


def check_seal(place: Place, attributes: dict[str, Any]) -> None:
    """Raise `StoreDamagedError` if any metadata are not what was written.

    Parameters
    ----------
    place : Place
        Where the store is.
    attributes : dict
        Those of stochbind in its root.
    """
    damages = metadata_damages(place, attributes)
    if damages:
        raise StoreDamagedError(told(str(place), damages))


def is_sealed(attributes: Any) -> bool:
    """Whether attributes of stochbind are what was written."""
    return (
        isinstance(attributes, dict)
        and {"plan", "layout", "digests", "metadata"} <= set(attributes)
        and seal(attributes) == attributes.get("seal")
        and all(key.endswith("/zarr.json") for key in attributes["metadata"])
    )


def metadata_damages(place: Place, attributes: dict[str, Any]) -> list[Damage]:
    """All zarr.json that are not what was written."""
    if not is_sealed(attributes):
        return [Damage("zarr.json", _ALTERED)]
    found, copies = [], {}
    for key, digest in attributes["metadata"].items():
        data = place.read(key)
        if not data or bytes_digest(data) != digest:
            found.append(Damage(key, _ALTERED if data else _LOST))
        else:
            copies[key.removesuffix("/zarr.json")] = json.loads(data)
    if not found and not _is_root(json.loads(place.read("zarr.json") or b"{}"), attributes, copies):
        found.append(Damage("zarr.json", _ALTERED))
    return found


def _is_root(root: dict[str, Any], attributes: dict[str, Any], members: dict[str, Any]) -> bool:
    """Whether the root says what it should: a title, what is sealed, and copies of the metadata of all members."""
    copies = root.get("consolidated_metadata", {}).get("metadata", {})
    empty = {"kind": "inline", "must_understand": False, "metadata": {}}
    for name, member in members.items():
        if member.get("node_type") == "group":
            members[name] = {**member, "consolidated_metadata": empty}
    return bool(
        copies == members
        and root
        == {
            "attributes": {"title": attributes["plan"]["scenario"]["name"], "stochbind": attributes},
            "zarr_format": 3,
            "consolidated_metadata": {**empty, "metadata": copies},
            "node_type": "group",
        }
    )


def check_files(store: Store) -> None:
    """Raise `StoreDamagedError` if constants are not what was written, or files are missing that units have written."""
    damages = constant_damages(store) or [Damage(key, _LOST) for key in _lost_files(store)]
    if damages:
        raise StoreDamagedError(told(str(store.path), damages))


def constant_damages(store: Store) -> list[Damage]:
    """Arrays that are not what the plan wants, and constants that are not what was written."""
    found = []
    for name, wanted in arrays(store.plan, store.layout).items():
        array = store.array(name)
        is_so = ArrayPlan(array.shape, array.chunks, str(array.dtype), array.metadata.dimension_names)  # type: ignore[union-attr]
        if is_so != wanted:
            found.append(Damage(f"{name}/zarr.json", f"says {tuple(is_so)}, where the plan wants {tuple(wanted)},"))
    for name in sorted(store.digests):
        try:
            if _digest(store, name) != store.digests[name]:
                found.append(Damage(name, "is not what was written"))
        except StoreDamagedError as error:
            found.append(Damage(name, _short(store, error)))
    return found


def _digest(store: Store, name: str) -> str:
    """Digest of a constant; of long ones piece by piece."""
    array = store.array(name)
    if array.ndim != 1 or array.shape[0] <= _PIECE:
        return array_digest(store.read(name, ...))
    result = hashlib.blake2b(digest_size=16)
    for start in range(0, array.shape[0], _PIECE):
        result.update(np.ascontiguousarray(store.read(name, slice(start, start + _PIECE))).data)
    return result.hexdigest()


def _short(store: Store, error: StoreDamagedError) -> str:
    """The fault, without the store and the remedy."""
    text = str(error).removeprefix(f"{store.path}: ").split(";")[0]
    return text[text.find("cannot be read") :] if "cannot be read" in text else text


# ---------------------------------------------------------------------- units


def kept_checkpoints(store: Store, done: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which checkpoints of a block are kept, (n_segments,), if `done` tells which of its units are done."""
    if store.plan.record or not done.any():
        return done
    last = int(np.flatnonzero(done)[-1])
    kept: npt.NDArray[np.bool_] = np.array([store.has_checkpoint(segment, last) for segment in range(len(done))])
    return kept & done


def settled(
    look: Callable[[npt.NDArray[Any]], _Found], ledger: Callable[[], npt.NDArray[Any]], entries: npt.NDArray[Any]
) -> _Found:
    """What is found in a block, by looking again and again if a run goes on meanwhile.

    Without a record, a run removes checkpoints, each of them after it has written an entry that says so: what is found
    counts only if the ledger is the same before and after.

    Parameters
    ----------
    look : callable
        Finds something, if the entries of the block are these.
    ledger : callable
        The entries of the block as they are now.
    entries : array
        As they were a moment ago.

    Returns
    -------
    collection
        What was found; if that is nothing, at the first look.
    """
    found = look(entries)
    while found and not np.array_equal(now := ledger(), entries):
        entries = now
        found = look(entries)
    return found


def _lost_files(store: Store) -> list[str]:
    """Files that finished units have written, and that are not there."""

    def lost(block: int, row: npt.NDArray[np.bool_]) -> list[str]:
        return store.place.missing(_promised_keys(store, block, row))

    done = store.done
    promised = {key: block for block, row in enumerate(done) for key in _promised_keys(store, block, row)}
    blocks = dict.fromkeys(promised[key] for key in store.place.missing(promised))
    found = (
        settled(functools.partial(lost, block), functools.partial(store.done_in, block), done[block])
        for block in blocks
    )
    return [key for keys in found for key in keys]


def _promised_keys(store: Store, block: int, done: npt.NDArray[np.bool_]) -> list[str]:
    """Files that finished units of a block have written."""
    keys: list[str] = []
    kept = kept_checkpoints(store, done)
    for segment in np.flatnonzero(done):
        found = store.keys(block, int(segment))
        keys += found if kept[segment] else [*found[:-2], found[-1]]
    return keys


def checked_checkpoint(store: Store, block: int, segment: int) -> FloatArray:
    """A checkpoint, (width, n_trajectories), read once: it may be removed at any time, and then reads as NaN.

    Raises
    ------
    StoreDamagedError
        If it is not what was written.
    """
    key = store.keys(block, segment)[-2]
    entry = store.read("engine/ledger", (block, segment)).tobytes()
    state = store.read_checkpoint(block, segment)
    if store.checkpoint_digest(np.ascontiguousarray(state.T)) != entry[len(entry) // 2 :]:
        raise StoreDamagedError(
            told(str(store.path), [unit_damage(store, key, "is not what was written", block, segment)])
        )
    return state


def unit_damage(store: Store, key: str, fault: str, block: int, segment: int) -> Damage:
    """A damage of a unit."""
    return Damage(key, fault, block, segment, store.trajectories(block))


class Ledger:
    """The ledger, read even if entries of it are damaged.

    Attributes
    ----------
    entry : (n_blocks, n_segments, n_bytes) uint8
        Digests; zero if a unit is not done, or its entry cannot be read.
    damages : list of Damage
        Entries that cannot be read.
    """

    def __init__(self, store: Store) -> None:
        self.damages: list[Damage] = []
        self._store = store
        try:
            self.entry = store.read("engine/ledger", ...)
        except StoreDamagedError:
            self.entry = np.zeros(store.array("engine/ledger").shape, np.uint8)
            for block in range(store.n_blocks):
                self.entry[block] = self.block(block)

    def block(self, block: int) -> npt.NDArray[np.uint8]:
        """The entries of a block as they are now, (n_segments, n_bytes)."""
        store = self._store
        try:
            return store.read("engine/ledger", block)
        except StoreDamagedError:
            entries = np.zeros(self.entry.shape[1:], np.uint8)
        for segment in range(store.n_segments):
            try:
                entries[segment] = store.read("engine/ledger", (block, segment))
            except StoreDamagedError as error:
                key = store.keys(block, segment)[-1]
                damage = unit_damage(store, key, _short(store, error), block, segment)
                if damage not in self.damages:  # it may be read again and again
                    self.damages.append(damage)
        return entries


def block_damages(
    store: Store, block: int, entries: npt.NDArray[np.uint8], segments: Collection[int | None] | None = None
) -> Iterator[Damage]:
    """All damages of the units of a block.

    Parameters
    ----------
    store : Store
        The store.
    block : int
        Which block of trajectories.
    entries : (n_segments, n_bytes) uint8
        Its entries in the ledger.
    segments : collection of int, optional
        Only of these units.
    """
    done: npt.NDArray[np.bool_] = np.any(entries != 0, axis=1)
    kept = kept_checkpoints(store, done)
    last = int(np.flatnonzero(done)[-1]) if done.any() else -1
    for segment in range(last + 1):
        if segments is not None and segment not in segments:
            continue
        keys = store.keys(block, segment)
        if not done[segment]:
            yield unit_damage(store, keys[-1], "is missing, though what follows is done", block, segment)
            continue
        yield from _unit_damages(store, block, segment, entries[segment].tobytes(), bool(kept[segment]))


def _unit_damages(store: Store, block: int, segment: int, entry: bytes, kept: bool) -> Iterator[Damage]:
    regions: dict[str, Any] = dict(store.regions(block, segment))
    rows = store.trajectories(block)
    keys = store.keys(block, segment)[:-1]
    if kept:
        regions["engine/checkpoint"] = (segment, slice(rows.start, rows.stop))
    else:
        keys = keys[:-1]
    lost = set(store.place.missing(keys))
    whole, data = True, {}
    for key, (name, where) in zip(keys, regions.items(), strict=True):
        fault = _LOST if key in lost else None
        if fault is None:
            try:
                data[name] = store.read(name, where)
            except StoreDamagedError as error:
                fault = _short(store, error)
        if fault is not None:
            whole = False
            yield unit_damage(store, key, fault, block, segment)
    if whole:
        half = len(entry) // 2
        end = data.pop("engine/checkpoint", None)
        if store.data_digest(block, segment, data) != entry[:half]:
            yield unit_damage(store, keys[0], "is not what was written", block, segment)
        if end is not None and store.checkpoint_digest(end) != entry[half:]:
            yield unit_damage(store, keys[-1], "is not what was written", block, segment)
