"""The structure of a store: every group, array and attribute, made at once when a run begins.

The lead process makes all of it and computes everything that determines the numbers; workers only fill in chunks.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import zarr
import zarr.storage
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.core.buffer import default_buffer_prototype
from zarr.core.group import GroupMetadata

from stochbind.engine import baths
from stochbind.engine.abstract_place import consolidate
from stochbind.engine.layout import BATH_HEAT, LEDGER, Layout, checkpoint_width, quantities, row_dimension
from stochbind.engine.plan import Plan
from stochbind.scenario import Scenario

SCHEMA = 2
#: Version of what the loops make of a plan and its coefficients, to the last bit: a run is never continued with others.
STEPS = 1
#: Of an entry in the ledger: half of it for the data of a unit, half for its checkpoint.
DIGEST_BYTES = 32
#: Chunk of the coordinates, which may be long.
_COORDINATE_CHUNK = 2**20
#: Where the second copy of what stochbind wrote into the root is.
ENGINE = "engine/zarr.json"
_UNITS = {
    "position": ("m", "displacement from equilibrium"),
    "velocity": ("m/s", "velocity"),
    "work": ("J", "work on each {one} by each other since time zero; on the diagonal, by its own trap"),
    "heat": ("J", "heat from bath and recoil to each {one} since time zero"),
    "bath_heat": ("J", "heat that each bath has given since time zero"),
    "drive_work": ("J", "work of the drives on each {one} since time zero"),
}
_DIMENSIONS = ("trajectory", "time", "particle", "axis")


class ArrayPlan(NamedTuple):
    """What an array that runs fill is."""

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: str
    dimension_names: tuple[str | None, ...] | None


def arrays(plan: Plan, layout: Layout) -> dict[str, ArrayPlan]:
    """The arrays that runs fill, by name: recorded quantities, statistics, checkpoint and ledger."""
    n, d = plan.scenario.n_oscillators, checkpoint_width(plan)
    each = (plan.scenario.n_particles, len(plan.scenario.axes))
    block, saves, group = layout
    blocks, segments = -(-plan.n_trajectories // block), -(-plan.n_saves // saves)
    states = ArrayPlan((plan.n_trajectories, plan.n_saves, *each), (block, saves, *each), "float64", _DIMENSIONS)
    dims = (*_DIMENSIONS[:2], row_dimension(plan.scenario.axes))
    checkpoint = ((segments, plan.n_trajectories, d), (1, block, d), "float64")
    ledger = ((blocks, segments, DIGEST_BYTES), (1, 1, DIGEST_BYTES), "uint8")
    shapes = {
        "heat": ArrayPlan((*states.shape[:2], n), (*states.chunks[:2], n), "float64", dims),
        "work": ArrayPlan((*states.shape[:2], n, n), (*states.chunks[:2], n, n), "float64", (*dims, "source")),
    }
    shapes["drive_work"] = shapes["heat"]
    k = baths.number(plan.scenario.oscillators())
    shapes[BATH_HEAT] = ArrayPlan((*states.shape[:2], k), (*states.chunks[:2], k), "float64", (*dims[:2], "bath"))
    statistics = {}
    for item in plan.reducers:
        rows, chunk = (-(-plan.n_saves // item.window), saves // item.window) if item.per_window else (segments, 1)
        statistics[f"statistics/{item.name}"] = ArrayPlan(
            (rows, -(-plan.n_trajectories // group), item.n_entries),
            (chunk, -(-block // group), item.n_entries),
            "float64",
            (f"{item.name}_row", "group", f"{item.name}_entry"),
        )
    return {
        **{name: shapes.get(name, states) for name in quantities(plan)},
        **statistics,
        "engine/checkpoint": ArrayPlan(*checkpoint, ("time_block", "trajectory", "coordinate")),
        "engine/ledger": ArrayPlan(*ledger, ("trajectory_block", "time_block", "byte")),
    }


def array_digest(data: npt.NDArray[Any]) -> str:
    """Digest of the numbers of an array, in hexadecimal digits."""
    return hashlib.blake2b(np.ascontiguousarray(data).tobytes(), digest_size=16).hexdigest()


def bytes_digest(data: bytes) -> str:
    """Digest of some bytes, in hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def seal(attributes: dict[str, Any]) -> str:
    """Digest of all that stochbind wrote into the root, but of the digest itself."""
    data = {key: value for key, value in attributes.items() if key != "seal"}
    return bytes_digest(json.dumps(data, sort_keys=True).encode())


def metadata_digests(members: Mapping[str, bytes]) -> dict[str, str]:
    """Digest of the zarr.json of all members of the root, by their keys."""
    return {key: bytes_digest(members[key]) for key in sorted(members)}


def versions() -> dict[str, str]:
    """Versions of all that determines the bytes of a store."""
    packages = ("stochbind", "numpy", "scipy", "numba", "zarr")
    found = {name: metadata.version(name) for name in packages}
    return {**found, "python": platform.python_version(), "steps": str(STEPS)}


def group_document(attributes: dict[str, Any]) -> bytes:
    """The zarr.json of a group, without copies of those of its members."""
    return GroupMetadata(attributes).to_buffer_dict(default_buffer_prototype())["zarr.json"].to_bytes()


def sealed_copies(attributes: dict[str, Any], digests: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What stochbind writes into the group `engine`, and into the root: each can be made again from the other.

    Parameters
    ----------
    attributes : dict
        Plan, layout, versions, digests of constants, ....
    digests : dict of str to str
        Of the zarr.json of all members of the root but `ENGINE`, by their keys.

    Returns
    -------
    dict, dict
        The attributes of both, with digests of metadata, and with their seals.
    """
    others = {key: digests[key] for key in sorted(digests) if key != ENGINE}
    copy = {**attributes, "metadata": others}
    copy["seal"] = seal(copy)
    whole = {**attributes, "metadata": {**others, ENGINE: bytes_digest(group_document({"stochbind": copy}))}}
    whole["seal"] = seal(whole)
    return copy, whole


def root_document(attributes: dict[str, Any], members: Mapping[str, bytes]) -> bytes:
    """The zarr.json of the root, with copies of those of its members.

    Parameters
    ----------
    attributes : dict
        Those of stochbind, sealed.
    members : dict of str to bytes
        The zarr.json of all members, by their keys.
    """
    title = {"title": attributes["plan"]["scenario"]["name"]}
    files = {"zarr.json": group_document({**title, "stochbind": attributes}), **members}
    buffers: dict[str, Any] = {key: default_buffer_prototype().buffer.from_bytes(data) for key, data in files.items()}
    consolidate(zarr.storage.MemoryStore(buffers))
    document: bytes = buffers["zarr.json"].to_bytes()
    return document


def member_documents(group: zarr.Group) -> dict[str, bytes]:
    """The zarr.json of all members of a group, by their keys."""
    prototype = default_buffer_prototype()
    return {
        f"{name}/zarr.json": member.metadata.to_buffer_dict(prototype)["zarr.json"].to_bytes()
        for name, member in group.members(max_depth=None)
    }


class _Constants:
    """Arrays that are written once, and their digests."""

    def __init__(self) -> None:
        self.digests: dict[str, str] = {}

    def add(
        self,
        where: zarr.Group,
        name: str,
        data: npt.NDArray[Any],
        dimensions: tuple[str, ...],
        units: str = "",
        long_name: str = "",
    ) -> None:
        # Fill values that no data has, so that even constant chunks are written.
        fill: Any = np.nan if data.dtype.kind == "f" else -1
        array = where.create_array(
            name, shape=data.shape, chunks=tuple(min(length, _COORDINATE_CHUNK) for length in data.shape),
            dtype=data.dtype, compressors=Crc32cCodec(), fill_value=fill,
            dimension_names=dimensions, attributes={"units": units, "long_name": long_name},
        )  # fmt: skip
        array[...] = data
        self.digests[array.path] = array_digest(data)


def add_coordinates(group: zarr.Group, plan: Plan, constants: _Constants | None = None) -> dict[str, str]:
    """The coordinates whose length is that of a run, as arrays of a group; gives their digests."""
    constants = constants or _Constants()
    unit = "" if plan.scenario.reduced else "s"
    constants.add(group, "trajectory", np.arange(plan.n_trajectories), ("trajectory",), "", "index of the trajectory")
    constants.add(group, "time", plan.time, ("time",), unit, "time since the initial state")
    return constants.digests


def write_structure(group: zarr.Group, plan: Plan, layout: Layout) -> None:
    """Everything but the trajectories."""
    scenario = plan.scenario
    constants = _Constants()
    add = constants.add
    add_coordinates(group, plan, constants)
    add(group, "particle", np.arange(scenario.n_particles), ("particle",), "", "index of the particle")
    group.require_group("engine")
    _add_records(group, plan, layout)
    coefficients = group.create_group("coefficients")
    for name, value in plan.coefficients().items():
        table = np.atleast_1d(value)
        labels = tuple(f"{name}_{index}" for index in range(table.ndim))
        add(coefficients, name, table, labels, "", "in scaled units")
    _write_theory(group, scenario, add)
    attributes: dict[str, Any] = {
        "schema": SCHEMA,
        "plan": plan.to_dict(),
        "fingerprint": plan.fingerprint,
        "layout": layout._asdict(),
        "versions": versions(),
        "digests": constants.digests,
    }
    copy, whole = sealed_copies(attributes, metadata_digests(member_documents(group)))
    group["engine"].attrs.update({"stochbind": copy})
    group.attrs.update({"title": scenario.name, "stochbind": whole})


def _add_records(group: zarr.Group, plan: Plan, layout: Layout) -> None:
    """The empty arrays that runs fill."""
    meanings: dict[str, dict[str, Any]] = {
        "engine/checkpoint": {"long_name": "scaled state at the end of each block of time"},
        "engine/ledger": {"long_name": "BLAKE2b digest of each finished unit, zero until it is done"},
    }
    for name in quantities(plan):
        si, meaning = _UNITS[name]
        axes = ", ".join(plan.scenario.axes)
        along = f" along {axes}" if name not in (*LEDGER, BATH_HEAT) else ""
        meaning = meaning.format(one=row_dimension(plan.scenario.axes))
        meanings[name] = {"units": "" if plan.scenario.reduced else si, "long_name": meaning + along}
        if along:
            meanings[name]["axis_name"] = axes
    if plan.statistics:
        group.create_group("statistics")
    for name, array in arrays(plan, layout).items():
        # The last bits of thermal trajectories are noise: as they are, compression saves a tenth and costs more time
        # than the disk; rounded, it makes them a fraction.
        rounded = name in _UNITS and plan.keep_bits is not None
        compressed = (BloscCodec(cname="lz4", clevel=1, shuffle="bitshuffle"),) if rounded else ()
        group.create_array(
            name,
            **array._asdict(),
            compressors=(*compressed, Crc32cCodec()),
            chunk_key_encoding={"name": "default", "separator": "."},  # one folder, which is flushed once
            fill_value=0 if array.dtype == "uint8" else np.nan,
            attributes=meanings.get(name, {"long_name": "what is added up, in scaled units"}),
        )


def _write_theory(group: zarr.Group, scenario: Scenario, add: Callable[..., None]) -> None:
    """The exact answers, beside what will be simulated; matrices that change with time are averages over it."""
    equations = scenario.langevin()
    theory = group.create_group(
        "theory",
        attributes={
            "stable": bool(scenario.stable),
            "growth_rate": scenario.growth_rate,
            "verdict": scenario.verdict,
            "coordinate": [list(c) for c in equations.coordinate],
            "time_unit": equations.time_unit,
        },
    )
    square = ("coordinate", "coordinate_from")
    add(theory, "unit", equations.unit, ("coordinate",), "", "value of one scaled unit")
    add(theory, "drift_matrix", equations.drift_matrix, square, "", "A, scaled")
    add(theory, "noise_covariance", equations.noise_covariance, square, "", "B B^T, scaled")
    steady = None if scenario.modulated else equations.steady
    if steady is not None:
        add(theory, "stationary_mean", steady.mean, ("coordinate",), "", "exact, scaled")
        add(theory, "stationary_covariance", steady.covariance, square, "", "exact, scaled")


def write_sweep_structure(group: zarr.Group) -> None:
    """What is in the store of a sweep before there are points."""
    group.create_group("points", attributes={"long_name": "one store for each point, the last axis fastest"})
