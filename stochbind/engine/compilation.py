"""From tables to the compiled loops: compiles them once, and a user's force functions for each process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np
from numba.core import types

from stochbind.checks import FloatArray
from stochbind.compiling import cache_folder
from stochbind.engine.paths import USER_FORCE, path
from stochbind.engine.programs import Program, compile_error, own_functions
from stochbind.engine.stored_forces import identity
from stochbind.engine.tables import Account, Forces, Linear
from stochbind.errors import PlanError
from stochbind.fields.dipoles import dipole_forces
from stochbind.forces import Force, plain_function

_LOCK = threading.Lock()


def run(
    scheme: int,
    linear: Linear,
    forces: Forces,
    functions: Sequence[Force],
    account: Account,
    state: FloatArray,
    total: FloatArray,
    *,
    seed: int,
    first_trajectory: int,
    first_step: int,
    save_every: int,
    n_saves: int,
) -> tuple[FloatArray, FloatArray]:
    """Compiled twin of `stochbind.engine.reference.path`."""
    saved, saved_total = np.empty((n_saves, *state.shape)), np.empty((n_saves, *total.shape))
    arguments = (
        np.int64(scheme),
        Linear(*map(plain_table, linear)),
        Forces(*map(plain_table, forces)),
        own_rows(own_functions(functions)),
        Account(*map(plain_table, account)),
        state,
        total,
        np.uint64(seed),
        np.int64(first_trajectory),
        np.int64(first_step),
        np.int64(save_every),
        saved,
        saved_total,
    )
    _compile(arguments)
    path(*arguments)
    return saved, saved_total


def compile_for(program: Program) -> None:
    """Compile all that a program needs, by a step of one trajectory."""
    program.run(
        np.zeros((program.dimension, 1)),
        np.zeros((program.n_totals, 1)),
        seed=0,
        first_trajectory=0,
        first_step=0,
        save_every=1,
        n_saves=1,
    )


def is_compiled(statistics: Sequence[str] = (), forces: Sequence[Force] = ()) -> bool:
    """Whether the loops are compiled already, in this process or on disk; otherwise the first run compiles them.

    Parameters
    ----------
    statistics : sequence of str
        Kinds of the statistics that are wanted, too.
    forces : sequence of Force
        Forces of the equations.
    """
    folder = cache_folder()
    loops = "paths.path" if not any(force.vectorized for force in forces) else "kernels.fill_normals"
    if not path.signatures and (folder is None or not any(folder.rglob(f"{loops}-*.nbc"))):
        return False
    wanted = [f"{kind}.*" for kind in statistics]
    if any(force.function is dipole_forces for force in forces):
        wanted.append("dipole_loops.light_forces-*")
    return folder is None or all(any(folder.rglob(f"{name}.nbc")) for name in wanted)


def plain_table(value: Any) -> Any:
    """A table as the loops take it: contiguous and writable, whatever it was read from."""
    if not isinstance(value, np.ndarray):
        return value
    array = np.ascontiguousarray(value).reshape(value.shape)
    return array if array.flags.writeable and array.flags.aligned else array.copy()


def _compile(arguments: tuple[Any, ...]) -> None:
    """Compile the loops for the one signature there is: the user's forces come in as a pointer to a function."""
    with _LOCK:
        if not path.signatures:
            typeof: Any = numba.typeof
            signature = [typeof(value) for value in arguments]
            signature[3] = types.FunctionType(USER_FORCE)
            path.compile(tuple(signature))
            path.disable_compile()


#: What was compiled of a user's forces, by what they are and not by the object: a function that was changed is another
#: one, and the copies that reach a worker are the same.
_OWN: dict[Any, Any] = {}
_MOST_OWN = 64


def own_rows(functions: tuple[tuple[int, Callable[..., Any], bool, int], ...]) -> Any:
    """One compiled function that adds any of a user's forces to a row of trajectories.

    Raises
    ------
    PlanError
        If numba cannot compile one of them.
    """
    key = tuple((number, _identity(function), *rest) for number, function, *rest in functions)
    with _LOCK:
        if key not in _OWN:
            if len(_OWN) >= _MOST_OWN:
                _OWN.pop(next(iter(_OWN)))
            _OWN[key] = _compiled_rows(functions)
        return _OWN[key]


def _identity(function: Callable[..., Any]) -> Any:
    """Digest of a function, or the function itself where there is none."""
    try:
        return identity(function)[1]
    except PlanError:
        return function


def _compiled_rows(functions: tuple[tuple[int, Callable[..., Any], bool, int], ...]) -> Any:
    @numba.njit
    def rows(kind: Any, total: Any, x: Any, other: Any, p: Any) -> None:
        pass

    for number, function, pair, n_parameters in functions:
        try:
            rows = _chain(number, _jit(function), pair, n_parameters, rows)
            rows.compile(USER_FORCE.args)
        except Exception as error:  # numba's errors are of many kinds, not all of them its own
            raise compile_error(function, error) from None
    return numba.njit(USER_FORCE, nogil=True)(rows.py_func)


def _jit(function: Callable[..., Any]) -> Any:
    # Inlined into the loop over trajectories, which otherwise is not vectorised.
    plain = plain_function(function)
    return numba.njit(error_model="numpy", forceinline=True)(plain)


def _chain(number: int, function: Any, pair: bool, n_parameters: int, rest: Any) -> Any:
    """A function for rows of this kind, which hands rows of other kinds on."""
    if pair:

        def rows(kind: Any, total: Any, x: Any, other: Any, p: Any) -> None:
            if kind == number:
                parameters = p[:n_parameters]
                for b in range(total.shape[0]):
                    total[b] += function(x[b], other[b], parameters)
            else:
                rest(kind, total, x, other, p)

    else:

        def rows(kind: Any, total: Any, x: Any, other: Any, p: Any) -> None:
            if kind == number:
                parameters = p[:n_parameters]
                for b in range(total.shape[0]):
                    total[b] += function(x[b], parameters)
            else:
                rest(kind, total, x, other, p)

    return numba.njit(error_model="numpy")(rows)
