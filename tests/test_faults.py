"""Real processes, killed for real: whatever happens to a run, its store ends up byte for byte as if nothing had.

`scripts/torture` does the same at length.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import torture_faults  # noqa: E402
import torture_kills  # noqa: E402


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Sixteen units, recorded and with all statistics, and the store that one undisturbed process makes of them."""
    folder = tmp_path_factory.mktemp("reference")
    return torture_kills.Ensemble(folder, "small", record=True, layout=(32, 64, 4), n_trajectories=128, n_steps=256)


@pytest.fixture
def torture(small, tmp_path):
    """A run of a kind that is killed so often, at moments that depend on a seed and on chance."""

    def run(kind, n_kills, seed=1, **options):
        found = torture_kills.Run(small, kind, tmp_path / "run", seed, **options)
        found.go(n_kills, time.monotonic() + 60.0)
        return found

    return run


def test_killed_workers_clients_and_schedulers_lose_nothing(torture):
    run = torture("scheduler", 4)
    assert run.faults == []
    assert sum(run.kills.values()) >= 2


def test_killed_parts_lose_nothing(torture):
    run = torture("parts", 3, n_workers=2)
    assert run.faults == []
    assert sum(run.kills.values()) >= 2


def test_every_unit_is_made_once_if_nothing_is_killed(torture):
    run = torture("processes", 0)
    assert run.faults == []
    assert run.n_made == run.ensemble.n_units


def test_comparison_finds_what_is_lost_and_what_is_altered(small, tmp_path):
    """The twin of the others: a store that lacks a chunk, or has one byte else, is not called the same."""
    store = tmp_path / "run.zarr"
    shutil.copytree(small.scenario.with_name("small.zarr"), store)
    assert small.faults(store) == []
    (store / "position/c.1.2.0.0").rename(tmp_path / "chunk")
    assert small.faults(store) == ["position/c.1.2.0.0 is missing"]
    (tmp_path / "chunk").rename(store / "position/c.1.2.0.0")
    torture_faults.flip(store / "statistics/moments/c.1.1.0")
    assert small.faults(store) == ["statistics/moments/c.1.1.0 differs"]


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def test_of_two_runs_into_one_store_one_goes_on(small, tmp_path):
    path = tmp_path / "run.zarr"
    small.begin(path)
    command = small.command(path, "serial")
    both = [subprocess.Popen(command, cwd=ROOT, env=environment(), stderr=subprocess.PIPE, text=True) for _ in "ab"]
    told = [process.communicate(timeout=60)[1] for process in both]
    codes = [process.returncode for process in both]
    assert sorted(codes) in ([0, 75], [0, 0])  # the second may come when the first is done
    for code, text in zip(codes, told, strict=True):
        assert code == 0 or "another run" in text
    assert small.faults(path) == []


def test_of_two_runs_of_one_part_one_goes_on(small, tmp_path):
    path = tmp_path / "run.zarr"
    small.begin(path)
    parts = ["1/2", "1/2", "2/2"]
    commands = [small.command(path, "serial", "--part", part) for part in parts]
    every = [
        subprocess.Popen(line, cwd=ROOT, env=environment(), stderr=subprocess.PIPE, text=True) for line in commands
    ]
    for process in every:
        process.communicate(timeout=60)
    codes = [process.returncode for process in every]
    assert codes[2] == 0
    assert sorted(codes[:2]) in ([0, 75], [0, 0])
    assert small.faults(path) == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where `torture_faults` keeps its own small store."""
    return tmp_path_factory.mktemp("faults")


@pytest.mark.parametrize("title", ["flipped bit in a chunk", "disk full"])
def test_damage_is_told_and_repaired(title, folder):
    fault = next(item for item in torture_faults.FAULTS if getattr(item, "title", "") == title)
    found = fault(folder)
    assert found.good, found.words


STAND_IN = """#!/bin/bash
exec {python} -m stochbind.cli "$@"
"""


def test_job_array_continues_when_it_is_submitted_again(small, tmp_path):
    """The job script, with stand-ins for what SLURM gives: no batch system is here."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "stochbind").write_text(STAND_IN.format(python=sys.executable))
    (programs / "scontrol").write_text(f'#!/bin/bash\necho "$*" >> {tmp_path}/requeued\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    path = tmp_path / "run.zarr"
    small.begin(path)
    script = str(ROOT / "scripts" / "slurm" / "job_array.sh")

    def job(index):
        known = {"SLURM_JOB_ID": f"7{index}", "SLURM_ARRAY_TASK_ID": str(index), "SLURM_ARRAY_TASK_COUNT": "2"}
        search = {"PATH": f"{programs}:{os.environ['PATH']}"}
        return subprocess.Popen(["bash", script, str(small.scenario), str(path)], env=environment() | known | search)

    first = job(1)
    while not any((path / "engine" / "lock").glob("*-of-*")) and first.poll() is None:
        time.sleep(0.01)
    first.send_signal(signal.SIGTERM)
    assert first.wait(60) in (0, 143)
    if first.returncode == 143:
        assert (tmp_path / "requeued").read_text() == "requeue 71\n"
    again = [job(1), job(2)]
    assert [process.wait(60) for process in again] == [0, 0]
    assert small.faults(path) == []
    wrong = subprocess.run(["bash", script, "a", "b"], env=environment() | {
        "SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_COUNT": "2"}, capture_output=True, text=True)  # fmt: skip
    assert wrong.returncode == 2
    assert "PARTS" in wrong.stderr
