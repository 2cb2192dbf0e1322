"""Reading a store as an xarray dataset."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import xarray as xr

from stochbind.engine.store import Store
from stochbind.errors import StoreDamagedError


def open_dataset(path: str | Path) -> xr.Dataset:
    """Open a store, lazily, as an xarray dataset in SI.

    Parameters
    ----------
    path : str or Path
        Directory of the store.

    Returns
    -------
    xarray.Dataset
        `position` [m] and, unless overdamped, `velocity` [m/s], with dims (trajectory, time, particle, axis), backed by
        Dask. What is not computed yet reads as NaN; the attributes `units_done` and `units_total` say how far the run
        is, `scenario` holds its scenario file, `initial` its initial state, `fingerprint` its identity. `diverged`
        lists the trajectories that left the range of floating-point numbers, and `diverged_time` when [s]. With a
        ledger there are also `work`, `heat` and `drive_work` since time zero [J].

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
    store = Store.open(path)
    try:
        dataset: xr.Dataset = xr.open_zarr(store.path, consolidated=False, chunks={})
    except Exception as error:  # xarray's errors on damaged metadata are of many kinds
        raise StoreDamagedError(f"{store.path}: cannot be opened as a dataset ({error}); copy it again.") from None
    axis = [store.plan.scenario.axis]
    for name in store.quantities:
        dataset[name].attrs.pop("axis_name", None)
    done, diverged = store.done, store.diverged
    dataset = dataset.assign_coords(axis=("axis", np.array(axis)))
    dataset.attrs = {
        "title": store.plan.scenario.name,
        "scenario": store.plan.scenario.to_toml(),
        "initial": store.plan.initial,
        "fingerprint": store.plan.fingerprint,
        "own_forces": len(store.plan.forces),
        "diverged": list(diverged),
        "diverged_time": [float(store.plan.time[index]) for index in diverged.values()],
        "units_done": int(done.sum()),
        "units_total": int(done.size),
    }
    if not done.all():
        warnings.warn(
            f"{store.path}: the run is not finished, {int(done.sum())} of {done.size} units are done; the rest is NaN.",
            stacklevel=2,
        )
    return dataset
