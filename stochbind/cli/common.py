"""What the commands share: arguments, scenarios by name, progress, and where tasks run."""

from __future__ import annotations

import contextlib
import difflib
import importlib.resources
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stochbind import errors

if TYPE_CHECKING:
    from stochbind.scenario import Scenario, Sweep

ScenarioArgument = Annotated[str, typer.Argument(help="A scenario file, or the name of a shipped one.")]
StoreArgument = Annotated[str, typer.Argument(help="Directory of a Zarr store, or its URL.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only errors.")]


def _checked(word: str) -> str:
    from stochbind.engine.workers.choice import check_word

    check_word(word)
    return word


ParallelOption = Annotated[
    str,
    typer.Option(
        callback=_checked,
        help="What runs the work: serial, threads, processes, dask; the address or the file of a Dask scheduler; or a "
        "cluster file, FILE.toml or FILE.toml:NAME.",
    ),
]
WorkersOption = Annotated[int | None, typer.Option(min=1, help="Number of threads or worker processes.")]


def shipped() -> dict[str, Path]:
    """Scenario files that come with the package, by name: of the clone, or inside the wheel."""
    package = Path(str(importlib.resources.files("stochbind")))
    for directory in (package / "_scenarios", package.parent / "scenarios"):
        if directory.is_dir():
            return {path.stem: path for path in sorted(directory.glob("*.toml"))}
    return {}


def scenario_of(text: str) -> Scenario | Sweep:
    """The scenario or the sweep of a file, or the shipped one of this name."""
    from stochbind.scenario import read_any

    known = shipped()
    if os.path.exists(text) and not (text in known and os.path.isdir(text)):
        return read_any(text)
    if text in known:
        return read_any(known[text])
    close = difflib.get_close_matches(text, known, n=1)
    if close:
        raise errors.ScenarioError(f"{text}: there is no such file and no such scenario; did you mean {close[0]}?")
    return read_any(text)


def duration_of(text: str, scenario: Scenario, option: str = "--step") -> float:
    """A time that an option gives, in seconds, or in reduced units."""
    from stochbind.quantities import KINDS, parse

    try:
        return float(text) if scenario.reduced else parse(text, KINDS["time"])
    except ValueError as error:
        reason = f"must be a bare number in reduced units, but is {text!r}" if scenario.reduced else str(error)
        raise errors.PlanError(f"`{option}` {reason.rstrip('.')}.") from None


def require_physical(option: str, path: str) -> None:
    """Raise `PlanError` if a parameter is one of runs, on which neither modes nor phases depend."""
    if path.partition(".")[0].strip() == "run":
        raise errors.PlanError(
            f"`{option}` {path}: what is in [run] changes runs only; choose a parameter of the particles or the light."
        )


def part_of(text: str | None) -> tuple[int, int] | None:
    """What `--part` asks for: k/K."""
    if text is None:
        return None
    first, _, last = text.partition("/")
    if first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last):
        return int(first), int(last)
    raise errors.PlanError(f"`--part` must be k/K with k from 1 to K, such as 3/16, but is {text!r}.")


@contextlib.contextmanager
def progress(quiet: bool, what: str = "units") -> Iterator[Callable[[int, int, int], None] | None]:
    """A bar on a terminal, else a line every ten seconds and at the end."""
    if quiet:
        yield None
        return
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        words = TextColumn("{task.fields[rate]}")
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), words, TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(what, total=None, rate="")
            clock = _Clock()
            yield lambda done, total, failed: bar.update(
                task, completed=done, total=total, rate=clock.rate(done) + _failures(failed)
            )
        return
    spoken, clock = time.monotonic(), _Clock()

    def speak(done: int, total: int, failed: int) -> None:
        nonlocal spoken
        rate = clock.rate(done)
        if done == total or time.monotonic() - spoken > 10:
            spoken = time.monotonic()
            say(f"{done} of {total} {what} done{rate}{clock.left(done, total)}{_failures(failed)}")

    yield speak


class _Clock:
    """Rate of what is done, from the first that is told on."""

    def __init__(self) -> None:
        self._first: int | None = None
        self._began = self._per_second = 0.0

    def rate(self, done: int) -> str:
        if self._first is None:
            self._first, self._began = done, time.monotonic()
        elapsed = time.monotonic() - self._began
        if done == self._first or elapsed <= 0:
            return ""
        self._per_second = (done - self._first) / elapsed
        return f", {self._per_second:.3g} a second"

    def left(self, done: int, total: int) -> str:
        if self._per_second == 0 or done == total:
            return ""
        seconds = (total - done) / self._per_second
        return f", about {seconds / 60:.0f} min to go" if seconds > 90 else f", about {seconds:.0f} s to go"


def _failures(failed: int) -> str:
    return f", {failed} failures" if failed else ""


def say(line: str) -> None:
    """A line on standard error."""
    print(line, file=sys.stderr, flush=True)
