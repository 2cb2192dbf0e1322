"""Times on one core as ratios: stochbind and a peer measured in turns, the best time of each.

Every peer is a process of its own on the same core, and waits while another is measured. Times are those of the
processor, which others on a shared machine change least; only for two threads it is the clock that counts.
"""

import atexit
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from peers import ours, serving

from bench import ROOT, line

SCRIPTS = ROOT / "scripts"
MODULES = {
    "stochbind": "ours",
    "NumPy": "plain_numpy",
    "JAX": "jax_scan",
    "diffrax": "diffrax_euler",
    "sdeint": "sdeint_steps",
    "Stoked": "stoked_dipoles",
}
COMPILE = ("gcc", "-Ofast", "-march=native", "peers/pair.c", "-lmvec", "-lm", "-o")
ONE_THREAD = {
    **{f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")},
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
}
REPEATS = 7
#: Largest relative difference of the mean square that a peer leaves behind: 5 deviations of 1024 trajectories and the
#: bias of Euler's schemes. It finds a peer that does other work.
LARGEST_DIFFERENCE = 0.3


class NotMeasured(Exception):
    """The reason why there is no time."""


class Peer:
    """A measuring process: it answers a line with a line, as `peers.serving` tells."""

    def __init__(self, name):
        self.command = [sys.executable, "-m", f"peers.{MODULES[name]}"] if name in MODULES else compiled_pair()
        quiet = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        environment = {**os.environ, **ONE_THREAD}
        self.process = subprocess.Popen(self.command, cwd=SCRIPTS, env=environment, text=True, **quiet)
        atexit.register(self.process.kill)
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(self.process.pid, {max(os.sched_getaffinity(0))})

    def measure(self, measurement):
        """Time of one unit [ns] of the processor and by the clock, and the mean square left behind."""
        try:
            print(measurement, file=self.process.stdin, flush=True)
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise NotMeasured(f"the process ended with code {self.process.wait()}: {' '.join(self.command[:3])}")
        if answer.startswith("not measured"):
            raise NotMeasured(answer.removeprefix("not measured:").strip())
        processor, clock, square = map(float, answer.split())
        return processor, clock, square


peer = cache(Peer)


def compiled_pair():
    """The command of the C peer, after compiling it."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    program = str(Path(folder.name) / "pair")
    try:
        done = subprocess.run([*COMPILE, program], cwd=SCRIPTS, capture_output=True, text=True)
    except OSError as error:
        raise NotMeasured(f"gcc does not start: {error}") from error
    if done.returncode:
        raise NotMeasured(f"gcc failed: {' '.join(done.stderr.split())[:150]}")
    return [program, *(repr(float(value)) for array in serving.one_step() for value in array.flat)]


def best_of_each(measurements, square=None, repeats=REPEATS, by_clock=False):
    """Best times [ns] of some (peer, measurement), taken in turns; `square` is what they must leave behind."""
    times = {key: [] for key in measurements}
    for _ in range(repeats):
        for name, measurement in measurements:
            *spent, found = peer(name).measure(measurement)
            if square is not None and abs(found / square - 1) > LARGEST_DIFFERENCE:
                raise NotMeasured(f"{name} leaves a mean square of {found:.3g} behind, where {square:.3g} is right")
            times[name, measurement].append(spent[by_clock])
    return [min(times[key]) for key in measurements]


def ratio(label, above, below, unit, square=None, **options):
    """Print a ratio of times; each side is (peer, measurement, ...), of which the fastest counts."""
    sides = [[(name, measurement) for measurement in some] for name, *some in (above, below)]
    try:
        found = best_of_each([*sides[0], *sides[1]], square, **options)
        a, b = min(found[: len(sides[0])]), min(found[len(sides[0]) :])
        line(label, f"{a / b:8.2f}   ({a:.4g} / {b:.4g} ns per {unit})")
    except NotMeasured as reason:
        line(label, f"not measured: {reason}")


def machine():
    """What the times below were taken on."""
    line("cores, and how many others kept busy before this", f"{os.cpu_count()}, {os.getloadavg()[0]:.1f}")


def speed():
    """Normals and the linear pair against every peer."""
    unit, mine = "normal", ("stochbind", "normals")
    generators = [f"normals, {name}" for name in ("SFC64", "PCG64", "PCG64DXSM", "Philox")]
    ratio("normals: stochbind / NumPy's fastest standard_normal", mine, ("NumPy", *generators), unit)
    ratio("normals: stochbind / C with libmvec, same cipher", mine, ("C", "normals"), unit)

    square = float(serving.pair().stationary_covariance()[0, 0])
    unit, mine = "trajectory-step", ("stochbind", "linear pair")
    for label, other in {
        "NumPy, better of two ways": ("NumPy", "linear pair, one product", "linear pair, rows"),
        "C with libmvec": ("C", "step"),
        "JAX, jitted scan": ("JAX", "linear pair"),
        "diffrax Euler, vmap, unsafe path": ("diffrax", "linear pair, Euler"),
    }.items():
        ratio(f"exact step of a pair: {label} / stochbind", other, mine, unit, square)
    for scheme in ("itoEuler", "itoSRI2"):  # these keep one short path: nothing to judge by
        ratio(f"step of a pair: sdeint {scheme} / stochbind", ("sdeint", f"linear pair, {scheme}"), mine, unit)


def features():
    """What nonlinear forces and the ledger cost beside the bare linear pair; many particles beside Stoked.

    Stoked moves in three dimensions and solves for its dipoles at every step; stochbind's forces are along one
    coordinate of each particle and of first order in the scattered light.
    """
    bare, unit = ("stochbind", "linear pair"), "trajectory-step"
    square = float(serving.pair().stationary_covariance()[0, 0])
    ratio("linear pair: with its ledger / without", ("stochbind", "linear pair with ledger"), bare, unit, square)
    ratio("pair with nonlinear optical binding / linear pair", ("stochbind", "nonlinear pair"), bare, unit)
    forty = "nonlinear, N = 40"
    ratio("40 spheres, nonlinear: Stoked / stochbind", ("Stoked", forty), ("stochbind", forty), unit, repeats=3)


def threads():
    """The same trajectories by two threads and by one."""
    one, two = ("stochbind", "one thread"), ("stochbind", "two threads")
    square = float(serving.pair().stationary_covariance()[0, 0])
    ratio("blocks of a pair: one thread / two threads on two cores", one, two, "trajectory-step", square, by_clock=True)


def growth():
    """Time of a linear step against its 2 (2N)^2 multiplications and additions."""
    for n in ours.SIZES:
        measurement, operations = f"linear, N = {n}", 2 * (2 * n) ** 2
        try:
            mine, numpys = best_of_each([("stochbind", measurement), ("NumPy", measurement)], repeats=3)
        except NotMeasured as reason:
            line(f"linear step of N = {n}", f"not measured: {reason}")
            continue
        value = f"{mine:10.4g} ns per trajectory-step, {mine / operations:7.3f} ns per multiply-add"
        line(f"linear step of N = {n}", f"{value}; NumPy / stochbind {numpys / mine:.2f}")
