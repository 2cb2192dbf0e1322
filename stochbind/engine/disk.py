"""Small things on disk: flushing, looking, and reading a store's own attributes with plain words for what is wrong."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stochbind.errors import StoreDamagedError, StoreError, StoreLockedError


def own_attributes(path: Path) -> dict[str, Any]:
    """What stochbind wrote into the zarr.json of a store; read without zarr, which says less about what is wrong."""
    if not os.path.exists(path):
        raise StoreError(f"{path}: there is no such store.")
    if not path.is_dir():
        raise StoreError(f"{path}: is not a stochbind store, but a file; choose another path.")
    try:
        text = (path / "zarr.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        raise StoreError(
            f"{path}: is not a stochbind store, or only half copied: it holds no zarr.json; choose another path."
        ) from None
    except OSError as error:
        raise StoreError(f"{path}: its zarr.json cannot be read: {error.strerror or error}.") from None
    except UnicodeDecodeError:
        raise StoreDamagedError(f"{path}: its zarr.json is damaged (no text); copy it again.") from None
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StoreDamagedError(f"{path}: its zarr.json is damaged ({cause(error)}); copy it again.") from None
    for key in ("attributes", "stochbind"):
        data = data.get(key) if isinstance(data, dict) else None
    if not isinstance(data, dict):
        raise StoreError(f"{path}: is not a stochbind store, but other data; choose another path.")
    return data


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a store for writing; the kernel frees the lock when the process ends, however it ends."""
    if not os.access(path, os.W_OK):
        raise StoreError(f"{path}: cannot be written to; copy it to a place of your own to continue it.")
    with (path / "zarr.json").open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise StoreLockedError(f"{path}: another run is writing to it; wait for it to end.") from None
            # Some network file systems have no locks. Work goes on: units are idempotent, written by renaming.
        yield


def flush(path: Path) -> None:
    """Flush a file or a directory to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:  # some file systems cannot flush directories
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def flush_tree(root: Path) -> None:
    """Flush all files and directories below one."""
    for directory, _, files in os.walk(root):
        for name in files:
            flush(Path(directory) / name)
        flush(Path(directory))


def has_content(file: Path) -> bool:
    """Whether this is a file, and not empty."""
    try:
        status = file.stat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size > 0


def cause(error: Exception) -> str:
    """First sentence of an error of another library."""
    if isinstance(error, (KeyError, json.JSONDecodeError)):
        return f"{type(error).__name__}: {error}"
    return str(error).splitlines()[0].split(". ")[0][:200] if str(error) else type(error).__name__
