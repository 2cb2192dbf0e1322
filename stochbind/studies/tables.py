"""Tables of studies: every quantity at every point of a sweep, and their files."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from stochbind.analysis.findings.base import Finding
from stochbind.analysis.statistics import Estimate
from stochbind.checks import FloatArray
from stochbind.scenario.parameters import Value

#: Columns of a file beside the parameters.
_COLUMNS = ("quantity", "where", "unit", "value", "stderr", "exact", "z", "n_eff")


class Line(NamedTuple):
    """One quantity at one point.

    Attributes
    ----------
    point : int
        Number of the point.
    parameters : dict of str to float, int, str or bool
        What differs between points: the coordinates of the sweep in SI, and what the study derives from them.
    quantity, where, unit : str
        What, of which bath, particle or pair (receiver first), in which unit.
    value, stderr, exact, z, n_eff : float
        Estimate, standard error, exact value, their distance as a normal deviate, and the number of independent
        samples behind the error bar. NaN where there is no exact value.
    """

    point: int
    parameters: Mapping[str, Value]
    quantity: str
    where: str
    unit: str
    value: float
    stderr: float
    exact: float
    z: float
    n_eff: float


class Column(NamedTuple):
    """One quantity at all points of a study, arrays of shape (n_points,); see `Line`."""

    value: FloatArray
    stderr: FloatArray
    exact: FloatArray
    z: FloatArray


def column(lines: Sequence[Line], quantity: str, where: str = "") -> Column:
    """One quantity at all points that have it.

    Raises
    ------
    KeyError
        If no point has it.
    """
    found = [line for line in lines if (line.quantity, line.where) == (quantity, where)]
    if not found:
        raise KeyError(f"no line {quantity!r} of {where!r}")
    return Column(*(np.array([getattr(line, name) for line in found]) for name in Column._fields))


def lines_of(
    point: int,
    parameters: Mapping[str, Value],
    quantity: str,
    where: Sequence[str],
    unit: str,
    estimate: Estimate,
    exact: FloatArray,
) -> Iterator[Line]:
    """A line for each element of an estimate, (K,), of which there are names."""
    z = estimate.z(exact)
    for k, name in enumerate(where):
        value, stderr, truth, distance = (float(each[k]) for each in (estimate.value, estimate.stderr, exact, z))
        yield Line(point, parameters, quantity, name, unit, value, stderr, truth, distance, estimate.n_eff)


def lines_of_findings(point: int, parameters: Mapping[str, Value], findings: Iterable[Finding]) -> Iterator[Line]:
    """Everything that the analysis of a point tells."""
    for one in findings:
        what = (one.quantity, one.where, one.unit, one.value, one.stderr, one.exact, one.z, one.n_eff)
        yield Line(point, parameters, *what)


def worst(lines: Sequence[Line]) -> Line | None:
    """The line that is farthest from its exact value; None if no line has one."""
    judged = [line for line in lines if not math.isnan(line.exact)]
    return max(judged, key=lambda line: abs(line.z) if math.isfinite(line.z) else math.inf, default=None)


def as_csv(lines: Sequence[Line]) -> str:
    """The table as text: a head, then a row for each line; numbers in full, what is not known left empty."""
    file = io.StringIO()
    names = list(dict.fromkeys(name for line in lines for name in line.parameters))
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["point", *names, *_COLUMNS])
    for line in lines:
        parameters = [line.parameters.get(name, "") for name in names]
        texts = [line.quantity, line.where, line.unit]
        numbers = [line.value, line.stderr, line.exact, line.z, line.n_eff]
        writer.writerow([line.point, *map(_cell, parameters), *texts, *map(_cell, numbers)])
    return file.getvalue()


def _cell(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if isinstance(value, float) and math.isnan(value) else str(value)
