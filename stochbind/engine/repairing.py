"""Repair: what is damaged is made anew, to the same bits; everything else is left alone.

First metadata and constants: they follow from the plan, which is in the store twice. Then units: they run again, each
from the checkpoint before it, and write what they wrote before. The ledger goes on promising all of it meanwhile, so
that a repair that is killed can be repeated.
"""

from __future__ import annotations

import functools
import json
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stochbind.engine import extension
from stochbind.engine.checking import (
    Damage,
    Ledger,
    constant_damages,
    is_sealed,
    kept_checkpoints,
    metadata_damages,
)
from stochbind.engine.ensemble import Progress, make_units, prepare
from stochbind.engine.layout import Layout
from stochbind.engine.places import LocalPlace, Place, place
from stochbind.engine.plan import Plan
from stochbind.engine.store import Store
from stochbind.engine.stored_forces import require_known
from stochbind.engine.structure import (
    ENGINE,
    bytes_digest,
    group_document,
    root_document,
    sealed_copies,
    write_structure,
)
from stochbind.engine.units import Task
from stochbind.engine.verification import Report, verify
from stochbind.engine.workers import Workers
from stochbind.errors import StoreDamagedError, StoreError, StoreMismatchError


def examine(
    path: str | Path,
    *,
    recompute: int = 0,
    seed: int | None = None,
    plan: Plan | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Find all that is damaged in a store, even one that cannot be opened; see `verify`.

    Raises
    ------
    StoreError
        If there is no store.
    """
    where = place(path)
    damages = _unopened(where)
    if damages:
        return Report(str(where), tuple(damages))
    return verify(Store.open(path, check=False), recompute=recompute, seed=seed, plan=plan, progress=progress)


def _unopened(where: Place) -> list[Damage]:
    """Damage for which a store cannot be opened."""
    _require_store(where)
    try:
        extension.read_journal(where)
    except StoreDamagedError:
        return [Damage(extension.JOURNAL, "was altered")]
    extension.require_none(where)
    root = sealed_attributes(where, "zarr.json")
    if root is None:
        return [Damage("zarr.json", "was altered" if where.read("zarr.json") else "is missing or empty")]
    return metadata_damages(where, root)


def _require_store(where: Place) -> None:
    """Raise `StoreError` unless there is a store, as far as can be told."""
    if where.read("zarr.json") is None and where.read(ENGINE) is None:
        where.attributes()
        raise StoreError(f"{where}: is not a stochbind store; choose another path.")
    if sealed_attributes(where, ENGINE) is None and sealed_attributes(where, "zarr.json") is None:
        where.attributes()  # tells other data from damage
        raise StoreDamagedError(
            f"{where}: both copies of what the run is, zarr.json and {ENGINE}, are damaged; copy one of them from a "
            "backup."
        )


def sealed_attributes(where: Place, key: str) -> dict[str, Any] | None:
    """What stochbind wrote into a group, if it is what was written."""
    try:
        data = json.loads(where.read(key) or b"")["attributes"]["stochbind"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return data if is_sealed(data) else None


def repair(
    path: str | Path,
    *,
    plan: Plan | None = None,
    workers: Workers | str | None = None,
    progress: Progress | None = None,
) -> Report:
    """Make anew what is damaged in a store, and only that.

    Afterwards all files are byte for byte what they were. Units that were never done stay so.

    Parameters
    ----------
    path : str or Path
        Directory of the store, or its URL.
    plan : Plan, optional
        The plan that the run was started with; needed if there are forces of one's own.
    workers : Workers or str, optional
        What makes the units; see `run`.
    progress : callable, optional
        Called with the numbers of units that were made anew, of all that are to be, and of failures.

    Returns
    -------
    Report
        What was damaged.

    Raises
    ------
    StoreError
        If there is no store, or it is locked, or cannot be written.
    StoreMismatchError
        If `plan` is not that of the store.
    StoreDamagedError
        If what is damaged cannot be made anew here; the message says why.
    IncompleteError
        If units failed; the same call continues.
    """
    where = place(path)
    _require_store(where)
    found: list[Damage] = []
    with where.lock():
        where.sweep()
        try:
            journal = extension.read_journal(where)
        except StoreDamagedError:  # what it has not done yet is told by the plan in the root, be it old or new
            found.append(Damage(extension.JOURNAL, "was altered"))
            where.delete([extension.JOURNAL])
            journal = None
        if journal is not None:
            extension.apply(where, journal)
        structure = _Structure(where, plan)
        found += structure.mend()
        store = Store.open(path, check=False)
        found += structure.mend_constants(store)
        store = Store.open(path, check=False)
        report = verify(store, plan=plan)
        _mend_units(store, report, plan, workers, progress)
    return Report(report.name, (*found, *report.damages), report.n_done, report.n_units)


class _Structure:
    """Metadata and constants of a store, and how to make them anew."""

    def __init__(self, where: Place, plan: Plan | None) -> None:
        self._place, self._given = where, plan
        root = sealed_attributes(where, "zarr.json")
        self._found: list[Damage] = []
        attributes = root or sealed_attributes(where, ENGINE)
        assert attributes is not None
        common = {key: value for key, value in attributes.items() if key not in ("seal", "metadata")}
        self._copy, self._whole = sealed_copies(common, attributes["metadata"])
        if plan is not None and plan.fingerprint != attributes["fingerprint"]:
            raise StoreMismatchError(f"{where}: holds another run than `plan`; give the plan that it was started with.")

    @functools.cached_property
    def _anew(self) -> dict[str, bytes]:
        """Files of a store of this plan, computed on this machine."""
        plan = self._given or Plan.from_dict(self._whole["plan"], "its plan")
        layout = Layout(**self._whole["layout"])
        with tempfile.TemporaryDirectory() as folder:
            scratch = LocalPlace(Path(folder) / "store.zarr")
            scratch.create(lambda group: write_structure(group, plan, layout))
            files = {key: scratch.read(key) or b"" for key in scratch.keys("")}
        files[ENGINE] = group_document({"stochbind": self._copy})
        return files

    def mend(self) -> list[Damage]:
        """Make damaged metadata anew; gives what was damaged."""
        where, found = self._place, []
        members: dict[str, bytes] = {}
        for key, digest in self._whole["metadata"].items():
            data = where.read(key)
            if data is None or bytes_digest(data) != digest:
                found.append(Damage(key, "was altered" if data else "is missing or empty"))
                data = self._anew.get(key)  # a seal is no signature: only what the plan gives is written
                self._require(data is not None and bytes_digest(data) == digest, key)
                assert data is not None
                where.write(key, data)
            members[key] = data
        if sealed_attributes(where, "zarr.json") is None or metadata_damages(where, self._whole):
            found.append(Damage("zarr.json", "was altered" if where.read("zarr.json") else "is missing or empty"))
            where.write("zarr.json", root_document(self._whole, members))
        return found

    def mend_constants(self, store: Store) -> list[Damage]:
        """Make damaged constants anew; gives what was damaged."""
        found = constant_damages(store)
        for damage in found:
            digests = json.loads(self._anew["zarr.json"])["attributes"]["stochbind"]["digests"]
            self._require(digests.get(damage.file) == store.digests.get(damage.file), damage.file)
            chunks = {key: data for key, data in self._anew.items() if key.startswith(f"{damage.file}/c")}
            there = [key for key in self._place.keys(damage.file) if not key.endswith("zarr.json")]
            self._place.delete(key for key in there if key not in chunks)
            self._place.write_all({key: data for key, data in chunks.items() if data != self._place.read(key)})
        return found

    def _require(self, agrees: bool, name: str) -> None:
        """Raise `StoreDamagedError` if what was made anew is not what was written."""
        if not agrees:
            raise StoreDamagedError(
                f"{self._place}: {name} is damaged, and what this machine computes in its place differs in the last "
                "digits, or was written by other versions of stochbind or zarr; copy it from a backup."
            )


def _mend_units(
    store: Store, report: Report, plan: Plan | None, workers: Workers | str | None, progress: Progress | None
) -> None:
    """Make damaged units anew, each after those before it that it needs."""
    redo = dict(_to_redo(store, report))
    if redo:
        forces = (plan or store.plan).forces
        require_known(forces)
        prepare(plan or store.plan, store.coefficients)
        address = store.place.address
        chains = [[Task(address, block, segment, again=True) for segment in row] for block, row in redo.items()]
        make_units(chains, (0, sum(map(len, chains))), forces, workers=workers, progress=progress)
    store.prune()  # checkpoints that were made again only to make others


def _to_redo(store: Store, report: Report) -> Iterator[tuple[int, list[int]]]:
    """Blocks, and their segments to make anew: what is damaged, and what must be made to make that."""
    ledger = Ledger(store)
    damaged: defaultdict[int, set[int]] = defaultdict(set)
    for damage in report.damages:
        if damage.block is not None and damage.segment is not None:
            damaged[damage.block].add(damage.segment)
    for block, segments in sorted(damaged.items()):
        kept = kept_checkpoints(store, np.any(ledger.entry[block] != 0, axis=1))
        redo: set[int] = set()
        for segment in sorted(segments):
            redo.add(segment)
            before = segment - 1
            while before >= 0 and before not in redo and (before in segments or not kept[before]):
                redo.add(before)
                before -= 1
        yield block, sorted(redo)
