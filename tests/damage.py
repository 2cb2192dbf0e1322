"""Damage done to stores at random, and whether it is found and mended; also what `scripts/torture` calls."""

import os
import re
import shutil
import signal
from pathlib import Path
from typing import NamedTuple

import numpy as np

import stochbind as sb
import systems
from stochbind.engine import extension, repairing
from stochbind.engine.layout import Layout
from stochbind.engine.store import Store
from stochbind.errors import StoreDamagedError

KINDS = ("flip", "truncate", "empty", "delete", "another")


class Outcome(NamedTuple):
    """What became of a damage."""

    what: str  # file, and what was done to it
    told: str  # what verification says; empty if nothing
    same: bool  # whether all files are what they were before, after the repair


def files(path):
    """Content of all files of a store, but for locks, by their keys."""
    found = {p.relative_to(path).as_posix(): p.read_bytes() for p in Path(path).rglob("*") if p.is_file()}
    return {key: data for key, data in found.items() if key == "engine/lock/zarr.json" or "/lock/" not in key}


def damage(path, key, kind, rng):
    """Damage a file; gives what was done, or nothing if it cannot be done to this file."""
    file = Path(path) / key
    data = bytearray(file.read_bytes())
    if kind == "flip":
        bit = int(rng.integers(8 * len(data)))
        data[bit // 8] ^= 1 << bit % 8
        file.write_bytes(data)
        return f"{key}: bit {bit} flipped"
    if kind == "truncate":
        size = int(rng.integers(1, max(len(data), 2)))
        file.write_bytes(data[:size])
        return f"{key}: cut to {size} of {len(data)} bytes" if size < len(data) else ""
    if kind == "empty":
        file.write_bytes(b"")
        return f"{key}: emptied"
    if kind == "delete":
        file.unlink()
        return f"{key}: removed"
    array = re.split(r"/c[/.]", key)[0]
    if array in (key, "drive_work"):  # no chunk; or zero everywhere, and what is beyond its end is no number
        return ""
    others = [k for k, v in files(path).items() if re.split(r"/c[/.]", k)[0] == array and v != bytes(data)]
    if not others:
        return ""
    other = others[int(rng.integers(len(others)))]
    shutil.copyfile(Path(path) / other, file)
    return f"{key}: replaced by {other}"


def trial(path, plan, whole, rng):
    """Damage a store that is whole, verify it, mend it, and compare it with what it was."""
    keys, what = sorted(whole), ""
    while not what:
        what = damage(path, keys[int(rng.integers(len(keys)))], KINDS[int(rng.integers(len(KINDS)))], rng)
    report = repairing.examine(path)
    told = "; ".join(map(str, report.damages))
    if report.whole and report.n_done < report.n_units:
        told = f"{report.n_done} of {report.n_units} units are done"
    try:
        repairing.repair(path, workers="serial")
        if report.n_done < report.n_units and report.whole:
            sb.run(plan, path, workers="serial")
    except StoreDamagedError as error:
        told += f"; not mended: {error}"
    same = files(path) == whole
    if not same:
        for key in set(files(path)) - set(whole):
            (Path(path) / key).unlink()
        for key, data in whole.items():
            (Path(path) / key).parent.mkdir(parents=True, exist_ok=True)
            (Path(path) / key).write_bytes(data)
    return Outcome(what, told, same)


def plans():
    """Runs with everything that a store can hold: a record with a ledger, and statistics alone."""
    common = {"scenario": systems.pair_scenario(0.3, 0.1), "step": 0.4, "n_steps": 58, "seed": 5}
    statistics = (
        sb.statistics.MomentStatistic(window=8),
        sb.statistics.CorrelationStatistic(window=16, start=0),
    )
    return {
        "recorded": sb.Plan(n_trajectories=21, ledger=True, statistics=statistics, **common),
        "statistics": sb.Plan(n_trajectories=24, record=False, statistics=statistics, **common),
    }


LAYOUT = Layout(trajectories_per_block=8, saves_per_block=16, trajectories_per_group=4)


def trials(folder, number, seed=0):
    """Yield the outcome of so many damages, to stores in `folder`."""
    stores = []
    for name, plan in plans().items():
        path = Path(folder) / f"{name}.zarr"
        Store.create(path, plan, LAYOUT)
        sb.run(plan, path, workers="serial")
        stores.append((path, plan, files(path)))
    for index in range(number):
        rng = np.random.default_rng([seed, index])
        yield trial(*stores[index % len(stores)], rng)


def killed(path, at, call, arguments):
    """Extend or repair a store, and be killed just before the n-th of its files is put in place or removed."""
    count = 0

    def deadly(usual):
        def act(*arguments, **more):
            nonlocal count
            count += str(arguments[0]).startswith(str(path))
            if count == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return usual(*arguments, **more)

        return act

    os.replace, os.unlink, os.fsync = deadly(os.replace), deadly(os.unlink), lambda descriptor: None
    {"extend": extension.extend, "repair": repairing.repair}[call](path, **arguments)
