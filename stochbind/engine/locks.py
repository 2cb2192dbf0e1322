"""Locks on a store in a folder: of a whole run, alone; or of the parts of a run, side by side.

The kernel's own locks on files (flock): they end with their holder, however it ends. In the folder of the locks,
``all`` is held by a whole run alone, or by all parts together; each part also holds a file of its own alone. A file
holds who has locked it, for messages only, and is removed by its last holder.

Some network file systems have no locks. There work goes on without: units of work are idempotent and are put in place
by renaming, so that two runs at once waste time, but harm nothing.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import fcntl
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from stochbind import checks
from stochbind.errors import PlanError, StoreLockedError

_ALL = "all"
#: Whoever looks whether a lock is held takes it for an instant; so one refusal is none.
_TRIALS, _PAUSE = 6, 0.05
#: A link in the place of a lock may lead anywhere; it is never followed.
_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW
#: What is written about a holder is shorter [byte].
_LONGEST_HOLDER = 4096
_HELD = (errno.EAGAIN, errno.EACCES)
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EBADF)
#: What cannot be flushed is on file systems that need no flushing, or cannot.
_NO_FLUSH = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)


def acquire(name: str, folder: Path, part: tuple[int, int] | None) -> list[tuple[Path, int]]:
    """Lock a store; give what is returned to `release`.

    Parameters
    ----------
    name : str
        Name of the store, for messages.
    folder : Path
        Folder of the locks.
    part : (int, int) or None
        Which part of how many, or the whole.

    Raises
    ------
    StoreLockedError
        If another run holds it.
    PlanError
        If there can be no such part.
    """
    file = folder / part_name(part)
    if part is None:
        descriptor = _lock(file, fcntl.LOCK_EX)
        if descriptor is None:
            raise StoreLockedError(refusal(name, _holders(folder)))
        for left in folder.glob("*-of-*"):  # by parts that were killed; none can be held now
            with contextlib.suppress(OSError):
                left.unlink()
        _write(descriptor, json.dumps(holder()).encode())
        return [(file, descriptor)]
    common = _lock(folder / _ALL, fcntl.LOCK_SH)
    if common is None:
        raise StoreLockedError(refusal(name, _holders(folder)))
    own = None
    try:
        own = _lock(file, fcntl.LOCK_EX)
    finally:
        if own is None:
            release([(folder / _ALL, common)])
    if own is None:
        raise StoreLockedError(refusal(name, [read_holder(_content(file))], part))
    _write(common, b"")  # a whole run that was killed may have left its name
    _write(own, json.dumps(holder()).encode())
    return [(file, own), (folder / _ALL, common)]


def release(held: list[tuple[Path, int]]) -> None:
    """Give up what `acquire` returned, and remove each file that nobody else holds."""
    for file, descriptor in held:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails if other parts hold it, too
            if _is_at(descriptor, file):
                os.unlink(file)
        os.close(descriptor)


def part_name(part: tuple[int, int] | None) -> str:
    """Name of the lock of a part, or of the whole."""
    if part is None:
        return _ALL
    index = checks.integer("part", part[0], minimum=1, error=PlanError)
    total = checks.integer("number of parts", part[1], minimum=1, error=PlanError)
    if index > total:
        raise PlanError(f"There is no part {index} of {total}; parts are counted from 1 to {total}.")
    return f"{index}-of-{total}"


def holder() -> dict[str, Any]:
    """Who holds a lock: this process."""
    since = datetime.datetime.now().astimezone().isoformat(" ", "minutes")
    return {"process": os.getpid(), "host": socket.gethostname(), "since": since}


def read_holder(content: bytes) -> dict[str, Any]:
    """What was written about a holder; empty if it cannot be read."""
    with contextlib.suppress(ValueError, RecursionError):
        data = json.loads(content)
        if isinstance(data, dict) and {"process", "host", "since"} <= set(data):
            return data
    return {}


def refusal(name: str, holders: list[dict[str, Any]], part: tuple[int, int] | None = None) -> str:
    """The sentence for a store that is held.

    Parameters
    ----------
    name : str
        Name of the store.
    holders : list of dict
        Who holds it, as far as is known.
    part : (int, int), optional
        The part that is held, if it is one.
    """
    known = next((data for data in holders if data), None)
    who = ""
    if known is not None:
        who = f" (process {known['process']} on {known['host']}, since {known['since']})"
    more = f", and {len(holders) - 1} more," if len(holders) > 1 else ""
    verb = "are" if more else "is"
    what = "it" if part is None else f"part {part[0]} of {part[1]} of it"
    return f"{name}: another run{who}{more} {verb} writing to {what}; wait for it to end."


def flush(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FLUSH:
            raise
    finally:
        os.close(descriptor)


def flush_tree(root: Path) -> None:
    """Flush all files and folders below one."""
    for folder, _, names in os.walk(root):
        for name in names:
            flush(Path(folder) / name)
        flush(Path(folder))


def alive(process: int) -> bool:
    """Whether a process of this machine is running."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _lock(file: Path, how: int) -> int | None:
    """A descriptor of a file that is locked; None if others hold it."""
    for trial in range(_TRIALS):
        if trial:
            time.sleep(_PAUSE)
        while True:
            descriptor = _opened(file)
            try:
                fcntl.flock(descriptor, how | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in _NO_LOCKS:
                    return descriptor
                os.close(descriptor)
                if error.errno not in _HELD:
                    raise
                break
            if _is_at(descriptor, file):
                return descriptor
            os.close(descriptor)  # its holder has removed it; a new one counts
    return None


def _opened(file: Path) -> int:
    """A descriptor of a file, new or not."""
    try:  # for writing: over NFS a file that is open for reading only cannot be locked alone
        return os.open(file, os.O_RDWR | os.O_CREAT | _FLAGS, 0o666)
    except PermissionError:  # left by a run of another user that was killed
        return os.open(file, os.O_RDONLY | _FLAGS)


def _is_at(descriptor: int, file: Path) -> bool:
    """Whether an open file is still the one with this name."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), os.lstat(file))
    return False


def _write(descriptor: int, content: bytes) -> None:
    with contextlib.suppress(OSError):  # the disk may be full; it is for messages only
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, content, 0)


def _content(file: Path) -> bytes:
    with contextlib.suppress(OSError):
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | _FLAGS)
        with os.fdopen(descriptor, "rb") as stream:
            return stream.read(_LONGEST_HOLDER) or b""
    return b""


def _holders(folder: Path) -> list[dict[str, Any]]:
    """Who holds the store: a whole run, or parts."""
    whole = read_holder(_content(folder / _ALL))
    if whole:
        return [whole]
    return [read_holder(_content(file)) for file in sorted(folder.glob("*-of-*")) if _is_held(file)] or [{}]


def _is_held(file: Path) -> bool:
    try:
        descriptor = os.open(file, os.O_RDWR | _FLAGS)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in _HELD
    finally:
        os.close(descriptor)
    return False
