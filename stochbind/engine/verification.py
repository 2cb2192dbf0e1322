"""Verification: everything in a store beside its digests, and some of it made anew."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from stochbind import checks
from stochbind.engine.checking import (
    Damage,
    Ledger,
    block_damages,
    constant_damages,
    kept_checkpoints,
    metadata_damages,
    settled,
    told,
    unit_damage,
)
from stochbind.errors import PlanError, StoreDamagedError

if TYPE_CHECKING:
    from stochbind.engine.plan import Plan
    from stochbind.engine.store import Store


@dataclass(frozen=True)
class Report:
    """What was found.

    Attributes
    ----------
    name : str
        Of the store.
    damages : tuple of Damage
        All that is damaged. If it is metadata or constants, only these: units are looked at when they are whole.
    n_done, n_units : int
        Units that are done, and of the whole run.
    n_recomputed : int
        Units that were made anew and compared.
    """

    name: str
    damages: tuple[Damage, ...]
    n_done: int = 0
    n_units: int = 0
    n_recomputed: int = 0

    @property
    def whole(self) -> bool:
        """Whether nothing is damaged."""
        return not self.damages

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data."""
        damages = []
        for damage in self.damages:
            rows = damage.trajectories
            data = {"file": damage.file, "fault": damage.fault, "block": damage.block, "segment": damage.segment}
            damages.append({**data, "trajectories": None if rows is None else [rows.start, rows.stop - 1]})
        return {
            "store": self.name,
            "whole": self.whole,
            "n_done": self.n_done,
            "n_units": self.n_units,
            "n_recomputed": self.n_recomputed,
            "damages": damages,
        }

    def require_whole(self) -> None:
        """Raise `StoreDamagedError`, which names the first damage, unless all is whole."""
        if self.damages:
            raise StoreDamagedError(told(self.name, self.damages))


def verify(
    store: Store,
    *,
    recompute: int = 0,
    seed: int | None = None,
    plan: Plan | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Read a whole store, unit by unit, and compare it with its digests.

    Parameters
    ----------
    store : Store
        The store.
    recompute : int
        So many finished units, chosen at random, are made anew from their keys and compared bit by bit. Without a
        record, most of them need all units before them; if they are not asked for all, those are chosen that do not.
    seed : int, optional
        Of the choice; by default another one each time.
    plan : Plan, optional
        The plan that the run was started with; needed to make units anew if there are forces of one's own.
    progress : callable, optional
        Called with the numbers of units that were looked at, and of all.

    Returns
    -------
    Report
        Everything that is damaged.

    Raises
    ------
    PlanError
        If `recompute` is no such number, or forces of one's own are not here.
    """
    recompute = checks.integer("recompute", recompute, minimum=0, error=PlanError)
    name = str(store.path)
    try:
        found = metadata_damages(store.place, store.place.attributes()) or constant_damages(store)
    except StoreDamagedError:
        found = [Damage("zarr.json", "was altered")]
    if found:
        return Report(name, tuple(found), 0, store.n_blocks * store.n_segments)
    ledger = Ledger(store)
    done: npt.NDArray[np.bool_] = np.any(ledger.entry != 0, axis=2)
    total, seen = int(done.sum()), 0
    for block in range(store.n_blocks):
        found += _damages_in(store, ledger, block)
        seen += int(done[block].sum())
        if progress is not None:
            progress(seen, total + recompute)
    units = {(damage.block, damage.segment) for damage in ledger.damages}
    found = ledger.damages + [damage for damage in found if (damage.block, damage.segment) not in units]
    chosen = _chosen(store, done, {damage.block for damage in found}, recompute, seed)
    for index, (block, segment) in enumerate(chosen):
        found += _differences(store, ledger, block, segment, plan)
        if progress is not None:
            progress(total + index + 1, total + len(chosen))
    return Report(name, tuple(found), total, done.size, len(chosen))


def _damages_in(store: Store, ledger: Ledger, block: int) -> list[Damage]:
    """All damages of the units of a block; a unit is looked at again only if it seems damaged."""
    suspected: set[int | None] | None = None

    def look(entries: npt.NDArray[np.uint8]) -> list[Damage]:
        nonlocal suspected
        damages = list(block_damages(store, block, entries, suspected))
        suspected = {damage.segment for damage in damages}
        return damages

    return settled(look, functools.partial(ledger.block, block), ledger.entry[block])


def _differences(store: Store, ledger: Ledger, block: int, segment: int, plan: Plan | None) -> list[Damage]:
    """The damage of a unit that is not what is made anew, if it is not."""

    def look(entries: npt.NDArray[np.uint8]) -> list[Damage]:
        if _made_anew(store, entries, block, segment, plan):
            return []
        return [unit_damage(store, store.keys(block, segment)[0], "is not what its keys give", block, segment)]

    return settled(look, functools.partial(ledger.block, block), ledger.entry[block])


def _chosen(
    store: Store, done: npt.NDArray[np.bool_], damaged: set[int | None], number: int, seed: int | None
) -> list[tuple[int, int]]:
    """Finished units to be made anew."""
    if number == 0:
        return []
    sound = np.array([block not in damaged for block in range(len(done))])
    candidate = done & sound[:, None]
    start = np.ones_like(done)
    for block in range(len(done)):
        start[block, 1:] = kept_checkpoints(store, done[block])[:-1]
    cheap = candidate & start
    if cheap.sum() >= number:
        candidate = cheap
    units = np.argwhere(candidate)
    which = np.random.default_rng(seed).permutation(len(units))[:number]
    return [(int(block), int(segment)) for block, segment in units[np.sort(which)]]


def _made_anew(store: Store, entries: npt.NDArray[np.uint8], block: int, segment: int, plan: Plan | None) -> bool:
    """Whether a unit that is made anew is what the ledger says, and so are those that it needs."""
    from stochbind.engine.stored_forces import require_known
    from stochbind.engine.units import make_unit

    forces = (plan or store.plan).forces
    require_known(forces)
    kept = kept_checkpoints(store, np.any(entries != 0, axis=1))
    first = segment
    while first and not kept[first - 1]:
        first -= 1
    state = None
    for now in range(first, segment + 1):
        try:
            unit = make_unit(store, forces, block, now, state)
        except StoreDamagedError:
            return False
        if store.digest(block, now, unit) != entries[now].tobytes():
            return False
        there = store.read_unit(block, now, checkpoint=False)
        made, read = unit.data | unit.statistics, there.data | there.statistics
        if any(made[name].tobytes() != read[name].tobytes() for name in read):
            return False
        state = np.ascontiguousarray(unit.checkpoint.T)
    return True
