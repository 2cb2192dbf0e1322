"""The tables of a sweep as they are written: ``[sweep]``, ``[[sweep.axis]]`` and ``[[sweep.axis.along]]``."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from stochbind.checks import short
from stochbind.scenario.parts import Part

#: Most points of a sweep, and most values in all of its lists together.
LARGEST_SIZE = 10**5
#: Names that the datasets of runs have already, for their dimensions and variables.
TAKEN = frozenset(
    {
        *("trajectory", "time", "particle", "axis", "source", "point", "group", "lag", "frequency"),
        *("coordinate", "coordinate_from", "coordinate_unit", "position", "velocity", "heat", "work", "drive_work"),
        *("correlation", "cross_spectrum", "statistics", "coefficients", "theory", "engine"),
    }
)

_Path = Annotated[str, Field(max_length=200)]


def _as_list(value: Any) -> Any:
    return value if isinstance(value, (list, tuple)) else [value]


def _plain(value: Any) -> Any:
    """Python numbers for those of NumPy."""
    value = value.tolist() if hasattr(value, "tolist") else value
    return [each.item() if hasattr(each, "item") else each for each in value] if isinstance(value, list) else value


class Along(Part):
    """Values for a parameter, or the same for several, one after another.

    `parameter` is a path such as "light.waist", "particle[0].radius" or, for all particles, "particle[*].radius"; a
    list of paths gives the same values to each. The values are listed, or `n` of them from `start` to `stop`, both
    included.
    """

    parameter: Annotated[
        tuple[_Path, ...],
        BeforeValidator(_as_list),
        Field(min_length=1, max_length=100),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
    ]
    values: Annotated[tuple[Any, ...], BeforeValidator(_plain)] | None = None
    start: Annotated[Any, BeforeValidator(_plain)] = None
    stop: Annotated[Any, BeforeValidator(_plain)] = None
    n: Annotated[int, Field(strict=True, ge=2, le=LARGEST_SIZE)] | None = None
    spacing: Literal["linear", "logarithmic"] | None = None

    @model_validator(mode="after")
    def _check_values(self) -> Self:
        grid = {"start": self.start, "stop": self.stop, "n": self.n}
        given = [name for name, value in {**grid, "spacing": self.spacing}.items() if value is not None]
        missing = [f"`{name}`" for name, value in grid.items() if value is None]
        if self.values is not None and given:
            raise ValueError(f"has `values`, which go with no `{given[0]}`; remove one of them")
        if self.values is None and missing:
            hint = f"; {' and '.join(missing)} is missing" if given else ""
            raise ValueError(f"needs either `values`, or `start`, `stop` and `n`{hint}")
        if self.values is not None and not self.values:
            raise ValueError("has no values; give at least one")
        return self

    @property
    def size(self) -> int:
        """Number of values."""
        return len(self.values) if self.values is not None else (self.n or 0)


class AxisTable(Along):
    """One axis of the grid: its first parameter gives the coordinate, those in `along` move with it.

    `name` is that of the dimension; by default the last name of the path.
    """

    name: Annotated[str, Field(max_length=60)] | None = None
    along: Annotated[tuple[Along, ...], Field(max_length=20)] = ()

    @model_validator(mode="after")
    def _check_name(self) -> Self:
        if self.name is not None and not re.fullmatch(r"[A-Za-z]\w*", self.name, re.ASCII):
            raise ValueError(f"`name` must be one word of letters, digits and _, but is {short(self.name)}")
        return self


class SweepTable(Part):
    """A grid over any parameters; the last axis runs fastest.

    Every point has noise of its own, or with `same_noise` all have the same.
    """

    axis: Annotated[tuple[AxisTable, ...], Field(min_length=1, max_length=10)]
    same_noise: Annotated[bool, Field(strict=True)] = False


class SweepFile(Part):
    """Where the table stands in a file."""

    sweep: SweepTable
