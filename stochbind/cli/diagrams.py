"""The command that draws phase diagrams: diagram."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stochbind import errors, reports
from stochbind.cli.common import QuietOption, ScenarioArgument, progress, require_physical, say, scenario_of

if TYPE_CHECKING:
    from stochbind.analysis.phase_diagrams import PhaseDiagram
    from stochbind.analysis.phase_points import PlaneAxis
    from stochbind.scenario import Scenario

_PICTURES, _TABLES = (".png", ".pdf", ".svg"), (".csv", ".json")
#: What each rule tells, for the title of a picture.
_TITLES = {
    "stability": "stability",
    "pt": "phases of PT symmetry",
    "unstable_modes": "modes that grow",
    "regimes": "regimes of optical binding",
    "one_way": "who drives whom",
}
_RANGE_HELP = "PATH=FROM:TO, such as 'particle[0].phase=0 deg:360 deg'; several that move together, after commas."


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog="Example: stochbind diagram rieser_like_pair --x 'particle[0].phase=0 deg:360 deg' "
        "--y 'particle[0].power=0.25 W:0.35 W' --of regimes -o regimes.png"
    )(diagram)


def diagram(
    scenario: ScenarioArgument,
    x: Annotated[str, typer.Option("--x", help=_RANGE_HELP)],
    y: Annotated[str, typer.Option("--y", help="As --x.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write: .png, .pdf, .svg, .csv or .json.")],
    points: Annotated[int, typer.Option("--points", "-n", min=2, max=4000, help="Points along each axis.")] = 100,
    of: Annotated[str, typer.Option(help="stability, pt, unstable_modes, regimes or one_way.")] = "stability",
    coarse: Annotated[
        int | None, typer.Option(help="Spacing of the points that are computed first, a power of two.")
    ] = None,
    exhaustive: Annotated[bool, typer.Option("--exhaustive", help="Compute every point, fill in none.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Draw the phase diagram of a scenario over two of its parameters.

    Points are computed on a coarse lattice and where classes meet; the others are filled in.
    """
    from stochbind.analysis.phase_diagrams import phase_diagram
    from stochbind.analysis.phase_points import axis_of
    from stochbind.scenario import Sweep

    suffix = output.suffix.lower()
    if suffix not in (*_PICTURES, *_TABLES):
        raise errors.PlanError(f"`--output` must end in .png, .pdf, .svg, .csv or .json, but is {str(output)!r}.")
    if not output.parent.is_dir():
        raise errors.PlanError(
            f"`--output` {str(output)!r} cannot be written: there is no folder {str(output.parent)!r}; make it first."
        )
    found = scenario_of(scenario)
    base = found.base if isinstance(found, Sweep) else found
    x_axis, y_axis = (
        axis_of(_axis(option, text, points, base), base, with_units=True) for option, text in (("--x", x), ("--y", y))
    )
    with progress(quiet, "points") as speak:
        result = phase_diagram(base, x_axis, y_axis, of, coarse=coarse, exhaustive=exhaustive, progress=speak)
    for option, axis in (("x", result.x), ("y", result.y)):
        print(f"{option}: {_span(axis, base.reduced)}")
    for name, area in result.areas().items():
        print(f"{name}: {area:.4f} of the plane")
    if not quiet:
        say(f"{result.fraction_computed:.1%} of the points were computed, the others are as those around them")
        if result.refused:
            say(f"some points are no scenario. {result.refused}")
    try:
        _write(result, base, output, suffix)
    except OSError as error:
        raise errors.StoreError(f"{output}: cannot be written: {error.strerror or error}.") from None
    say(f"{output}: written.")


def _axis(option: str, text: str, points: int, base: Scenario) -> dict[str, Any]:
    """Words of an axis from what an option gives."""
    settings = []
    for part in text.split(","):
        path, equals, span = part.partition("=")
        start, colon, stop = span.partition(":")
        if not (equals and colon and path.strip() and start.strip() and stop.strip()):
            raise errors.PlanError(
                f"`{option}` must be PATH=FROM:TO, such as 'particle[0].phase=0 deg:360 deg', but is {text!r}."
            )
        require_physical(option, path.strip())
        _require_continuous(option, path.strip(), base)
        ends = {"start": _number(start), "stop": _number(stop)}
        settings.append({"parameter": path.strip(), **ends, "n": points})
    first, *others = settings
    return {**first, "along": others}


def _require_continuous(option: str, path: str, base: Scenario) -> None:
    """Raise `PlanError` if the parameter at this path takes whole numbers or flags; if there is none, say nothing."""
    from stochbind.scenario import parameters

    try:
        parameter = parameters.find(base, path)
    except ValueError:  # told with all other faults of the axis
        return
    value: Any = base.to_dict()
    for key in parameter.places[0]:
        value = value[key]
    if isinstance(value, int):
        raise errors.PlanError(
            f"`{option}` {path} takes whole numbers or flags only, but an axis of a diagram is continuous; choose "
            "another parameter, or make one diagram for each value."
        )


def _span(axis: PlaneAxis, reduced: bool) -> str:
    """What changes along an axis, and from what to what, in SI."""
    spans = []
    for parameter, values in axis.settings:
        unit = parameter.unit(float(values[0]), reduced=reduced)
        spans.append(f"{parameter.path} from {values[0]:.6g} to {values[-1]:.6g} {unit}".rstrip())
    return ", ".join(spans)


def _number(text: str) -> float | str:
    """A bare number, or else text with a unit, which is read as in a file."""
    try:
        return float(text)
    except ValueError:
        return text.strip()


def _write(result: PhaseDiagram, base: Scenario, output: Path, suffix: str) -> None:
    """Write a diagram as the suffix of the file says."""
    if suffix in _PICTURES:
        _picture(result, base).savefig(output, dpi=150)
    elif suffix == ".json":
        output.write_text(json.dumps(reports.json_ready(_report(result, base)), allow_nan=False) + "\n", "utf-8")
    else:
        with output.open("w", newline="", encoding="utf-8") as file:
            _table(result, file)


def _picture(result: PhaseDiagram, base: Scenario) -> Any:
    from matplotlib.figure import Figure

    from stochbind.plots.diagrams import class_map

    figure = Figure(figsize=(6, 5.5), layout="constrained")
    class_map(figure.subplots(), result)
    figure.suptitle(f"{base.name}: {_TITLES[result.rule]}", fontsize="medium")
    return figure


def _report(result: PhaseDiagram, base: Scenario) -> dict[str, Any]:
    """A diagram as plain data; `code` and `computed` have one row for each value of x."""
    return {
        "scenario": base.to_dict(),
        "rule": result.rule,
        "names": {str(code): result.name_of(code) for code in sorted(set(result.code.ravel().tolist()))},
        **{
            key: {"name": axis.name, "unit": axis.unit, "value": axis.value.tolist()}
            for key, axis in (("x", result.x), ("y", result.y))
        },
        "code": result.code.tolist(),
        "computed": result.computed.tolist(),
        "growth_rate": None if result.growth_rate is None else result.growth_rate.tolist(),
        "areas": result.areas(),
        "refused": result.refused,
    }


def _table(result: PhaseDiagram, file: Any) -> None:
    """One line for each point, x first."""
    rate = result.growth_rate
    columns = [f"{axis.name} [{axis.unit}]" if axis.unit else axis.name for axis in (result.x, result.y)]
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*columns, "code", "class", "computed", *([] if rate is None else ["growth_rate"])])
    for i, first in enumerate(result.x.value.tolist()):
        for j, second in enumerate(result.y.value.tolist()):
            code, computed = int(result.code[i, j]), int(result.computed[i, j])
            growth = [] if rate is None else [float(rate[i, j]) if result.computed[i, j] else ""]
            writer.writerow([first, second, code, result.name_of(code), computed, *growth])
