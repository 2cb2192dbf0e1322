"""Stochbind's own measurements."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from peers.serving import N_TRAJECTORIES, STEP, array, grid, pair, serve
from stochbind.engine import kernels
from stochbind.engine.accounts import ledger_tables
from stochbind.engine.programs import Program
from stochbind.engine.simulation import block_of
from stochbind.engine.solvers import Exact, Strang
from stochbind.scenario import Scenario

BLOCK = block_of(4)
SCENARIOS = Path(__file__).resolve().parent.parent.parent / "scenarios"


def normals():
    steps, out = 500, kernels.aligned(np.int64(16), np.int64(BLOCK))  # several rows: the call itself counts little

    def run():
        for step in range(steps):
            kernels.fill_normals(out, np.uint64(1), np.uint64(1), np.int64(0), np.int64(step))

    return run, steps * out.size


def blocks(program, n_trajectories=N_TRAJECTORIES, steps=4000):
    """A function that makes the final states of the block from some trajectory on."""

    def block(first):
        d = program.coefficients["matrix"].shape[1]
        size = min(block_of(d), n_trajectories - first)
        state = np.zeros((d, size))
        program.run(
            state, np.zeros((program.n_totals, size)),
            seed=1, first_trajectory=first, first_step=0, save_every=steps, n_saves=1,
        )  # fmt: skip
        return state

    return block


def path(program, n_trajectories=N_TRAJECTORIES, steps=4000):
    """A measurement: all trajectories, block after block."""
    block = blocks(program, n_trajectories, steps)

    def run():
        d = program.coefficients["matrix"].shape[1]
        return np.concatenate([block(first) for first in range(0, n_trajectories, block_of(d))], axis=1)

    return run, n_trajectories * steps


def linear_pair():
    return path(Exact().program(pair(), STEP))


def pair_with_ledger():
    program = Exact().program(pair(), STEP)
    return path(replace(program, coefficients={**program.coefficients, **ledger_tables(array(), pair(), STEP)}))


def nonlinear(n_particles, steps):
    """Spheres in tweezers with their whole forces, each two of them bound."""
    pair_of_them = Scenario.from_toml(SCENARIOS / "nonlinear_pair.toml")
    system = pair_of_them
    if n_particles != 2:
        particles = [pair_of_them.particle[1].model_copy(update={"position": list(at)}) for at in grid(n_particles)]
        system = pair_of_them.model_copy(update={"particle": particles})
    n_trajectories = block_of(2 * n_particles) if n_particles > 2 else N_TRAJECTORIES
    return path(Strang().program(system.langevin(), 2e-7, steps), n_trajectories, steps)


def spread():
    """Let a thread run on every core there is."""
    os.sched_setaffinity(0, range(os.cpu_count()))
    if len(os.sched_getaffinity(0)) < 2:
        raise OSError("there is one core only")


def threads(count, steps=20000):
    """All trajectories by some threads, the blocks spread over them."""
    pool = ThreadPoolExecutor(count, initializer=spread)
    block = blocks(Exact().program(pair(), STEP), 2 * N_TRAJECTORIES, steps)

    def run():
        return np.concatenate(list(pool.map(block, range(0, 2 * N_TRAJECTORIES, BLOCK))), axis=1)

    return run, 2 * N_TRAJECTORIES * steps


def random_step(n_particles):
    """Some stable propagator of 2N coordinates and a lower triangular noise root: their numbers cost no time."""
    rng, d = np.random.default_rng(0), 2 * n_particles
    matrix = rng.normal(size=(d, d)) * 0.5 / np.sqrt(d)
    return matrix, np.tril(rng.normal(size=(d, d))) / np.sqrt(d)


def growth(n_particles):
    matrix, root = random_step(n_particles)
    coefficients = {"matrix": matrix[None], "shift": np.zeros((1, len(matrix))), "root": root[None]}
    n_trajectories = 64 if n_particles > 200 else block_of(2 * n_particles)
    steps = max(20, int(2e8 / (2 * matrix.size + 30 * len(matrix)) / n_trajectories))
    return path(Program(Exact.scheme, coefficients), n_trajectories, steps)


SIZES = (1, 2, 5, 10, 20, 50, 100, 1000)

if __name__ == "__main__":
    serve(
        {
            "normals": normals,
            "linear pair": linear_pair,
            "linear pair with ledger": pair_with_ledger,
            "nonlinear pair": lambda: nonlinear(2, 500),
            "nonlinear, N = 40": lambda: nonlinear(40, 10),
            "one thread": lambda: threads(1),
            "two threads": lambda: threads(2),
            **{f"linear, N = {n}": lambda n=n: growth(n) for n in SIZES},
        }
    )
