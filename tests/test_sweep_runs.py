"""Sweeps as runs: every point is the run it would be alone, and nothing is lost on the way."""

import hashlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
import uuid
import warnings
from pathlib import Path

import dask
import numpy as np
import pytest
from typer.testing import CliRunner

import stochbind as sb
import systems
from stochbind.analysis import online, validation
from stochbind.cli import app
from stochbind.engine import sweep_repairing, sweep_store, sweeps
from stochbind.engine.layout import Layout
from stochbind.engine.sweep_repairing import examine_sweep, repair_sweep
from stochbind.engine.sweep_store import SweepStore, check_points, is_sweep
from stochbind.engine.sweeps import run_sweep, with_run
from stochbind.errors import (
    IncompleteError,
    PlanError,
    ScenarioError,
    StoreDamagedError,
    StoreError,
    StoreLockedError,
    StoreMismatchError,
    UnstableError,
)

SCENARIOS = Path(__file__).parent.parent / "scenarios"
RUN = {"step": 0.4, "n_steps": 60, "n_trajectories": 40, "seed": 3}
STIFFNESS = {"parameter": "particle[0].stiffness", "values": [1.0, 1.5, 2.0]}
COLD = {"parameter": "particle[1].bath_temperature", "values": [0.5, 2.0], "name": "cold"}


def sweep(*axes, same_noise=False, **run):
    base = systems.pair_scenario(0.5, 0.2).model_copy(update={"run": {**RUN, **run}})
    return sb.Sweep(base, axes or (STIFFNESS, COLD), same_noise=same_noise)


@pytest.fixture(autouse=True)
def small_units(monkeypatch):
    """Four units a point."""
    monkeypatch.setattr(Layout, "of", classmethod(lambda cls, plan, n_runs=1: cls(32, 32)))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("finished") / "sweep.zarr"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Layout, "of", classmethod(lambda cls, plan, n_runs=1: cls(32, 32)))
        sb.run(sweep(), path)
    return path


def digest(path):
    """Hash of all files of a store but the locks, names included."""
    result = hashlib.sha256()
    for file in sorted(file for file in path.rglob("*") if file.is_file() and file.parent.name != "lock"):
        result.update(str(file.relative_to(path)).encode() + b"\0" + file.read_bytes())
    return result.hexdigest()


def n_files(path):
    """Number of files of a store that is being written."""
    return sum(len(names) for _, _, names in os.walk(path))


# ---------------------------------------------------------------------- the numbers


def test_every_point_is_the_run_that_it_would_be_alone(finished, tmp_path):
    found = SweepStore.open(finished)
    assert found.sweep.size == 6
    for index in (0, 5):
        plan = sb.Plan.from_scenario(sweep().point(index))
        alone = sb.run(plan, tmp_path / f"{index}.zarr")
        assert digest(tmp_path / f"{index}.zarr") == digest(finished / "points" / str(index))
        assert alone.plan.fingerprint == found.point(index).plan.fingerprint
    assert digest(finished / "points/1") != digest(finished / "points/0")  # the twin


def test_points_have_noise_of_their_own_or_the_same(tmp_path):
    twice = {"parameter": "run.allowed_bias", "values": [0.01, 0.02]}  # which changes no number of an exact run
    sb.run(sweep(twice, allowed_bias=0.01), tmp_path / "own.zarr")
    sb.run(sweep(twice, same_noise=True, allowed_bias=0.01), tmp_path / "same.zarr")
    own, same = (sb.open(tmp_path / f"{name}.zarr").position.values for name in ("own", "same"))
    np.testing.assert_array_equal(same[0], same[1])
    np.testing.assert_array_equal(own[0], same[0])
    assert not np.any(own[0] == own[1])


def test_one_dataset_has_the_parameters_in_front(finished):
    found = sb.open(finished)
    assert found.position.dims == ("stiffness", "cold", "trajectory", "time", "particle", "axis")
    assert found.position.shape == (3, 2, 40, 60, 2, 1)
    assert found.position.chunks is not None
    np.testing.assert_array_equal(found.stiffness, [1.0, 1.5, 2.0])
    np.testing.assert_array_equal(found.cold, [0.5, 2.0])
    assert found.cold.attrs["long_name"] == "particle[1].bath_temperature"
    np.testing.assert_array_equal(found.point, [[0, 1], [2, 3], [4, 5]])
    assert (found.units_done, found.units_total) == (24, 24)
    for index, name in [(i, name) for i in range(6) for name in ("position", "velocity")]:
        place = dict(zip(("stiffness", "cold"), sweep().indices(index), strict=True))
        alone = sb.open(finished / "points" / str(index))[name]
        np.testing.assert_array_equal(found[name].isel(place), alone)
        np.testing.assert_array_equal(found[name].isel(place)[3:30:7, -1, 1], alone[3:30:7, -1, 1])
    assert not np.array_equal(found.position[0, 1], found.position[1, 0])  # the twin: axes exchanged
    np.testing.assert_array_equal(found.velocity.sel(stiffness=1.5).values, found.velocity.values[1])
    np.testing.assert_array_equal(
        found.position[::2, :, 5, [3, 1]].values, found.position.values[::2, :, 5][:, :, [3, 1]]
    )
    assert sb.Sweep.from_dict(json.loads(found.attrs["sweep"])).to_dict() == sweep().to_dict()
    assert "pair" in found.attrs["scenario"]


def test_all_variables_have_the_same_chunks(finished):
    found = sb.open(finished)
    assert found.chunksizes["trajectory"] == (32, 8)  # which raises where two variables differ
    assert found.diverged.chunks == ((1, 1, 1), (1, 1), (32, 8))
    assert found.map_blocks(lambda part: part).position.shape == found.position.shape
    apart = found.assign(diverged=found.diverged.chunk(trajectory=40))  # the twin
    with pytest.raises(ValueError, match="inconsistent chunks"):
        _ = apart.chunks


def test_units_of_coordinates_are_told(unidirectional, tmp_path):
    axis = {"parameter": "gas.pressure", "values": [100.0, 200.0]}
    swept = with_run(
        sb.Sweep(unidirectional, [axis]), n_trajectories=32, n_steps=32, statistics=({"kind": "moments", "window": 32},)
    )
    sb.run(swept, tmp_path / "run.zarr")
    for path in ("run.zarr", "run.zarr/points/0"):
        found = sb.open(tmp_path / path)
        assert list(found.coordinate.values) == ["position 0", "position 1", "velocity 0", "velocity 1"]
        assert list(found.coordinate_unit.values) == ["m", "m", "m/s", "m/s"]
        assert "coordinate_unit" in found.coords
        assert "units" not in found.moments_second.attrs | found.moments_mean.attrs  # each element has its own
        assert found.moments_start.attrs["units"] == "s"
    assert sb.open(tmp_path / "run.zarr").pressure.attrs["units"] == "Pa"


def test_statistics_have_the_parameters_in_front(tmp_path):
    run = {
        "statistics": [
            {"kind": "moments", "window": 8},
            {"kind": "histograms", "of": "position", "window": 8, "start": 15},
        ]
    }
    path = tmp_path / "sweep.zarr"
    sb.run(sweep(COLD, record=False, **run), path)
    found = sb.open(path)
    assert "position" not in found
    for index in range(2):
        alone = sb.open(path / "points" / str(index))
        assert set(alone.data_vars) <= set(found.data_vars)
        for name in [*alone.data_vars, *(name for name in alone.coords if name not in alone.indexes)]:
            point = found[name].isel(cold=index, missing_dims="ignore")
            np.testing.assert_array_equal(point, alone[name], err_msg=str(name))
    edges = found.histogram_position_edge
    assert edges.dims[0] == "cold"
    assert not np.array_equal(edges[0], edges[1])  # they follow the bath
    assert found.histogram_position_from_time.dims == ("cold",)
    assert not {"histogram_position_edge_from_time", "histogram_position_scale_from_time"} & set(found.variables)
    assert found.coordinate_unit.dims == ("coordinate",)
    averages = {name for name, variable in sb.open(path / "points/0").variables.items() if "start" in variable.attrs}
    assert averages == {"histogram_position", "histogram_position_count"}
    begin = sb.open(path / "points/0").histogram_position.attrs["start"]
    assert found.histogram_position_from_time[0] == begin > 0


def test_one_statistic_is_read_without_the_others(tmp_path, monkeypatch):
    kinds = ("moments", "histograms")
    run = {"statistics": [{"kind": kind, "window": 8} for kind in kinds], "initial": "stationary", "record": False}
    sb.run(sweep(COLD, **run, n_trajectories=8, n_steps=16), tmp_path / "sweep.zarr")
    found = pickle.loads(pickle.dumps(sb.open(tmp_path / "sweep.zarr")))
    seen = []
    read = sb.Store.read

    def reading(store, name, where):
        seen.extend([name] if name.startswith("statistics/") else [])
        return read(store, name, where)

    monkeypatch.setattr(sb.Store, "read", reading)
    with dask.config.set(scheduler="synchronous"):
        found.histogram_position.load()
        assert seen == 2 * ["statistics/histogram_position"]
        for name in ("histogram_position_edge", "histogram_position_from_time", "histogram_position_count"):
            found[name].load()
        assert len(seen) == 2  # once for each point
        found.moments_second.load()
        assert seen[2:] == 2 * ["statistics/moments"]


STATISTICS = {
    "statistics": [{"kind": kind, "window": 8} for kind in ("moments", "correlations", "histograms")],
    "initial": "stationary",
}


@pytest.mark.parametrize("record", [True, False])
def test_a_point_of_the_dataset_is_judged_by_its_own_theory(tmp_path, record):
    path = tmp_path / "sweep.zarr"
    sb.run(sweep(COLD, **STATISTICS, record=record, n_trajectories=64), path)
    whole = sb.open(path)
    for index in range(2):
        alone = sb.validate(sb.open(path / f"points/{index}"))
        point = sb.validate(whole.isel(cold=index))
        assert alone.agrees
        assert point.rows == alone.rows or str(point.rows) == str(alone.rows)  # where there is NaN
        assert (point.notes, point.window, point.n_trajectories) == (alone.notes, alone.window, alone.n_trajectories)
        assert any(row.quantity == "position within 1 sigma" for row in point.rows)
    other = sb.validate(whole.isel(cold=0), sweep().base)  # the twin: the scenario that is swept
    assert not other.agrees


def test_a_sweep_is_not_judged_as_one_run(tmp_path):
    path = tmp_path / "sweep.zarr"
    sb.run(sweep(**STATISTICS), path)
    whole = sb.open(path)
    for dataset in (whole, whole.isel(cold=0), whole.drop_vars("point").isel(cold=0, stiffness=0)):
        with pytest.raises(PlanError, match=r"holds a sweep; take one point of it, such as `sb.open\(store.point_path"):
            sb.validate(dataset)
        with pytest.raises(PlanError, match="holds a sweep"):
            online.correlation(dataset)
    point, alone = whole.isel(cold=1, stiffness=2), sb.open(path / "points/5")
    np.testing.assert_array_equal(online.correlation(point).value, online.correlation(alone).value)
    np.testing.assert_array_equal(online.histogram(point, "position").upper, online.histogram(alone, "position").upper)


def test_a_point_with_diverged_trajectories_is_judged_without_them(tmp_path):
    soft = {"parameter": "particle[0].cubic_stiffness", "values": [1.0, -0.08]}
    base = sb.Scenario.from_toml(SCENARIOS / "duffing_particle.toml")
    run_sweep(sb.Sweep(base, [soft]), tmp_path / "sweep.zarr", n_trajectories=64)
    alone = sb.validate(sb.open(tmp_path / "sweep.zarr/points/1"))
    point = sb.validate(sb.open(tmp_path / "sweep.zarr").isel(cubic_stiffness=1))
    assert "diverged and are left out" in point.notes[0]
    assert (point.notes, str(point.rows)) == (alone.notes, str(alone.rows))


def test_arrays_cross_to_other_processes(finished):
    found = sb.open(finished).position
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(found)).values, found.values)


def test_diverged_trajectories_are_told(tmp_path):
    soft = {"parameter": "particle[0].cubic_stiffness", "values": [1.0, -0.08]}
    base = sb.Scenario.from_toml(SCENARIOS / "duffing_particle.toml")
    run_sweep(sb.Sweep(base, [soft]), tmp_path / "sweep.zarr", n_trajectories=64)
    found = sb.open(tmp_path / "sweep.zarr").diverged
    assert found.dims == ("cubic_stiffness", "trajectory")
    assert not found[0].any()
    lost = sb.open(tmp_path / "sweep.zarr/points/1").attrs["diverged"]
    np.testing.assert_array_equal(np.flatnonzero(found[1]), lost)
    assert 0 < len(lost) < 64


# ---------------------------------------------------------------------- workers, parts, interruptions


def test_stores_are_the_same_file_by_file_for_any_workers_and_parts(finished, tmp_path):
    expected = digest(finished)
    with sb.process_workers(2) as workers:
        run_sweep(sweep(), tmp_path / "processes.zarr", workers=workers)
    for k in (3, 1, 2):
        run_sweep(sweep(), tmp_path / "parts.zarr", part=(k, 3))
    for name in ("processes", "parts"):
        assert digest(tmp_path / f"{name}.zarr") == expected, name
    names = [file.name for file in (tmp_path / "parts.zarr/points/0/position").rglob("*") if file.is_file()]
    assert len(names) == 1 + 4
    assert digest(finished / "points/0") != digest(finished / "points/1")  # the twin


def test_a_part_is_every_kth_block_of_all_points(tmp_path):
    seen = []
    store = run_sweep(sweep(), tmp_path / "sweep.zarr", part=(2, 5), progress=lambda *numbers: seen.append(numbers))
    blocks = store.done.all(axis=2).ravel()
    np.testing.assert_array_equal(np.flatnonzero(blocks), [1, 6, 11])
    assert not (store.done.any(axis=2).ravel() & ~blocks).any()
    assert (seen[0], seen[-1]) == ((0, 6, 0), (6, 6, 0))
    assert sorted(int(point.name) for point in (tmp_path / "sweep.zarr/points").iterdir() if point.is_dir()) == [
        0,
        3,
        5,
    ]


def test_interrupted_after_any_unit_it_continues(tmp_path, monkeypatch):
    path = tmp_path / "sweep.zarr"
    write = sb.Store.write

    class PowerCut(BaseException):
        pass

    def once(store, *arguments):
        write(store, *arguments)
        raise PowerCut

    for units in range(1, 9):
        with monkeypatch.context() as patch:
            patch.setattr(sb.Store, "write", once)
            with pytest.raises(PowerCut):
                run_sweep(sweep(COLD), path, workers="serial")
        assert SweepStore.open(path).done.sum() == units
    assert run_sweep(sweep(COLD), path).done.all()
    run_sweep(sweep(COLD), tmp_path / "whole.zarr")
    assert digest(path) == digest(tmp_path / "whole.zarr")


def test_points_are_made_when_their_turn_comes(tmp_path, monkeypatch):
    many = {"parameter": "particle[0].stiffness", "start": 1.0, "stop": 2.0, "n": 20}

    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(sb.Store, "write", stop)
    with pytest.raises(KeyboardInterrupt):
        run_sweep(sweep(many), tmp_path / "sweep.zarr", workers="serial")
    begun = list((tmp_path / "sweep.zarr/points").glob("*/zarr.json"))
    assert 1 <= len(begun) <= 2 * sweeps._AHEAD
    with pytest.warns(UserWarning, match="0 of 20 points and 0 of 80 units are done"):
        found = sb.open(tmp_path / "sweep.zarr")
    assert np.isnan(found.position[:, :2]).all()


def test_a_partial_sweep_is_readable(tmp_path):
    path = tmp_path / "sweep.zarr"
    run_sweep(sweep(), path, part=(1, 4))
    with pytest.warns(UserWarning, match=r"0 of 6 points and 6 of 24 units are done; the rest is NaN"):
        found = sb.open(path)
    assert (found.units_done, found.units_total) == (6, 24)
    there = np.isfinite(found.position.values).all(axis=(3, 4, 5)).reshape(6, 40)
    expected = np.zeros((6, 40), dtype=bool)
    expected[[0, 2, 4], :32] = True
    np.testing.assert_array_equal(there, expected)
    with pytest.raises(IncompleteError, match="0 of 6 points and 6 of 24 units are done"):
        SweepStore.open(path).require_complete()
    with pytest.raises(IncompleteError, match=r"point 1 .*cold|point 1 \(particle"):
        SweepStore.open(path).point(1)


def test_a_sweep_that_was_killed_again_and_again_ends_with_the_same_bytes(tmp_path, monkeypatch):
    """SIGKILL in the making of points and in the writing of units."""
    monkeypatch.setattr(Layout, "of", classmethod(lambda cls, plan, n_runs=1: cls(8, 16)))
    script = tmp_path / "run.py"
    script.write_text(
        "import sys\n"
        f"sys.path[:0] = {[str(p) for p in sys.path if p]!r}\n"
        "import test_sweep_runs as test\n"
        "test.Layout.of = classmethod(lambda cls, plan, n_runs=1: cls(8, 16))\n"
        "test.sb.run(test.sweep(test.STIFFNESS), sys.argv[1])\n"
    )
    path, killed = tmp_path / "killed.zarr", 0
    for wanted in (0, 60, 250):
        with subprocess.Popen([sys.executable, script, path], stderr=subprocess.PIPE) as process:
            while process.poll() is None and n_files(path) <= wanted:
                time.sleep(0.02)
            killed += process.poll() is None
            process.send_signal(signal.SIGKILL)
    assert killed >= 2
    sb.run(sweep(STIFFNESS), tmp_path / "whole.zarr")
    sb.run(sweep(STIFFNESS), path)
    assert not [file for file in path.rglob("*") if file.name.endswith((".draft", ".partial"))]
    assert digest(path) == digest(tmp_path / "whole.zarr")


def test_remains_of_killed_runs_are_removed(tmp_path):
    path = tmp_path / "sweep.zarr"
    run_sweep(sweep(COLD), path, part=(1, 2))
    (path / "points/.1.elsewhere.1.abcdef01.draft/position").mkdir(parents=True)
    run_sweep(sweep(COLD), path)
    assert not list((path / "points").glob(".*"))


def test_one_lock_is_for_all_points(finished):
    done = np.zeros((6, 2, 2), dtype=bool)
    with SweepStore.open(finished).place.lock(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(SweepStore, "done", done)
        for part in (None, (1, 2)):
            with pytest.raises(StoreLockedError, match="another run"):
                run_sweep(sweep(), finished, part=part)


def test_sweeps_are_kept_in_memory_too():
    store = sb.run(sweep(COLD), "memory://sweep_runs/sweep.zarr")
    assert store.done.all()
    assert np.isfinite(sb.open("memory://sweep_runs/sweep.zarr").position).all()


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("name", ["n_steps", "save_every", "n_trajectories"])
def test_what_changes_the_shape_cannot_be_swept(tmp_path, name):
    axis = {"parameter": f"run.{name}", "values": [1, 2]}
    with pytest.raises(PlanError, match=f"`run.{name}` cannot be swept in one store, as it changes the shape"):
        sb.run(sweep(axis, save_every=1), tmp_path / "sweep.zarr")
    assert not (tmp_path / "sweep.zarr").exists()


def test_other_parameters_of_the_run_can_be_swept(tmp_path):
    axis = {"parameter": "run.solver", "values": ["exact", "strang"]}
    store = sb.run(sweep(axis, solver="exact", step=0.1), tmp_path / "sweep.zarr")
    assert [store.point(i).plan.solver for i in range(2)] == ["exact", "strang"]
    assert list(sb.open(tmp_path / "sweep.zarr").solver.values) == ["exact", "strang"]


def test_a_point_that_cannot_be_run_is_named(tmp_path):
    strong = {"parameter": "coupling[0][1]", "values": [0.5, 60.0]}
    with pytest.raises(UnstableError, match=r"point 1 \(coupling\[0\]\[1\] = 60.0\): "):
        sb.run(sweep(strong, initial="stationary"), tmp_path / "sweep.zarr")
    assert not (tmp_path / "sweep.zarr").exists()


@pytest.mark.parametrize("kind", ["correlations", "spectra", "histograms"])
def test_an_average_over_time_is_refused_at_a_point_without_a_steady_state(kind):
    strong = {"parameter": "coupling[0][1]", "values": [0.5, 60.0]}
    with pytest.raises(PlanError, match=r"point 1 \(coupling.*there is no steady state; give it `start`"):
        check_points(sweep(strong, n_steps=240, statistics=[{"kind": kind, "window": 8}]))
    check_points(sweep(strong, n_steps=240, statistics=[{"kind": kind, "window": 8, "start": 0}]))  # the twin


def test_names_of_axes_do_not_clash_with_anything_in_a_dataset(tmp_path):
    kinds = ("moments", "correlations", "currents", "histograms")
    statistics = [{"kind": kind, "window": 8} for kind in kinds]
    run = {"statistics": statistics, "ledger": True, "initial": "stationary", "n_trajectories": 8, "n_steps": 16}
    sb.run(sweep(COLD, **run), tmp_path / "sweep.zarr")
    found = sb.open(tmp_path / "sweep.zarr")
    names = {str(name) for name in [*found.variables, *found.dims]} - {"cold"}
    assert {"position_bin", "position_edge", "diverged", "correlation_count", "current_heat", "lag"} < names
    for name in sorted(names):
        with pytest.raises((PlanError, ScenarioError), match=rf"\b{name}\b.*give (it|the axis) another"):
            check_points(sweep({**COLD, "name": name}, **run))
    check_points(sweep({**COLD, "name": "position_bin"}))  # the twin: without the histogram it is free
    check_points(sweep({**COLD, "name": "moments_of_glory"}, **run))


def test_overrides_go_to_all_points():
    found = with_run(sweep(), seed=10, n_trajectories=7, solver=None, statistics=("moments",))
    assert [found.point(i).run.seed for i in (0, 5)] == [10, 15]
    assert {found.point(i).run.n_trajectories for i in range(6)} == {7}
    assert found.point(3).run.statistics[0].name == "moments"
    assert with_run(sweep(), seed=None).to_dict() == sweep().to_dict()
    with pytest.raises(PlanError, match="`n_trajectories` must be at least 1"):
        with_run(sweep(), n_trajectories=0)
    with pytest.raises(PlanError, match="no field `colour`"):
        with_run(sweep(), colour=1)
    with pytest.raises(PlanError, match="`seed` is swept"):
        with_run(sweep({"parameter": "run.seed", "values": [1, 2]}), seed=3)


def test_another_sweep_is_refused_with_the_difference(finished, tmp_path):
    before = digest(finished)
    for other, difference in (
        (sweep(STIFFNESS, {**COLD, "values": [0.5, 2.5]}), r"sweep.axis\[1\].values\[1\]: 2.0 -> 2.5"),
        (sweep(n_steps=80), "run.n_steps: 60 -> 80"),
        (sweep(same_noise=True), "sweep.same_noise: False -> True"),
    ):
        with pytest.raises(StoreMismatchError, match=difference):
            sb.run(other, finished)
    plan = sb.Plan.from_scenario(sweep().point(0))
    with pytest.raises(StoreError, match=r"holds a sweep of many runs; open one of them, such as .*points/0"):
        sb.run(plan, finished)
    sb.run(plan, tmp_path / "one.zarr")
    with pytest.raises(StoreMismatchError, match="holds one run, and no sweep"):
        sb.run(sweep(), tmp_path / "one.zarr")
    with pytest.raises(StoreError, match="holds no sweep"):
        SweepStore.open(tmp_path / "one.zarr")
    assert (is_sweep(finished), is_sweep(tmp_path / "one.zarr")) == (True, False)
    assert digest(finished) == before


def test_a_name_is_no_difference(finished):
    renamed = sb.Sweep(sweep().base.model_copy(update={"name": "another"}), sweep().axes)
    assert sb.run(renamed, finished).done.all()


def test_damage_is_told(tmp_path):
    path = tmp_path / "sweep.zarr"
    sb.run(sweep(COLD), path)
    root = path / "zarr.json"
    text = root.read_text()
    root.write_text(text.replace('"seed": 3', '"seed": 4'))
    with pytest.raises(StoreDamagedError, match=r"zarr\.json was altered"):
        sb.open(path)
    root.write_text(text)
    (path / "points/0").rename(path / "points/x")
    (path / "points/1").rename(path / "points/0")
    (path / "points/x").rename(path / "points/1")
    with pytest.raises(StoreDamagedError, match=r"points/0: is not the run of point 0 \(particle"):
        sb.open(path)


def other_run(path, monkeypatch):
    """Put a longer run in the place of point 0 of a sweep."""
    with monkeypatch.context() as patch:
        patch.setattr(sweep_store, "require_no_point", lambda _: None)
        sb.extend(path / "points/0", n_trajectories=50)


def test_a_point_is_not_run_or_extended_by_itself(finished, tmp_path, monkeypatch):
    path, plan = tmp_path / "sweep.zarr", sb.Plan.from_scenario(sweep().point(0))
    shutil.copytree(finished, path)
    before = digest(path)
    (tmp_path / "link").symlink_to(path / "points/0")
    monkeypatch.chdir(path)
    for point in (path / "points/0", tmp_path / "link", "points/0"):
        with pytest.raises(StoreMismatchError, match=r"is a point of the sweep in .*sweep.zarr"):
            sb.extend(point, n_trajectories=50)
        with pytest.raises(StoreMismatchError, match="run the sweep, or copy the point to another path"):
            sb.run(plan, point)
    shutil.rmtree(path / "points/5")  # nor is one begun that would have units of other sizes
    with pytest.raises(StoreMismatchError, match="is a point of the sweep"):
        sb.run(plan, path / "points/5")
    assert sb.run(sweep(), path).done.all()
    assert digest(path) == before
    shutil.copytree(path / "points/0", tmp_path / "points/0")  # the twin: a point no more
    assert sb.extend(tmp_path / "points/0", n_trajectories=50).plan.n_trajectories == 50


def test_points_at_urls_are_known(tmp_path):
    path = f"memory://{uuid.uuid4().hex}.zarr"
    sb.run(sweep(STIFFNESS), path)
    with pytest.raises(StoreMismatchError, match="is a point of the sweep"):
        sb.extend(f"{path}/points/0", n_trajectories=50)


def test_repair_tells_points_that_hold_another_run(tmp_path, monkeypatch):
    path = tmp_path / "sweep.zarr"
    sb.run(sweep(COLD), path)
    before = digest(path)
    other_run(path, monkeypatch)
    (path / "points/1/position/c.1.0.0.0").unlink()
    remedy = r"points/0: is not the run of point 0 \(.*remove this folder, and start the same sweep again"
    for call in (examine_sweep, repair_sweep):
        with pytest.raises(StoreDamagedError, match=remedy):
            call(path)
    with pytest.raises(StoreDamagedError, match=remedy):
        sb.run(sweep(COLD, n_trajectories=40), path, workers="serial")
    assert (path / "points/1/position/c.1.0.0.0").exists()  # the other point is mended all the same
    shutil.rmtree(path / "points/0")
    sb.run(sweep(COLD), path)
    assert digest(path) == before


def spoil(path, *names):
    """Empty some files."""
    for name in names:
        (path / name).write_bytes(b"")


def test_a_point_that_lost_both_copies_of_its_plan_is_restored_from_the_sweep(finished, tmp_path):
    path = tmp_path / "sweep.zarr"
    shutil.copytree(finished, path)
    before = digest(path)
    spoil(path, "points/3/zarr.json", "points/3/position/c.0.0.0.0")
    (path / "points/3/engine/zarr.json").unlink()
    found = [damage.file for damage in examine_sweep(path).damages]
    assert found == ["points/3/zarr.json", "points/3/engine/zarr.json"]
    with pytest.raises(StoreDamagedError, match=r"points/3: .*`stochbind repair .*sweep.zarr` makes it anew"):
        SweepStore.open(path).verify()
    found = {damage.file for damage in repair_sweep(path).damages}
    assert found == {f"points/3/{name}" for name in ("zarr.json", "engine/zarr.json", "position/c.0.0.0.0")}
    assert digest(path) == before
    assert repair_sweep(path).whole


@pytest.mark.parametrize("why", ["coefficients", "versions"])
def test_a_point_that_may_be_of_another_machine_is_not_restored(finished, tmp_path, monkeypatch, why):
    path = tmp_path / "sweep.zarr"
    shutil.copytree(finished, path)
    before = digest(path)
    spoil(path, "points/3/zarr.json", "points/3/engine/zarr.json")
    with monkeypatch.context() as patch:
        if why == "versions":
            patch.setattr(sweep_repairing, "versions", lambda: {"steps": "0"})
        else:
            chunk = next(file for file in (path / "points/3/coefficients").rglob("c/*") if file.is_file())
            chunk.write_bytes(bytes([chunk.read_bytes()[0] ^ 1]) + chunk.read_bytes()[1:])
        remedy = "points/3: both copies .* remove this folder, and start the same sweep again"
        with pytest.raises(StoreDamagedError, match=remedy):
            repair_sweep(path)
    shutil.rmtree(path / "points/3")
    sb.run(sweep(), path)
    assert digest(path) == before


def test_groups_of_a_sweep_are_sealed_and_mended(finished, tmp_path):
    path = tmp_path / "sweep.zarr"
    shutil.copytree(finished, path)
    before, names = digest(path), ["engine/zarr.json", "engine/lock/zarr.json", "points/zarr.json"]
    assert examine_sweep(path).whole
    for name in names:
        spoil(path, name)
        with pytest.raises(StoreDamagedError, match=rf"{name} is missing or empty: .*`stochbind repair .* it anew"):
            sb.open(path)
        assert [damage.file for damage in examine_sweep(path).damages] == [name]
        assert [damage.file for damage in repair_sweep(path).damages] == [name]
    assert digest(path) == before
    text = (path / "points/zarr.json").read_text()
    (path / "points/zarr.json").write_text(text.replace("fastest", "slowest"))
    assert [damage.fault for damage in repair_sweep(path).damages] == ["was altered"]
    assert (path / "points/zarr.json").read_text() == text


# ---------------------------------------------------------------------- the command line


FILE = """
name = "pair"
kind = "oscillators"
units = "reduced"
coupling = [[0.0, 0.5], [0.2, 0.0]]
[[particle]]
mass = 1.0
stiffness = 1.0
damping_rate = 0.3
bath_temperature = 1.0
[[particle]]
mass = 1.0
stiffness = 1.0
damping_rate = 0.3
bath_temperature = 0.8
[run]
step = 0.4
n_steps = 60
n_trajectories = 64
[sweep]
[[sweep.axis]]
parameter = "coupling[1][0]"
values = [0.0, 0.5]
"""


def invoke(*arguments, code=0):
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def verify_and_repair(path):
    """Damage in two points is named, and made anew to the same bytes."""
    before = digest(path)
    assert "all 8 units are what was written, 2 of them made anew" in invoke("verify", path, "--recompute", 2).stdout
    (path / "points/0/position/c.1.0.0.0").unlink()
    chunk = path / "points/1/velocity/c.0.1.0.0"
    content = bytearray(chunk.read_bytes())
    content[50] ^= 1
    chunk.write_bytes(content)
    report = json.loads(CliRunner().invoke(app, ["verify", str(path), "--json", "--quiet"]).stdout)
    assert {damage["file"].partition("/c.")[0] for damage in report["damages"]} == {
        "points/0/position",
        "points/1/velocity",
    }
    assert "points/0/position" in invoke("repair", path, "--parallel", "threads").stdout
    assert digest(path) == before
    assert "nothing is damaged" in invoke("repair", path, "--parallel", "threads").stdout


def test_the_command_line_runs_shows_and_validates(tmp_path, monkeypatch):
    file, path = tmp_path / "sweep.toml", tmp_path / "sweep.zarr"
    file.write_text(FILE)
    shown = invoke("run", file, "-o", path, "--dry-run").stdout
    assert "2 points (coupling 2)" in shown
    assert f"Forecast: {2 * 2 * 2} units" in shown  # of 32 trajectories and 32 states
    assert not path.exists()
    assert "A sweep of it: 2 points (coupling 2)" in invoke("info", file).stdout
    with pytest.raises(StoreError, match="no such store"):
        invoke("validate", path)
    result = invoke("run", file, "-o", path, "--parallel", "threads", "--part", "1/2")
    assert "part 1/2 is done; 4 of 8 units" in result.stderr
    with pytest.raises(IncompleteError, match="4 of 8 units"):
        invoke("validate", path)
    assert json.loads(invoke("info", path, "--json").stdout)["store"]["points_begun"] == 2
    assert "complete, fingerprint" in invoke("run", file, "-o", path, "--parallel", "threads").stderr
    assert "complete already" in invoke("run", file, "-o", path, "--parallel", "threads").stderr
    assert "points_done: 2" in invoke("info", path).stdout
    verify_and_repair(path)
    report = json.loads(invoke("validate", path, "--json").stdout)
    assert report["agrees"]
    assert [point["parameters"] for point in report["points"]] == [{"coupling": 0.0}, {"coupling": 0.5}]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        worst = sb.validate(sb.open(path / "points/1")).worst
    assert report["points"][1]["worst"]["z"] == worst.z
    monkeypatch.setattr(validation, "LARGEST_Z", 1e-6)
    assert "DISAGREEMENT at 2 of 2 points" in invoke("validate", path, code=3).stdout
