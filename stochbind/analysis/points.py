"""Datasets of sweeps: one point of them as the run that it is."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr

from stochbind.errors import PlanError
from stochbind.scenario import Sweep


def one_run(dataset: xr.Dataset) -> xr.Dataset:
    """The dataset of one run: a point of a sweep with the attributes that it has when it is opened alone.

    Parameters
    ----------
    dataset : xarray.Dataset
        A run; or one point of a sweep, such as ``sb.open(path).isel(stiffness=0)``.

    Returns
    -------
    xarray.Dataset
        The same arrays. For a point, `scenario`, `initial` and `diverged` are those of the point, and variables
        that are averages over time have their attribute `start`.

    Raises
    ------
    PlanError
        If it holds more than one point of a sweep.
    """
    if "sweep" not in dataset.attrs:
        return dataset
    require_one_run(dataset)
    sweep = Sweep.from_dict(json.loads(dataset.attrs["sweep"]), "the attribute `sweep` of the dataset")
    scenario = sweep.point(int(dataset["point"]))
    attrs = {name: value for name, value in dataset.attrs.items() if name != "sweep"}
    attrs |= {"scenario": scenario.to_toml(), "initial": scenario.run.initial or "thermal"}
    if "diverged" in dataset:
        attrs["diverged"] = np.flatnonzero(dataset["diverged"].to_numpy()).tolist()
    result = dataset.assign_attrs()  # a copy, whose attributes are its own
    result.attrs = attrs
    for name in result.data_vars:
        if f"{name}_from_time" in result.coords:
            result[name] = result[name].assign_attrs(start=float(result[f"{name}_from_time"]))
    return result


def require_one_run(dataset: xr.Dataset) -> None:
    """Raise `PlanError` if a dataset holds more than one point of a sweep."""
    if "sweep" in dataset.attrs and ("point" not in dataset or dataset["point"].ndim):
        raise PlanError(
            "The dataset holds a sweep; take one point of it, such as `sb.open(store.point_path(0))` or `dataset.isel` "
            "with one index for each axis."
        )
