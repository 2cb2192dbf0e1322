"""What it costs to spread a run over workers and to keep it: beside the bare loops, and beside bare files."""

import functools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil

import stochbind as sb
from bench import ROOT, line
from stochbind.engine.blocks import initial_state
from stochbind.engine.ensemble import prepare
from stochbind.engine.layout import Layout, batch_of, piece_of
from stochbind.engine.store import Store
from stochbind.engine.units import make_unit

REPEATS = 5
SCENARIO = ROOT / "scenarios" / "cold_to_hot_pair.toml"
#: Units of about a second: 1024 trajectories of 102400 steps, of which 256 are kept.
LAYOUT, N_UNITS = Layout(1024, 256), 4


def pair(n_trajectories, **options):
    scenario = sb.Scenario.from_toml(SCENARIO)
    return sb.Plan.from_scenario(scenario, n_trajectories=n_trajectories, **options)


def bare_unit(path, block):
    """The loops of a unit and nothing else: no statistics, no compression, no file."""
    store = _store(path)
    plan, coefficients = store.plan, store.coefficients
    program = plan.solver_instance().load(coefficients, plan.scenario.langevin().forces)
    rows = store.trajectories(block)
    for first in range(rows.start, rows.stop, batch_of(plan)):
        batch = range(first, min(first + batch_of(plan), rows.stop))
        state = np.ascontiguousarray(
            initial_state(plan.seed, coefficients["initial_mean"], coefficients["initial_root"], batch)
        )
        total = np.zeros((program.n_totals, len(batch)))
        for save in range(0, plan.n_saves, piece_of(plan)):
            program.run(
                state, total, seed=plan.seed, first_trajectory=first, first_step=save * plan.save_every,
                save_every=plan.save_every, n_saves=min(piece_of(plan), plan.n_saves - save),
            )  # fmt: skip
    return os.getpid()


@functools.cache
def _store(path):
    return Store.open(path, check=False)


def bare(workers, path, n):
    """Time of the loops of some units on workers [s]."""
    start = time.perf_counter()
    handles = {workers.submit(bare_unit, str(path), block) for block in range(n)}
    while handles:
        done = workers.wait(handles, 1.0)
        for handle in done:
            workers.result(handle)
        handles -= done
    return time.perf_counter() - start


def whole(workers, plan, path):
    """Time of a run [s]; it starts from an empty store."""
    shutil.rmtree(path, ignore_errors=True)
    Store.create(path, plan, LAYOUT)
    start = time.perf_counter()
    sb.run(plan, path, workers=workers)
    return time.perf_counter() - start


def overhead():
    """Dask and Zarr beside the bare loops, for one worker and for two."""
    plan = pair(LAYOUT.trajectories_per_block * N_UNITS, n_steps=102400, save_every=400)
    with tempfile.TemporaryDirectory() as folder:
        empty, path = Path(folder) / "empty.zarr", Path(folder) / "run.zarr"
        Store.create(empty, plan, LAYOUT)
        prepare(plan, Store.open(empty).coefficients)
        start = time.perf_counter()
        with sb.local_dask_workers(1) as one:
            warm = pair(64, n_steps=64)
            sb.run(warm, Path(folder) / "warm-1.zarr", workers=one)
            started = time.perf_counter() - start
            with sb.local_dask_workers(2) as two, sb.process_workers(2) as both, sb.process_workers(1) as alone:
                sb.run(pair(256, n_steps=64), Path(folder) / "warm-2.zarr", workers=two)
                bare(both, empty, N_UNITS), bare(alone, empty, 1)
                ways = {
                    "bare, one process": lambda: bare(alone, empty, N_UNITS),
                    "run, one Dask worker": lambda: whole(one, plan, path),
                    "bare, two processes": lambda: bare(both, empty, N_UNITS),
                    "run, two Dask workers": lambda: whole(two, plan, path),
                }
                times = {name: [] for name in ways}
                for _ in range(REPEATS):
                    for name, way in ways.items():
                        times[name].append(way())
    middle = {name: statistics.median(values) for name, values in times.items()}
    unit = middle["bare, one process"] / N_UNITS
    line("bare loops of a unit, one process", f"{unit:.2f} s")

    def ratio(above, below):
        ratios = [a / b for a, b in zip(times[above], times[below], strict=True)]
        return f"{statistics.median(ratios):.3f}   ({min(ratios):.3f} to {max(ratios):.3f} in {REPEATS} repeats)"

    line("run on one Dask worker / bare loops, without the start of the cluster", ratio(*list(ways)[1::-1]))
    with_start = (middle["run, one Dask worker"] + started) / middle["bare, one process"]
    line(f"the same with the start of the cluster, {started:.1f} s", f"{with_start:.2f}")
    line("run on two Dask workers / bare loops in two processes", ratio(*list(ways)[3:1:-1]))
    line("speed-up by the second process, bare loops", ratio("bare, one process", "bare, two processes"))
    line("speed-up by the second Dask worker, run", ratio("run, one Dask worker", "run, two Dask workers"))


def writing():
    """Units of recorded trajectories to disk, beside numpy.tofile of the same bytes after compression."""
    plan = pair(1024, n_steps=1024)
    layout = Layout(512, 1024)  # chunks of 8 MiB
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DISK")) as folder:
        path = Path(folder) / "run.zarr"
        Store.create(path, plan, layout)
        store = Store.open(path)
        unit = make_unit(store, (), 0, 0)
        raw = sum(value.nbytes for value in unit.data.values())
        store.write(0, 0, unit)
        files = [np.fromfile(path / key, np.uint8) for key in store.keys(0, 0)]
        ways = {
            "write": lambda: store.write(0, 0, unit),
            "tofile, flushed": lambda: to_file(Path(folder), files, flushed=True),
            "tofile": lambda: to_file(Path(folder), files, flushed=False),
        }
        times = {name: [] for name in ways}
        for _ in range(4 * REPEATS):
            for name, way in ways.items():
                for file in [*Path(folder).glob("*.bin"), *(path / key for key in store.keys(0, 0))]:
                    file.unlink(missing_ok=True)  # as in a run, all files are new
                start = time.perf_counter()
                way()
                times[name].append(time.perf_counter() - start)
    middle = {name: statistics.median(values) for name, values in times.items()}
    size = sum(len(data) for data in files)
    words = f"{raw / middle['write'] / 1e6:.0f} MB/s of numbers, {raw / 1e6:.1f} MB become {size / 1e6:.1f} MB"
    line("a unit with trajectories to disk, flushed", words)
    for name in ("tofile, flushed", "tofile"):
        ratios = [a / b for a, b in zip(times[name], times["write"], strict=True)]
        words = f"{statistics.median(ratios):.2f}   ({middle[name] * 1e3:.1f} / {middle['write'] * 1e3:.1f} ms)"
        line(f"throughput: write / {name}, same bytes", words)


def to_file(folder, files, *, flushed):
    """The same files as bare bytes, each flushed with its folder."""
    for index, data in enumerate(files):
        with open(folder / f"{index}.bin", "wb") as file:
            data.tofile(file)
            if flushed:
                file.flush()
                os.fsync(file.fileno())
    if flushed:
        descriptor = os.open(folder, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def million():
    """A million trajectories of a pair, 10^4 exact steps each, of which only moments are kept."""
    n, steps = int(os.environ.get("BENCH_TRAJECTORIES", 10**6)), 10**4
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.zarr"
        command = [sys.executable, "-m", "stochbind.cli", "run", str(SCENARIO), "-o", str(path), "--quiet"]
        command += ["--trajectories", str(n), "--steps", str(steps), "--save-every", "10"]
        command += ["--no-record", "--statistics", "moments", "--parallel", "dask", "--workers", "2"]
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT)
        with watched(process.pid) as peaks:
            code = process.wait()
        clock = time.perf_counter() - start
        if code:
            raise RuntimeError(f"the run ended with {code}")
        files = [file for file in path.rglob("*") if file.is_file()]
        size, store = sum(file.stat().st_size for file in files), Store.open(path)
        line(f"{n} trajectories of {steps} steps on two Dask workers", f"{clock:.0f} s")
        line("time of a step of a trajectory", f"{clock / n / steps * 1e9:.2f} ns")
        line("largest memory of a process", f"{max(peaks.values()):.0f} MB of {len(peaks)} processes")
        line("store", f"{size / 1e6:.1f} MB, {len(files)} files, {store.done.size} units")


@contextmanager
def watched(pid):
    """Peak memory [MB] of a process and those that it starts, by their numbers."""
    peaks, ended = {}, threading.Event()

    def watch():
        while not ended.wait(0.2):
            try:
                family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
            except psutil.Error:
                continue
            for member in family:
                try:
                    text = Path(f"/proc/{member.pid}/status").read_text()
                    peaks[member.pid] = int(text.partition("VmHWM:")[2].split()[0]) / 1024
                except (OSError, IndexError):
                    continue

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peaks
    finally:
        ended.set()
        thread.join()


NO_OPS = """
import os, time, psutil, stochbind as sb
from stochbind.engine.driver import drive
if __name__ == "__main__":
    n, memory = {n}, []
    def look(task, _):
        if task % (n // 20) == 0:
            memory.append(psutil.Process().memory_info().rss / 1e6)
    with sb.local_dask_workers(2) as workers:
        drive(abs, ([task] for task in range(1000)), workers)
        start = time.perf_counter()
        drive(abs, ([task] for task in range(n)), workers, progress=look)
        took = time.perf_counter() - start
    print(took, memory[0], memory[len(memory) // 2], memory[-1])
"""


def tasks():
    """Tasks that do nothing, through the driver, the scheduler and two workers."""
    n = int(os.environ.get("BENCH_TASKS", 10**5))
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "no_ops.py"
        script.write_text(NO_OPS.format(n=n))
        done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    took, first, middle, last = map(float, done.stdout.split())
    line(f"{n} tasks that do nothing, two Dask workers", f"{took / n * 1e3:.2f} ms each")
    line("memory of driver and scheduler", f"{first:.0f} MB, {middle:.0f} MB at half, {last:.0f} MB at the end")
