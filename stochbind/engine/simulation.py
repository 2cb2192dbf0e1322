"""Trajectories in memory: any Langevin equations or protocol, on all cores, without a store."""

from __future__ import annotations

from concurrent import futures
from typing import Any

import numpy as np
import xarray as xr

from stochbind import checks
from stochbind.amplitudes import amplitude
from stochbind.checks import FloatArray
from stochbind.engine import accounts, bias, noise
from stochbind.engine.blocks import initial_state, n_cores
from stochbind.engine.independent import SOLVERS
from stochbind.engine.solvers import System, equations_of
from stochbind.errors import PlanError
from stochbind.langevin import Langevin, Moments
from stochbind.oscillators import Oscillators
from stochbind.propagation import covariance_root
from stochbind.protocols import Protocol

#: Trajectories that are advanced together.
BLOCK = 256
#: Largest result [byte].
LARGEST_RESULT = 16 * 2**30


def simulate(
    system: System | Oscillators,
    *,
    step: float,
    n_steps: int,
    n_trajectories: int = 1,
    save_every: int = 1,
    seed: int = 0,
    initial: Moments | None = None,
    solver: str | None = None,
    ledger: Oscillators | None = None,
    allowed_bias: float = bias.LARGEST_BIAS,
    n_threads: int | None = None,
    compiled: bool = True,
) -> xr.Dataset:
    """Trajectories of any equations, in memory.

    The same numbers as `stochbind.run` makes for the same equations, step and seed. For long runs and large ensembles,
    that one streams to disk and can be interrupted.

    Parameters
    ----------
    system : Langevin, Protocol or Oscillators
        What to solve.
    step : float
        Length of a step [s].
    n_steps : int
        Number of steps.
    n_trajectories : int
        Number of trajectories.
    save_every : int
        Keep every so-manieth state; divides `n_steps`. The first state kept is at ``save_every * step``.
    seed : int
        Seed of all noise, 0 to 2^63 - 1.
    initial : Moments, optional
        Gaussian state at time zero, in scaled units; all coordinates zero by default.
    solver : str, optional
        Name of a solver; by default "exact", or "strang" if there are forces beyond the linear ones.
    ledger : Oscillators, optional
        The oscillators that `system` describes: then work and heat are added up along each trajectory.
    allowed_bias : float
        Largest relative error of a steady variance that the step may cause.
    n_threads : int, optional
        Number of threads; by default one for each core, and one within a worker of Dask. The numbers do not depend
        on it.
    compiled : bool
        Whether to use the compiled loops; the NumPy ones give the same numbers, slowly.

    Returns
    -------
    xarray.Dataset
        `position` and `velocity` (trajectory, time, particle) in SI; or `amplitude` (trajectory, time, mode); with a
        ledger also `heat`, `drive_work` (trajectory, time, particle) and `work` (trajectory, time, particle, source)
        since time zero [J]. A trajectory that leaves the range of floating-point numbers is not finite from there on;
        the attribute `diverged` lists such trajectories.

    Raises
    ------
    PlanError
        If a number is impossible, the step would give wrong physics, or the solver cannot solve this.
    """
    if isinstance(system, Oscillators):
        system = system.langevin()
    if not isinstance(system, Langevin | Protocol):
        raise PlanError(
            f"`system` must be Langevin equations, a Protocol or Oscillators, but is {type(system).__name__}."
        )
    equations = equations_of(system)
    count = {
        "n_steps": checks.integer("n_steps", n_steps, minimum=1, maximum=noise.LARGEST_STEP, error=PlanError),
        "n_trajectories": checks.integer(
            "n_trajectories", n_trajectories, minimum=1, maximum=noise.LARGEST_TRAJECTORY, error=PlanError
        ),
        "save_every": checks.integer("save_every", save_every, minimum=1, error=PlanError),
        "seed": checks.integer("seed", seed, minimum=0, error=PlanError),
    }
    step = float(checks.positive("step", checks.array("step", step, (), error=PlanError), error=PlanError))
    if n_steps % save_every:
        raise PlanError(
            f"`save_every` must divide `n_steps`, but {n_steps} / {save_every} leaves {n_steps % save_every}."
        )
    solver = solver or ("strang" if equations.forces else "exact")
    if solver not in SOLVERS:
        raise PlanError(f"`solver` must be one of {', '.join(SOLVERS)}, but is {checks.short(solver)}.")
    program = SOLVERS[solver].program(system, step, n_steps, allowed_bias=allowed_bias)
    require_fit(solver, n_steps, n_trajectories)
    if ledger is not None:
        require_ledger(solver)
        program.coefficients.update(accounts.ledger_tables(ledger, system, step))
    n_saves = n_steps // save_every
    size = 8 * n_saves * n_trajectories * (equations.dimension + program.n_totals)
    if size > LARGEST_RESULT:
        raise PlanError(
            f"The result needs {size / 2**30:.3g} GiB of memory (limit {LARGEST_RESULT // 2**30} GiB); use a larger "
            "`save_every`, or `stochbind.run`, which streams to disk."
        )
    d = equations.dimension
    start = Moments(np.zeros(d), np.zeros((d, d))) if initial is None else initial
    mean, root = np.asarray(start.mean, float), covariance_root(np.asarray(start.covariance, float))
    states = np.empty((n_trajectories, n_saves, d))
    arrays: dict[str, FloatArray] = {}
    n = ledger.n_particles if ledger is not None else 0
    if ledger is not None:
        arrays = {
            "work": np.empty((n_trajectories, n_saves, n, n)),
            "heat": np.empty((n_trajectories, n_saves, n)),
            "drive_work": np.empty((n_trajectories, n_saves, n)),
        }

    def one(first: int) -> None:
        rows = range(first, min(first + BLOCK, n_trajectories))
        state = initial_state(count["seed"], mean, root, rows)
        begin = state.copy()
        saved, totals = program.run(
            state,
            np.zeros((program.n_totals, len(rows))),
            seed=count["seed"],
            first_trajectory=first,
            first_step=0,
            save_every=count["save_every"],
            n_saves=n_saves,
            compiled=compiled,
        )
        states[rows.start : rows.stop] = saved.transpose(2, 0, 1)
        if ledger is not None:
            with np.errstate(all="ignore"):
                account = accounts.settle(ledger, system, begin, saved, totals)
            for name, value in account._asdict().items():
                arrays[name][rows.start : rows.stop] = np.moveaxis(value, -1, 0)

    blocks = range(0, n_trajectories, BLOCK)
    threads = min(n_threads or n_cores(), len(blocks))
    if threads > 1:
        with futures.ThreadPoolExecutor(threads) as pool:
            list(pool.map(one, blocks))
    else:
        for first in blocks:
            one(first)
    time: FloatArray = np.arange(save_every, n_steps + 1, save_every, dtype=np.float64) * step
    return _dataset(equations, states, time, arrays)


def require_fit(solver: str, n_steps: int, n_trajectories: int) -> None:
    """Raise `PlanError` if a run is too large for a solver that takes one trajectory at a time."""
    largest = SOLVERS[solver].largest_work
    if largest is not None and n_steps * n_trajectories > largest:
        raise PlanError(
            f"The solver {solver!r} is a slow reference, fit for up to {largest:.0e} steps times trajectories, but "
            f"{n_steps * n_trajectories:.3g} are asked for; use fewer, or one of stochbind's own solvers."
        )


def require_ledger(solver: str) -> None:
    """Raise `PlanError` if a solver cannot keep a ledger."""
    if not SOLVERS[solver].exact_if_linear:
        raise PlanError(f'The solver {solver!r} keeps no ledger; use solver = "exact" or "strang".')


def _dataset(equations: Langevin, states: FloatArray, time: FloatArray, arrays: dict[str, FloatArray]) -> xr.Dataset:
    unit = "" if equations.reduced else "s"
    values: dict[str, Any] = {}
    si = states * equations.unit
    if any(c.quantity == "real" for c in equations.coordinate):
        values["amplitude"] = (("trajectory", "time", "mode"), amplitude(si))
    else:
        for name in dict.fromkeys(c.quantity for c in equations.coordinate):
            values[name] = (("trajectory", "time", "particle"), si[..., equations.select(name)])
    for name, array in arrays.items():
        extra = ("source",) if name == "work" else ()
        values[name] = (("trajectory", "time", "particle", *extra), array)
    dataset = xr.Dataset(values, coords={"time": ("time", time, {"units": unit})})
    diverged = np.flatnonzero(~np.isfinite(states[:, -1]).all(axis=-1))
    dataset.attrs["diverged"] = diverged.tolist()
    return dataset
