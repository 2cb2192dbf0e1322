"""Reading a store as an xarray dataset."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from stochbind.engine.baths import bath_variables
from stochbind.engine.layout import BATH_HEAT
from stochbind.engine.store import Store
from stochbind.engine.sweep_store import is_sweep
from stochbind.errors import StoreDamagedError

if TYPE_CHECKING:
    from stochbind.engine.reducers.base import Reducer

#: How the names of coordinates end.
_COORDINATES = ("_start", "_stop", "_edge", "_unit")


def open_dataset(path: str | Path) -> xr.Dataset:
    """Open a store, lazily, as an xarray dataset in SI.

    The store of a sweep has one dimension more in front for each of its axes; see `open_sweep`.

    Parameters
    ----------
    path : str or Path
        Directory of the store, or a URL.

    Returns
    -------
    xarray.Dataset
        `position` [m] and, unless overdamped, `velocity` [m/s], with dims (trajectory, time, particle, axis), backed by
        Dask. What is not computed yet reads as NaN; the attributes `units_done` and `units_total` say how far the run
        is, `scenario` holds its scenario file, `initial` its initial state, `fingerprint` its identity. `diverged`
        lists the trajectories that left the range of floating-point numbers, and `diverged_time` the time of the first
        kept state that shows it [s]; without a record, the end of the part of the run in which they did. With a ledger
        there are also `work`, `heat` and `drive_work` since time zero [J], of each particle; where particles move along
        several axes, of each `oscillator`, with names such as "0x". With finite baths there are also `bath_heat`, given
        since time zero [J], and `bath_temperature` [K], with dims (trajectory, time, bath).

    Raises
    ------
    StoreError
        If there is no store, or it cannot be read.
    StoreDamagedError
        If files are missing.

    Warns
    -----
    UserWarning
        If the run is not finished.
    """
    if is_sweep(path):
        from stochbind.engine.sweep_reading import open_sweep

        return open_sweep(path)
    store = Store.open(path)
    dataset = dataset_of(store)
    done, total = dataset.attrs["units_done"], dataset.attrs["units_total"]
    if done < total:
        warnings.warn(
            f"{store.path}: the run is not finished, {done} of {total} units are done; the rest is NaN.", stacklevel=2
        )
    return dataset


def dataset_of(store: Store) -> xr.Dataset:
    """The dataset of a store; see `open_dataset`."""
    try:
        files: Any = store.place.zarr_store(read_only=True)
        dataset: xr.Dataset = xr.open_zarr(files, consolidated=False, chunks={})
    except Exception as error:  # xarray's errors on damaged metadata are of many kinds
        raise StoreDamagedError(f"{store.path}: cannot be opened as a dataset ({error}); copy it again.") from None
    scenario = store.plan.scenario
    for name in store.quantities:
        dataset[name].attrs.pop("axis_name", None)
    done, diverged = store.done, store.diverged
    if store.quantities:
        dataset = dataset.assign_coords(axis=("axis", np.array(scenario.axes)))
    dataset = dataset.assign(statistics_in_si(store))
    if BATH_HEAT in store.quantities:
        dataset = dataset.assign(bath_variables(scenario.oscillators(), dataset[BATH_HEAT].data))
    if "oscillator" in dataset.dims:
        names = np.array(scenario.oscillators().names)
        dataset = dataset.assign_coords({dim: (dim, names) for dim in ("oscillator", "source") if dim in dataset.dims})
    dataset = dataset.set_coords([name for name in dataset if str(name).endswith(_COORDINATES)])
    dataset.attrs = {
        "title": scenario.name,
        "scenario": scenario.to_toml(),
        "initial": store.plan.initial,
        "step": store.plan.step,
        "fingerprint": store.plan.fingerprint,
        "own_forces": len(store.plan.forces),
        "diverged": list(diverged),
        "diverged_time": [float(store.plan.time[index]) for index in diverged.values()],
        "units_done": int(done.sum()),
        "units_total": int(done.size),
    }
    return dataset


def statistics_in_si(store: Store) -> dict[str, xr.Variable]:
    """What was added up while the run went on, in SI; of units that are not done yet, nothing."""
    found: dict[str, xr.Variable] = {}
    for item in store.plan.reducers:
        found |= statistic_in_si(store, item)
        context = item.context
        labels = np.array(context.labels)
        units = np.array([context.si({"position": "m", "velocity": "m/s"}[c.quantity]) for c in context.coordinate])
        found |= {name: xr.Variable(name, labels) for name in ("coordinate", "coordinate_from")}
        found["coordinate_unit"] = xr.Variable("coordinate", units, {"long_name": "unit of each coordinate"})
    return found


def statistic_in_si(store: Store, item: Reducer) -> dict[str, xr.Variable]:
    """What one reducer added up; averages over time tell the first state that is in them as `start`."""
    from stochbind.engine.reducers.trees import canonical, merge_rows

    plan = store.plan
    data = np.nan_to_num(store.read(f"statistics/{item.name}", ...), nan=0.0)
    data, _ = canonical(data, plan.n_trajectories, store.layout.trajectories_per_group)
    found = item.describe(data if item.per_window else merge_rows(data))
    if not item.per_window:
        start = (-(-item.start // item.window) * item.window + 1) * plan.save_interval
        for variable in found.values():
            if "group" in variable.dims:  # edges, scales and lags are no averages
                variable.attrs["start"] = start
    return found
