"""Scenario files in and out: TOML is data, and every fault has its file, line, field, value and fix."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from stochbind.errors import ScenarioError
from stochbind.scenario.base import Scenario, sentences
from stochbind.scenario.oscillators import OscillatorScenario
from stochbind.scenario.tweezers import TweezerScenario

#: A scenario file larger than this is refused unread.
LARGEST_FILE = 1_000_000
DEEPEST_NESTING = 20

_ADAPTER: TypeAdapter[Scenario] = TypeAdapter(
    Annotated[TweezerScenario | OscillatorScenario, Field(discriminator="kind")]
)


def read(path: str | Path) -> Scenario:
    """Read a scenario file; see `Scenario.from_toml`."""
    path = Path(path)
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ScenarioError(f"{path}: is larger than {LARGEST_FILE} bytes, too large for a scenario file.")
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise ScenarioError(f"{path}: there is no such file{_near(path)}.") from None
    except (OSError, ValueError) as error:  # a UnicodeDecodeError is a ValueError; the path may hold a null byte
        raise ScenarioError(f"{path}: cannot be read as TOML: {error}.") from None
    return parse(text, str(path))


def parse(text: str, origin: str = "scenario") -> Scenario:
    """The scenario that the text of a file describes; see `Scenario.from_toml`.

    Parameters
    ----------
    text : str
        TOML.
    origin : str
        Where the text comes from, for messages.
    """
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ScenarioError(f"{origin}: cannot be read as TOML: {reason}.") from None
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
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "stochbind scenario"
    return schema


def _validate(data: Any, origin: str, text: str, *, in_file: bool) -> Scenario:
    if _depth(data) > DEEPEST_NESTING:
        raise ScenarioError(f"{origin}: is nested more than {DEEPEST_NESTING} deep.")
    context = {"file": in_file, "reduced": isinstance(data, dict) and data.get("units") == "reduced"}
    try:
        return _ADAPTER.validate_python(data, context=context)
    except ValidationError as error:
        lines = sentences(error, text)
    except (OverflowError, RecursionError, FloatingPointError) as error:
        lines = [f"holds numbers that cannot be computed with: {error}."]
    raise ScenarioError("\n".join(f"{origin}: {line}" for line in lines))


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


def _near(path: Path) -> str:
    """A hint at a file of a similar name."""
    try:
        names = [p.name for p in path.parent.iterdir() if p.suffix == ".toml"]
    except OSError:
        return ""
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"; did you mean {path.parent / close[0]}" if close else ""
