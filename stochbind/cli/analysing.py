"""The command that answers: analyse."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stochbind import errors, reports
from stochbind.cli.common import JsonOption, QuietOption, StoreArgument, duration_of, progress, say

if TYPE_CHECKING:
    from stochbind.analysis.findings.analyses import Analysis
    from stochbind.engine.store import Store

#: Options that take a value of several sections.
SectionOption = Annotated[
    list[str] | None,
    typer.Option("--section", help="Show this section alone, such as heat or direction; may be given several times."),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog="Examples: stochbind analyse out/pair.zarr; stochbind analyse out/pair.zarr --section direction --json"
    )(analyse)


def analyse(
    store: StoreArgument,
    as_json: JsonOption = False,
    table: Annotated[Path | None, typer.Option("--csv", help="Write all findings to this file, too.")] = None,
    section: SectionOption = None,
    start: Annotated[str | None, typer.Option(help='First time to average over, such as "20 ms".')] = None,
    history: Annotated[int, typer.Option(min=1, help="Kept states that count as the past for transfer entropy.")] = 1,
    surrogates: Annotated[int, typer.Option(min=0, help="Surrogates of the transfer entropy; 0 is fastest.")] = 19,
    windows: Annotated[int, typer.Option(min=0, help="Windows of time to tell temperatures and heat in.")] = 0,
    lines: Annotated[int | None, typer.Option(min=8, help="States in a window of spectra to fit lines to.")] = None,
    efficiency: Annotated[
        float | None, typer.Option(help="Detect the scattered light with this efficiency, and tell what is known.")
    ] = None,
    point: Annotated[int | None, typer.Option(min=0, help="Number of the point, of a sweep.")] = None,
    quiet: QuietOption = False,
) -> None:
    """Answer how hot everything is, where heat flows, who pays, and which way signals go.

    Every answer has its error bar, the number of independent samples behind it, and its exact value where there is one.
    """
    if table is not None and table.suffix.lower() != ".csv":
        raise errors.PlanError(f"`--csv` must end in .csv, but is {str(table)!r}.")
    if table is not None and not table.parent.is_dir():
        raise errors.PlanError(
            f"`--csv` is {str(table)!r}, but there is no folder {str(table.parent)!r}; make it first."
        )
    # Products of small matrices: idle threads of BLAS would only take time from the reading. Before NumPy is loaded.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    options: dict[str, Any] = {
        "n_history": history,
        "n_surrogates": surrogates,
        "n_windows": windows,
        "line_window": lines,
    }
    options["efficiency"] = efficiency
    result = _analysis(store, start, point, quiet, options)
    chosen = _chosen(result, section)
    if table is not None:
        _write(table, result)
        if not quiet:
            say(f"{table}: {len(result.findings)} findings written.")
    if as_json:
        report: dict[str, Any] = {
            "window": result.window,
            "n_trajectories": result.n_trajectories,
            "n_states": result.n_states,
            "steady": result.steady,
            "findings": [finding._asdict() for finding in result.findings if finding.section in chosen],
            "notes": result.notes,
        }
        print(json.dumps(reports.json_ready(report), indent=2, allow_nan=False))
    else:
        reports.print_analysis(store, result, chosen)


def _analysis(path: str, start: str | None, point: int | None, quiet: bool, options: dict[str, Any]) -> Analysis:
    from stochbind.analysis.findings.analyses import analyse as answer
    from stochbind.engine.reading import dataset_of
    from stochbind.engine.store import Store
    from stochbind.engine.sweep_store import SweepStore, is_sweep

    if is_sweep(path):
        many = SweepStore.open(path)
        if point is None or point >= many.sweep.size:
            raise errors.PlanError(
                f"{path}: holds a sweep; choose a point with `--point` 0 to {many.sweep.size - 1}, or make a table of "
                "all with `stochbind study sweep`."
            )
        one = many.point(point)
    else:
        if point is not None:
            raise errors.PlanError(f"`--point` is for sweeps, but {path} holds one run; leave it out.")
        one = Store.open(path)
    one.require_complete()
    first = None if start is None else duration_of(start, one.plan.scenario, "--start")
    with _told_if_damaged(one), progress(quiet, "states") as tell:
        return answer(
            dataset_of(one),
            start_time=first,
            coefficients=one.coefficients,
            progress=None if tell is None else lambda done, total: tell(done, total, 0),
            **options,
        )


@contextlib.contextmanager
def _told_if_damaged(store: Store) -> Iterator[None]:
    """If data cannot be read, say which, as `validate` does."""
    try:
        yield
    except errors.StochbindError:
        raise
    except Exception:
        store.verify()
        raise


def _chosen(result: Analysis, section: Sequence[str] | None) -> tuple[str, ...]:
    """The sections that are shown: those whose names begin with, or hold, what was asked for."""
    if not section:
        return result.sections
    chosen = [name for name in result.sections if any(word.lower() in name for word in section)]
    for word in section:
        if not any(word.lower() in name for name in result.sections):
            raise errors.PlanError(
                f"`--section` must be one of {', '.join(result.sections)}, but is {word!r}, of which this run tells "
                "nothing."
            )
    return tuple(chosen)


def _write(path: Path, result: Analysis) -> None:
    """All findings as a file of comma-separated values, whole or not at all."""
    from stochbind.analysis.findings.base import Finding
    from stochbind.engine.places import LocalPlace

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Finding._fields)
    writer.writerows(result.findings)
    LocalPlace(path.parent).write(path.name, text.getvalue().encode())
