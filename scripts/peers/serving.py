"""What every measuring process in Python does: measure what it is asked for. The benchmark puts it on one core.

Each line read is the name of a measurement; the answer is one line: the time of one unit in ns, of the processor and by
the clock, and the mean square of the first coordinate at the end (nan where there is none); or "not measured: " and
the reason.
"""

import math
import sys
import time

import numpy as np

from stochbind.oscillators import Oscillators
from stochbind.propagation import covariance_root

N_TRAJECTORIES = 1024
STEP = 0.02  # short enough for Euler's schemes, whose bias is Q Omega dt = 4 per cent here


def array():
    """The pair that every peer steps: 1 pushes 0, and 0 leaves 1 alone; reduced units, Q = 2."""
    return Oscillators(
        mass=np.ones(2), stiffness=np.ones(2), friction=np.full(2, 0.5), bath_temperature=np.ones(2),
        coupling=np.array([[0.0, 0.2], [0.0, 0.0]]), reduced=True,
    )  # fmt: skip


def pair():
    """Its equations."""
    return array().langevin()


def grid(n_particles, distance=6e-6):
    """Places of some particles on a square grid [m], shape (N, 2)."""
    side, index = math.ceil(math.sqrt(n_particles)), np.arange(n_particles)
    return np.stack([index % side, index // side], axis=1) * distance


def one_step():
    """Propagator matrix and noise root of one step of the pair."""
    exact = pair().propagator(STEP)
    return exact.matrix, covariance_root(exact.covariance)


def serve(measurements):
    """Answer the lines of the standard input until it ends.

    A measurement is a function that prepares and returns (run, units): `run()` does `units` units of work, and
    returns the final states, first axis the coordinate, or None.
    """
    prepared = {}
    for line in sys.stdin:
        name = line.strip()
        try:
            if name not in prepared:
                prepared[name] = measurements[name]()
                prepared[name][0]()  # compile, and warm up
            run, units = prepared[name]
            clock, processor = time.perf_counter_ns(), time.process_time_ns()
            state = run()
            clock, processor = time.perf_counter_ns() - clock, time.process_time_ns() - processor
            square = math.nan if state is None else float(np.mean(np.asarray(state)[0] ** 2))
            print(f"{processor / units:.6g} {clock / units:.6g} {square:.6g}", flush=True)
        except Exception as error:  # whatever a peer raises is why it was not measured
            print("not measured:", type(error).__name__, " ".join(str(error).split())[:150], flush=True)
