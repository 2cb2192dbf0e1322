"""Scenario files in and out: TOML is data, and every fault has its file, line, field, value and fix."""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from stochbind.checks import short
from stochbind.errors import ScenarioError
from stochbind.scenario import faults
from stochbind.scenario.arrays import ArrayScenario
from stochbind.scenario.base import Scenario
from stochbind.scenario.dipoles import DipoleScenario
from stochbind.scenario.oscillators import OscillatorScenario
from stochbind.scenario.sweep_tables import SweepTable
from stochbind.scenario.tweezers import TweezerScenario

#: A scenario file larger than this is refused unread.
LARGEST_FILE = 1_000_000
DEEPEST_NESTING = 20

_KINDS: dict[str, type[BaseModel]] = {
    "tweezers": TweezerScenario,
    "dipoles": DipoleScenario,
    "oscillators": OscillatorScenario,
    "array": ArrayScenario,
}
_WITH_UNITS = ("oscillators", "array")  # kinds that may be in reduced units
_ADAPTER: TypeAdapter[Scenario] = TypeAdapter(
    Annotated[TweezerScenario | DipoleScenario | OscillatorScenario | ArrayScenario, Field(discriminator="kind")]
)
# What must not reach tomllib: a deep dotted key, which takes time and memory with the square of its length, and an
# integer of thousands of digits, which Python does not write back. Strings and comments are passed over.
_KEY = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')"""
_MONSTER = re.compile(
    rf"""(?<![\w-])(?P<deep>{_KEY}(?:[ \t]*+\.[ \t]*+{_KEY}){{{DEEPEST_NESTING}}})
    | (?<![\w-])(?P<long>[+-]?[0-9a-zA-Z_]{{4000}})
    | \"{{3}}(?:\\.|[^\\])*?(?:\"{{3}}|\Z) | '{{3}}.*?(?:'{{3}}|\Z)
    | "(?:\\.|[^"\\\n])*+"? | '[^'\n]*+'? | \#[^\n]*+""",
    re.ASCII | re.DOTALL | re.VERBOSE,
)


def read(path: str | Path) -> Scenario:
    """Read a scenario file; see `Scenario.from_toml`."""
    return parse(text_of(path), str(path))


def parse(text: str, origin: str = "scenario") -> Scenario:
    """The scenario that the text of a file describes; see `Scenario.from_toml`.

    Parameters
    ----------
    text : str
        TOML.
    origin : str
        Where the text comes from, for messages.
    """
    data = data_of(text, origin)
    if "sweep" in data:
        told = faults.placed("makes many scenarios of this one; read the file with Sweep.from_toml", ["sweep"], text)
        raise ScenarioError(f"{origin}: {told}")
    return scenario_of(data, origin, text)


def text_of(path: str | Path) -> str:
    """Text of a scenario file, which may be no scenario."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise ScenarioError(f"{path}: there is no such file{_near(path)}.") from None
    except IsADirectoryError:
        raise ScenarioError(f"{path}: is a directory; give a scenario file.") from None
    except (OSError, ValueError) as error:  # the path may hold a null byte
        raise ScenarioError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    if len(content) > LARGEST_FILE:
        raise ScenarioError(f"{path}: is larger than {LARGEST_FILE} bytes, too large for a scenario file.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ScenarioError(f"{path}: line {line}: is not text in UTF-8; save the file as UTF-8.") from None


def data_of(text: str, origin: str) -> dict[str, Any]:
    """What TOML says, before it is known to be a scenario."""
    for token in _MONSTER.finditer(text):
        if token["deep"]:
            raise ScenarioError(f"{origin}: is nested more than {DEEPEST_NESTING} deep.")
        if token["long"]:
            raise ScenarioError(f"{origin}: holds a number or word of more than 4000 characters.")
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{origin}: {_toml_sentence(str(error), text)}.") from None
    except RecursionError:
        raise ScenarioError(f"{origin}: is nested more than {DEEPEST_NESTING} deep.") from None
    require_shallow(data, origin)
    return data


def scenario_of(data: dict[str, Any], origin: str, text: str) -> Scenario:
    """The scenario that the data of a file describe; `text` is the file, for the lines of faults."""
    return _validate(data, origin, text, in_file=True)


def scenario_from_dict(data: dict[str, Any], origin: str = "scenario") -> Scenario:
    """The scenario that `Scenario.to_dict` described.

    Parameters
    ----------
    data : dict
        Fields of one kind of scenario; bare numbers are SI.
    origin : str
        Where the data come from, for messages.

    Returns
    -------
    Scenario
        One of its kinds.

    Raises
    ------
    ScenarioError
        One line for each fault.
    """
    return _validate(data, origin, "", in_file=False)


def json_schema() -> dict[str, Any]:
    """JSON Schema of scenario files, for editors."""
    schema = _ADAPTER.json_schema()
    sweep = SweepTable.model_json_schema(ref_template="#/$defs/{model}")
    schema["$defs"] |= {**sweep.pop("$defs"), "SweepTable": sweep}
    for kind in _KINDS.values():
        schema["$defs"][kind.__name__]["properties"]["sweep"] = {"$ref": "#/$defs/SweepTable"}
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "stochbind scenario"
    return schema


def _validate(data: Any, origin: str, text: str, *, in_file: bool) -> Scenario:
    require_shallow(data, origin)
    reduced = isinstance(data, dict) and data.get("kind") in _WITH_UNITS and data.get("units") == "reduced"
    context = {"file": in_file, "reduced": reduced}
    try:
        return _ADAPTER.validate_python(data, context=context)
    except ValidationError as error:
        lines = faults.sentences(error, _KINDS, text)
    raise ScenarioError("\n".join(f"{origin}: {line}" for line in lines))


def require_shallow(data: Any, origin: str) -> None:
    """Raise `ScenarioError` if tables and lists are nested too deep to be read in one piece."""
    if _depth(data) > DEEPEST_NESTING:
        raise ScenarioError(f"{origin}: is nested more than {DEEPEST_NESTING} deep.")


def _depth(data: Any) -> int:
    """Depth of nesting, without recursion."""
    depth, layer = 0, [data]
    while layer and depth <= DEEPEST_NESTING:
        depth += 1
        layer = [
            child
            for item in layer
            if isinstance(item, (dict, list))
            for child in (item.values() if isinstance(item, dict) else item)
        ]
    return depth


def _toml_sentence(message: str, text: str) -> str:
    """What tomllib says, with the line first and the usual slip named."""
    place = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", message, re.DOTALL)
    if place is None:
        return f"cannot be read as TOML: {message}"
    line = text.split("\n")[int(place[2]) - 1].strip()
    if re.search("[“”„‘’]", line):
        fix = "use straight quotes"
    elif re.search(r"=\s*[+-]?\d+,\d", line):
        fix = "write a decimal point, not a comma"
    elif re.search(r"=\s*[+-]?[\d.]+(e[+-]?\d+)?\s*[^\W\d]", line, re.IGNORECASE):
        fix = "put quotes around a number with its unit"
    elif place[1].startswith("Cannot overwrite") and line.startswith("["):
        fix = "this table is there already; tables of particles have double brackets, [[particle]]"
    elif place[1].startswith(("Cannot overwrite", "Cannot declare")):
        fix = "this key is there already"
    else:
        fix = f"{place[1][0].lower()}{place[1][1:]} at column {place[3]}"
    return f"line {place[2]}: cannot be read as TOML: {short(line)}; {fix}"


def _near(path: Path) -> str:
    """A hint at a file of a similar name."""
    try:
        stems = [file.stem for file in path.parent.iterdir() if file.suffix == ".toml"]
    except OSError:
        return ""
    close = difflib.get_close_matches(path.stem, stems, n=1)
    return f"; did you mean {path.with_name(close[0])}.toml" if close else ""
