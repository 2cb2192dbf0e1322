"""Commands that look: info, validate, plot, scenarios."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stochbind import errors, reports
from stochbind.cli import drawing, sweeping
from stochbind.cli.common import JsonOption, StoreArgument, say, scenario_of, shipped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from stochbind.analysis.validation import Validation
    from stochbind.scenario import Scenario, Sweep
    from stochbind.scenario.base import Derived


#: Arrays with more elements, or longer rows, are told in short.
_MOST_ELEMENTS, _LONGEST_ROW = 36, 12
#: Of more oscillators the verdict on stability is not told here: its time grows with the cube of their number.
_MOST_JUDGED = 1000
_UNJUDGED = (
    f"Of more than {_MOST_JUDGED} oscillators stability is not told here; `stochbind modes` takes minutes for it."
)
#: Columns for values: room for a row of two particles along three axes.
_WIDTH = 100


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: stochbind info scenarios/unidirectional_pair.toml --json")(info)
    app.command(epilog="Example: stochbind validate out/pair.zarr")(validate)
    app.command(epilog="Examples: stochbind plot out/pair.zarr -o pair.png; stochbind plot silicon_pair -o light.png")(
        plot
    )
    app.command(epilog="Example: stochbind scenarios unidirectional_pair > my_pair.toml")(scenarios)


def info(
    path: Annotated[str, typer.Argument(help="A scenario (file or shipped name) or a store.")],
    as_json: JsonOption = False,
) -> None:
    """Show a scenario with all derived quantities, or a store with its progress."""
    import numpy as np

    from stochbind.scenario import Sweep

    of_store: dict[str, Any] | None = None
    if "://" in path or (Path(path).is_dir() and path not in shipped()):
        found, of_store = _stored(path)
    else:
        found = scenario_of(path)
    scenario = found.base if isinstance(found, Sweep) else found
    judged = scenario.n_oscillators <= _MOST_JUDGED
    derived = scenario.derived()
    if as_json:
        report: dict[str, Any] = {
            "scenario": scenario.to_dict(),
            "derived": {
                name: {"value": np.asarray(item.value).tolist(), "unit": item.unit, "meaning": item.meaning}
                for name, item in derived.items()
            },
            "stability": _stability(scenario) if judged else None,
            "notes": scenario.notes(),
        }
        if isinstance(found, Sweep):
            report["sweep"] = {key: value for key, value in found.to_dict().items() if key != "base"}
        if of_store is not None:
            report["store"] = of_store
        print(json.dumps(reports.json_ready(report), indent=2, allow_nan=False))
        return
    along = f" along {', '.join(scenario.axes)}" if len(scenario.axes) > 1 else ""
    count = f"{scenario.n_particles} particle" + ("s" if scenario.n_particles > 1 else "")
    print(f"{scenario.name} ({scenario.kind}, {count}{along})")
    for text in (scenario.description, scenario.source and f"Source: {scenario.source}"):
        if text:
            print(text.strip())
    print(f"\nThe array is {scenario.verdict}." if judged else f"\n{_UNJUDGED}")
    for note in scenario.notes():
        print(f"Note: {note}")
    if isinstance(found, Sweep):
        print(f"A sweep of it: {sweeping.axes_line(found)}.")
    print()
    width = max(len(name) for name in derived)
    for name, item in derived.items():
        print(f"{name:{width}}  {_shown(item, width + 2)}  ({item.meaning})")
    if of_store is not None:
        print()
        for key, value in of_store.items():
            shown = ", ".join(value) if isinstance(value, list) else value
            print(f"{key}: {shown if shown not in ('', None) else 'none'}")


def _stability(scenario: Scenario) -> dict[str, Any]:
    """The verdict as plain data."""
    of_constants = scenario.langevin().stability
    return {
        "stable": scenario.stable,
        "growth_rate": scenario.growth_rate,
        "round_off": of_constants.round_off,
        "angular_frequency": of_constants.angular_frequency,
        "participation": of_constants.participation,
    }


def _shown(item: Derived, indent: int) -> str:
    """A quantity with its unit; of a large array only its shape, and how large its elements are."""
    import numpy as np

    value = np.asarray(item.value)
    if value.size <= _MOST_ELEMENTS and value.shape[-1:] <= (_LONGEST_ROW,):
        text = np.array2string(value, precision=6, separator=", ", prefix=" " * indent, max_line_width=indent + _WIDTH)
        return f"{text} {item.unit}".rstrip()
    shape = " x ".join(map(str, value.shape)) if value.ndim > 1 else f"{value.size} values"
    size = np.abs(value[np.isfinite(value)])
    if size.size == 0:
        return f"{shape}, none of them known; --json has all"
    least, most = (f"{extreme:.6g} {item.unit}".rstrip() for extreme in (size.min(), size.max()))
    return f"{shape}, magnitudes from {least} to {most}; --json has all"


def _stored(path: str) -> tuple[Scenario | Sweep, dict[str, Any]]:
    """What a store was made of, and how far it is."""
    from stochbind.engine.store import Store
    from stochbind.engine.sweep_store import SweepStore, is_sweep

    if is_sweep(path):
        many = SweepStore.open(path)
        return many.sweep, sweeping.report(many)
    store = Store.open(path)
    return store.plan.scenario, reports.store_report(store)


def validate(store: StoreArgument, as_json: JsonOption = False) -> None:
    """Compare a finished run with the exact theory; fails if anything is off by more than five standard errors."""
    from stochbind.engine.sweep_store import is_sweep

    if is_sweep(store):
        sweeping.validate(store, as_json)
        return
    result, _ = _validation(store)
    if as_json:
        report = {
            "agrees": result.agrees,
            "window": result.window,
            "n_trajectories": result.n_trajectories,
            "stable": result.stable,
            "rows": [row._asdict() for row in result.rows],
            "notes": result.notes,
        }
        print(json.dumps(reports.json_ready(report), indent=2, allow_nan=False))
    else:
        reports.print_validation(store, result)
    if not result.agrees:
        raise typer.Exit(3)


def plot(
    path: Annotated[str, typer.Argument(help="A store, its URL, or a scenario (file or shipped name).")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Figure to write: .png, .pdf or .svg.")],
) -> None:
    """Draw a finished run beside the exact answers, or the light of a scenario.

    Of a run: paths, temperatures, energy currents, response and deviations. Of a scenario: where particles and beams
    are, and how dipoles scatter, or how the couplings of tweezers depend on phase and distance.
    """
    if output.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise errors.PlanError(f"`--output` must end in .png, .pdf or .svg, but is {str(output)!r}.")
    figure = drawing.of_scenario(path) if drawing.names_scenario(path) else _figure_of_run(path)
    try:
        figure.savefig(output, dpi=150)
    except OSError as error:
        raise errors.StoreError(f"{output}: cannot be written: {error.strerror or error}.") from None
    say(f"{output}: written.")


def _figure_of_run(store: str) -> Figure:
    from stochbind import plots
    from stochbind.analysis import mean_field, transfer, windows
    from stochbind.analysis.validation import without_diverged
    from stochbind.engine.reading import open_dataset

    result, scenario = _validation(store)
    dataset, array = without_diverged(open_dataset(store), []), scenario.oscillators()
    exact = found = None
    unstable = "" if scenario.modulated or scenario.stable else "none: the array is unstable"
    if not (scenario.modulated or unstable):  # susceptibilities are those of constants
        omega, value = transfer.spectrum(array, array.langevin(), 800)
        pair = transfer.strongest_response(value) if len(array.axes) > 1 else (0, 1)
        exact = plots.Response(omega, value, array.names, pair)
    # In less than a decay time a record tells nothing of damping, and with it of the response.
    short = "time" not in dataset or -scenario.growth_rate * float(dataset["time"][-1]) < 1.0
    try:
        if not (scenario.changes_with_time or unstable or short):  # their motion is not fluctuation
            found = plots.Response(*transfer.found_spectrum(array, dataset, 60))
    except errors.TooFewSamplesError:
        pass
    relaxation = None
    if array.has_finite_baths:
        time, initial = dataset["time"].to_numpy(), dataset.attrs["initial"]
        relaxation = mean_field.relaxation(array, time, initial=initial).bath_temperature
    return plots.overview(
        dataset,
        result,
        exact,
        found,
        bath_temperature=array.bath_temperature,
        reduced=scenario.reduced,
        relaxation=relaxation,
        unstable=unstable,
        period=windows.shortest_period(array.langevin()),
    )


def scenarios(
    name: Annotated[str | None, typer.Argument(help="Print the file of this one.")] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of scenario files.")] = False,
) -> None:
    """List the shipped scenarios, or print one of them as a start for your own."""
    from stochbind.scenario import Sweep, json_schema, read_any

    if schema:
        print(json.dumps(json_schema(), indent=2))
        return
    known = shipped()
    if name is not None:
        if name not in known:
            raise errors.ScenarioError(f"There is no shipped scenario {name!r}; there are {', '.join(known)}.")
        print(known[name].read_text(encoding="utf-8"), end="")
        return
    for key, path in known.items():
        found = read_any(path)
        scenario = found.base if isinstance(found, Sweep) else found
        print(f"{key}: {' '.join(scenario.description.split())}")


def _validation(path: str) -> tuple[Validation, Scenario]:
    from stochbind.analysis.validation import validate as compare
    from stochbind.engine.reading import open_dataset
    from stochbind.engine.store import Store

    store = Store.open(path)
    store.require_complete()
    store.verify()
    return compare(open_dataset(path)), store.plan.scenario
