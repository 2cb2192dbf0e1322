"""The store of a sweep: a Zarr group that holds an ordinary store for each point of a grid.

Layout::

    zarr.json            attributes: sweep, fingerprint, layout, seal
    engine/lock          locks of the whole
    points/0, 1, ...     stores as single runs make them, see `stochbind.engine.store`

Points are made when their turn comes; each exists or it does not.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import zarr

from stochbind import checks
from stochbind.engine import noise
from stochbind.engine.checking import Damage, told
from stochbind.engine.layout import Layout, row_dimension
from stochbind.engine.places import LocalPlace, Place, place
from stochbind.engine.plan import Plan, differences
from stochbind.engine.store import Store
from stochbind.engine.stored_forces import described, remembered
from stochbind.engine.structure import (
    DIGEST_BYTES,
    SCHEMA,
    arrays,
    bytes_digest,
    member_documents,
    metadata_digests,
    seal,
    versions,
    write_sweep_structure,
)
from stochbind.errors import (
    IncompleteError,
    PlanError,
    StochbindError,
    StoreDamagedError,
    StoreError,
    StoreLockedError,
    StoreMismatchError,
)
from stochbind.forces import Force
from stochbind.scenario import Sweep

#: Parameters that change which numbers there are, or their times.
_SHAPING = ("step", "n_steps", "save_every", "n_trajectories", "ledger", "record", "statistics")
#: Metadata of the whole, beside those of the root.
_GROUPS = ("engine/zarr.json", "engine/lock/zarr.json", "points/zarr.json")
#: Points that are looked at before a sweep begins.
_MOST_CHECKED = 500
#: Seconds that another part is given to make a store.
_MAKING = 60.0


def plan_of(sweep: Sweep, index: int, forces: Sequence[Force] = ()) -> Plan:
    """The plan of a point; errors name the point and its parameters."""
    scenario = sweep.point(index)
    with naming(sweep, index):
        return Plan.from_scenario(scenario, forces=tuple(forces))


def check_points(sweep: Sweep, forces: Sequence[Force] = ()) -> list[Plan]:
    """Plans of all points, or of some if there are very many; the first of them is that of point 0.

    Raises
    ------
    PlanError
        If a parameter cannot be swept in one store, or a point cannot be run.
    """
    for axis in sweep.axes:
        for setting in axis.settings:
            words = setting.parameter.partition("[")[0].split(".")
            if (words[0] == "run" and words[1] in _SHAPING) or words[0] == "dynamics":
                raise PlanError(
                    f"`{setting.parameter}` cannot be swept in one store, as it changes the shape of the results or "
                    "their times; make a run of its own for each value."
                )
    first = plan_of(sweep, 0, forces)
    layout = Layout.of(first, sweep.size)
    _require_free_names(sweep, first)
    count = min(sweep.size, _MOST_CHECKED)
    found = [first]
    for index in sorted({round(k * (sweep.size - 1) / max(1, count - 1)) for k in range(count)} - {0}):
        found.append(plan_of(sweep, index, forces))
        require_same_shape(sweep, index, found[-1], first, layout)
    return found


class SweepStore:
    """Many runs in one place, one for each point of a sweep.

    Attributes
    ----------
    place : Place
        Where it is.
    sweep : Sweep
        What is run.
    layout : Layout
        Sizes of the units of work, the same at all points.
    forces : tuple of Force
        Forces of the user's own, known by their names.
    """

    def __init__(self, place: Place, sweep: Sweep, layout: Layout, forces: tuple[Force, ...]) -> None:
        self.place, self.sweep, self.layout, self.forces = place, sweep, layout, forces
        first = self.plan(0)
        self.n_blocks = -(-first.n_trajectories // layout.trajectories_per_block)
        self.n_segments = -(-first.n_saves // layout.saves_per_block)

    @property
    def path(self) -> Path | str:
        """The directory, or the URL."""
        return path_of(self.place)

    @property
    def fingerprint(self) -> str:
        """Hash of everything that determines the numbers of all points, 32 hexadecimal digits."""
        text = json.dumps(_identity(self.sweep, self.forces), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    # ------------------------------------------------------------------ making and opening

    @classmethod
    def create(cls, path: str | Path, sweep: Sweep, forces: Sequence[Force] = ()) -> Self:
        """Make an empty store for a sweep; its points are made when their turn comes.

        Raises
        ------
        StoreError
            If something else is in the way, or the disk has no room.
        """
        layout = Layout.of(plan_of(sweep, 0, forces), sweep.size)
        attributes: dict[str, Any] = {
            "schema": SCHEMA,
            "sweep": sweep.to_dict(),
            "forces": [described(force) for force in forces],
            "layout": layout._asdict(),
            "fingerprint": cls(place(path), sweep, layout, tuple(forces)).fingerprint,
            "versions": versions(),
        }

        def write(group: zarr.Group) -> None:
            write_sweep_structure(group)
            whole = {**attributes, "metadata": metadata_digests(member_documents(group))}
            group.attrs.update({"title": sweep.base.name, "stochbind": {**whole, "seal": seal(whole)}})

        make(place(path), write)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path, *, check: bool = True) -> Self:
        """Open the store of a sweep; with `check`, look at the metadata of its groups.

        Raises
        ------
        StoreError
            If there is none, it cannot be read, or was written by another version.
        StoreDamagedError
            If its description was altered, or its groups are damaged.
        """
        where = place(path)
        data = where.attributes()
        if "sweep" not in data:
            raise StoreError(f"{where}: holds no sweep, but one run; open it as a Store.")
        if data.get("schema") != SCHEMA:
            raise StoreError(
                f"{where}: has schema {checks.short(data.get('schema'))}, this version of stochbind reads {SCHEMA}; "
                "use the one that wrote it."
            )
        if data.get("seal") != seal(data):
            raise StoreDamagedError(f"{where}: its zarr.json was altered; copy it again.")
        forces = tuple(remembered(force) for force in data["forces"])
        store = cls(where, Sweep.from_dict(data["sweep"], f"{where}"), Layout(**data["layout"]), forces)
        if check and (damages := store.group_damages()):
            raise StoreDamagedError(told(str(where), damages))
        return store

    @classmethod
    def open_or_create(cls, path: str | Path, sweep: Sweep, forces: Sequence[Force] = ()) -> Self:
        """The store of this sweep at this path, new or not.

        Raises
        ------
        StoreMismatchError
            If the store there holds something else; the message says what differs.
        """
        if not place(path).exists():
            return cls.create(path, sweep, forces)
        if not is_sweep(path):
            raise StoreMismatchError(f"{path}: holds one run, and no sweep; choose another path.")
        store = cls.open(path)
        found = differences(_identity(store.sweep, store.forces), _identity(sweep, tuple(forces)))
        if found:
            raise StoreMismatchError(
                f"{path}: holds another sweep ({'; '.join(found[:8])}); choose another path, or ask for the sweep it "
                "holds."
            )
        return store

    def group_damages(self) -> list[Damage]:
        """Metadata of the groups of the whole that are not what was written."""
        digests = self.place.attributes().get("metadata", {})
        found = []
        for key in _GROUPS:
            data = self.place.read(key) or b""
            if key in digests and bytes_digest(data) != digests[key]:
                found.append(Damage(key, "was altered" if data else "is missing or empty"))
        return found

    def plan(self, index: int) -> Plan:
        """The plan of a point."""
        return plan_of(self.sweep, index, self.forces)

    def point_place(self, index: int) -> Place:
        """Where the store of a point is, or will be."""
        return self.place.child(f"points/{index}")

    def point_path(self, index: int) -> Path | str:
        """Path or URL of the store of a point, for `stochbind.open`."""
        return path_of(self.point_place(index))

    def point(self, index: int) -> Store:
        """The store of a point.

        Raises
        ------
        IncompleteError
            If its turn has not come yet.
        StoreDamagedError
            If it is damaged, or is of another run.
        """
        if not self.point_place(index).exists():
            raise IncompleteError(
                f"{self.path}: {self.sweep.label(index)} has not begun; start the same sweep again to continue it."
            )
        self._require_readable(index)
        store = Store.open(self.point_path(index))
        if store.plan.fingerprint != self.plan(index).fingerprint:
            raise StoreDamagedError(
                f"{store.path}: is not the run of {self.sweep.label(index)}; remove this folder, and start the same "
                "sweep again to make it anew."
            )
        return store

    def _require_readable(self, index: int) -> None:
        """Raise `StoreDamagedError`, with the remedy, if the zarr.json of a point says nothing."""
        where = self.point_place(index)
        where.read("zarr.json")  # a disk that fails is another matter
        try:
            where.attributes()
        except StoreError:
            raise StoreDamagedError(
                f"{where}: its zarr.json is missing or damaged; `stochbind repair {self.path}` makes it anew."
            ) from None

    # ------------------------------------------------------------------ progress

    @property
    def done(self) -> npt.NDArray[np.bool_]:
        """Which units are done, shape (n_points, n_blocks, n_segments); read from the ledgers on disk."""
        result = np.zeros((self.sweep.size, self.n_blocks, self.n_segments), dtype=np.bool_)
        for index, of_point in enumerate(result):
            where = self.point_place(index)
            if where.exists():
                for block, segment in np.ndindex(of_point.shape):
                    entry = where.read(f"engine/ledger/c.{block}.{segment}.0")  # as Zarr names chunks
                    of_point[block, segment] = entry is not None and any(entry[:DIGEST_BYTES])
        return result

    def require_complete(self) -> None:
        """Raise `IncompleteError` unless every unit of every point is done."""
        done = self.done
        if not done.all():
            raise IncompleteError(
                f"{self.path}: the sweep is not finished, {int(done.all(axis=(1, 2)).sum())} of {len(done)} points and "
                f"{int(done.sum())} of {done.size} units are done; start the same sweep again to continue it."
            )

    def verify(self) -> None:
        """Read all points, and raise `StoreDamagedError` if anything is not what was written."""
        for index in range(self.sweep.size):
            if self.point_place(index).exists():
                self.point(index).verify()


def is_sweep(path: str | Path) -> bool:
    """Whether a store holds a sweep, rather than one run.

    Raises
    ------
    StoreError
        If there is no store.
    """
    return "sweep" in place(path).attributes()


def require_no_point(path: str | Path) -> None:
    """Raise `StoreMismatchError` if a path is that of a point of a sweep.

    Points have a plan and sizes of units that follow from the sweep; any other run in their place would end it.
    """
    where = place(path)
    address = os.path.realpath(where.path) if isinstance(where, LocalPlace) else where.address.rstrip("/")
    whole, _, index = address.rpartition("/points/")
    if not whole or not index.isdecimal():
        return
    try:
        found = "sweep" in place(whole).attributes()
    except StoreDamagedError:
        raise
    except StoreError:  # nothing, or other data
        return
    if found:
        raise StoreMismatchError(
            f"{path}: is a point of the sweep in {whole}, and cannot be run or made longer by itself; run the sweep, "
            "or copy the point to another path first."
        )


def make(where: Place, write: Callable[[zarr.Group], None]) -> bool:
    """Make a store, or wait until another part has made it; whether it was made here."""
    deadline = time.monotonic() + _MAKING
    while True:
        try:
            where.create(write)
            return True
        except StoreError as error:
            if where.exists():
                return False
            if not isinstance(error, StoreLockedError) or time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def path_of(where: Place) -> Path | str:
    """The directory, or the URL, of a place."""
    return where.path if isinstance(where, LocalPlace) else str(where)


def _identity(sweep: Sweep, forces: tuple[Force, ...]) -> dict[str, Any]:
    """What determines the numbers of a sweep; names and sources do not, nor do defaults need to be told."""
    base = sweep.base.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
    for word in ("name", "source", "description"):
        base.pop(word, None)
    return {
        **base,
        "kind": sweep.base.kind,
        "sweep": {"axis": sweep.to_dict()["axis"], "same_noise": sweep.same_noise},
        "forces": [described(force) for force in forces],
        "noise": noise.SCHEME,
    }


@contextlib.contextmanager
def naming(sweep: Sweep, index: int) -> Iterator[None]:
    """Let errors name a point and its parameters."""
    try:
        yield
    except StochbindError as error:
        error.args = (f"{sweep.label(index)}: {error.args[0]}", *error.args[1:])
        raise


def require_same_shape(sweep: Sweep, index: int, plan: Plan, first: Plan, layout: Layout) -> None:
    """Raise `PlanError` if the results of a point are not shaped like those of point 0."""
    if arrays(plan, layout) != arrays(first, layout) or plan.step != first.step:
        raise PlanError(
            f"{sweep.label(index)}: its results are of another shape than those of point 0, so that they cannot be in "
            "one store; make a run of its own for it."
        )


def _require_free_names(sweep: Sweep, plan: Plan) -> None:
    """Raise `PlanError` if the name of an axis is that of a variable or a dimension of the dataset of a point."""
    taken = {"diverged", row_dimension(plan.scenario.axes)}
    for item in plan.reducers:
        for name, variable in item.variables().items():
            taken |= {name, f"{name}_from_time", *map(str, variable.dims)}
    for axis in sweep.axes:
        if axis.name in taken:
            raise PlanError(f"The axis {axis.name!r} is named like what a run gives; give it another `name`.")
