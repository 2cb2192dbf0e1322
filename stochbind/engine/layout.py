"""How the work of a run is cut into units, and what it will need: time, memory, files, disk.

A unit of work is a block of trajectories over a block of time (a segment). Its sizes follow from the plan alone, are
kept in the store, and change no number.
"""

from __future__ import annotations

from typing import NamedTuple, Self

from stochbind.engine import accounts
from stochbind.engine.plan import Plan

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
#: Measured on one core: a normal number, a product with its sum, a directed force [s].
_NORMAL_TIME, _PRODUCT_TIME, _FORCE_TIME, _SDEINT_TIME = 1.4e-9, 0.05e-9, 5e-9, 3e-6


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
        is work for many processors; fewer if there are several such runs. Segments are whole windows of the statistics.
        """
        n, time = plan.n_trajectories, step_time(plan)
        record = time * plan.n_steps
        width = recorded_width(plan)
        block = _SMALLEST_BLOCK
        while 2 * block <= n / max(1, (16 if block < _FULL_BLOCK else 60) // n_runs) and (
            block < _FULL_BLOCK
            or (2 * block * record <= _UNIT_TIME and 16 * block * width * plan.n_saves <= _CHUNK_BYTES)
        ):
            block *= 2
        while block > 1 and block > _SMALLEST_BLOCK // 2 and block * time * plan.save_every > 4 * _UNIT_TIME:
            block //= 2
        window = max((item.window for item in plan.statistics), default=1)
        saves = 1
        while (
            saves < plan.n_saves
            and 2 * saves * block * time * plan.save_every <= _UNIT_TIME
            and 16 * saves * block * width <= _CHUNK_BYTES
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
    time += 2 * _FORCE_TIME * sum(int(force.active.sum()) for force in equations.forces if force.active is not None)
    if plan.ledger:
        time *= 1.5
    return time + (_SDEINT_TIME if plan.solver.startswith("sdeint:") else 0.0)


def recorded_width(plan: Plan) -> int:
    """Largest number of values of a recorded array, of one state of one trajectory; 0 if nothing is recorded."""
    if not plan.record:
        return 0
    return plan.scenario.n_particles ** (2 if plan.ledger else 1)


def checkpoint_width(plan: Plan) -> int:
    """Numbers of a trajectory in a checkpoint: its state, and what its ledger has added up."""
    d = plan.scenario.langevin().dimension
    if not plan.ledger:
        return d
    array = plan.scenario.oscillators()
    n_drives = len(plan.scenario.drive)
    n_forces = sum(int(force.active.sum()) for force in plan.equations.forces if force.active is not None)
    return d + len(accounts.coupled_pairs(array)) + n_drives + n_forces


def state_width(plan: Plan) -> int:
    """Numbers that are recorded of one state of one trajectory."""
    n = plan.scenario.n_particles
    return plan.scenario.langevin().dimension + (n * (n + 2) if plan.ledger else 0)


def batch_of(dimension: int) -> int:
    """Trajectories that are advanced together: so many that what happens once a step counts little, in the cache."""
    return 1024 if dimension <= 8 else 256


def piece_of(plan: Plan) -> int:
    """Kept states of a batch that are made at once: whole windows of the statistics, in bounded memory."""
    window = max((item.window for item in plan.statistics), default=1)
    width = state_width(plan) + checkpoint_width(plan)
    saves = PIECE_BYTES // (8 * width * batch_of(plan.equations.dimension))
    return max(1, saves // window) * window


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
        groups = -(-plan.n_trajectories // group)
        rows = [
            (-(-plan.n_saves // item.window) if item.per_window else segments, item.n_entries) for item in plan.reducers
        ]
        statistics = sum(8 * n_rows * groups * entries for n_rows, entries in rows)
        kept = segments if plan.record else min(segments, 2)
        checkpoints = 8 * kept * plan.n_trajectories * checkpoint_width(plan)
        states = 8 * state_width(plan) * blocks * block * segments * saves if plan.record else 0
        coordinates = 8 * (plan.n_trajectories + plan.n_saves)
        # A unit's recorded arrays once more while they are written, and the pieces of a batch with their totals.
        unit = 2 * 8 * state_width(plan) * block * saves if plan.record else 0
        piece = 2 * 8 * min(piece_of(plan), saves) * min(batch_of(plan.equations.dimension), block)
        piece *= state_width(plan) + checkpoint_width(plan)
        accumulated = sum(
            8 * -(-block // group) * entries * (max(1, saves // item.window) if item.per_window else 1)
            for item, (_, entries) in zip(plan.reducers, rows, strict=True)
        )
        return cls(
            n_tasks=tasks,
            n_files=tasks * (2 + arrays) + 60,
            n_bytes=states + statistics + checkpoints + coordinates + 4200 * tasks,
            worker_bytes=_WORKER_BYTES + unit + piece + 2 * accumulated,
            time=step_time(plan) * plan.n_steps * plan.n_trajectories,
        )


def quantities(plan: Plan) -> tuple[str, ...]:
    """Names of the recorded arrays."""
    if not plan.record:
        return ()
    states = ("position",) if plan.scenario.oscillators().overdamped else ("position", "velocity")
    return (*states, *LEDGER) if plan.ledger else states


#: What a ledger records.
LEDGER = ("work", "heat", "drive_work")
