"""Reading the store of a sweep as one xarray dataset, with the parameters as dimensions in front."""

from __future__ import annotations

import functools
import json
import uuid
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from stochbind.engine.baths import bath_temperature
from stochbind.engine.layout import BATH_HEAT
from stochbind.engine.places import Place
from stochbind.engine.reading import dataset_of, statistic_in_si
from stochbind.engine.store import Store
from stochbind.engine.sweep_store import SweepStore, path_of
from stochbind.errors import IncompleteError

#: Most bytes of statistics that are kept for the next variable of the same reducer.
_MOST_KEPT = 2**28
#: Part of a variable of a point.
_Read = Callable[[Store, tuple[Any, ...]], npt.NDArray[Any]]


def open_sweep(path: str | Path) -> xr.Dataset:
    """Open the store of a sweep, lazily, as an xarray dataset in SI.

    Parameters
    ----------
    path : str or Path
        Directory of the store, or a URL.

    Returns
    -------
    xarray.Dataset
        Everything that `open_dataset` gives for one run, with one dimension more in front for each axis of the sweep.
        Coordinates are the values of the axes in SI, and `point`, the number of each point. What is not computed yet
        reads as NaN. `diverged` tells the trajectories that left the range of floating-point numbers. The
        attributes `units_done` and `units_total` say how far the sweep is; `scenario` holds the scenario that is
        swept, `sweep` the whole sweep, to be read by ``Sweep.from_dict(json.loads(...))``.

    Raises
    ------
    StoreError
        If there is no store, or it cannot be read.
    IncompleteError
        If no point of it has begun.

    Warns
    -----
    UserWarning
        If the sweep is not finished.
    """
    store = SweepStore.open(path)
    sweep, done = store.sweep, store.done
    begun = next((i for i in range(sweep.size) if store.point_place(i).exists()), None)
    if begun is None:
        raise IncompleteError(f"{store.path}: no point has begun; start the same sweep again to continue it.")
    template = dataset_of(store.point(begun))
    names = tuple(axis.name for axis in sweep.axes)
    dataset = xr.Dataset(coords={name: template[name] for name in template.indexes})
    for axis in sweep.axes:
        about = {"units": axis.unit, "long_name": axis.settings[0].parameter}
        dataset = dataset.assign_coords({axis.name: (axis.name, axis.values, about)})
    points = np.arange(sweep.size).reshape(sweep.shape)
    dataset = dataset.assign_coords(point=(names, points, {"long_name": "number of the point"}))
    statistics = _Statistics({str(key): item.name for item in store.plan(begun).reducers for key in item.variables()})
    found: dict[str, xr.Variable] = {}
    for name, variable in template.variables.items():
        if name == "coordinate_unit":
            found[name] = variable  # the same at all points
        elif name not in template.indexes:
            found |= _variables(store, names, str(name), variable, statistics)
    rows = xr.Variable(("trajectory",), np.zeros(template.sizes["trajectory"], dtype=np.bool_))
    rows.attrs["long_name"] = "whether the trajectory left the range of floating-point numbers"
    blocks = template.chunksizes.get("trajectory")  # as the recorded arrays have them: xarray wants them alike
    found["diverged"] = _variable(store, names, rows, _diverged, (blocks,) if blocks else None)
    dataset = dataset.assign(found)
    dataset = dataset.set_coords([name for name in found if name in template.coords or name.endswith("_from_time")])
    dataset.attrs = {
        "title": sweep.base.name,
        "scenario": sweep.base.to_toml(),
        "sweep": json.dumps(sweep.to_dict()),
        "initial": template.attrs["initial"],
        "step": template.attrs["step"],
        "fingerprint": store.fingerprint,
        "own_forces": len(store.forces),
        "units_done": int(done.sum()),
        "units_total": int(done.size),
    }
    if not done.all():
        warnings.warn(
            f"{store.path}: the sweep is not finished, {int(done.all(axis=(1, 2)).sum())} of {len(done)} points and "
            f"{int(done.sum())} of {done.size} units are done; the rest is NaN.",
            stacklevel=3,
        )
    return dataset


def _variables(
    store: SweepStore, names: tuple[str, ...], name: str, template: xr.Variable, statistics: _Statistics
) -> dict[str, xr.Variable]:
    """A variable of all points; and when each point begins it, if it is an average over time."""
    read = functools.partial(_recorded if template.chunks is not None else statistics.values, name)
    template = template.copy(deep=False)
    begins = template.attrs.pop("start", None)
    found = {name: _variable(store, names, template, read)}
    if begins is not None:
        about = {"units": "" if store.sweep.base.reduced else "s", "long_name": "first state that is in the average"}
        found[f"{name}_from_time"] = _variable(
            store, names, xr.Variable((), np.float64(), about), functools.partial(statistics.start, name)
        )
    return found


def _variable(
    store: SweepStore,
    names: tuple[str, ...],
    template: xr.Variable,
    read: _Read,
    inner: tuple[tuple[int, ...], ...] | None = None,
) -> xr.Variable:
    grid = _Grid(store, template.shape, template.dtype, read)
    inner = inner or template.chunks or tuple((length,) for length in template.shape)
    chunks = tuple((1,) * length for length in store.sweep.shape) + inner
    # A name of its own, as nobody can tell from outside whether files have changed.
    data = da.from_array(grid, chunks=chunks, name=f"sweep-{uuid.uuid4().hex}", fancy=False)  # type: ignore[no-untyped-call]
    return xr.Variable((*names, *template.dims), data, template.attrs)


def _recorded(name: str, store: Store, where: tuple[Any, ...]) -> npt.NDArray[Any]:
    if name == "bath_temperature":
        heat = store.read(BATH_HEAT, (*where[:2], slice(None)))
        return bath_temperature(store.plan.scenario.oscillators(), heat)[..., where[2]]
    return store.read(name, where)


class _Statistics:
    """The statistics of all points; of each point only those that are asked for are read.

    Parameters
    ----------
    reducer : dict of str to str
        Name of the reducer of each variable.
    """

    def __init__(self, reducer: dict[str, str]) -> None:
        self._reducer = reducer
        self._kept: dict[tuple[str, str], dict[str, xr.Variable]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """What other processes need: they read for themselves."""
        return {"_reducer": self._reducer, "_kept": {}}

    def values(self, name: str, store: Store, where: tuple[Any, ...]) -> npt.NDArray[Any]:
        """Part of a variable of a point."""
        result: npt.NDArray[Any] = np.asarray(self._variable(name, store).values)[where]
        return result

    def start(self, name: str, store: Store, where: tuple[Any, ...]) -> npt.NDArray[Any]:
        """The first state that is in a variable of a point."""
        result: npt.NDArray[Any] = np.asarray(self._variable(name, store).attrs["start"])[where]
        return result

    def _variable(self, name: str, store: Store) -> xr.Variable:
        key = (str(store.path), self._reducer[name])
        found = self._kept.get(key)
        if found is None:
            item = next(item for item in store.plan.reducers if item.name == key[1])
            found = statistic_in_si(store, item)
            size = sum(variable.nbytes for kept in (found, *self._kept.copy().values()) for variable in kept.values())
            if store.done.all() and size <= _MOST_KEPT:  # then it does not change any more
                self._kept[key] = found
        return found[name]


def _diverged(store: Store, where: tuple[Any, ...]) -> npt.NDArray[Any]:
    found = np.zeros(store.plan.n_trajectories, dtype=np.bool_)
    found[list(store.diverged)] = True
    result: npt.NDArray[Any] = found[where]
    return result


class _Grid:
    """One array of all points, read from their stores when it is asked for."""

    def __init__(self, store: SweepStore, inner: tuple[int, ...], dtype: npt.DTypeLike, read: _Read) -> None:
        shape = store.sweep.shape
        self._store, self._inner, self._read = store, inner, read
        self._points = np.arange(store.sweep.size).reshape(shape)
        self.shape, self.dtype, self.ndim = (*shape, *inner), np.dtype(dtype), len(shape) + len(inner)

    def __getitem__(self, key: tuple[Any, ...]) -> npt.NDArray[Any]:
        points, where = np.asarray(self._points[key[: self._points.ndim]]), key[self._points.ndim :]
        parts = [self._part(self._store.point_place(int(index)), where) for index in points.flat]
        return np.stack(parts).reshape(*points.shape, *parts[0].shape) if parts else np.empty(0)

    def _part(self, place: Place, where: tuple[Any, ...]) -> npt.NDArray[Any]:
        if not place.exists():
            nothing: Any = np.nan if self.dtype.kind == "f" else self.dtype.type(0)
            empty: npt.NDArray[Any] = np.broadcast_to(np.asarray(nothing, dtype=self.dtype), self._inner)[where]
            return empty
        return np.asarray(self._read(Store.open(path_of(place), check=False), where))
