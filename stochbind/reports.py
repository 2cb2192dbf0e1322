"""What the command line prints: lines, tables and plain data."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stochbind.analysis.findings.analyses import Analysis
    from stochbind.analysis.validation import Validation
    from stochbind.engine.layout import Forecast, Layout
    from stochbind.engine.plan import Plan
    from stochbind.engine.store import Store


def plan_lines(plan: Plan, layout: Layout | None = None) -> Iterator[str]:
    """What a run is about to do, and warnings, one line each; with the layout of a store that is there already."""
    from stochbind.engine.layout import Forecast

    scenario = plan.scenario
    unit = "" if scenario.reduced else " s"
    yield (
        f"{scenario.name}: {plan.n_trajectories} trajectories of {plan.n_steps} steps of {plan.step:.6g}{unit}, "
        + (f"{plan.n_saves} states kept" if plan.record else f"{plan.n_saves} states taken, none kept")
    )
    if plan.statistics:
        yield f"Statistics: {', '.join(item.name for item in plan.statistics)}."
    yield forecast_line(Forecast.of(plan, layout))
    yield f"The array is {scenario.verdict}."
    words = f'Solver "{plan.solver}"'
    if plan.solver == "exact":
        words += ", exact"
    elif math.isnan(largest := plan.bias()):
        words += "; no equilibrium that holds is found, so that the error of its step cannot be told"
    else:
        words += f"; its step changes steady variances by about {largest:.2g} of their value"
    yield f"{words}{'; with a ledger of work and heat' if plan.ledger else ''}."
    for note in (*scenario.notes(), plan.relaxation_note()):
        if note:
            yield f"Note: {note}"


def forecast_line(forecast: Forecast) -> str:
    """What a run will need."""
    return (
        f"Forecast: {forecast.n_tasks} units of work, about {_seconds(forecast.time)} of one core; up to "
        f"{_bytes(forecast.n_bytes)} on disk in {forecast.n_files} files; {_bytes(forecast.worker_bytes)} of memory a "
        "worker."
    )


def _seconds(time: float) -> str:
    for unit, size in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if time > 2.0 * size:
            return f"{time / size:.3g} {unit}"
    return f"{time:.2g} s"


def _bytes(number: float) -> str:
    return f"{number / 1e9:.3g} GB" if number > 1e9 else f"{number / 1e6:.3g} MB"


def store_report(store: Store) -> dict[str, Any]:
    """What a store holds and how far it is."""
    done, plan = store.done, store.plan
    return {
        "path": str(store.path),
        "fingerprint": plan.fingerprint,
        "complete": bool(done.all()),
        "units_done": int(done.sum()),
        "units_total": int(done.size),
        "n_trajectories": plan.n_trajectories,
        "n_steps": plan.n_steps,
        "step": plan.step,
        "save_every": plan.save_every,
        "seed": plan.seed,
        "initial": plan.initial,
        "solver": plan.solver,
        "ledger": plan.ledger,
        "record": plan.record,
        "keep_bits": (plan.keep_bits or 52) if plan.record else None,
        "statistics": [item.name for item in plan.statistics],
    }


def print_validation(path: str | Path, result: Validation) -> None:
    """Print the table of a validation, its notes and the verdict."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{path}: {result.n_trajectories} trajectories", title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("quantity", "of"):
        table.add_column(name, no_wrap=True)
    for name in ("simulated", "± stderr", "exact", "z"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    for row in result.rows:
        z = f"{row.z:+.2f}" if abs(row.z) <= 5 else f"[bold red]{row.z:+.2f}[/]"
        exact, z = ("", "") if math.isnan(row.exact) else (f"{row.exact:.5g}", z)
        numbers = (f"{row.value:.5g}", f"{row.stderr:.2g}", exact, z, row.unit)
        table.add_row(row.quantity, row.where, *numbers)
    # A table that is cut says nothing: never narrower than its numbers.
    console = Console(width=max(84, shutil.get_terminal_size().columns if sys.stdout.isatty() else 100))
    console.print(table)
    start, stop = result.window
    console.print(
        f"Averaged from {start:.6g} to {stop:.6g}{' s' if result.time_unit else ''}; pairs are receiver <- sender; "
        "exact: mean over the same states; z: in standard errors.",
        highlight=False,
    )
    for note in result.notes:
        console.print(f"Note: {note}", highlight=False)
    if not result.judged:
        console.print("No verdict: no quantity has an exact value.", highlight=False)
        return
    verdict = "All agree" if result.agrees else "DISAGREEMENT"
    console.print(f"{verdict}: the largest |z| is {abs(result.worst.z):.2f} (limit 5).", highlight=False)


def print_analysis(path: str | Path, result: Analysis, sections: Sequence[str]) -> None:
    """Print the findings of an analysis, section by section, and its notes."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    title = f"{path}: {result.n_trajectories} trajectories of {result.n_states} states"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("quantity", "of"):
        table.add_column(name, no_wrap=True)
    for name in ("simulated", "± stderr", "exact", "z", "n_eff"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    for section in sections:
        table.add_row(f"[bold]{section.capitalize()}[/]")
        for row in (finding for finding in result.findings if finding.section == section):
            z = f"{row.z:+.2f}" if abs(row.z) <= 5 else f"[bold red]{row.z:+.2f}[/]"
            exact, z = ("", "") if math.isnan(row.exact) else (f"{row.exact:.5g}", z)
            error = "" if math.isnan(row.stderr) else f"{row.stderr:.2g}"
            numbers = (f"{row.value:.5g}", error, exact, z, f"{row.n_eff:.0f}", row.unit)
            table.add_row(f"  {row.quantity}", row.where, *numbers)
        table.add_section()
    # A table that is cut says nothing: as wide as it must be.
    Console(width=Console(width=10_000).measure(table).maximum).print(table)
    console = Console(width=max(84, shutil.get_terminal_size().columns if sys.stdout.isatty() else 100))
    start, stop = result.window
    console.print(
        f"Averaged from {start:.6g} to {stop:.6g}; pairs are receiver <- sender; heat is from the bath to the "
        "particle; exact: mean over the same states; z: in standard errors; n_eff: independent samples.",
        highlight=False,
    )
    for note in result.notes:
        console.print(f"Note: {note}", highlight=False)


def json_ready(value: Any) -> Any:
    """The same data with what JSON cannot hold (infinite, NaN) as null."""
    if isinstance(value, dict):
        return {str(key): json_ready(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_ready(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
