"""How the inner loops are compiled, and where the result is kept.

``error_model="numpy"``: without it, any division keeps a loop from being vectorised. There is no fastmath, so that the
bits are the same on every processor.

What is compiled is kept on disk in a folder of its own for each state of the sources: numba looks at the file of a
function only, and not at those of the functions it calls.
"""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path
from typing import Any

import numba

_PACKAGE = Path(__file__).parent
_SOURCES = (
    *("elementary.py", "compiling.py", "fields", "optics/waves/lasers.py"),
    *("engine/noise.py", "engine/kernels.py", "engine/paths.py", "engine/reducers"),
    *("engine/bath_tables.py", "engine/bath_paths.py"),
)


@functools.cache
def cache_folder() -> Path | None:
    """Folder of what is compiled from these sources, or None if there is no place for it.

    It is below ``NUMBA_CACHE_DIR``, or else below the user's own cache folder.
    """
    digest = hashlib.blake2b(numba.__version__.encode(), digest_size=8)
    for name in _SOURCES:
        path = _PACKAGE / name
        for file in sorted(path.glob("*.py")) if path.is_dir() else [path]:
            digest.update(file.read_bytes())
    base = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        folder = Path(base).expanduser() / "stochbind" / digest.hexdigest()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # the latter where there is no home
        return None
    return folder if os.access(folder, os.W_OK) else None


def compiled(function: Any, signature: Any = None) -> Any:
    """Compile for a signature, or when first called, and keep the result on disk where there is a place for it."""
    folder = cache_folder()
    options: dict[str, Any] = {"error_model": "numpy", "nogil": True}
    if folder is None:
        return numba.njit(signature, **options)(function)
    config: Any = numba.config
    before = config.CACHE_DIR
    config.CACHE_DIR = str(folder)  # read when the function is decorated
    try:
        return numba.njit(signature, **options, cache=True)(function)
    finally:
        config.CACHE_DIR = before


#: Inlined before types are known; for scalar functions.
inline: Any = numba.njit(error_model="numpy", inline="always")
#: Inlined into the machine code of the caller, where more is known of its arrays: without, loops over several rows at
#: once are not vectorised.
forced_inline: Any = numba.njit(error_model="numpy", nogil=True, forceinline=True)
