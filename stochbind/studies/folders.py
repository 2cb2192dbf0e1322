"""The folder of a study: its sweep, and the files that are made of it."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stochbind.engine.places import PARTIAL, LocalPlace
from stochbind.engine.sweep_store import is_sweep
from stochbind.errors import PlanError, StoreError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Name of the store of the sweep.
SWEEP = "sweep.zarr"
#: What a figure can be written as, beside the picture in the report.
FORMATS = ("png", "pdf", "svg")
#: What makes the bytes of a figure depend on when it was drawn.
_UNDATED = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}


def checked(directory: str | Path) -> Path:
    """The folder of a study, new, empty, or with the sweep of a study in it; nothing is made.

    Raises
    ------
    PlanError
        If it is a URL, or has the name of a file or of a store.
    StoreError
        If it holds something else.
    """
    text = os.fspath(directory)
    if "://" in text or "\0" in text:
        raise PlanError(f"{text!r}: a study is written into a folder of this machine; give its path.")
    path = Path(text)
    if path.suffix in (".zarr", ".html", ".csv", ".toml", *(f".{name}" for name in FORMATS)):
        raise PlanError(
            f"{text}: must be the folder of a study, which holds {SWEEP}, table.csv, figure.png and report.html, and "
            f"not one of them; leave out {path.suffix!r}."
        )
    if path.exists() and not path.is_dir():
        raise StoreError(f"{text}: is a file; give a folder for the study.")
    if path.is_dir():
        found = sorted(name for name in os.listdir(path) if not name.startswith("."))
        if SWEEP in found:
            if not is_sweep(path / SWEEP):
                raise StoreError(f"{path / SWEEP}: holds one run, and not the sweep of a study; choose another folder.")
        elif found:
            raise StoreError(
                f"{text}: holds something else ({', '.join(found[:3])}{', ...' if len(found) > 3 else ''}), and no "
                "study; choose a new folder."
            )
    return path


def checked_formats(formats: Sequence[str]) -> tuple[str, ...]:
    """Formats of figures, each once; `PlanError` unless all are known."""
    for name in formats:
        if name not in FORMATS:
            raise PlanError(f"A figure is written as {', '.join(FORMATS[:-1])} or {FORMATS[-1]}, but not as {name!r}.")
    return tuple(dict.fromkeys(formats))


def write(directory: Path, name: str, content: str | bytes) -> None:
    """Put a file in place whole, or not at all; what killed writers left of it is removed.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    place = LocalPlace(directory)
    with place.writing():
        for left in directory.glob(f"{name}.*{PARTIAL}"):
            left.unlink(missing_ok=True)
    place.write(name, content.encode() if isinstance(content, str) else content)


def drawn(figure: Figure, kind: str) -> bytes:
    """The bytes of a figure, the same for the same figure.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        What to draw.
    kind : str
        One of `FORMATS`.
    """
    from matplotlib import rc_context

    file = io.BytesIO()
    with rc_context({"svg.hashsalt": "stochbind"}):
        figure.savefig(file, format=kind, dpi=150, metadata=_UNDATED[kind])
    return file.getvalue()
