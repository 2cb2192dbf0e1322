"""Longer runs in stores that are there: what one run that was so long from the start would have given."""

import dataclasses
import itertools
import json
import multiprocessing
import os
import signal

import numpy as np
import pytest

import stochbind as sb
import systems
from damage import files
from stochbind.engine import extension, repairing
from stochbind.engine.abstract_place import Place
from stochbind.engine.layout import Layout
from stochbind.engine.places import LocalPlace
from stochbind.engine.reducers.trees import canonical, merge_rows
from stochbind.engine.store import Store
from stochbind.errors import PlanError, StoreDamagedError, StoreError, StoreLockedError, StoreMismatchError

STATISTICS = (
    sb.statistics.MomentStatistic(window=8),
    sb.statistics.CorrelationStatistic(window=16, start=0),
    sb.statistics.HistogramStatistic(of="position", window=4, start=3),
)
COMMON = {"scenario": systems.pair_scenario(0.5, 0.2), "step": 0.4, "seed": 11, "statistics": STATISTICS}
LAYOUT = Layout(trajectories_per_block=8, saves_per_block=16, trajectories_per_group=4)


def make(path, layout=LAYOUT, **plan):
    plan = sb.Plan(**{**COMMON, **plan})
    if layout is not None:
        Store.create(path, plan, layout)
    return sb.run(plan, path, workers="serial")


def statistics(store):
    """All statistics, merged as they are when read."""
    found = {}
    for item in store.plan.reducers:
        data = store.read(f"statistics/{item.name}", ...)
        data, _ = canonical(data, store.plan.n_trajectories, store.layout.trajectories_per_group)
        while data.shape[1] > 1 and store.layout.trajectories_per_group == 1:  # as far as groups can be compared
            break
        found[item.name] = data if item.per_window else merge_rows(data)
    return found


def require_same(longer, fresh):
    """Bit for bit the same trajectories, checkpoints at the end, and statistics."""
    assert longer.done.all()
    for name in longer.quantities:
        np.testing.assert_array_equal(longer.read(name, ...), fresh.read(name, ...))
    np.testing.assert_array_equal(longer.read("engine/checkpoint", -1), fresh.read("engine/checkpoint", -1))
    found, expected = statistics(longer), statistics(fresh)
    assert found.keys() == expected.keys()
    for name in expected:
        ours, theirs = found[name], expected[name]
        np.testing.assert_array_equal(merged(ours), merged(theirs), err_msg=name)


def merged(data):
    """The sum over all groups, as the binary tree of adjacent groups."""
    from stochbind.engine.reducers.trees import merge_groups

    return merge_groups(data, 1 << (data.shape[1] - 1).bit_length())


#: Lengths before and after: n_trajectories, n_steps.
LENGTHS = {
    "more blocks": ((16, 32), (24, 32)),
    "more segments": ((16, 32), (16, 64)),
    "out of part of a block": ((13, 32), (30, 32)),
    "out of part of a segment": ((16, 27), (16, 64)),
    "out of both": ((13, 27), (29, 61)),
    "to part of the same unit": ((9, 17), (11, 19)),
}


@pytest.mark.parametrize("record", [True, False], ids=["recorded", "statistics alone"])
@pytest.mark.parametrize("lengths", LENGTHS)
def test_an_extended_run_is_one_long_run(tmp_path, lengths, record):
    """Also file by file: the layouts are the same."""
    (n, steps), (more, longer) = LENGTHS[lengths]
    make(tmp_path / "run.zarr", n_trajectories=n, n_steps=steps, record=record)
    fresh = make(tmp_path / "fresh.zarr", n_trajectories=more, n_steps=longer, record=record)
    store = extension.extend(tmp_path / "run.zarr", n_trajectories=more, n_steps=longer)
    assert store.plan.fingerprint == fresh.plan.fingerprint
    assert not store.done.all()
    store = sb.run(fresh.plan, tmp_path / "run.zarr", workers="serial")
    store.verify()
    require_same(store, fresh)
    assert files(tmp_path / "run.zarr") == files(tmp_path / "fresh.zarr")
