"""What is on disk beside what the plan and the ledger promise: finding damage, and saying what to do about it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from stochbind.engine.abstract_place import cause as cause
from stochbind.engine.places import Place
from stochbind.engine.structure import ArrayPlan, array_digest, arrays, bytes_digest, seal
from stochbind.errors import StoreDamagedError

if TYPE_CHECKING:
    from stochbind.engine.store import Store

REMEDY = "`stochbind repair` makes it anew"


def check_seal(place: Place, attributes: dict[str, Any]) -> None:
    """Raise `StoreDamagedError` if any metadata are not what was written.

    Parameters
    ----------
    place : Place
        Where the store is.
    attributes : dict
        Those of stochbind in its root.
    """
    if seal(attributes) != attributes.get("seal"):
        raise StoreDamagedError(f"{place}: its zarr.json was altered; {REMEDY}.")
    metadata = attributes["metadata"]
    _require(place, list(metadata))
    for key, digest in metadata.items():
        if bytes_digest(place.read(key) or b"") != digest:
            raise StoreDamagedError(f"{place}: {key} was altered; {REMEDY}.")
    root = json.loads(place.read("zarr.json") or b"{}")
    copies = root.get("consolidated_metadata", {}).get("metadata", {})
    for name, copy in copies.items():
        if f"{name}/zarr.json" not in metadata or not _same(copy, json.loads(place.read(f"{name}/zarr.json") or b"{}")):
            raise StoreDamagedError(f"{place}: its zarr.json was altered (its copy of {name}/zarr.json); {REMEDY}.")
    if (root.get("zarr_format"), root.get("node_type"), len(copies)) != (3, "group", len(metadata)):
        raise StoreDamagedError(f"{place}: its zarr.json was altered; {REMEDY}.")


def _same(copy: Any, original: Any) -> bool:
    """Whether a copy of metadata says the same: groups hold metadata of their own members too."""
    if isinstance(copy, dict):
        copy = {key: value for key, value in copy.items() if key != "consolidated_metadata"}
        original = {key: value for key, value in original.items() if key != "consolidated_metadata"}
    return bool(copy == original)


def check_files(store: Store) -> None:
    """Raise `StoreDamagedError` if a file is missing or empty that the structure or the ledger promises."""
    structure = arrays(store.plan, store.layout)
    for name, wanted in structure.items():
        array = store.array(name)
        found = ArrayPlan(array.shape, array.chunks, str(array.dtype), array.metadata.dimension_names)  # type: ignore[union-attr]
        if found != wanted:
            raise StoreDamagedError(
                f"{store.path}: {name}/zarr.json was altered: it says {tuple(found)}, where the plan of the store "
                f"wants {tuple(wanted)}; {REMEDY}."
            )
    for name in sorted(store.digests):
        if array_digest(store.read(name, ...)) != store.digests[name]:
            raise StoreDamagedError(f"{store.path}: {name} is not what was written; {REMEDY}.")
    _require(store.place, promised_keys(store))


def promised_keys(store: Store) -> list[str]:
    """All files that finished units have written."""
    keys: list[str] = []
    for block, row in enumerate(store.done):
        segments = [segment for segment, done in enumerate(row) if done]
        for segment in segments:
            found = store.keys(block, segment)
            keys += found if store.has_checkpoint(segment, segments[-1]) else [*found[:-2], found[-1]]
    return keys


def _require(place: Place, keys: list[str]) -> None:
    missing = place.missing(keys)
    if missing:
        others = f", and so are {len(missing) - 1} other files" if len(missing) > 1 else ""
        raise StoreDamagedError(
            f"{place}: {missing[0]} is missing or empty{others}: the store is damaged or only half copied; copy it "
            f"again, or {REMEDY}."
        )


def check_unit(store: Store, block: int, segment: int) -> None:
    """Raise `StoreDamagedError` if a unit is not what was written."""
    last = int(store.done[block].nonzero()[0][-1])
    kept = store.has_checkpoint(segment, last)
    try:
        unit = store.read_unit(block, segment, checkpoint=kept)
        written = store.read("engine/ledger", (block, segment)).tobytes()
        found = store.digest(block, segment, unit)
        agree = found == written if kept else found[:16] == written[:16]
        reason = "are not those that were written"
    except StoreDamagedError as error:
        agree, reason = False, f"cannot be read ({str(error).removeprefix(f'{store.path}: ').split(';')[0]})"
    if not agree:
        rows = store.trajectories(block)
        raise StoreDamagedError(
            f"{store.path}: the states of trajectories {rows.start} to {rows.stop - 1} {reason}; {REMEDY}."
        )
