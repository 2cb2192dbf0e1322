"""A store at a URL of fsspec: an object store such as S3, or memory.

Objects appear whole by themselves, there are no folders, and nothing needs flushing. There are no locks either. In
their place each run that writes keeps an object of its own, its lease, and renews it every few seconds. Whoever wants
to write looks for the leases of others, and watches those that it finds, by its own clock alone: one that is renewed
belongs to a run that lives, one that is not renewed for a minute to a run that ended. Nobody compares the clocks of two
machines. A lease is a courtesy: two runs that write at once waste time, but harm nothing, as units of work are
idempotent.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import fsspec.core  # type: ignore[import-untyped]
import zarr
import zarr.storage
from zarr.core.buffer import Buffer

from stochbind.engine import locks
from stochbind.engine.abstract_place import LOCKS, Content, Place, cause, fill, require_key
from stochbind.errors import StochbindError, StoreError, StoreLockedError

#: Seconds between two renewals of a lease, and after which one that is not renewed counts as left behind.
RENEWAL, LEFT_AFTER = 10.0, 60.0
#: Seconds between two looks at the leases of others; on average, so that two runs do not look in step.
_LOOK = 1.0
#: An object that is there while a store is being made.
_DRAFT = f"{LOCKS}/draft"
#: From this many objects of a folder on, it is listed rather than asked for each.
_MANY = 16
#: Leases of this process.
_MINE: set[str] = set()


class RemotePlace(Place):
    """A store at a URL.

    Parameters
    ----------
    url : str
        Such as ``s3://bucket/run.zarr``. Credentials and the like are found as fsspec finds them: in the environment
        and in its configuration files.

    Raises
    ------
    StoreError
        If the protocol is not known, or needs a package that is not there.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            self._files, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        except ImportError as error:
            raise StoreError(f"{url}: needs a package that is not installed ({cause(error)}).") from None
        except ValueError as error:
            raise StoreError(f"{url}: cannot be used: {cause(error)}; choose another URL.") from None
        self._root = root.rstrip("/")

    def __str__(self) -> str:
        return self.url

    def __repr__(self) -> str:
        return f"RemotePlace({self.url!r})"

    def __reduce__(self) -> tuple[type[RemotePlace], tuple[str]]:
        return RemotePlace, (self.url,)

    @property
    def address(self) -> str:
        """The URL."""
        return self.url

    @property
    def shared(self) -> bool:
        """Whether other processes see it; they do not see memory."""
        return not self.url.startswith("memory://")

    def child(self, name: str) -> RemotePlace:
        """The place below this one."""
        return RemotePlace(f"{self.url.rstrip('/')}/{name}")

    def zarr_store(self, *, read_only: bool = False) -> zarr.storage.FsspecStore:
        """The same objects for `zarr.open_group`."""
        return zarr.storage.FsspecStore.from_url(self.url, read_only=read_only)

    def exists(self) -> bool:
        """Whether anything is here; what a killed run left of a store that it made does not count."""
        with self._reading(""):
            self._files.invalidate_cache()
            try:
                names = {str(name).rstrip("/").rpartition("/")[2] for name in self._files.ls(self._root, detail=False)}
            except FileNotFoundError:
                return False
        return "zarr.json" in names or (bool(names - {"engine"}) and self.read(_DRAFT) is None)

    def writable(self) -> bool:
        """Whether one may write here; only trying tells."""
        return True

    def free_bytes(self) -> int | None:
        """Nobody can tell."""
        return None

    def read(self, key: str) -> bytes | None:
        """Content of an object; None if there is none."""
        with self._reading(key):
            try:
                return bytes(self._files.cat_file(self._path(key)))
            except (FileNotFoundError, IsADirectoryError):
                return None

    def write_all(self, files: Mapping[str, Content] | Iterable[tuple[str, Content]]) -> None:
        """Put objects in place, each of them whole."""
        with self.writing():
            for key, data in files.items() if isinstance(files, Mapping) else files:
                whole = b"".join(data) if isinstance(data, tuple) else bytes(data)
                self._files.pipe_file(self._path(key), whole)

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; those that are not there are fine."""
        with self.writing():
            for key in keys:
                with contextlib.suppress(FileNotFoundError):
                    self._files.rm_file(self._path(key))

    def keys(self, prefix: str = "") -> list[str]:
        """All objects below a folder, in alphabetical order."""
        return sorted(self._sizes(prefix))

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Those of these objects that are absent or empty, in the order given."""
        keys = list(keys)
        folders: dict[str, list[str]] = {}
        for key in keys:
            folders.setdefault(key.rpartition("/")[0], []).append(key)
        there: set[str] = set()
        for folder, names in folders.items():
            if len(names) < _MANY:
                there.update(name for name in names if self.read(name))
            else:
                there.update(key for key, size in self._sizes(folder).items() if size)
        return [key for key in keys if key not in there]

    def flush(self, keys: Iterable[str]) -> None:
        """Nothing to do: an object that is there stays."""

    def sweep(self) -> None:
        """Nothing to do: an object is there or not."""

    def create(self, write: Callable[[zarr.Group], None]) -> None:
        """Make the store in memory and copy it, the zarr.json of its root last."""
        if self.exists():
            raise StoreError(f"{self}: exists already; choose another path, or remove it.")
        objects: dict[str, Buffer] = {}
        fill(zarr.storage.MemoryStore(objects), write)
        with self.lock():
            if self.exists():
                raise StoreLockedError(f"{self}: another run has just begun there; wait for it to end.")
            self.write(_DRAFT, b"its root comes last")
            self.delete([key for key in self.keys() if not key.startswith(f"{LOCKS}/")])  # of a run that was killed
            root = objects.pop("zarr.json")
            self.write_all({key: content.to_bytes() for key, content in objects.items()})
            self.write("zarr.json", root.to_bytes())
            self.delete([_DRAFT])

    @contextlib.contextmanager
    def lock(self, part: tuple[int, int] | None = None) -> Iterator[None]:
        """Keep a lease, renewed by a thread; one that is left behind counts for a minute."""
        lease = f"{LOCKS}/{locks.part_name(part)}.{uuid.uuid4().hex}"
        data = locks.holder()
        _MINE.add(lease)
        try:
            self._acquire(lease, data, part)
            done = threading.Event()
            keeper = threading.Thread(target=self._renew, args=(lease, data, done), daemon=True)
            keeper.start()
            try:
                yield
            finally:
                done.set()
                keeper.join()
                with contextlib.suppress(StoreError):
                    self.delete([lease])
        finally:
            _MINE.discard(lease)

    def _acquire(self, lease: str, data: dict[str, Any], part: tuple[int, int] | None) -> None:
        """Write a lease, once no other one that counts is there."""
        while True:
            self.write(lease, json.dumps(data).encode())
            others = self._others(lease, part)
            if not others:
                return
            self.delete([lease])
            self._wait_for(others, part)

    def _others(self, lease: str, part: tuple[int, int] | None) -> dict[str, bytes]:
        """Leases of others that exclude this one, with their contents."""
        excluding = (r"all|\d+-of-\d+") if part is None else f"all|{locks.part_name(part)}"
        pattern = re.compile(rf"{LOCKS}/({excluding})\.[0-9a-f]+")
        found = {key: self.read(key) for key in self.keys(LOCKS) if key != lease and pattern.fullmatch(key)}
        return {key: content for key, content in found.items() if content is not None}

    def _wait_for(self, others: dict[str, bytes], part: tuple[int, int] | None) -> None:
        """Return when these leases have gone or are left behind; refuse when one of them is renewed."""
        start = time.monotonic()
        while others:
            for key, content in list(others.items()):
                now = self.read(key)
                if key in _MINE or now not in (None, content):
                    same = None if key.startswith(f"{LOCKS}/all.") else part
                    raise StoreLockedError(locks.refusal(str(self), [locks.read_holder(content)], same))
                if now is None or time.monotonic() - start > LEFT_AFTER:
                    self.delete([key])
                    del others[key]
            time.sleep(random.uniform(0.5, 1.5) * _LOOK)

    def _renew(self, lease: str, data: dict[str, Any], done: threading.Event) -> None:
        """Write the lease again and again, each time with another content."""
        renewal = 0
        while not done.wait(RENEWAL):
            renewal += 1
            with contextlib.suppress(StoreError):  # the network may be gone for a while
                self.write(lease, json.dumps({**data, "renewal": renewal}).encode())

    def _path(self, key: str) -> str:
        require_key(self, key)
        return f"{self._root}/{key}"

    def _sizes(self, prefix: str) -> dict[str, int]:
        """Sizes of all objects below a folder [byte]."""
        with self._reading(prefix):
            self._files.invalidate_cache()
            found = self._files.find(self._path(prefix).rstrip("/"), detail=True)
            start = len(self._root) + 1
            return {path[start:]: int(info["size"] or 0) for path, info in found.items() if len(path) > start}

    @contextlib.contextmanager
    def _reading(self, key: str) -> Iterator[None]:
        """Tell in one sentence why something cannot be read; errors of object stores are of many kinds."""
        try:
            yield
        except StochbindError:
            raise
        except Exception as error:
            what = f"its {key}" if key else "it"
            raise StoreError(f"{self}: {what} cannot be read: {cause(error)}.") from None

    @contextlib.contextmanager
    def writing(self, then: str = "") -> Iterator[None]:
        """Tell in one sentence why something cannot be written; errors of object stores are of many kinds."""
        try:
            yield
        except StochbindError:
            raise
        except Exception as error:
            raise StoreError(f"{self}: cannot be written: {cause(error)}{then}.") from None
