"""What it takes to analyse a store: how fast it is read, and in how much memory."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import stochbind as sb
from bench import line
from bench.storage import pair

#: In a fresh process: the sums that all quadratic observables are made of.
READ = """
import resource, sys, time
import stochbind as sb
from stochbind.analysis import statistics
from stochbind.scenario import parse
data = sb.open(sys.argv[1])
equations = parse(data.attrs["scenario"]).oscillators().langevin()
wall, work = time.perf_counter(), time.process_time()
found = statistics.record(data, equations)
wall, work = time.perf_counter() - wall, time.process_time() - work
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(data.position.nbytes + data.velocity.nbytes, wall, work, memory, found.n_groups)
"""

#: In a fresh process: everything that there is to tell. Modules and compiled loops are loaded by a small run before.
ANALYSE = """
import resource, sys, time
import stochbind as sb
small, data = map(sb.open, sys.argv[1:])
sb.analyse(small)
wall, work = time.perf_counter(), time.process_time()
sb.analyse(data)
wall, work = time.perf_counter() - wall, time.process_time() - work
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(data.position.nbytes + data.velocity.nbytes, wall, work, memory)
"""


def analysis():
    """Stores of BENCH_BYTES bytes, 0.5 GB by default, of many trajectories and of a few long ones, read once."""
    size = float(os.environ.get("BENCH_BYTES", 0.5e9))
    for n_trajectories in (4096, 8):
        with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DISK")) as folder:
            path = Path(folder) / "run.zarr"
            plan = pair(n_trajectories, n_steps=int(size / 32 / n_trajectories))  # a state has four numbers
            with sb.process_workers(2) as workers:
                sb.run(plan, path, workers=workers)
            start = time.perf_counter()
            for file in path.rglob("*"):
                if file.is_file():
                    file.read_bytes()
            bare = time.perf_counter() - start
            *sums, cells = _measured(READ, path)
            small = Path(folder) / "small.zarr"
            sb.run(pair(64, n_steps=1024), small)
            everything = _measured(ANALYSE, small, path)
        what = f"{sums[0] / 1e9:.2f} GB of {n_trajectories} trajectories"
        line(f"{what}, bytes of the files alone", f"{sums[0] / bare / 1e6:.0f} MB/s")
        line(f"{what}, sums in {cells:.0f} cells", _speeds(*sums))
        line(f"{what}, the whole analysis", _speeds(*everything))


def _measured(program, *paths):
    done = subprocess.run([sys.executable, "-c", program, *map(str, paths)], capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


def _speeds(n_bytes, wall, work, memory):
    speeds = f"{n_bytes / wall / 1e6:.0f} MB/s, {n_bytes / work / 1e6:.0f} MB/s for each second of a core"
    return f"{speeds}, {memory:.0f} MB of memory"
