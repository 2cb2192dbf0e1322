"""Where a store lives: a folder of this machine, or a URL of an object store. It knows bytes, and nothing of runs.

A file is named by its key, the path below the store with ``/`` between names: ``position/c.0.0.0.0``. Files appear
whole or not at all, and stay after a loss of power once they are flushed.
"""

from __future__ import annotations

import contextlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import zarr
import zarr.abc.store
import zarr.storage

from stochbind.checks import without_warnings
from stochbind.errors import StoreDamagedError, StoreError

#: What a file can be made of: anything that shows its bytes in one piece.
Bytes = bytes | bytearray | memoryview
#: Content of a file: in one piece, or in several that follow each other.
Content = Bytes | tuple[Bytes, ...]
#: An array that is never written; in its folder Zarr looks for nothing, so that is where the locks are.
LOCKS = "engine/lock"


class Place(ABC):
    """Where a store lives. Messages name it as the user did."""

    @property
    @abstractmethod
    def address(self) -> str:
        """What `place` finds it by in another process of another folder."""

    @property
    def shared(self) -> bool:
        """Whether other processes see it."""
        return True

    @abstractmethod
    def child(self, name: str) -> Place:
        """The place below this one."""

    @abstractmethod
    def zarr_store(self, *, read_only: bool = False) -> zarr.abc.store.Store:
        """The same files for `zarr.open_group`."""

    @abstractmethod
    def exists(self) -> bool:
        """Whether anything is here."""

    @abstractmethod
    def writable(self) -> bool:
        """Whether one may write here, as far as can be told without trying."""

    @abstractmethod
    def free_bytes(self) -> int | None:
        """Room that is left [byte], or None where nobody can tell."""

    @abstractmethod
    def read(self, key: str) -> bytes | None:
        """Content of a file; None if there is none."""

    @abstractmethod
    def write_all(self, files: Mapping[str, Content] | Iterable[tuple[str, Content]]) -> None:
        """Put files in place, each of them whole, and flush them all.

        They come in no order; what must come after others is written by a later call. While one of them is flushed, an
        iterator may make the next one.

        Raises
        ------
        StoreError
            If the disk is full, or anything else refuses; the reason is named, and no file is half written.
        """

    def write(self, key: str, data: Content) -> None:
        """Put one file in place, as `write_all` does."""
        self.write_all({key: data})

    @abstractmethod
    def delete(self, keys: Iterable[str]) -> None:
        """Remove files, for good; those that are not there are fine."""

    @abstractmethod
    def keys(self, prefix: str = "") -> list[str]:
        """All files below a folder, in alphabetical order; not those that are not in place yet."""

    @abstractmethod
    def missing(self, keys: Iterable[str]) -> list[str]:
        """Those of these files that are absent or empty, in the order given."""

    @abstractmethod
    def flush(self, keys: Iterable[str]) -> None:
        """Make files stay that were written by others than `write`: each file and each folder once."""

    @abstractmethod
    def sweep(self) -> None:
        """Remove what killed writers left; only while holding the lock alone."""

    @abstractmethod
    def create(self, write: Callable[[zarr.Group], None]) -> None:
        """Make a store that appears whole or not at all, with consolidated metadata.

        Parameters
        ----------
        write : callable
            Fills the root group.

        Raises
        ------
        StoreError
            If something else is here, or it cannot be written.
        StoreLockedError
            If another run has made a store here in the same moment.
        """

    @abstractmethod
    def lock(self, part: tuple[int, int] | None = None) -> AbstractContextManager[None]:
        """Hold the store for writing: alone, or with those who write its other parts.

        However a holder ends, nobody has to unlock anything.

        Parameters
        ----------
        part : (int, int), optional
            Which part of how many: ``(2, 8)``.

        Raises
        ------
        StoreLockedError
            If another run holds it; the message says which.
        StoreError
            If one may not write here.
        """

    def attributes(self) -> dict[str, Any]:
        """What stochbind wrote into the zarr.json of the root; read without zarr, which says less about what is wrong.

        Raises
        ------
        StoreError
            If there is no store here, or it cannot be read.
        StoreDamagedError
            If the file is damaged.
        """
        if not self.exists():
            raise StoreError(f"{self}: there is no such store.")
        text = self.read("zarr.json")
        if text is None:
            raise StoreError(
                f"{self}: is not a stochbind store, or only half copied: it holds no zarr.json; choose another path."
            )
        try:
            data = json.loads(text.decode())
        except UnicodeDecodeError:
            raise StoreDamagedError(f"{self}: its zarr.json is damaged (no text); copy it again.") from None
        except (ValueError, RecursionError) as error:
            raise StoreDamagedError(f"{self}: its zarr.json is damaged ({cause(error)}); copy it again.") from None
        for key in ("attributes", "stochbind"):
            data = data.get(key) if isinstance(data, dict) else None
        if not isinstance(data, dict):
            raise StoreError(f"{self}: is not a stochbind store, but other data; choose another path.")
        return data

    @contextlib.contextmanager
    def writing(self, then: str = "") -> Iterator[None]:
        """Tell in one sentence why something cannot be written: disk full, quota, read-only.

        Parameters
        ----------
        then : str
            What to do now, to be added to the sentence: ``"; start the same run again to continue"``.
        """
        try:
            yield
        except OSError as error:
            raise StoreError(f"{self}: cannot be written: {reason(error)}{then}.") from None


def require_key(place: Place, key: str) -> None:
    """Raise `StoreDamagedError` if a key, which a damaged or hostile store may hold, is none of a file in a store."""
    if key.startswith("/") or ".." in key.split("/") or "\0" in key:
        raise StoreDamagedError(f"{place}: names a file {key!r}, which is not in the store; do not use it.")


def fill(store: zarr.abc.store.Store, write: Callable[[zarr.Group], None]) -> None:
    """Make the root group of a store that holds nothing yet, let `write` fill it, and consolidate its metadata."""
    group = zarr.create_group(store, zarr_format=3)
    group.create_array(
        LOCKS, shape=(1,), dtype="uint8", dimension_names=("holder",),
        attributes={"long_name": "holds nothing; in its folder are the locks of the runs that write"},
    )  # fmt: skip
    write(group)
    consolidate(store)


def consolidate(store: zarr.abc.store.Store) -> None:
    """Copy the metadata of all arrays into the zarr.json of the root."""
    with without_warnings():  # Zarr v3 has no standard for this yet, but every reader looks for it
        zarr.consolidate_metadata(store)


def cause(error: Exception) -> str:
    """First sentence of an error of another library."""
    if isinstance(error, (KeyError, json.JSONDecodeError)):
        return f"{type(error).__name__}: {error}"
    return str(error).splitlines()[0].split(". ")[0][:200] if str(error) else type(error).__name__


def reason(error: OSError) -> str:
    """What the operating system says."""
    return error.strerror or cause(error)
