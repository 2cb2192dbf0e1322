"""How the work of a run is cut into units, and what it will need: time, memory, files, disk.

A unit of work is a block of trajectories over a block of time (a segment). Its sizes follow from the plan alone, are
kept in the store, and change no number.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import NamedTuple, Self

from stochbind.engine import accounts, baths
from stochbind.engine.plan import Plan
from stochbind.fields.dipoles import dipole_forces
from stochbind.forces import Force

#: Work of a unit [s]: what a kill can cost, and long beside what it takes to hand out and to write.
_UNIT_TIME = 2.0
#: Largest chunk of a recorded array [byte].
_CHUNK_BYTES = 8 * 2**20
#: Largest chunk of statistics, and about the largest total, for which groups are kept apart [byte].
_STATISTICS_BYTES = 16 * 2**20
#: Groups of trajectories that error bars come from, at most; see `stochbind.analysis.statistics.N_GROUPS`.
_N_GROUPS = 256
#: Blocks below this many trajectories take hardly less time.
_SMALLEST_BLOCK = 32
_FULL_BLOCK = 256
#: Kept states of a batch that are in memory at once [byte].
PIECE_BYTES = 32 * 2**20
#: What a worker holds before it does anything: Python and the compiled loops [byte].
_WORKER_BYTES = 300 * 2**20
#: Measured on one core, of a kept state of four coordinates: what a statistic takes [s].
_STATISTIC_TIME = {"moments": 6e-9, "correlations": 25e-9, "spectra": 90e-9, "histograms": 7e-9, "currents": 5e-9}
#: Metadata of a store, and what a small file takes on a disk [byte].
_STRUCTURE_BYTES, _FILE_BYTES = 120_000, 3000
#: Measured on one core: a normal number, a product with its sum, a directed force [s].
_NORMAL_TIME, _PRODUCT_TIME, _FORCE_TIME, _SDEINT_TIME = 1.4e-9, 0.05e-9, 5e-9, 3e-6
#: The same of an exchange with a finite bath, with its normals and the flows around it, for each coordinate [s].
_EXCHANGE_TIME = 4e-9
#: The same of a collective force, for each oscillator: a few operations of NumPy, and the solution of linear equations;
#: and of the compiled one of dipoles, whose time grows with the cube of their number from about this number on.
_COLLECTIVE_TIME, _DIPOLE_TIME, _MANY_DIPOLES = 3e-6, 0.13e-6, 12.0


class Layout(NamedTuple):
    """Sizes of the units of work.

    Attributes
    ----------
    trajectories_per_block : int
        Whole groups.
    saves_per_block : int
        Kept states of a segment; whole windows of the statistics.
    trajectories_per_group : int
        Trajectories over which statistics are summed before they are stored, a power of two.
    """

    trajectories_per_block: int
    saves_per_block: int
    trajectories_per_group: int = 1

    @classmethod
    def of(cls, plan: Plan, n_runs: int = 1) -> Self:
        """Units of about two seconds of work, whose chunks hold at most 8 MiB.

        At least 16 blocks of trajectories as long as they hold 32 each or more, and 60 beyond 256 each, so that there
        is work for many processors; fewer if there are several such runs, or if steps are made in NumPy, where what
        happens once a step is the same for any number of trajectories. Segments are whole windows of the statistics.
        """
        n, time = plan.n_trajectories, step_time(plan)
        record = time * plan.n_steps
        width = recorded_width(plan)
        block = _SMALLEST_BLOCK
        few = 4 if any(force.vectorized for force in plan.equations.forces) else 16
        while 2 * block <= n / max(1, (few if block < _FULL_BLOCK else 60) // n_runs) and (
            block < _FULL_BLOCK
            or (2 * block * record <= _UNIT_TIME and 16 * block * width * plan.n_saves <= _CHUNK_BYTES)
        ):
            block *= 2
        while block > 1 and block > _SMALLEST_BLOCK // 2 and block * time * plan.save_every > 4 * _UNIT_TIME:
            block //= 2
        window = max((item.window for item in plan.reducers), default=1)
        # Bytes of what is kept window by window, for each state and each trajectory.
        groups = max(1, n // _N_GROUPS)
        rows = sum(8 * item.n_entries / item.window for item in plan.reducers if item.per_window) / groups
        saves = 1
        while (
            saves < plan.n_saves
            and 2 * saves * block * time * plan.save_every <= _UNIT_TIME
            and 16 * saves * block * width <= _CHUNK_BYTES
            and 2 * saves * block * rows <= _STATISTICS_BYTES
        ):
            saves *= 2
        group = _group(plan, min(block, n), max(min(saves, plan.n_saves), window))
        return cls(_even(n, block, group), _even(plan.n_saves, saves, window), group)


def _even(total: int, largest: int, multiple: int) -> int:
    """Size of parts that are as equal as can be, as chunks are always whole; a whole multiple of something."""
    n_parts = -(-total // max(largest, multiple))
    return -(-total // (n_parts * multiple)) * multiple


def _group(plan: Plan, block: int, saves: int) -> int:
    """Trajectories of a group: so many that there are at most 256 groups, and fewer where statistics are large."""
    if not plan.statistics:
        return 1
    n, group = plan.n_trajectories, 1
    segments = -(-plan.n_saves // saves)
    rows = {item.name: -(-plan.n_saves // item.window) if item.per_window else segments for item in plan.reducers}
    size = sum(8 * item.n_entries * rows[item.name] for item in plan.reducers)
    while 2 * group <= block and (
        n > _N_GROUPS * group or (n > 16 * group and size * -(-n // group) > _STATISTICS_BYTES)
    ):
        group *= 2
    return group


def step_time(plan: Plan) -> float:
    """About how long one core takes for one step of one trajectory [s]."""
    equations = plan.equations
    d = equations.dimension
    time = _NORMAL_TIME * d + _PRODUCT_TIME * 2 * d * d
    if plan.solver == "finite_baths":
        time = _EXCHANGE_TIME * d
    time += 2 * _FORCE_TIME * sum(int(force.active.sum()) for force in equations.forces if force.active is not None)
    time += sum(_collective_time(force) for force in equations.forces if force.collective)
    if plan.ledger:
        time *= 1.5
    for item in plan.statistics:
        time += _STATISTIC_TIME[item.kind] * max(1.0, (d / 4) ** 2) / plan.save_every
    return time + (_SDEINT_TIME if plan.solver.startswith("sdeint:") else 0.0)


def _collective_time(force: Force) -> float:
    n = force.n_oscillators
    if force.function is dipole_forces:
        return _DIPOLE_TIME * n * (1.0 + (n / _MANY_DIPOLES) ** 2)
    return _COLLECTIVE_TIME * n


def recorded_width(plan: Plan) -> int:
    """Largest number of values of a recorded array, of one state of one trajectory; 0 if nothing is recorded."""
    if not plan.record:
        return 0
    return plan.scenario.n_oscillators ** (2 if plan.ledger else 1)


def checkpoint_width(plan: Plan) -> int:
    """Numbers of a trajectory in a checkpoint: its state, what its baths gave, and what its ledger has added up."""
    array = plan.scenario.oscillators()
    d = plan.scenario.langevin().dimension + baths.number(array)
    if not plan.ledger:
        return d
    n_drives = len(plan.scenario.drive)
    n_forces = sum(int(force.active.sum()) for force in plan.equations.forces if force.active is not None)
    return d + len(accounts.coupled_pairs(array)) + n_drives + n_forces


def state_width(plan: Plan) -> int:
    """Numbers that are recorded of one state of one trajectory."""
    n = plan.scenario.n_oscillators
    recorded = plan.scenario.langevin().dimension + baths.number(plan.scenario.oscillators())
    return recorded + (n * (n + 2) if plan.ledger else 0)


def batch_of(plan: Plan) -> int:
    """Trajectories that are advanced together: so many that what happens once a step counts little, in the cache.

    Fewer if a window of the statistics, which is made at once, would be too large.
    """
    batch = 1024 if plan.equations.dimension <= 8 else 256
    window = max((item.window for item in plan.reducers), default=1)
    while batch > _SMALLEST_BLOCK and 8 * batch * window * _piece_width(plan) > PIECE_BYTES:
        batch //= 2
    return batch


def piece_of(plan: Plan) -> int:
    """Kept states of a batch that are made at once: whole windows of the statistics, in bounded memory."""
    window = max((item.window for item in plan.reducers), default=1)
    saves = PIECE_BYTES // (8 * _piece_width(plan) * batch_of(plan))
    return max(1, saves // window) * window


def _piece_width(plan: Plan) -> int:
    return state_width(plan) + checkpoint_width(plan)


class Forecast(NamedTuple):
    """What a run will need, before it begins.

    Attributes
    ----------
    n_tasks : int
        Units of work.
    n_files : int
        About how many files.
    n_bytes : int
        Most bytes on disk, before compression.
    worker_bytes : int
        About the memory of a worker.
    time : float
        About the work [s] of one core.
    """

    n_tasks: int
    n_files: int
    n_bytes: int
    worker_bytes: int
    time: float

    def times(self, n_runs: int) -> Self:
        """Of many runs like this one."""
        many = {name: n_runs * getattr(self, name) for name in ("n_tasks", "n_files", "n_bytes", "time")}
        return self._replace(**many)

    @classmethod
    def of(cls, plan: Plan, layout: Layout | None = None) -> Self:
        """Of a plan, cut into units by `layout`."""
        layout = layout or Layout.of(plan)
        block, saves, group = layout
        blocks, segments = -(-plan.n_trajectories // block), -(-plan.n_saves // saves)
        tasks = blocks * segments
        arrays = (len(quantities(plan)) if plan.record else 0) + len(plan.statistics)
        kept = segments if plan.record else min(segments, 2)
        # Of each statistic: rows of a segment, and entries. Chunks are always whole.
        rows = [(saves // item.window if item.per_window else 1, item.n_entries) for item in plan.reducers]
        each = 8 * blocks * block * checkpoint_width(plan) * kept
        each += sum(8 * tasks * n_rows * -(-block // group) * entries for n_rows, entries in rows)
        each += 8 * state_width(plan) * blocks * block * segments * saves if plan.record else 0
        files = tasks * (1 + arrays) + blocks * kept
        constants = 8 * (plan.n_trajectories + plan.n_saves) + 8 * 8 * plan.equations.dimension**2
        constants += _STRUCTURE_BYTES + 4 * len(json.dumps(plan.to_dict()))
        # A unit's recorded arrays once more while they are written, and the pieces of a batch with their totals.
        unit = 2 * 8 * state_width(plan) * block * saves if plan.record else 0
        piece = 2 * 8 * min(piece_of(plan), saves) * min(batch_of(plan), block)
        piece *= _piece_width(plan)
        accumulated = sum(8 * -(-block // group) * entries * n_rows for n_rows, entries in rows)
        return cls(
            n_tasks=tasks,
            n_files=files + 40,
            n_bytes=each + constants + _FILE_BYTES * files,
            worker_bytes=_WORKER_BYTES + unit + piece + 8 * accumulated,
            time=step_time(plan) * plan.n_steps * plan.n_trajectories,
        )


def quantities(plan: Plan) -> tuple[str, ...]:
    """Names of the recorded arrays."""
    if not plan.record:
        return ()
    states = ("position",) if plan.scenario.oscillators().overdamped else ("position", "velocity")
    shared = (BATH_HEAT,) if baths.number(plan.scenario.oscillators()) else ()
    return (*states, *(LEDGER if plan.ledger else ()), *shared)


def row_dimension(axes: Collection[str]) -> str:
    """Dimension of what there is for each oscillator: "particle", or "oscillator" where particles move along several.

    Parameters
    ----------
    axes : collection of str
        Names of the directions of motion.
    """
    return "particle" if len(axes) == 1 else "oscillator"


#: What a ledger records.
LEDGER = ("work", "heat", "drive_work")
#: What is recorded of baths that are shared, where one of them is finite.
BATH_HEAT = "bath_heat"
