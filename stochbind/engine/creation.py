"""How a store comes into being: whole, under another name, and then in place."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import warnings
from pathlib import Path

import zarr

from stochbind.engine.disk import flush, flush_tree
from stochbind.engine.plan import Plan
from stochbind.engine.structure import Layout, write_structure
from stochbind.errors import StoreError, StoreLockedError

#: Filters of warnings belong to the process, not to a thread.
_WARNINGS = threading.Lock()


def create(path: Path, plan: Plan) -> None:
    """Make an empty store for a plan; it appears whole or not at all.

    Raises
    ------
    StoreError
        If something else is in the way, or the disk has no room.
    """
    if os.path.lexists(path):
        raise StoreError(f"{path}: exists already; choose another path, or remove it.")
    parent = next(folder for folder in path.absolute().parents if os.path.exists(folder))
    free = shutil.disk_usage(parent).free
    if plan.n_bytes > free:
        raise StoreError(
            f"{path}: needs up to {plan.n_bytes / 1e9:.3g} GB, but {free / 1e9:.3g} GB are free there; use fewer "
            "trajectories, a larger save_every, or another disk."
        )
    for left in parent.glob(f".{path.name}.*.draft"):  # of runs that were killed while they made their store
        if not os.path.exists(f"/proc/{left.suffixes[-2][1:]}") and os.path.exists("/proc"):
            shutil.rmtree(left, ignore_errors=True)
    draft = parent / f".{path.name}.{os.getpid()}.draft"
    try:
        shutil.rmtree(draft, ignore_errors=True)
        group = zarr.create_group(draft, zarr_format=3)
        write_structure(group, plan, Layout.of(plan))
        with (
            _WARNINGS,
            warnings.catch_warnings(),
        ):  # Zarr v3 has no standard for this yet, but every reader looks for it
            warnings.simplefilter("ignore")
            zarr.consolidate_metadata(draft)
        flush_tree(draft)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.rename(draft, path)
        flush(path.parent)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise StoreLockedError(f"{path}: another run has just begun there; wait for it to end.") from None
        raise StoreError(f"{path}: cannot be written: {error.strerror or error}.") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
