"""The command that finds modes: of a scenario, and their exceptional points along one of its parameters."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from stochbind import errors, reports
from stochbind.cli.common import JsonOption, ScenarioArgument, require_physical, say, scenario_of

if TYPE_CHECKING:
    from stochbind.checks import ComplexArray, FloatArray
    from stochbind.modes.exceptional_points import ExceptionalPoint
    from stochbind.modes.rotating_wave import RotatingWaveError
    from stochbind.modes.spectrum import Modes
    from stochbind.oscillators import Oscillators
    from stochbind.scenario import Scenario
    from stochbind.stability import Stability

#: Values of the parameter in a table, unless told otherwise.
_VALUES = 101


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog='Examples: stochbind modes unidirectional_pair; stochbind modes pair.toml --along "particle[0].power='
        '0.1 W:0.4 W" --csv modes.csv'
    )(modes)


def modes(
    scenario: ScenarioArgument,
    along: Annotated[
        str | None,
        typer.Option(help='Find exceptional points along a parameter, PATH=FROM:TO[:N], such as "light.waist=...".'),
    ] = None,
    rotating: Annotated[
        bool, typer.Option("--rotating", help="Of amplitudes in a rotating frame, not of the full equations.")
    ] = False,
    as_json: JsonOption = False,
    table: Annotated[
        Path | None, typer.Option("--csv", help="Write the modes to this file; with --along, at each of N values.")
    ] = None,
) -> None:
    """Tell the modes of a scenario: frequencies, damping, Petermann factors, who takes part, and the PT phase.

    Frequencies are those of the full linear equations; with --rotating those of the rotating-wave approximation.
    """
    from stochbind.modes.rotating_wave import rotating_frame, rotating_wave_error
    from stochbind.modes.spectrum import modes as modes_of
    from stochbind.scenario import Sweep

    if table is not None and (table.suffix.lower() != ".csv" or not table.parent.is_dir()):
        raise errors.PlanError(
            f"`--csv` must be a file that ends in .csv in a folder that exists, but is {str(table)!r}."
        )
    given = scenario_of(scenario)
    chosen = given.base if isinstance(given, Sweep) else given
    chosen.require_constant("modes")
    array = chosen.oscillators()
    scan = None if along is None else _scan(along, chosen)
    frame = rotating_frame(array) if rotating else None
    found = modes_of(array if frame is None else frame.langevin())
    verdict = array.langevin().stability
    offset = 0.0 if frame is None else frame.frequency
    error = None
    if array.coupling.any():  # the error is told relative to it
        with contextlib.suppress(errors.ScenarioError):  # overdamped, or not all modes oscillate: there is no frame
            error = rotating_wave_error(array)
    points = None if scan is None else _points(scan, chosen, rotating)
    if table is not None:
        rows = _rows(found, array, offset) if scan is None else _followed(scan, chosen, rotating)
        _write(table, rows)
        say(f"{table}: {len(rows) - 1} rows written.")
    told = _Told(array, found, verdict, offset, error, scan, points, _left_out(array, chosen, isinstance(given, Sweep)))
    if as_json:
        print(json.dumps(reports.json_ready(_report(told)), indent=2, allow_nan=False))
    else:
        _print(chosen, told)


def _left_out(array: Oscillators, scenario: Scenario, sweep: bool) -> list[str]:
    """What a scenario has and modes have not, one sentence each."""
    notes = []
    if sweep:
        notes.append("These are the modes of the base of the sweep.")
    if array.forces:
        notes.append("Forces beyond the linear ones are left out.")
    if scenario.drive:
        notes.append("Drives are left out: they change no mode.")
    if array.has_finite_baths:
        notes.append("Finite baths are left out: their temperatures change the noise, but no mode.")
    return notes


class _Told(NamedTuple):
    """All that is told of a scenario's modes."""

    array: Oscillators
    found: Modes
    verdict: Stability
    offset: float
    error: RotatingWaveError | None
    scan: _Scan | None
    points: tuple[ExceptionalPoint, ...] | None
    notes: list[str]


class _Scan(NamedTuple):
    path: str
    start: float
    stop: float
    n_values: int
    unit: str


def _scan(text: str, scenario: Scenario) -> _Scan:
    """What `--along` asks for, in SI."""
    from stochbind.scenario import parameters

    path, sign, ends = text.partition("=")
    require_physical("--along", path.strip())
    words = [word.strip() for word in ends.split(":")]
    if not sign or len(words) not in (2, 3) or not all(words):
        raise errors.PlanError(f"`--along` must be PATH=FROM:TO or PATH=FROM:TO:N, with units, but is {text!r}.")
    count = words[2] if len(words) == 3 else str(_VALUES)
    if not count.isdecimal() or not 5 <= int(count) <= 100_000:
        raise errors.PlanError(f"`--along` must end in a number of values from 5 to 100000, but that is {count!r}.")
    try:
        parameter = parameters.find(scenario, path.strip())
        values = [parameter.value(_plain(word), in_file=True, reduced=scenario.reduced) for word in words[:2]]
    except ValueError as error:
        raise errors.PlanError(f"`--along` {path}: {str(error).rstrip('.')}.") from None
    if any(isinstance(value, (bool, str)) for value in values) or values[0] == values[1]:
        raise errors.PlanError(f"`--along` must go from one number to another, but goes from {words[0]} to {words[1]}.")
    low, high = sorted(map(float, values))
    unit = parameter.unit(high, reduced=scenario.reduced)
    return _Scan(path.strip(), low, high, int(count), unit)


def _plain(word: str) -> float | str:
    """A bare number as a number, anything else as text."""
    try:
        return float(word)
    except ValueError:
        return word


def _points(scan: _Scan, scenario: Scenario, rotating: bool) -> tuple[ExceptionalPoint, ...]:
    """Exceptional and diabolic points along a parameter."""
    from stochbind.analysis.mode_families import mode_family
    from stochbind.modes.exceptional_points import degeneracies

    family = mode_family(scenario, scan.path, rotating=rotating)
    points = degeneracies(family, scan.start, scan.stop, n_points=max(scan.n_values, 2 * _VALUES - 1))
    if not rotating:
        return points
    frames = _frames(scan, scenario, [point.parameter for point in points])
    return tuple(point._replace(frequency=point.frequency + frame) for point, frame in zip(points, frames, strict=True))


def _frames(scan: _Scan, scenario: Scenario, values: Sequence[float]) -> list[float]:
    """Frequency of the rotating frame at values of the parameter."""
    from stochbind.analysis.mode_families import scenario_family
    from stochbind.modes.rotating_wave import rotating_frame

    at = scenario_family(scenario, scan.path)
    return [rotating_frame(at(float(value)).oscillators()).frequency for value in values]


def _shares(found: Modes) -> FloatArray:
    """Share of each oscillator in the squares of each mode, shape (n_modes, N); of particles if there is one axis."""
    import numpy as np

    square = np.abs(found.right[[c.quantity in ("position", "amplitude") for c in found.coordinate]]) ** 2
    total = square.sum(axis=0)
    result: FloatArray = np.divide(square, total, out=np.zeros_like(square), where=total > 0).T
    return result


def _rows(found: Modes, array: Oscillators, offset: float) -> list[Sequence[Any]]:
    """The modes as rows, the names of the columns first."""
    names = (f"share_{name}" for name in array.names)
    rows: list[Sequence[Any]] = [("mode", "angular_frequency", "growth_rate", "petermann", "order", *names)]
    for index, (value, shares) in enumerate(zip(found.frequency, _shares(found), strict=True)):
        numbers = (float(value.real) + offset, float(value.imag), float(found.petermann[index]))
        rows.append((index, *numbers, int(found.order[index]), *map(float, shares)))
    return rows


def _followed(scan: _Scan, scenario: Scenario, rotating: bool) -> list[Sequence[Any]]:
    """The modes along a parameter as rows, each branch in columns of its own."""
    import numpy as np

    from stochbind.analysis.mode_families import mode_family
    from stochbind.modes.continuation import follow

    values = np.linspace(scan.start, scan.stop, scan.n_values)
    frequency: ComplexArray = follow(mode_family(scenario, scan.path, rotating=rotating), values).frequency
    if rotating:
        frequency = frequency + np.array(_frames(scan, scenario, list(values)))[:, None]
    else:  # of conjugate pairs one
        frequency = frequency[:, frequency.real.sum(axis=0) >= 0]
    names = [f"{what}_{n}" for n in range(frequency.shape[1]) for what in ("angular_frequency", "growth_rate")]
    rows: list[Sequence[Any]] = [(scan.path, *names)]
    for value, line in zip(values, frequency, strict=True):
        rows.append((float(value), *(float(number) for w in line for number in (w.real, w.imag))))
    return rows


def _write(path: Path, rows: list[Sequence[Any]]) -> None:
    """Rows as a file of comma-separated values, whole or not at all."""
    from stochbind.engine.places import LocalPlace

    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    LocalPlace(path.parent).write(path.name, text.getvalue().encode())


def _report(told: _Told) -> dict[str, Any]:
    """Everything as plain data; rates in 1/s, or in reduced units."""
    head, *rows = _rows(told.found, told.array, told.offset)
    report: dict[str, Any] = {
        "phase": told.found.phase,
        "stability": told.verdict.sentence,
        "stable": told.verdict.stable,
        "modes": [dict(zip(head, row, strict=True)) for row in rows],
        "rotating_wave_error": None if told.error is None else told.error.relative,
        "notes": told.notes,
    }
    if told.scan is not None and told.points is not None:
        report["along"] = told.scan._asdict()
        report["points"] = [
            {
                "kind": point.kind,
                "parameter": point.parameter,
                "angular_frequency": point.frequency.real,
                "growth_rate": point.frequency.imag,
                "order": point.order,
                "multiplicity": point.multiplicity,
            }
            for point in told.points
        ]
    return report


def _print(scenario: Scenario, told: _Told) -> None:
    """The table of modes, and what there is to say of them."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from stochbind.stability import largest_shares

    found, error = told.found, told.error
    turn, unit, rate = (
        (1.0, "angular frequency", "") if scenario.reduced else (2.0 * math.pi, "frequency [Hz]", " [1/s]")
    )
    table = Table(title=scenario.name, title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("mode", unit, f"amplitude decay{rate}", "Petermann", "order"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("particles", no_wrap=True)
    shares = _shares(found)
    for index, value in enumerate(found.frequency):
        largest = largest_shares(shares[index].tolist())
        names = ", ".join(f"{told.array.names[at]} ({share:.0%})" for at, share in largest) or "all"
        real = value.real if found.oscillating[index] else 0.0
        numbers = (f"{(real + told.offset) / turn:.7g}", f"{-value.imag:.6g}", f"{found.petermann[index]:.6g}")
        table.add_row(str(index), *numbers, str(found.order[index]), names)
    lines = [f"The array is {told.verdict.sentence}.", f"PT phase: {found.phase}."]
    if error is not None:
        lines.append(f"The rotating frame is wrong by up to {error.relative:.2g} of the coupling.")
    if told.scan is not None and told.points is not None:
        lines += _point_lines(told.scan, told.points, scenario.reduced)
    lines += [f"Note: {note}" for note in told.notes]
    console = Console(width=Console(width=10_000).measure(table).maximum)
    console.print(table)
    for line in lines:
        print(line)


def _point_lines(scan: _Scan, points: tuple[ExceptionalPoint, ...], reduced: bool) -> list[str]:
    """One line for each point along a parameter."""
    unit = f" {scan.unit}" if scan.unit else ""
    if not points:
        return [f"No exceptional points for {scan.path} from {scan.start:.6g} to {scan.stop:.6g}{unit}."]
    lines = []
    for point in points:
        frequency = f"{point.frequency.real:.6g}" if reduced else f"{point.frequency.real / (2 * math.pi):.6g} Hz"
        words = f"Exceptional point of order {point.order}" if point.order > 1 else "Diabolic point"
        lines.append(
            f"{words} at {scan.path} = {point.parameter:.12g}{unit}: {point.multiplicity} modes meet at {frequency}, "
            f"decay {-point.frequency.imag:.6g}{'' if reduced else ' 1/s'}."
        )
    return lines
