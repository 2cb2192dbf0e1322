"""The loops of forces on dipoles, compiled when they are first needed."""

from __future__ import annotations

import functools
import inspect
import threading
from typing import Any

import numba
from numba.extending import register_jitable

from stochbind import elementary
from stochbind.compiling import compiled
from stochbind.fields import dipole_lanes, dipole_loops, dipole_pairs

_LOCK = threading.Lock()


def light_forces(displacement: Any, table: Any, out: Any) -> None:
    """`stochbind.fields.dipole_loops.light_forces`, compiled when first called."""
    with _LOCK:
        function = _light_forces()
    function(displacement, table, out)


@functools.cache
def _light_forces() -> Any:
    register_jitable(forceinline=True)(elementary.cos_sin)
    register_jitable(forceinline=True)(elementary.decay)
    for module in (dipole_lanes, dipole_pairs):
        for function in _functions(module):
            # Inlined where more is known of the rows: without, their loops are not vectorised.
            register_jitable(forceinline=True)(function)
    for function in _functions(dipole_loops):
        register_jitable(function)
    fixed: Any = functools.partial(numba.types.Array, numba.float64, layout="C")
    signature = numba.void(fixed(2, readonly=True), fixed(1, readonly=True), fixed(2))
    return compiled(dipole_loops.light_forces, signature)


def _functions(module: Any) -> list[Any]:
    """Functions that a module defines."""
    return [
        value for value in vars(module).values() if inspect.isfunction(value) and value.__module__ == module.__name__
    ]
