r"""Finite baths: their temperatures change with the heat that they give.

A bath of capacity C at the temperature T counts here as :math:`n = 2C/k_B` quadratic degrees of freedom that hold the
energy :math:`\tfrac n2 k_B T`, and of which only the sum is kept: C need not be a whole multiple of anything. The
theory is on the page about finite baths.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from stochbind.checks import FloatArray
from stochbind.engine import bath_reference, bias
from stochbind.engine.accounts import coupled_pairs
from stochbind.engine.bath_tables import LARGEST_ARGUMENT, LARGEST_SQUARE, Exchange, Rows, Tables
from stochbind.engine.programs import Coefficients, Program
from stochbind.engine.solvers import Solver, System
from stochbind.errors import PlanError
from stochbind.forces import Force
from stochbind.langevin import Langevin
from stochbind.oscillators import Oscillators
from stochbind.propagation import covariance_root, propagate
from stochbind.protocols import Protocol

if TYPE_CHECKING:
    import xarray as xr


class BathProgram(Program):
    """Runs the steps of `FiniteBaths`."""

    def run(
        self,
        state: FloatArray,
        total: FloatArray,
        *,
        seed: int,
        first_trajectory: int,
        first_step: int,
        save_every: int,
        n_saves: int,
        compiled: bool = True,
    ) -> tuple[FloatArray, FloatArray]:
        """Advance a block in place; see `Program.run`."""
        if not compiled:
            with np.errstate(all="ignore"):  # trajectories that diverge are told later
                return bath_reference.path(
                    self.bath_tables, state, total, seed=seed, first_trajectory=first_trajectory,
                    first_step=first_step, save_every=save_every, n_saves=n_saves,
                )  # fmt: skip
        from stochbind.engine import bath_paths
        from stochbind.engine.compilation import plain_table

        own = self.bath_tables
        tables = Tables(
            flow=Rows(*map(plain_table, own.flow)),
            exchange=Exchange(*map(plain_table, own.exchange)),
            kick=Rows(*map(plain_table, own.kick)),
            area=Rows(*map(plain_table, own.area)),
        )
        saved, saved_total = np.empty((n_saves, *state.shape)), np.empty((n_saves, *total.shape))
        bath_paths.path(
            tables, state, total, np.uint64(seed), np.int64(first_trajectory), np.int64(first_step),
            np.int64(save_every), saved, saved_total,
        )  # fmt: skip
        return saved, saved_total

    @functools.cached_property
    def bath_tables(self) -> Tables:
        """The tables, with empty ones for what the program does not have."""
        c = self.coefficients
        return Tables(
            flow=_stored_rows(c, "flow"),
            exchange=Exchange(*(c[f"exchange_{name}"] for name in Exchange._fields)),
            kick=_stored_rows(c, "kick"),
            area=_stored_rows(c, "area"),
        )

    @property
    def dimension(self) -> int:
        """Number d of coordinates."""
        return len(self.bath_tables.flow.start) - 1

    @property
    def n_totals(self) -> int:
        """Number R of what is added up: areas of coupled pairs with a ledger, and the heat of every bath."""
        tables = self.bath_tables
        return len(tables.area.start) - 1 + len(tables.exchange.temperature)


@final
class FiniteBaths(Solver):
    r"""Half a step without baths, the exchange with the baths, half a step without baths; linear and underdamped.

    The flow of springs and couplings is exact. In the exchange, one oscillator after another, the velocity in thermal
    units turns against one component of the bath, a vector of n components and of random direction,

    .. math:: v' = c v + \sqrt{1 - c^2}\, u, \qquad c = e^{-\gamma h}, \qquad
              u = \sqrt{n k_B T/m}\; \frac{z_1}{r} \sqrt{1 - e^{-r^2/(n-2)}}, \qquad r^2 = z_1^2 + z_2^2,

    and the bath loses what the particle gains. The last factors are a component of a random unit vector, made of a
    pair of normals. Energy is conserved, no bath falls below zero, and the microcanonical law is kept exactly, at any
    step: turns and random directions leave a sphere as it is. As :math:`\langle u^2 \rangle = k_B T/m`, averages are
    those of the equations but for the errors of the step, of order :math:`h^2` and :math:`h k_B/C`. Recoil kicks
    velocities by half a step before and after the exchange; its energy is the light's.
    """

    name: ClassVar[str] = "finite_baths"
    scheme: ClassVar[int] = -1
    weak_order: ClassVar[float] = 2.0
    strong_order: ClassVar[float] = float("nan")  # noise of two half steps does not add up to that of a step
    interpretation: ClassVar[str] = "Itô"
    takes_forces: ClassVar[bool] = False
    keeps_ledger: ClassVar[bool] = True

    def __init__(self, array: Oscillators | None = None) -> None:
        self._given = array

    @property
    def _array(self) -> Oscillators:
        """The oscillators, which only the solver that `of` gives has."""
        if self._given is None:
            raise PlanError("The solver 'finite_baths' needs to know the oscillators; simulate `Oscillators`.")
        return self._given

    def of(self, array: Oscillators | None) -> Solver:
        """The solver for these oscillators; see `Solver.of`.

        Raises
        ------
        PlanError
            If no bath is finite, or there are no masses.
        """
        if array is None or not array.has_finite_baths:
            raise PlanError(
                "The solver 'finite_baths' needs oscillators with a bath of finite heat capacity; give one, or use "
                'solver = "exact".'
            )
        if array.overdamped:
            raise PlanError(
                "Finite baths exchange energy with velocities, which overdamped particles do not have; give the "
                'particles a mass and set dynamics = "underdamped".'
            )
        return FiniteBaths(array)

    def linear_tables(self, system: System, step: float, n_steps: int) -> Coefficients:
        """Half a flow, the exchange, and half a kick."""
        array = self._array
        flow, kick = _matrices(array, step)
        baths = array.baths
        assert baths is not None
        temperature = _temperature(array)
        freedom = 2.0 * baths.heat_capacity / array.boltzmann
        finite = baths.finite
        inner = np.where(finite, freedom - 2.0, 1.0)
        doublings = np.where(
            finite, np.ceil(np.log2(np.maximum(LARGEST_SQUARE / inner / LARGEST_ARGUMENT, 1.0))), 0.0
        ).astype(np.int64)
        exchange = Exchange(
            keep=np.exp(-_damping(array, step)),
            take=np.sqrt(-np.expm1(-2.0 * _damping(array, step))),
            bath=baths.member.astype(np.int64),
            temperature=temperature[np.unique(baths.member, return_index=True)[1]],
            cooling=2.0 / freedom,
            spread=np.where(finite, freedom, 1.0) / inner,
            narrowing=np.where(finite, 1.0 / inner, 0.0) / 2.0**doublings,
            doublings=doublings,
        )
        result = {f"exchange_{name}": value for name, value in exchange._asdict().items()}
        result |= _rows("flow", flow)
        return result | _rows("kick", kick) if kick.any() else result

    def linear_step(self, drift: FloatArray, slope: FloatArray, equations: Langevin, step: float) -> bias.Step:
        """A step while the baths keep their temperatures."""
        array = self._array
        flow, kick = _matrices(array, step)
        n = array.n_oscillators
        damping = _damping(array, step)
        keep = np.concatenate([np.ones(n), np.exp(-damping)])
        heat = np.sqrt(-np.expm1(-2.0 * damping) * _temperature(array))
        still = np.zeros((n, n))
        before, bath = np.vstack([still, kick]), np.vstack([still, np.diag(heat)])
        root = np.hstack([keep[:, None] * before, bath, before])
        return bias.Step(flow @ (keep[:, None] * flow), flow @ root)

    def program(
        self, system: System, step: float, n_steps: int = 1, *, allowed_bias: float = bias.LARGEST_BIAS
    ) -> Program:
        """The solver made ready for a system and a step; see `Solver.program`. Clusters that are alike are judged once.

        Raises
        ------
        PlanError
            If there are drives, forces beyond the linear ones, no masses or no finite bath, or the step would give
            wrong physics.
        """
        array = self._array
        if isinstance(system, Protocol):
            raise PlanError(
                "Finite baths take equations that do not change with time; leave out the drives, or the heat capacity."
            )
        if system.forces:
            raise PlanError(
                "Finite baths take linear forces; leave out the forces beyond the linear ones, or the heat capacity."
            )
        program = self.load(self.linear_tables(system, step, n_steps), ())
        for part in _distinct_parts(array):
            bias.require_small(FiniteBaths(part), part.langevin(), step, n_steps, allowed_bias)
        return program

    def load(self, coefficients: Coefficients, forces: Sequence[Force]) -> Program:
        """A program of tables that were stored."""
        return BathProgram(self.scheme, coefficients, tuple(forces))

    def ledger_tables(self, array: Oscillators, system: System, step: float) -> Coefficients:
        r"""The areas :math:`\int q_k \circ dq_j` of coupled pairs over half a flow, as forms of the state before it."""
        n, equations = array.n_oscillators, array.langevin()
        pairs = coupled_pairs(array)
        rows = []
        for j, k in pairs:
            index = _coordinates(array, np.flatnonzero(array.cluster == array.cluster[j]))
            where = {int(i): local for local, i in enumerate(index)}
            rate = np.zeros((len(index), len(index)))
            rate[where[k], where[n + j]] = rate[where[n + j], where[k]] = 0.5
            drift = _undamped(equations)[np.ix_(index, index)]
            form = propagate(drift.T, np.zeros(len(index)), rate, 0.5 * step, equations.time_unit).covariance
            upper = np.triu(form) + np.triu(form, 1)
            local = np.argwhere(upper)
            rows.append((index[local[:, 0]] * 2 * n + index[local[:, 1]], upper[tuple(local.T)]))
        return _stacked("area", rows) if rows else {}


def number(array: Oscillators) -> int:
    """Number K of baths that are shared; none if every oscillator has its own, or all baths are infinite."""
    return 0 if array.baths is None or not array.has_finite_baths else len(array.baths.heat_capacity)


def bath_heat(array: Oscillators, totals: FloatArray) -> FloatArray:
    """Heat that each bath has given since time zero [J], (n_saves, K, B), from what the loops added up."""
    energy = _momentum_unit(array)[0] ** 2 / np.asarray(array.mass)[0]
    result: FloatArray = energy * totals[:, totals.shape[1] - number(array) :]
    return result


def bath_temperature(array: Oscillators, heat: FloatArray) -> FloatArray:
    """Temperature of each bath [K], (..., K), that has given so much heat [J]; may be lazy."""
    assert array.baths is not None
    first = array.bath_temperature[np.unique(array.baths.member, return_index=True)[1]]
    result: FloatArray = first - heat / array.baths.heat_capacity
    return result


def bath_variables(array: Oscillators, heat: FloatArray) -> dict[str, xr.Variable]:
    """What each bath has given, and its temperature, as variables of a dataset in SI.

    Parameters
    ----------
    array : Oscillators
        With finite baths.
    heat : (trajectory, time, K) float
        Given since time zero [J]; may be lazy.
    """
    import xarray as xr

    assert array.baths is not None
    units = ("", "") if array.reduced else ("J", "K")
    dims = ("trajectory", "time", "bath")
    given = {"units": units[0], "long_name": "heat that each bath has given since time zero"}
    left = {"units": units[1], "long_name": "temperature of each bath"}
    return {
        "bath_heat": xr.Variable(dims, heat, given),
        "bath_temperature": xr.Variable(dims, bath_temperature(array, heat), left),
        "bath": xr.Variable("bath", np.array(array.baths.name)),
    }


def _distinct_parts(array: Oscillators) -> list[Oscillators]:
    """Clusters of oscillators, each alone and in infinite baths, of which no two are alike in all their numbers."""
    found: dict[bytes, Oscillators] = {}
    for number in range(int(array.cluster.max()) + 1):
        index = np.flatnonzero(array.cluster == number)
        square = np.ix_(index, index)
        numbers: dict[str, Any] = {
            name: getattr(array, name)[index] for name in ("stiffness", "friction", "mass", "bath_temperature")
        }
        numbers |= {"coupling": array.coupling[square], "diffusion": np.asarray(array.diffusion)[square]}
        content = b"".join(np.ascontiguousarray(value).tobytes() for value in numbers.values())
        if content not in found:
            found[content] = replace(array, **numbers, axis="x", baths=None)
    return list(found.values())


def _damping(array: Oscillators, step: float) -> FloatArray:
    """Damping of each velocity in a step, (N,)."""
    result: FloatArray = array.friction / np.asarray(array.mass) * step
    return result


def _momentum_unit(array: Oscillators) -> FloatArray:
    """Unit of each momentum, (N,): the same energy for all."""
    result: FloatArray = np.asarray(array.mass) * array.langevin().unit[array.n_oscillators :]
    return result


def _temperature(array: Oscillators) -> FloatArray:
    """Scaled bath temperature of each oscillator at time zero, (N,)."""
    result: FloatArray = array.thermal_energy * np.asarray(array.mass) / _momentum_unit(array) ** 2
    return result


def _undamped(equations: Langevin) -> FloatArray:
    """Drift matrix of the springs and couplings alone."""
    drift = equations.drift_matrix.copy()
    velocity = equations.select("velocity")
    drift[np.ix_(velocity, velocity)] = 0.0
    return drift


def _coordinates(array: Oscillators, index: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Positions, then velocities, of some oscillators."""
    return np.concatenate([index, array.n_oscillators + index])


def _matrices(array: Oscillators, step: float) -> tuple[FloatArray, FloatArray]:
    """Flow of half a step, (2N, 2N), and root of the recoil of half a step, (N, N): blocks of clusters."""
    n, equations = array.n_oscillators, array.langevin()
    drift, momentum = _undamped(equations), _momentum_unit(array)
    recoil = np.asarray(array.diffusion).real * step / np.outer(momentum, momentum)
    flow, kick = np.zeros((2 * n, 2 * n)), np.zeros((n, n))
    for number in range(int(array.cluster.max()) + 1):
        index = np.flatnonzero(array.cluster == number)
        both, square = _coordinates(array, index), np.ix_(index, index)
        nothing = np.zeros((2 * len(index), 2 * len(index)))
        block = drift[np.ix_(both, both)]
        flow[np.ix_(both, both)] = propagate(block, nothing[0], nothing, 0.5 * step, equations.time_unit).matrix
        kick[square] = covariance_root(recoil[square])
    return flow, kick


def _rows(name: str, matrix: FloatArray) -> Coefficients:
    """Tables of the entries of a matrix, row by row."""
    return _stacked(name, [(np.flatnonzero(row), row[row != 0]) for row in matrix])


def _stacked(name: str, rows: Sequence[tuple[npt.NDArray[Any], FloatArray]]) -> Coefficients:
    """Tables of (columns, values) of each row."""
    return {
        f"{name}_start": np.cumsum([0, *(len(columns) for columns, _ in rows)]),
        f"{name}_column": np.concatenate([columns for columns, _ in rows]).astype(np.int64),
        f"{name}_value": np.concatenate([values for _, values in rows]),
    }


def _stored_rows(c: Coefficients, name: str) -> Rows:
    """The tables of a matrix, or those of one without rows."""
    if f"{name}_start" not in c:
        return Rows(np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0))
    return Rows(*(c[f"{name}_{field}"] for field in Rows._fields))
