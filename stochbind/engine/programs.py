"""Programs: a solver made ready for one system and one step, as tables of numbers, and how it is run.

The tables are made once, by the process that starts a run, and stored with it; workers only ever load them.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stochbind.checks import FloatArray
from stochbind.engine import noise, reference
from stochbind.engine.tables import Account, Forces, Linear
from stochbind.errors import PlanError, StochbindError
from stochbind.fields import BUILT_IN
from stochbind.forces import Force, all_at_once, function_name, plain_function
from stochbind.langevin import Langevin

Coefficients = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Program:
    """What advances blocks of trajectories: the code of the solver, its tables, and the functions of the forces.

    Parameters
    ----------
    scheme : int
        Which solver; see `stochbind.engine.tables`.
    coefficients : dict of str to array
        All tables, by the names of their fields.
    forces : sequence of Force
        The forces; only their functions are used, their parameters are in the tables.
    """

    scheme: int
    coefficients: Coefficients
    forces: tuple[Force, ...] = ()

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
        """Advance a block in place.

        Parameters
        ----------
        state, total : (d, B), (R, B) float
            Scaled states, and what was added up so far; see `n_totals`.
        seed, first_trajectory, first_step : int
            Key of the noise.
        save_every, n_saves : int
            Keep every so-manieth state, so many times.
        compiled : bool
            Whether to use the compiled loops where they can be used; the numbers are the same.

        Returns
        -------
        (n_saves, d, B), (n_saves, R, B) float
            Kept states and totals.
        """
        index = {
            "seed": seed,
            "first_trajectory": first_trajectory,
            "first_step": first_step,
            "save_every": save_every,
            "n_saves": n_saves,
        }
        linear, forces, account = self.tables
        with fault_of_force(self.forces):
            if not compiled or any(force.vectorized for force in self.forces):
                kinds = force_kinds(self.forces)
                normals: Any = noise.normals
                if compiled:
                    from stochbind.engine.kernels import normals
                with np.errstate(all="ignore"):  # trajectories that diverge are told later
                    return reference.path(
                        self.scheme, linear, forces, kinds, account, state, total, **index, normals=normals
                    )
            from stochbind.engine import compilation

            return compilation.run(self.scheme, linear, forces, self.forces, account, state, total, **index)

    @functools.cached_property
    def tables(self) -> tuple[Linear, Forces, Account]:
        """The tables, with empty ones for what the program does not have."""
        c = self.coefficients
        d, m = c["root"].shape[1:]
        zero, one = np.zeros(0, np.int64), np.zeros(1, np.int64)
        linear = Linear(
            matrix=c["matrix"], shift=c["shift"], root=c["root"],
            start=c.get("start", one), which=c.get("which", one), period=np.int64(np.ravel(c.get("period", 0))[0]),
            drive=c.get("drive", np.zeros((len(c["matrix"]), 0, 2, d))),
            turn=c.get("turn", zero).view(np.uint64), phase=c.get("phase", zero).view(np.uint64),
            corrector=c.get("corrector", np.zeros((0, d))), corrector_shift=c.get("corrector_shift", np.zeros(0)),
            corrector_root=c.get("corrector_root", np.zeros((0, m))),
        )  # fmt: skip
        forces = Forces(
            kind=c.get("force_kind", zero), particle=c.get("force_particle", np.zeros((0, 2), np.int64)),
            parameter=c.get("force_parameter", np.zeros((0, 1))), scale=c.get("force_scale", np.zeros(0)),
            unit=c.get("force_unit", np.zeros(0)), position=c.get("force_position", zero),
            driven=c.get("force_driven", zero), same=np.int64(np.ravel(c.get("force_same", 0))[0]),
        )  # fmt: skip
        size = linear.drive.shape[1] * 2 + 1 + d + m
        account = Account(c.get("account_form", np.zeros((0, size, size))), c.get("account_lever", np.zeros(0)))
        return linear, forces, account

    @property
    def dimension(self) -> int:
        """Number d of coordinates."""
        return int(self.coefficients["matrix"].shape[1])

    @property
    def n_totals(self) -> int:
        """Number R of what is added up along each trajectory."""
        _, forces, account = self.tables
        return len(account.form) + (len(forces.kind) if len(account.lever) else 0)


def force_tables(equations: Langevin, step: float) -> Coefficients:
    """Tables of all directed forces, for a step of length `step` [s]; empty if there are none."""
    if not equations.forces:
        return {}
    kind, particle, parameter = [], [], []
    kinds = _kind_of(equations.forces)
    for force, number in zip(equations.forces, kinds, strict=True):
        assert force.active is not None
        for index in np.argwhere(force.active):
            kind.append(number)
            particle.append((index[0], index[-1]))
            parameter.append(force.parameters[tuple(index)])
    width = max((len(p) for p in parameter), default=1)
    table = np.zeros((len(parameter), max(width, 1)))
    for row, values in zip(table, parameter, strict=True):
        row[: len(values)] = values
    position = equations.select("position")
    return {
        "force_kind": np.array(kind, np.int64),
        "force_particle": np.array(particle, np.int64).reshape(-1, 2),
        "force_parameter": table,
        "force_scale": equations.force_scale * (step / equations.time_unit),
        "force_unit": equations.unit[position],
        "force_position": position.astype(np.int64),
        "force_driven": equations.driven.astype(np.int64),
        "force_same": np.array(int(np.array_equal(position, equations.driven)), np.int64),
    }


#: Kinds from here on are a user's own functions.
FIRST_OWN_KIND = 1000


def _kind_of(forces: Sequence[Force]) -> list[int]:
    """Kind of each force: its place among those of the package, or a number from 1000 on."""
    result: list[int] = []
    own: list[tuple[object, ...]] = []
    for force in forces:
        if force.function in BUILT_IN:
            result.append(BUILT_IN.index(force.function))
            continue
        # Functions of the same code are equal; other objects need not know whether they are. What is collective is
        # called with all its parameters, and so is of its own kind.
        function = force.function if hasattr(force.function, "__code__") else id(force.function)
        key = (function, force.pair, force.parameters.shape[-1], id(force) if force.collective else 0)
        if key not in own:
            own.append(key)
        result.append(FIRST_OWN_KIND + own.index(key))
    return result


def force_kinds(forces: Sequence[Force]) -> reference.Kinds:
    """Functions of arrays of each kind, for the steps in NumPy."""
    result = {}
    for number, force in zip(_kind_of(forces), forces, strict=True):
        function: Callable[..., Any] = plain_function(force.function)
        if force.collective:
            function = _Known(function)
        elif number >= FIRST_OWN_KIND and not force.vectorized:
            function = np.vectorize(_as_numba(function), otypes=[float], excluded={2 if force.pair else 1})
        result[number] = reference.Kind(function, force.pair, force.parameters.shape[-1], force.collective)
    return result


class _Known:
    """A collective force that is not evaluated twice in a row at the same place: by a kick, and the kick after it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._place, self._found = np.zeros((0, 0)), np.zeros((0, 0))

    def __call__(self, position: FloatArray, parameters: FloatArray) -> FloatArray:
        """Forces on all, (N, B)."""
        if not np.array_equal(position, self._place):
            self._found = all_at_once(self._function, position, parameters).copy()
            self._place = position
        return self._found


def _as_numba(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with what Python refuses and compiled code returns: infinities and their like."""

    def call(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except (OverflowError, ZeroDivisionError):
            return math.nan

    return call


def own_functions(forces: Sequence[Force]) -> tuple[tuple[int, Callable[..., Any], bool, int], ...]:
    """Kind, function, whether of pairs, and number of parameters of each of a user's functions."""
    found = {
        number: (number, force.function, force.pair, force.parameters.shape[-1])
        for number, force in zip(_kind_of(forces), forces, strict=True)
        if number >= FIRST_OWN_KIND
    }
    return tuple(found.values())


def _of_package(function: Callable[..., Any]) -> bool:
    return str(getattr(function, "__module__", "")).startswith("stochbind.")


@contextlib.contextmanager
def fault_of_force(forces: Sequence[Force]) -> Iterator[None]:
    """Raise `PlanError` for what functions of the user's own raise, and built-in ones of other parameters."""
    try:
        yield
    except (StochbindError, MemoryError):
        raise
    except Exception as error:  # a user's function may raise anything
        others = [function for _, function, *_ in own_functions(forces)]
        of_users = [function for function in others if not _of_package(function)]
        if others and not of_users:
            raise  # a bug of ours is not the user's fault
        own = ", ".join(f"`{function_name(function)}`" for function in of_users)
        own = own or "of the package, with other parameters than its builder gives it,"
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise PlanError(
            f"The force {own} cannot be evaluated ({reason}); it must return a number for any displacements, and with "
            "vectorized=True an array of numbers for arrays."
        ) from error


def compile_error(function: Callable[..., Any], error: Exception) -> PlanError:
    """What to say of a function that numba cannot compile."""
    name = getattr(function, "__name__", repr(function))
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = ("Untyped global", "Cannot determine", "Unknown attribute", "No implementation", "unsupported", "not ")
    lines = [line for line in lines if not line.startswith(("Failed in", "During", "File"))]
    reason = next((line for words in telling for line in lines if words in line), type(error).__name__)
    return PlanError(
        f"numba cannot compile the force `{name}` ({reason[:200]}); write it with "
        "arithmetic on numbers, or give a NumPy function with vectorized=True."
    )
