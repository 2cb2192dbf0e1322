"""How the loops of forces on dipoles are compiled, and where the result is kept.

There is no fastmath, so that the bits are the same on every processor. What is compiled is kept on disk in a folder of
its own for each state of the sources: numba looks at the file of a function only, and not at those of the functions it
calls.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import os
import threading
from pathlib import Path
from typing import Any

import numba
from numba.extending import register_jitable

from stochbind import elementary
from stochbind.fields import dipole_lanes, dipole_loops, dipole_pairs

_LOCK = threading.Lock()
_PACKAGE = Path(__file__).parent.parent
#: What the compiled loops are made of.
_SOURCES = ("elementary.py", "fields/*.py", "optics/waves/lasers.py")


@functools.cache
def cache_folder() -> Path | None:
    """Folder of what is compiled from these sources, or None if there is no place for it.

    It is below ``NUMBA_CACHE_DIR``, or else below the user's own cache folder.
    """
    digest = hashlib.blake2b(numba.__version__.encode(), digest_size=8)
    for file in sorted(file for pattern in _SOURCES for file in _PACKAGE.glob(pattern)):
        digest.update(file.read_bytes())
    base = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        folder = Path(base).expanduser() / "stochbind" / digest.hexdigest()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # the latter where there is no home
        return None
    return folder if os.access(folder, os.W_OK) else None


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
    options: dict[str, Any] = {"error_model": "numpy", "nogil": True}
    folder = cache_folder()
    if folder is None:
        return numba.njit(signature, **options)(dipole_loops.light_forces)
    config: Any = numba.config
    before = config.CACHE_DIR
    config.CACHE_DIR = str(folder)  # read when the function is decorated
    try:
        return numba.njit(signature, **options, cache=True)(dipole_loops.light_forces)
    finally:
        config.CACHE_DIR = before


def _functions(module: Any) -> list[Any]:
    """Functions that a module defines."""
    return [
        value for value in vars(module).values() if inspect.isfunction(value) and value.__module__ == module.__name__
    ]
