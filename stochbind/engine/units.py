"""A unit of work: a block of trajectories over a block of time, from one checkpoint to the next."""

from __future__ import annotations

import functools
import time
from typing import Any, NamedTuple

import numpy as np

from stochbind.checks import FloatArray
from stochbind.engine import accounts, baths, checking
from stochbind.engine.blocks import initial_state
from stochbind.engine.chunks import round_mantissa
from stochbind.engine.layout import BATH_HEAT, batch_of, piece_of
from stochbind.engine.plan import Plan
from stochbind.engine.programs import Program
from stochbind.engine.store import Store, Unit
from stochbind.errors import PlanError, StoreDamagedError, StoreError
from stochbind.forces import Force


class Task(NamedTuple):
    """What a worker is handed: which unit of which store, and whether to make it even if it is done."""

    path: str
    block: int
    segment: int
    again: bool = False


def run_unit(forces: tuple[Force, ...], task: Task) -> float:
    """Make a unit and write it, unless it is there already.

    Parameters
    ----------
    forces : tuple of Force
        Forces of the user's own, which a store knows by name only.
    task : Task
        Which unit.

    Returns
    -------
    float
        How long it took [s].
    """
    began = time.perf_counter()
    path, block, segment, again = task
    version = Store.version(path)
    store = _opened(path, version)
    if again or not store.is_done(block, segment):
        try:
            unit = make_unit(store, forces, block, segment)
        except PlanError as error:  # of a force of the user's own: the unit fails, not the run
            raise RuntimeError(str(error)) from error
        except StoreDamagedError:
            if not again and store.is_done(block, segment):  # by another worker, after which its checkpoint may go
                return time.perf_counter() - began
            raise
        if Store.version(path) != version:  # by an extension, after which a unit at an end holds more
            raise StoreError(f"{path}: was changed while a unit of it was made; start the same run again.")
        if again or not store.is_done(block, segment):  # a worker that was cut off may come late
            store.write(block, segment, unit)
    return time.perf_counter() - began


@functools.lru_cache(maxsize=4)
def _opened(path: str, version: Any) -> Store:
    """A store, opened once for all units that a process makes; `version` tells it from others at the same path."""
    del version
    return Store.open(path, check=False)


def make_unit(
    store: Store, forces: tuple[Force, ...], block: int, segment: int, checkpoint: FloatArray | None = None
) -> Unit:
    """The numbers of a unit, from the checkpoint before it; batch by batch, in bounded memory.

    Parameters
    ----------
    store : Store
        Which holds the plan, the coefficients and the checkpoint.
    forces : tuple of Force
        Forces of the user's own.
    block, segment : int
        Which unit.
    checkpoint : (width, n_trajectories) float, optional
        Where it starts; by default what the unit before it has written.

    Returns
    -------
    Unit
        What `Store.write` takes.

    Raises
    ------
    StoreDamagedError
        If the checkpoint before it is not what was written.
    """
    store.require_same_steps()
    plan, coefficients = store.plan, store.coefficients
    program = plan.solver_instance().load(coefficients, (*plan.scenario.langevin().forces, *forces))
    rows, times = store.trajectories(block), store.saves(segment)
    if checkpoint is None and segment:
        checkpoint = checking.checked_checkpoint(store, block, segment - 1)
    size = batch_of(plan)
    data: dict[str, FloatArray] = {}
    ends, parts = [], []
    for first in range(rows.start, rows.stop, size):
        batch = range(first, min(first + size, rows.stop))
        here = slice(batch.start - rows.start, batch.stop - rows.start)
        start = initial_state(plan.seed, coefficients["initial_mean"], coefficients["initial_root"], batch)
        both = np.concatenate([start, np.zeros((program.n_totals, len(batch)))])
        if checkpoint is not None:
            both = checkpoint[:, here]
        part = _Batch(
            plan, program, coefficients["unit"], batch, times, start, both, store.layout.trajectories_per_group
        )
        for where, values in part.run():
            for name, value in values.items():
                if name not in data:
                    data[name] = np.empty((len(rows), len(times), *value.shape[2:]))
                data[name][here, where] = value
        ends.append(part.end)
        parts.append(part.statistics())
    return Unit(data, _joined(parts, store.layout.trajectories_per_group, size), np.concatenate(ends, axis=1).T)


def _joined(parts: list[dict[str, FloatArray]], group: int, size: int) -> dict[str, FloatArray]:
    """Statistics of all batches, in groups that may be larger than a batch."""
    from stochbind.engine.reducers.trees import merge_groups

    joined = {name: np.concatenate([part[name] for part in parts], axis=1) for name in parts[0]}
    return {name: merge_groups(value, group // min(group, size)) for name, value in joined.items()}


class _Batch:
    """Trajectories that are advanced together, piece by piece of time."""

    def __init__(
        self,
        plan: Plan,
        program: Program,
        unit: FloatArray,
        batch: range,
        times: range,
        start: FloatArray,
        both: FloatArray,
        group: int,
    ) -> None:
        self._plan, self._program, self._unit, self._rows, self._times = plan, program, unit, batch, times
        self._start = start
        self._state, self._total = (np.ascontiguousarray(part) for part in (both[: len(start)], both[len(start) :]))
        self._accumulator = None
        if plan.statistics:
            from stochbind.engine.reducers.accumulation import Accumulator

            self._accumulator = Accumulator(
                plan.reducers,
                first=times.start,
                n_trajectories=len(batch),
                group=min(group, batch_of(plan)),
            )

    def run(self) -> Any:
        """Yield (slice of the segment, recorded arrays) of each piece."""
        plan, times, piece = self._plan, self._times, piece_of(self._plan)
        before = self._ledger(self._state[None].copy(), self._total[None].copy())
        for first in range(times.start, times.stop, piece):
            count = min(piece, times.stop - first)
            states, totals = self._program.run(
                self._state,
                self._total,
                seed=plan.seed,
                first_trajectory=self._rows.start,
                first_step=first * plan.save_every,
                save_every=plan.save_every,
                n_saves=count,
            )
            ledger = self._ledger(states, totals)
            if self._accumulator is not None:
                self._accumulator.add(states, ledger, before)
            if ledger is not None:
                before = accounts.Ledger(*(part[-1:] for part in ledger))
            begin = first - times.start
            yield slice(begin, begin + count), self._recorded(states, totals, ledger)

    def _ledger(self, states: FloatArray, totals: FloatArray) -> accounts.Ledger | None:
        plan = self._plan
        if not plan.ledger:
            return None
        with np.errstate(all="ignore"):  # trajectories that diverge are told at the end
            return accounts.settle(plan.scenario.oscillators(), plan.system, self._start, states, totals)

    def _recorded(
        self, states: FloatArray, totals: FloatArray, ledger: accounts.Ledger | None
    ) -> dict[str, FloatArray]:
        """The recorded arrays in SI, each (n_trajectories, n_saves, ...)."""
        if not self._plan.record:
            return {}
        n, unit, block = self._plan.scenario.n_oscillators, self._unit, states.shape[-1]
        # Oscillators are ordered by particles, then axes.
        shape = (block, len(states), self._plan.scenario.n_particles, len(self._plan.scenario.axes))
        with np.errstate(all="ignore"):
            result = {
                name: (states[:, part] * unit[part, None]).transpose(2, 0, 1).reshape(shape)
                for name, part in (("position", slice(0, n)), ("velocity", slice(n, 2 * n)))
                if part.stop <= len(unit)
            }
        bits = self._plan.keep_bits
        if bits is not None:
            result = {name: round_mantissa(value, bits) for name, value in result.items()}
        if ledger is not None:  # sums since time zero, whose differences count: never rounded
            result |= {name: np.moveaxis(value, -1, 0) for name, value in ledger._asdict().items()}
        array = self._plan.scenario.oscillators()
        if array.has_finite_baths:
            result[BATH_HEAT] = np.moveaxis(baths.bath_heat(array, totals), -1, 0)
        return result

    @property
    def end(self) -> FloatArray:
        """States and totals at the end, (width, n_trajectories)."""
        return np.concatenate([self._state, self._total])

    def statistics(self) -> dict[str, FloatArray]:
        """What was accumulated, (n_rows, n_groups, n_entries) by name."""
        return {} if self._accumulator is None else self._accumulator.result()
