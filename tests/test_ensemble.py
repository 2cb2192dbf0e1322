"""Runs and stores: nothing irrelevant matters, and nothing is lost."""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

import stochbind as sb
import systems
import test_solvers
from stochbind.engine import units
from stochbind.engine.layout import Layout
from stochbind.engine.places import _host
from stochbind.engine.units import Task, run_unit
from stochbind.engine.workers.threads import SerialWorkers
from stochbind.errors import IncompleteError, StoreDamagedError, StoreError, StoreLockedError, StoreMismatchError

PLAN = {"step": 0.4, "n_steps": 60, "n_trajectories": 40, "seed": 3}


@pytest.fixture(scope="module")
def plan():
    return sb.Plan(scenario=systems.pair_scenario(0.5, 0.2), **PLAN)


@pytest.fixture(scope="module")
def finished(plan, tmp_path_factory):
    path = tmp_path_factory.mktemp("finished") / "run.zarr"
    sb.run(plan, path)
    return path


def tree_digest(path):
    """Hash of every file of a store but its locks, names included."""
    digest = hashlib.sha256()
    for file in sorted(p for p in Path(path).rglob("*") if p.is_file() and p.parent.name != "lock"):
        digest.update(str(file.relative_to(path)).encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def test_store_holds_the_reference_path_in_si(plan, finished):
    found = sb.open(finished)
    unit = plan.coefficients()["unit"]
    for trajectory in (0, 15, 16, 39):
        expected = test_solvers.reference_path(plan, [trajectory])[..., 0] * unit
        np.testing.assert_array_equal(found["position"].sel(trajectory=trajectory, axis="x"), expected[:, :2])
        np.testing.assert_array_equal(found["velocity"].sel(trajectory=trajectory, axis="x"), expected[:, 2:])


class ShuffledWorkers(SerialWorkers):
    """Runs what it was given in any order."""

    def slots(self):
        return 100

    def wait(self, handles, timeout):
        self._queue.rotate(int(np.random.default_rng(len(self._queue)).integers(100)))
        return super().wait(handles, timeout)


def test_stores_are_the_same_file_by_file_for_any_workers(plan, finished, tmp_path):
    expected = tree_digest(finished)
    sb.run(plan, tmp_path / "shuffled.zarr", workers=ShuffledWorkers())
    with sb.process_workers(2) as workers:
        sb.run(plan, tmp_path / "processes.zarr", workers=workers)
    with sb.local_dask_workers(2) as workers:
        sb.run(plan, tmp_path / "dask.zarr", workers=workers)
    for name in ("shuffled", "processes", "dask"):
        assert tree_digest(tmp_path / f"{name}.zarr") == expected, name
    other = sb.Plan(scenario=systems.pair_scenario(0.5, 0.2), **{**PLAN, "seed": 4})
    sb.run(other, tmp_path / "other.zarr")
    assert tree_digest(tmp_path / "other.zarr") != expected  # the twin


@pytest.fixture(scope="module")
def accumulating():
    statistics = ["moments", {"kind": "correlations", "window": 16, "start": 0}, {"kind": "histograms", "start": 0}]
    return sb.Plan(scenario=systems.pair_scenario(0.5, 0.2), **PLAN, statistics=statistics)


@pytest.mark.parametrize("number", [1, 2, 3, 7])
def test_any_number_of_workers_writes_the_same_files(accumulating, tmp_path, monkeypatch, number):
    monkeypatch.setattr(Layout, "of", classmethod(lambda cls, plan: cls(4, 64, 2)))
    sb.run(accumulating, tmp_path / "serial.zarr", workers="serial")
    with sb.thread_workers(number) as workers:
        sb.run(accumulating, tmp_path / "threads.zarr", workers=workers)
    assert tree_digest(tmp_path / "threads.zarr") == tree_digest(tmp_path / "serial.zarr")


def test_seven_processes_and_seven_parts_write_the_same_files(accumulating, tmp_path, monkeypatch):
    monkeypatch.setattr(Layout, "of", classmethod(lambda cls, plan: cls(4, 64, 2)))
    expected = tree_digest(sb.run(accumulating, tmp_path / "serial.zarr", workers="serial").path)
    with sb.process_workers(7) as workers:
        sb.run(accumulating, tmp_path / "processes.zarr", workers=workers)
    for k in (3, 1, 7, 2, 5, 4, 6):
        sb.run(accumulating, tmp_path / "parts.zarr", part=(k, 7), workers="serial")
    assert tree_digest(tmp_path / "processes.zarr") == expected
    assert tree_digest(tmp_path / "parts.zarr") == expected


@pytest.mark.parametrize("size", [1, 3, 8, 1000])
def test_sizes_of_batches_do_not_change_a_byte(accumulating, tmp_path, monkeypatch, size):
    sb.run(accumulating, tmp_path / "usual.zarr", workers="serial")
    monkeypatch.setattr(units, "batch_of", lambda dimension: size)
    monkeypatch.setattr(units, "piece_of", lambda plan: 64)
    sb.run(accumulating, tmp_path / "other.zarr", workers="serial")
    assert tree_digest(tmp_path / "other.zarr") == tree_digest(tmp_path / "usual.zarr")


def test_sizes_of_blocks_do_not_change_the_numbers(plan, finished, tmp_path, monkeypatch):
    expected = sb.open(finished)["position"].values
    for sizes in ((1, 60), (7, 13), (40, 1)):
        monkeypatch.setattr(Layout, "of", classmethod(lambda cls, plan, sizes=sizes: cls(*sizes)))
        path = tmp_path / f"{sizes[0]}.zarr"
        store = sb.run(plan, path)
        assert (store.n_blocks, store.n_segments) == (-(-40 // sizes[0]), -(-60 // sizes[1]))
        np.testing.assert_array_equal(sb.open(path)["position"].values, expected)


def test_any_trajectory_can_be_made_again_alone(plan, finished):
    fewer = sb.Plan(scenario=plan.scenario, **{**PLAN, "n_trajectories": 3})
    expected = sb.open(finished)["position"].isel(trajectory=2, axis=0).values
    unit = fewer.coefficients()["unit"][:2]
    np.testing.assert_array_equal(test_solvers.reference_path(fewer, [2])[:, :2, 0] * unit, expected)


def test_interrupted_anywhere_it_continues(plan, finished, tmp_path, monkeypatch):
    """Stop after each unit in turn, even inside a block; go on; the files are those of one go."""
    monkeypatch.setattr(Layout, "of", classmethod(lambda cls, plan: cls(16, 25)))
    whole = tmp_path / "whole.zarr"
    sb.run(plan, whole)
    path = tmp_path / "parts.zarr"
    write = sb.Store.write

    class PowerCut(BaseException):
        pass

    def once(store, *arguments):
        write(store, *arguments)
        raise PowerCut

    units = 0
    monkeypatch.setattr(sb.Store, "write", once)
    while True:
        try:
            sb.run(plan, path, workers="serial")
        except PowerCut:
            units += 1
            with pytest.warns(UserWarning, match=f"{units} of 9 units are done") if units < 9 else _nothing():
                partial = sb.open(path)
            known = np.isfinite(partial["position"].values)
            assert known.any()
            assert known.all() == (units == 9)
        else:
            break
    assert units == 9
    assert tree_digest(path) == tree_digest(whole)


class _nothing:
    def __enter__(self):
        return None

    def __exit__(self, *_):
        return False


def test_killed_with_sigkill_it_loses_nothing(tmp_path):
    """A driver and its workers, killed again and again; the store at the end is that of an undisturbed run."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import stochbind as sb, systems\n"
        "pair = systems.pair_scenario(0.5, 0.2)\n"
        "plan = sb.Plan(scenario=pair, step=0.4, n_steps=2_000_000, save_every=100,"
        " n_trajectories=160, seed=3)\n"
        "if __name__ == '__main__':\n"
        "    if sys.argv[2] == 'serial':\n"
        "        sb.run(plan, sys.argv[1])\n"
        "    else:\n"
        "        with sb.process_workers(2) as workers:\n"
        "            sb.run(plan, sys.argv[1], workers=workers)\n"
    )
    subprocess.run([sys.executable, script, tmp_path / "whole.zarr", "serial"], check=True)
    rng = np.random.default_rng(0)
    path = tmp_path / "killed.zarr"
    kills = 0
    for attempt in range(8):
        process = subprocess.Popen(
            [sys.executable, script, path, "processes"], start_new_session=True, stderr=subprocess.PIPE, text=True
        )
        if attempt < 6:
            deadline = time.monotonic() + 30
            while not path.exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(rng.uniform(0.5, 3.0))
        else:
            _, message = process.communicate(timeout=300)
            assert process.returncode == 0, message
            break
        kills += process.poll() is None
        with contextlib.suppress(ProcessLookupError):  # it may just have finished
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stderr.close()
        sb.Store.open(path)  # readable after every kill
    assert kills >= 3
    assert not list(path.rglob("*.partial"))
    assert tree_digest(path) == tree_digest(tmp_path / "whole.zarr")


def test_a_second_run_is_refused_while_the_first_writes(plan, tmp_path):
    path = tmp_path / "run.zarr"

    class Intruding(SerialWorkers):
        refused = 0

        def submit(self, function, *arguments):
            with pytest.raises(StoreLockedError, match=r"another run .* is writing"):
                sb.run(plan, path)
            self.refused += 1
            return super().submit(function, *arguments)

    workers = Intruding()
    sb.run(plan, path, workers=workers)
    assert workers.refused
    assert sb.run(plan, path).done.all()  # a finished run is left alone


def test_another_plan_is_refused_with_the_difference(plan, finished):
    before = tree_digest(finished)
    other = sb.Plan(scenario=plan.scenario, **{**PLAN, "seed": 9})
    with pytest.raises(StoreMismatchError, match="seed: 3 -> 9"):
        sb.run(other, finished)
    assert tree_digest(finished) == before


def test_the_ledger_and_not_the_workers_tells_what_is_done(plan, tmp_path):
    class Lying(SerialWorkers):
        def submit(self, function, *arguments):
            return super().submit((lambda task: 0.0) if arguments[0].block == 0 else function, *arguments)

    with pytest.raises(IncompleteError, match="1 of 2 units are done"):
        sb.run(plan, tmp_path / "run.zarr", workers=Lying())
    assert sb.run(plan, tmp_path / "run.zarr").done.all()


def test_plain_xarray_and_plain_zarr_can_read_it(plan, finished):
    dataset = xr.open_zarr(finished, consolidated=False)
    assert dataset["position"].dims == ("trajectory", "time", "particle", "axis")
    assert dataset["velocity"].attrs["units"] == ""  # reduced units
    assert dataset["time"].dtype == np.float64
    np.testing.assert_array_equal(dataset["time"], plan.time)
    tree = xr.open_datatree(finished, engine="zarr", consolidated=False)
    assert {"theory", "coefficients", "engine"} <= set(tree.children)
    steady = plan.scenario.langevin().stationary_covariance()
    np.testing.assert_array_equal(tree["theory/stationary_covariance"], steady)
    group = zarr.open_group(finished, mode="r")
    assert group.attrs["stochbind"]["fingerprint"] == plan.fingerprint
    ours = sb.open(finished)
    assert list(ours["axis"].values) == ["x"]
    assert ours.attrs["units_done"] == ours.attrs["units_total"] == 2
    tomllib = pytest.importorskip("tomllib")
    again = sb.scenario.scenario_from_dict(tomllib.loads(ours.attrs["scenario"]))
    assert again.oscillators().coupling.tolist() == [[0.0, 0.5], [0.2, 0.0]]


def test_si_store_has_units(unidirectional, tmp_path):
    plan = sb.Plan.from_scenario(unidirectional, n_steps=10, n_trajectories=4)
    sb.run(plan, tmp_path / "run.zarr")
    dataset = sb.open(tmp_path / "run.zarr")
    assert dataset["position"].attrs == {"units": "m", "long_name": "displacement from equilibrium along z"}
    assert dataset["velocity"].attrs["units"] == "m/s"
    assert dataset["time"].attrs["units"] == "s"
    assert 1e-9 < float(dataset["position"].std()) < 1e-6


def test_digests_find_altered_data_and_the_ledger_says_what_to_make_anew(plan, tmp_path):
    """Values replaced through Zarr: found, named, and made anew to the same bits."""
    path = tmp_path / "run.zarr"
    store = sb.run(plan, path)
    before = tree_digest(path)
    store.verify()
    zarr.open_array(path / "position", mode="r+")[3, 4, 0, 0] = 0.5
    with pytest.raises(StoreDamagedError, match=r"trajectories 0 to 19 "):
        store.verify()
    (path / "engine" / "ledger" / "c.0.0.0").unlink()
    sb.run(plan, path).verify()
    assert tree_digest(path) == before


@pytest.mark.parametrize("name", ["coefficients/matrix", "coefficients/unit", "theory/drift_matrix", "time"])
def test_altered_constants_are_found_on_opening(plan, tmp_path, name):
    """Coefficients changed with a valid checksum would continue a run with other numbers."""
    path = tmp_path / "run.zarr"
    sb.Store.create(path, plan)
    array = zarr.open_array(path / name, mode="r+")
    array[...] = array[...] * 1.01
    with pytest.raises(StoreDamagedError, match=f"{name} is not what was written"):
        sb.run(plan, path)


def test_one_pool_and_one_client_serve_several_runs(plan, finished, tmp_path):
    other = sb.Plan(scenario=plan.scenario, **{**PLAN, "seed": 4})
    sb.run(other, tmp_path / "reference.zarr")

    def both(workers, kind):
        for given, expected in ((plan, finished), (other, tmp_path / "reference.zarr")):
            path = tmp_path / f"{kind}-{given.seed}.zarr"
            sb.run(given, path, workers=workers)
            assert tree_digest(path) == tree_digest(expected)

    with sb.process_workers(2) as workers:
        both(workers, "processes")
    with sb.local_dask_workers(2) as workers:
        both(workers, "dask")
        threads = [
            threading.Thread(
                target=sb.run, args=(given, tmp_path / f"thread-{given.seed}.zarr"), kwargs={"workers": "processes"}
            )
            for given in (plan, other)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for given, expected in ((plan, finished), (other, tmp_path / "reference.zarr")):
        assert tree_digest(tmp_path / f"thread-{given.seed}.zarr") == tree_digest(expected)


def test_workers_end_with_a_killed_driver(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os, time\n"
        "import stochbind as sb\n"
        "def tell(item):\n"
        "    print(os.getpid(), flush=True)\n"
        "    time.sleep(120)\n"
        "    return item\n"
        "if __name__ == '__main__':\n"
        "    with sb.process_workers(2) as workers:\n"
        "        handles = [workers.submit(tell, item) for item in range(2)]\n        workers.wait(handles, 100.0)\n"
    )
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, start_new_session=True)
    workers = [int(process.stdout.readline()) for _ in range(2)]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{worker}").exists() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


def test_what_a_killed_creator_left_is_swept(plan, tmp_path):
    host = _host()
    left = tmp_path / f".run.zarr.{host}.999999999.0123abcd.draft"
    left.mkdir()
    mine = tmp_path / f".run.zarr.{host}.{os.getppid()}.0123abcd.draft"  # of a process that lives
    mine.mkdir()
    sb.Store.create(tmp_path / "run.zarr", plan)
    assert not left.exists()
    assert mine.exists()


def test_damage_is_found_on_opening(plan, tmp_path):
    path = tmp_path / "run.zarr"
    sb.run(plan, path)
    chunk = path / "velocity" / "c.1.0.0.0"
    content = chunk.read_bytes()
    chunk.unlink()
    with pytest.raises(StoreDamagedError, match=r"velocity/c\.1\.0\.0\.0"):
        sb.Store.open(path)
    chunk.write_bytes(content[:-1])
    with pytest.raises(StoreDamagedError, match="cannot be read"):
        sb.Store.open(path).verify()
    chunk.write_bytes(content)
    attributes = json.loads((path / "zarr.json").read_text())
    attributes["attributes"]["stochbind"]["plan"]["seed"] = 5
    (path / "zarr.json").write_text(json.dumps(attributes))
    with pytest.raises(StoreDamagedError, match="altered"):
        sb.Store.open(path)


def test_paths_in_the_way(plan, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreError, match="is not a stochbind store"):
        sb.run(plan, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError, match="is not a stochbind store"):
        sb.run(plan, tmp_path / "folder")
    assert list((tmp_path / "folder").iterdir()) == []
    with pytest.raises(StoreError, match="no such store"):
        sb.open(tmp_path / "nothing")


def test_a_run_that_cannot_fit_is_refused(tmp_path):
    huge = sb.Plan(scenario=systems.pair_scenario(0.5, 0.2), step=0.4, n_steps=10**8, n_trajectories=10**7)
    with pytest.raises(StoreError, match="GB are free"):
        sb.run(huge, tmp_path / "run.zarr")
    assert list(tmp_path.iterdir()) == []


def test_a_unit_that_is_done_is_left_alone(plan, finished):
    before = tree_digest(finished)
    assert run_unit((), Task(str(finished), 1, 0)) >= 0.0
    assert tree_digest(finished) == before


def test_progress_is_told(plan, tmp_path):
    told = []
    sb.run(plan, tmp_path / "run.zarr", progress=lambda *numbers: told.append(numbers))
    assert told == [(0, 2, 0), (1, 2, 0), (2, 2, 0)]
