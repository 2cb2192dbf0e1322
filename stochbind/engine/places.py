"""Places of stores: what is at a path or a URL, and folders of this machine."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import stat
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent import futures
from pathlib import Path
from typing import Any

import zarr
import zarr.storage
from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype

from stochbind.engine import locks
from stochbind.engine.abstract_place import LOCKS, Content, fill, reason, require_key
from stochbind.engine.abstract_place import Place as Place
from stochbind.errors import PlanError, StoreDamagedError, StoreError, StoreLockedError

#: End of the names of files that are not in place yet; zarr's own end so, too.
PARTIAL = ".partial"
#: No zarr.json is nearly so large [byte].
_LARGEST_JSON = 2**28
#: Files that are written side by side.
_WRITERS = 4
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.:\-]*://")


def place(path_or_url: str | Path) -> Place:
    """The place at a path or a URL.

    Parameters
    ----------
    path_or_url : str or Path
        A folder, as a path or as ``file://`` and an absolute path; or a URL of any other protocol of fsspec, such as
        ``s3://bucket/run.zarr`` or ``memory://run.zarr``.

    Raises
    ------
    StoreError
        If no path can be so, or the package that the protocol needs is not there.
    """
    text = os.fspath(path_or_url)
    if "\0" in text:
        raise PlanError(f"{text!r}: is no path, as it holds a zero byte; choose another one.")
    if isinstance(path_or_url, Path) or not _URL.match(text):
        return LocalPlace(text)
    for protocol in ("file://", "local://"):
        if text.startswith(protocol):
            return LocalPlace(text.removeprefix(protocol))
    from stochbind.engine.remote_places import RemotePlace

    return RemotePlace(text)


class LocalPlace(Place):
    """A folder that the file systems of this machine know.

    Parameters
    ----------
    path : str or Path
        The folder.

    Attributes
    ----------
    path : Path
        The folder, as it was given.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._root = Path(os.path.abspath(path))  # for work: the program may go to another folder
        self._inside: set[str] = set()

    def __str__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"LocalPlace({str(self)!r})"

    @property
    def address(self) -> str:
        """The path from the root of the file system on."""
        return str(self._root.resolve())

    def file(self, key: str) -> Path:
        """Where a file or a folder is; nowhere but in the store, whatever a store says that was made by others.

        Parameters
        ----------
        key : str
            Its key.

        Raises
        ------
        StoreDamagedError
            If the key, or a symbolic link on the way, leads out of the store.
        """
        require_key(self, key)
        file = self._root / key
        folder = str(file.parent) if key else str(file)
        if folder not in self._inside:
            self._require_inside(folder, key)
            if os.path.isdir(folder):
                self._inside.add(folder)
        if os.path.islink(file) and key:
            self._require_inside(str(file), key)
        return file

    def _require_inside(self, file: str, key: str) -> None:
        root, found = os.path.realpath(self._root), os.path.realpath(file)
        if found != root and not found.startswith(os.path.join(root, "")):
            raise StoreDamagedError(
                f"{self}: {key} is, or is behind, a symbolic link out of the store; put in its place what it leads to."
            )

    def child(self, name: str) -> LocalPlace:
        """The folder below."""
        return LocalPlace(self.file(name))

    def zarr_store(self, *, read_only: bool = False) -> zarr.storage.LocalStore:
        """The same files for `zarr.open_group`."""
        return _GuardedStore(self._root, read_only=read_only)

    def exists(self) -> bool:
        """Whether anything is here."""
        return os.path.exists(self._root)

    def writable(self) -> bool:
        """Whether one may write here, or make it."""
        return os.access(_nearest(self._root), os.W_OK)

    def free_bytes(self) -> int | None:
        """Room on this disk for this user [byte]."""
        with contextlib.suppress(OSError):
            return shutil.disk_usage(_nearest(self._root)).free
        return None

    def attributes(self) -> dict[str, Any]:
        """What stochbind wrote into the zarr.json of the root."""
        if self._root.exists() and not self._root.is_dir():
            raise StoreError(f"{self}: is not a stochbind store, but a file; choose another path.")
        return super().attributes()

    def read(self, key: str) -> bytes | None:
        """Content of a file; None if there is none."""
        try:
            return _read_regular(self.file(key))
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None
        except ValueError as error:
            raise StoreDamagedError(f"{self}: its {key} is damaged: {error}.") from None
        except OSError as error:
            raise StoreError(f"{self}: its {key} cannot be read: {reason(error)}.") from None

    def write(self, key: str, data: Content) -> None:
        """Put one file in place by renaming, and flush it with its folder."""
        self._put([(key, data)], None)

    def write_all(self, files: Mapping[str, Content] | Iterable[tuple[str, Content]]) -> None:
        """Put files in place by renaming, and flush them with their folders.

        They are flushed side by side, which a disk does in little more than the time of one of them.
        """
        items = files.items() if isinstance(files, Mapping) else files
        with futures.ThreadPoolExecutor(_WRITERS) as pool:
            self._put(items, pool)

    def _put(self, items: Iterable[tuple[str, Content]], pool: futures.Executor | None) -> None:
        drafts: dict[Path, Path] = {}
        folders: set[Path] = set()
        jobs: list[futures.Future[None]] = []
        with self.writing():
            try:
                for key, data in items:
                    file = self.file(key)
                    drafts[file] = file.with_name(f"{file.name}.{uuid.uuid4().hex}{PARTIAL}")
                    folders |= self._make_folder(file.parent)
                    if pool is None:
                        _write_flushed(drafts[file], data)
                    else:
                        jobs.append(pool.submit(_write_flushed, drafts[file], data))
                for job in jobs:
                    job.result()
                for file, draft in list(drafts.items()):
                    os.replace(draft, file)
                    del drafts[file]
                _flush_all(folders)
            finally:
                futures.wait(jobs)
                for draft in drafts.values():
                    with contextlib.suppress(OSError):
                        draft.unlink(missing_ok=True)

    def _make_folder(self, folder: Path) -> set[Path]:
        """Make a folder below the store, and return it with those above it that have a new entry.

        A store that somebody has removed is not begun anew.
        """
        changed = {folder}
        if not folder.is_dir():
            if not self._root.is_dir():
                raise StoreError(f"{self}: cannot be written: it was removed or moved while it was written to.")
            changed |= {above for above in folder.parents if above.is_relative_to(self._root)}
            folder.mkdir(parents=True, exist_ok=True)
        return changed

    def _folders(self, keys: Iterable[str]) -> set[Path]:
        """Folders of files up to the store itself, as any of them may be new."""
        return {above for key in keys for above in self.file(key).parents if above.is_relative_to(self._root)}

    def delete(self, keys: Iterable[str]) -> None:
        """Remove files, and flush their folders."""
        keys = list(keys)
        with self.writing():
            for key in keys:
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    os.unlink(self.file(key))
            _flush_all({self.file(key).parent for key in keys})

    def keys(self, prefix: str = "") -> list[str]:
        """All files below a folder, in alphabetical order; not those that are not in place yet."""
        found = [
            os.path.relpath(os.path.join(folder, name), self._root).replace(os.sep, "/")
            for folder, _, names in os.walk(self.file(prefix))
            for name in names
            if not name.endswith(PARTIAL)
        ]
        return sorted(found)

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Those of these files that are absent or empty, in the order given."""
        return [key for key in keys if not _has_content(self.file(key))]

    def flush(self, keys: Iterable[str]) -> None:
        """Flush files and their folders to the disk, each once."""
        keys = list(dict.fromkeys(keys))
        with self.writing():
            for key in keys:
                locks.flush(self.file(key))
            _flush_all(self._folders(keys))

    def sweep(self) -> None:
        """Remove what killed writers left; only while holding the lock alone."""
        for folder, _, names in os.walk(self._root):
            for name in names:
                if name.endswith(PARTIAL):
                    with contextlib.suppress(OSError):
                        os.unlink(os.path.join(folder, name))

    def create(self, write: Callable[[zarr.Group], None]) -> None:
        """Make the store under another name, flush it, and put it in place."""
        path = self._root
        if os.path.lexists(path):
            raise StoreError(f"{self}: exists already; choose another path, or remove it.")
        parent = _nearest(path.absolute().parent)
        _remove_left_drafts(parent, path.name)
        draft = parent / f".{path.name}.{_host()}.{os.getpid()}.{uuid.uuid4().hex[:8]}.draft"
        try:
            with self.writing():
                fill(zarr.storage.LocalStore(draft), write)
                locks.flush_tree(draft)
                path.parent.mkdir(parents=True, exist_ok=True)
                try:
                    os.rename(draft, path)
                except OSError:
                    if os.path.isdir(path):
                        raise StoreLockedError(
                            f"{self}: another run has just begun there; wait for it to end."
                        ) from None
                    raise
                _flush_all(above for above in path.absolute().parents if above.is_relative_to(parent))
        finally:
            _remove_draft(draft)

    @contextlib.contextmanager
    def lock(self, part: tuple[int, int] | None = None) -> Iterator[None]:
        """Hold the store for writing; the kernel frees the lock when the process ends, however it ends."""
        if not self.writable():
            raise StoreError(f"{self}: cannot be written to; copy it to a place of your own to continue it.")
        with self.writing():
            folder = self.file(f"{LOCKS}/{locks.part_name(part)}").parent
            self._make_folder(folder)
            held = locks.acquire(str(self), folder, part)
        try:
            yield
        finally:
            locks.release(held)


class _GuardedStore(zarr.storage.LocalStore):
    """What Zarr reads: nothing out of the store, and regular files alone."""

    _place: LocalPlace | None = None

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Content of a file; None if there is none."""
        return await super().get(key, prototype, byte_range) if self._is_here(key) else None

    def get_sync(
        self, key: str, *, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Content of a file; None if there is none."""
        return super().get_sync(key, prototype=prototype, byte_range=byte_range) if self._is_here(key) else None

    def _is_here(self, key: str) -> bool:
        if self._place is None:
            self._place = LocalPlace(self.root)
        return self._place.file(key).is_file()


def _read_regular(file: Path) -> bytes | None:
    """Content of a file; None if it is a device or a pipe, which may have no end."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        return None
    with os.fdopen(descriptor, "rb") as stream:
        if file.suffix == ".json" and status.st_size > _LARGEST_JSON:
            raise ValueError(f"it has {status.st_size} bytes")
        return stream.read()


def _nearest(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    path = path.absolute()
    return next((folder for folder in (path, *path.parents) if os.path.exists(folder)), path)


def _write_flushed(file: Path, data: Content) -> None:
    """Write a file that is not there yet, and flush it."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        for piece in data if isinstance(data, tuple) else (data,):
            view = memoryview(piece).cast("B")
            while view:
                view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_all(folders: Iterable[Path]) -> None:
    """Flush folders, as far as one may."""
    for folder in folders:
        with contextlib.suppress(FileNotFoundError, PermissionError):
            locks.flush(folder)


def _has_content(file: Path) -> bool:
    try:
        status = os.stat(file)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size > 0


def _host() -> str:
    """Name of this machine, fit for the name of a file."""
    return re.sub(r"[^A-Za-z0-9\-]", "-", socket.gethostname())[:64]


def _remove_draft(draft: Path) -> None:
    """Remove a draft; where a chunk failed, Zarr's threads may still be writing others into it."""
    for _ in range(100):
        shutil.rmtree(draft, ignore_errors=True)
        if not os.path.lexists(draft):
            return
        time.sleep(0.01)


def _remove_left_drafts(parent: Path, name: str) -> None:
    """Remove what runs of this machine left that were killed while they made a store."""
    pattern = re.compile(rf"\.{re.escape(name)}\.{re.escape(_host())}\.(\d+)\.\w+\.draft")
    with contextlib.suppress(OSError):
        for entry in os.listdir(parent):
            match = pattern.fullmatch(entry)
            if match and not locks.alive(int(match[1])):
                shutil.rmtree(parent / entry, ignore_errors=True)
