"""Longer runs: more trajectories, or more steps, in a store that is there, as if it had been so long from the start.

Noise is keyed by trajectory and step, and statistics are sums over binary trees, so what is done stays as it is. Units
at an end of the old run that was no end of a block grow; they are made anew. The sizes of the units stay.

A store is extended as a whole or not at all: a journal that holds all that will be written is put in place first. As
long as it is there, whoever runs, extends or repairs the store first does what it says; others do not open it. It can
name no files but those that an extension of the run writes and removes.
"""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
import zarr.storage

from stochbind import checks
from stochbind.engine.layout import Forecast, Layout
from stochbind.engine.places import Place, place
from stochbind.engine.plan import Plan
from stochbind.engine.stored_forces import Remembered
from stochbind.engine.structure import (
    ENGINE,
    add_coordinates,
    arrays,
    bytes_digest,
    group_document,
    metadata_digests,
    root_document,
    seal,
    sealed_copies,
)
from stochbind.errors import PlanError, StochbindError, StoreDamagedError, StoreError, StoreMismatchError

if TYPE_CHECKING:
    from stochbind.engine.store import Store

#: What is to be done, as long as it is not done.
JOURNAL = "engine/extension.json"


#: So many units are never too many.
_MANY_UNITS = 5000


def extend(
    path: str | Path, *, n_trajectories: int | None = None, n_steps: int | None = None, plan: Plan | None = None
) -> Store:
    """Make the run in a store longer; `run` with the longer plan then does what is missing.

    The numbers are those of one run that was so long from the start: trajectories bit for bit, and statistics, too.

    Parameters
    ----------
    path : str or Path
        Directory of the store, or its URL.
    n_trajectories, n_steps : int, optional
        The new numbers, not smaller than the old ones.
    plan : Plan, optional
        The longer plan instead; needed if there are forces of one's own.

    Returns
    -------
    Store
        The store, with the longer plan, in which units are missing. A store that is so long already stays as it is.

    Raises
    ------
    PlanError
        If the run would be shorter, or its steps depend on its length.
    StoreMismatchError
        If `plan` differs in more than its length, or the store is a point of a sweep.
    StoreError
        If the store is locked, or cannot be written, or its disk has no room.
    """
    from stochbind.engine.store import Store
    from stochbind.engine.sweep_store import is_sweep, require_no_point

    if is_sweep(path):
        raise PlanError(f"{path}: holds a sweep, which cannot be made longer; run the longer one into another path.")
    require_no_point(path)
    roll_forward(place(path))
    store = Store.open(path)
    longer = _longer(store, n_trajectories, n_steps, plan)
    if longer.fingerprint == store.plan.fingerprint:
        return store
    store.require_same_steps()
    _require_same_steps(store, longer, plan)
    _require_room(store, longer)
    with store.lock():
        store.sweep()
        journal = _journal(store, longer)
        store.place.write(JOURNAL, json.dumps(journal).encode())
        apply(store.place, journal)
    return Store.open(path)


def is_longer(plan: Plan, other: Plan) -> bool:
    """Whether another plan is the same but for more trajectories or steps."""
    if other.n_trajectories < plan.n_trajectories or other.n_steps < plan.n_steps:
        return False
    try:
        return (
            dataclasses.replace(other, n_trajectories=plan.n_trajectories, n_steps=plan.n_steps).fingerprint
            == plan.fingerprint
        )
    except PlanError:  # what the other adds up does not fit into the shorter run
        return False


def roll_forward(where: Place) -> None:
    """Finish an extension that was interrupted, if there is one.

    Parameters
    ----------
    where : Place
        Where the store is.

    Raises
    ------
    StoreDamagedError
        If the journal is damaged.
    StoreError
        If one may not write here, or another process is about it.
    """
    if not where.exists() or where.read(JOURNAL) is None:
        return
    if not where.writable():
        raise StoreError(
            f"{where}: its extension was interrupted, and here it cannot be written to; extend it where it can be."
        )
    read_journal(where)  # what is damaged is told before anything is locked
    with where.lock():
        journal = read_journal(where)
        if journal is not None:
            apply(where, journal)


def require_none(where: Place) -> None:
    """Raise `StoreError` as long as an extension is not done; those who only read finish none."""
    if read_journal(where) is not None:
        raise StoreError(
            f"{where}: is being made longer, or that was interrupted; start the extension again to finish it."
        )


def read_journal(where: Place) -> dict[str, Any] | None:
    """What is to be done, or None.

    Raises
    ------
    StoreDamagedError
        If the journal is damaged.
    """
    data = where.read(JOURNAL)
    if data is None:
        return None
    try:
        journal: dict[str, Any] = json.loads(data)
        fine = journal["seal"] == seal(journal) and _is_extension(journal)
    except (ValueError, TypeError, KeyError, RecursionError, AttributeError, StochbindError):
        fine = False
    if not fine:
        raise StoreDamagedError(f"{where}: {JOURNAL} was altered; `stochbind repair {where}` makes it anew.")
    return journal


def _is_extension(journal: dict[str, Any]) -> bool:
    """Whether a journal writes and removes nothing but what an extension of a run does.

    A seal is no signature: anybody can make one.
    """
    attributes = json.loads(journal["root"])["attributes"]["stochbind"]
    if attributes["seal"] != seal(attributes) or attributes["plan"] != journal["plan"]:
        return False
    plan = Plan.from_dict(journal["plan"], "its plan")
    names = arrays(plan, Layout(**attributes["layout"]))
    members = {f"{name}/zarr.json" for name in (*names, "trajectory", "time")} | {ENGINE}
    digests = attributes["metadata"]
    written = all(
        key in members and bytes_digest(data.encode()) == digests[key] for key, data in journal["members"].items()
    )
    removable = [re.escape(name) for name in names if name.startswith(("statistics/", "engine/ledger"))]
    chunk = re.compile(rf"(?:{'|'.join(removable)})/c\.\d+\.\d+\.0")
    return written and all(chunk.fullmatch(key) for key in journal["remove"])


def _longer(store: Store, n_trajectories: int | None, n_steps: int | None, plan: Plan | None) -> Plan:
    """The longer plan."""
    old, path = store.plan, store.path
    if plan is None:
        sizes = {"n_trajectories": n_trajectories, "n_steps": n_steps}
        given: dict[str, Any] = {
            name: checks.integer(name, value, minimum=1, error=PlanError)
            for name, value in sizes.items()
            if value is not None
        }
        for name, value in given.items():
            if value < getattr(old, name):
                raise PlanError(
                    f"`{name}` is {getattr(old, name)} in {path} and can only become larger, but {value} are asked for."
                )
        plan = dataclasses.replace(old, **given)
        if plan.fingerprint != old.fingerprint:
            _require_known(path, plan)
        return plan
    if n_trajectories is not None or n_steps is not None:
        raise PlanError("Give the longer `plan`, or the new `n_trajectories` and `n_steps`, but not both.")
    if not is_longer(old, plan):
        difference = "; ".join(old.difference(plan)[:8])
        raise StoreMismatchError(
            f"{path}: holds another run ({difference}); an extension only has more trajectories or more steps."
        )
    return plan


def _require_known(path: str | Path, plan: Plan) -> None:
    """Raise `PlanError` if a store holds only the name of a force."""
    for force in plan.forces:
        if isinstance(force.function, Remembered):
            raise PlanError(
                f"{path}: has a force of its own, `{force.function.__name__}`, which a store does not hold; give the "
                "longer `plan` in Python instead of its numbers."
            )


def _require_same_steps(store: Store, longer: Plan, given: Plan | None) -> None:
    """Raise `PlanError` if the tables of the steps depend on the length of the run."""
    shorter = dataclasses.replace(
        given or store.plan, n_trajectories=store.plan.n_trajectories, n_steps=store.plan.n_steps
    )
    old, new = shorter.coefficients(), longer.coefficients()
    if set(old) != set(new) or any(not np.array_equal(old[name], new[name], equal_nan=True) for name in old):
        raise PlanError(
            f"{store.path}: its equations change with time after the end of the run, so that it cannot be made longer; "
            "run the longer plan into another path."
        )


def _require_room(store: Store, longer: Plan) -> None:
    """Raise if the disk has no room for what is new, or the units of a short run are too small for a long one."""
    free, layout = store.place.free_bytes(), store.layout
    n_units, usual = Forecast.of(longer, layout).n_tasks, Forecast.of(longer).n_tasks
    if n_units > _MANY_UNITS and n_units > 20 * usual:
        raise PlanError(
            f"{store.path}: was cut for a short run: one of this length would have {n_units} units of work, instead "
            f"of {usual}; run the longer plan into another path."
        )
    more = Forecast.of(longer, layout).n_bytes - Forecast.of(store.plan, layout).n_bytes
    if free is not None and more > free:
        raise StoreError(f"{store.path}: needs up to {more / 1e9:.3g} GB more, but {free / 1e9:.3g} GB are free there.")


def _changed_units(store: Store, longer: Plan) -> list[tuple[int, int]]:
    """Units at an end of the run, which will hold more."""
    old, layout = store.plan, store.layout
    changed = np.zeros((store.n_blocks, store.n_segments), dtype=bool)
    if longer.n_trajectories > old.n_trajectories and old.n_trajectories % layout.trajectories_per_block:
        changed[-1] = True
    if longer.n_saves > old.n_saves and old.n_saves % layout.saves_per_block:
        changed[:, -1] = True
    return [(int(block), int(segment)) for block, segment in np.argwhere(changed)]


def _journal(store: Store, longer: Plan) -> dict[str, Any]:
    """All that will be written and removed; coordinates are made anew from the plan."""
    where, old = store.place, store.place.attributes()
    # Of units that grow: that they are done, and their sums; what is recorded of them stays right as far as it goes.
    remove = []
    for block, segment in _changed_units(store, longer):
        keys = store.keys(block, segment)
        remove += keys[-1:] + [key for key in keys if key.startswith("statistics/")]
    coordinates, digests = _coordinates(longer)
    members = {key: where.read(key) or b"" for key in old["metadata"]}
    for name, array in arrays(longer, store.layout).items():
        key = f"{name}/zarr.json"
        document = json.loads(members[key])
        members[key] = json.dumps({**document, "shape": list(array.shape)}, indent=2).encode()
    members |= {key: data for key, data in coordinates.items() if key.endswith("zarr.json")}
    common = {key: value for key, value in old.items() if key not in ("seal", "metadata")}
    common |= {
        "plan": longer.to_dict(),
        "fingerprint": longer.fingerprint,
        "digests": {**old["digests"], **digests},
    }
    copy, whole = sealed_copies(common, metadata_digests(members))
    members[ENGINE] = group_document({"stochbind": copy})
    changed = {key: data.decode() for key, data in members.items() if bytes_digest(data) != old["metadata"][key]}
    journal = {
        "plan": longer.to_dict(),
        "remove": remove,
        "members": changed,
        "root": root_document(whole, members).decode(),
    }
    return {**journal, "seal": seal(journal)}


def _coordinates(plan: Plan) -> tuple[dict[str, bytes], dict[str, str]]:
    """Files of the coordinates of a run, and the digests of their numbers."""
    buffers: dict[str, Any] = {}
    group = zarr.create_group(zarr.storage.MemoryStore(buffers), zarr_format=3)
    digests = add_coordinates(group, plan)
    del buffers["zarr.json"]
    return {key: buffer.to_bytes() for key, buffer in buffers.items()}, digests


def apply(where: Place, journal: dict[str, Any]) -> None:
    """Do what a journal says; what is done already is done again."""
    where.delete(journal["remove"])
    coordinates, _ = _coordinates(Plan.from_dict(journal["plan"], "its plan"))
    chunks = {key: data for key, data in coordinates.items() if not key.endswith("zarr.json")}
    where.write_all({**{key: text.encode() for key, text in journal["members"].items()}, **chunks})
    where.write("zarr.json", journal["root"].encode())
    where.delete([JOURNAL])
