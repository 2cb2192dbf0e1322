"""Trajectories in memory: any Langevin equations or protocol, on all cores, without a store."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent import futures
from typing import Any

import numpy as np
import xarray as xr

from stochbind import checks
from stochbind.amplitudes import amplitude
from stochbind.checks import FloatArray
from stochbind.engine import accounts, baths, bias, noise
from stochbind.engine.blocks import initial_state, n_cores
from stochbind.engine.independent import SOLVERS
from stochbind.engine.layout import row_dimension
from stochbind.engine.programs import Program
from stochbind.engine.requests import positive_number, require_fit, require_ledger, require_name
from stochbind.engine.solvers import Solver, System, equations_of
from stochbind.errors import PlanError
from stochbind.langevin import Langevin, Moments
from stochbind.oscillators import Oscillators, oscillator_names
from stochbind.propagation import covariance_root
from stochbind.protocols import Protocol

#: Largest result [byte].
LARGEST_RESULT = 16 * 2**30


def block_of(dimension: int) -> int:
    """Trajectories that are advanced together: so many that what happens once a step counts little, in the cache."""
    return 1024 if dimension <= 8 else 256


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
        Name of a solver; by default "exact", or "strang" if there are forces beyond the linear ones, or
        "finite_baths" if a bath of the oscillators is finite.
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
        `position` and `velocity` (trajectory, time, particle) in SI, with a dim `axis` behind where particles move
        along several axes; or `amplitude` (trajectory, time, mode); with a ledger also `heat`, `drive_work`
        (trajectory, time, particle) and `work` (trajectory, time, particle, source) since time zero [J], with a dim
        `oscillator` in place of `particle` where there are several axes; with finite baths also `bath_heat` [J] and
        `bath_temperature` [K] (trajectory, time, bath). A trajectory that leaves the range of
        floating-point numbers is not finite from there on; the attribute `diverged` lists such trajectories, and
        `diverged_time` when they were first seen so [s].

    Raises
    ------
    PlanError
        If a number is impossible, the step would give wrong physics, or the solver cannot solve this.

    Warns
    -----
    UserWarning
        If forces leave no equilibrium by which the step could be judged.
    """
    array = system if isinstance(system, Oscillators) else ledger
    if isinstance(system, Oscillators):
        system = system.langevin()
    if not isinstance(system, Langevin | Protocol):
        raise PlanError(
            f"`system` must be Langevin equations, a Protocol or Oscillators, but is {type(system).__name__}."
        )
    equations = equations_of(system)
    require_name(solver)
    allowed_bias = positive_number("allowed_bias", allowed_bias)
    threads = None if n_threads is None else checks.integer("n_threads", n_threads, minimum=1, error=PlanError)
    count = _counts(n_steps, n_trajectories, save_every, seed)
    step = positive_number("step", step)
    bathed = array if isinstance(array, Oscillators) and array.has_finite_baths else None
    solver = solver or ("finite_baths" if bathed else "strang" if equations.forces else "exact")
    require_fit(solver, n_steps, n_trajectories)
    mean, root = _initial(initial, equations.dimension)
    if ledger is not None:
        require_ledger(solver)
        _require_same(ledger, equations)
    n_saves, n = n_steps // save_every, 0 if ledger is None else ledger.n_oscillators
    _require_room(8 * n_saves * n_trajectories * (equations.dimension + n * (n + 2)))
    program = _made_ready(system, SOLVERS[solver].of(bathed), ledger, step, n_steps, allowed_bias)
    threads = threads or n_cores()
    # With few trajectories, smaller blocks keep all threads at work.
    block = min(block_of(equations.dimension), max(128, -(-n_trajectories // threads)))
    kept = _Kept(system, ledger, bathed, n_trajectories, n_saves)

    def one(first: int) -> None:
        rows = range(first, min(first + block, n_trajectories))
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
        kept.take(rows, begin, saved, totals)

    _spread(one, range(0, n_trajectories, block), threads)
    time: FloatArray = np.arange(save_every, n_steps + 1, save_every, dtype=np.float64) * step
    result = _dataset(equations, kept.states, time, kept.arrays).assign_attrs(step=step)
    return result.assign(baths.bath_variables(bathed, kept.given)) if bathed else result


def _made_ready(
    system: System, method: Solver, ledger: Oscillators | None, step: float, n_steps: int, allowed_bias: float
) -> Program:
    """The program of a solver, and a warning if its step cannot be judged."""
    equations = equations_of(system)
    with checks.in_range(PlanError):
        program = method.program(system, step, n_steps, allowed_bias=allowed_bias)
        if ledger is not None:
            program.coefficients.update(method.ledger_tables(ledger, system, step))
    # Without damping nothing settles, and the growth of amplitudes is judged instead.
    damped = np.trace(equations.drift_matrix) < 0
    if equations.forces and damped and not bias.slopes_of(equations):
        warnings.warn(
            "No equilibrium that holds is found near the origin, so that the error of the step cannot be told; halve "
            "the step and compare.",
            stacklevel=3,
        )
    return program


class _Kept:
    """What is kept of all trajectories: states, the ledger, and what finite baths gave."""

    def __init__(
        self, system: System, ledger: Oscillators | None, bathed: Oscillators | None, n: int, n_saves: int
    ) -> None:
        self._system, self._ledger, self._bathed = system, ledger, bathed
        self.states = np.empty((n, n_saves, equations_of(system).dimension))
        self.given = np.empty((n, n_saves, baths.number(bathed) if bathed else 0))
        self.arrays: dict[str, FloatArray] = {}
        if ledger is not None:
            of = ledger.n_oscillators
            shapes = {"work": (of, of), "heat": (of,), "drive_work": (of,)}
            self.arrays = {name: np.empty((n, n_saves, *shape)) for name, shape in shapes.items()}

    def take(self, rows: range, begin: FloatArray, saved: FloatArray, totals: FloatArray) -> None:
        """Keep what a block of trajectories made of its states at the begin."""
        where = slice(rows.start, rows.stop)
        self.states[where] = saved.transpose(2, 0, 1)
        if self._bathed is not None:
            self.given[where] = baths.bath_heat(self._bathed, totals).transpose(2, 0, 1)
        if self._ledger is not None:
            with np.errstate(all="ignore"):
                account = accounts.settle(self._ledger, self._system, begin, saved, totals)
            for name, value in account._asdict().items():
                self.arrays[name][where] = np.moveaxis(value, -1, 0)


def _counts(n_steps: Any, n_trajectories: Any, save_every: Any, seed: Any) -> dict[str, int]:
    """The whole numbers of a simulation, each checked."""
    most = {"n_steps": noise.LARGEST_STEP, "n_trajectories": noise.LARGEST_TRAJECTORY}
    given = {"n_steps": n_steps, "n_trajectories": n_trajectories, "save_every": save_every, "seed": seed}
    result = {
        name: checks.integer(
            name, value, minimum=0 if name == "seed" else 1, maximum=most.get(name, 2**63 - 1), error=PlanError
        )
        for name, value in given.items()
    }
    if n_steps % save_every:
        raise PlanError(
            f"`save_every` must divide `n_steps`, but {n_steps} / {save_every} leaves {n_steps % save_every}."
        )
    return result


def _require_room(size: int) -> None:
    if size > LARGEST_RESULT:
        raise PlanError(
            f"The result needs {size / 2**30:.3g} GiB of memory (limit {LARGEST_RESULT // 2**30} GiB); use a larger "
            "`save_every`, or `stochbind.run`, which streams to disk."
        )


def _spread(work: Callable[[int], None], blocks: range, threads: int) -> None:
    """Do all blocks, in threads if there are several of both."""
    if min(threads, len(blocks)) > 1:
        with futures.ThreadPoolExecutor(min(threads, len(blocks))) as pool:
            list(pool.map(work, blocks))
    else:
        for first in blocks:
            work(first)


def _initial(initial: Moments | None, d: int) -> tuple[FloatArray, FloatArray]:
    """Mean of the initial state, and the root of its covariance."""
    if initial is None:
        return np.zeros(d), np.zeros((d, d))
    if not isinstance(initial, Moments):
        raise PlanError(f"`initial` must be Moments(mean, covariance), but is {checks.short(initial)}.")
    if np.iscomplexobj(initial.mean) or np.iscomplexobj(initial.covariance):
        raise PlanError("`initial` must hold real numbers; bring amplitudes to real parts with `stochbind.amplitudes`.")
    mean = checks.array("initial.mean", initial.mean, (d,), error=PlanError)
    covariance = checks.array("initial.covariance", initial.covariance, (d, d), error=PlanError)
    checks.positive_semidefinite("initial.covariance", covariance)
    return mean, covariance_root(covariance)


def _require_same(ledger: Any, equations: Langevin) -> None:
    """Raise `PlanError` unless the linear parts of both are the same equations."""
    if not isinstance(ledger, Oscillators):
        raise PlanError(f"`ledger` must be the Oscillators that are simulated, but is {checks.short(ledger)}.")
    own = ledger.langevin()
    same = own.coordinate == equations.coordinate and own.time_unit == equations.time_unit
    # The scaled equations of heavier particles in stiffer traps are the same, but not what a force does to them.
    for name in ("unit", "drift_matrix", "noise_covariance", "constant_drift", "mobility"):
        same = same and np.array_equal(getattr(own, name), getattr(equations, name))
    if not same:
        raise PlanError("`ledger` must be the Oscillators that `system` describes, but their equations are others.")


def _axes(equations: Langevin) -> tuple[tuple[str, ...], int]:
    """Axes along which particles move, and the number of particles; one axis unless each moves along all, in order."""
    of_motion = [name for name in ("position", "velocity") if len(equations.select(name))]
    names = of_motion or dict.fromkeys(c.quantity for c in equations.coordinate)
    places = [[(c.particle, c.axis) for c in equations.coordinate if c.quantity == name] for name in names]
    axes = tuple(dict.fromkeys(axis for _, axis in places[0]))
    n = len(places[0]) // len(axes)
    whole = [(j, axis) for j in range(n) for axis in axes]
    return (axes, n) if all(found == whole for found in places) else (axes[:1], len(places[0]))


def _dataset(equations: Langevin, states: FloatArray, time: FloatArray, arrays: dict[str, FloatArray]) -> xr.Dataset:
    unit = "" if equations.reduced else "s"
    values: dict[str, Any] = {}
    si = states * equations.unit
    if any(c.quantity == "real" for c in equations.coordinate):
        values["amplitude"] = (("trajectory", "time", "mode"), amplitude(si))
    else:
        for name in dict.fromkeys(c.quantity for c in equations.coordinate):
            # What moves has particles; what is measured or computed on the way has components of its own.
            row = "particle" if name in ("position", "velocity") else f"{name}_component"
            values[name] = (("trajectory", "time", row), si[..., equations.select(name)])
    coords: dict[str, Any] = {"time": ("time", time, {"units": unit})}
    axes, n = _axes(equations)
    row = row_dimension(axes)
    if len(axes) > 1:
        names = np.array(oscillator_names(n, axes))
        coords |= {"axis": np.array(axes)} | ({"oscillator": names, "source": names} if arrays else {})
        for name, (dims, data) in values.items():
            if dims[-1] == "particle":
                values[name] = ((*dims, "axis"), data.reshape(*data.shape[:2], n, len(axes)))
    for name, array in arrays.items():
        extra = ("source",) if name == "work" else ()
        values[name] = (("trajectory", "time", row, *extra), array)
    dataset = xr.Dataset(values, coords=coords)
    diverged = np.flatnonzero(~np.isfinite(states[:, -1]).all(axis=-1))
    dataset.attrs["diverged"] = diverged.tolist()
    first = [int(np.argmin(np.isfinite(states[index]).all(axis=-1))) for index in diverged]
    dataset.attrs["diverged_time"] = time[first].tolist()
    return dataset
