"""Exact maps of linear equations over any stretch of time, with drives and kicks, and the growth of their modes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from scipy import linalg
from scipy.sparse.csgraph import connected_components

from stochbind.checks import ComplexArray, FloatArray
from stochbind.errors import PlanError
from stochbind.langevin import Langevin
from stochbind.propagation import propagate
from stochbind.protocols.actions import Drive, Kick
from stochbind.protocols.timeline import Event, Jump, Periods, Timeline


class Map(NamedTuple):
    """An exact stretch of time of a duration [s]; the arrays are those of one set of a `Schedule`."""

    duration: Fraction
    matrix: FloatArray
    shift: FloatArray
    covariance: FloatArray
    drive: FloatArray


class Composer:
    """Makes the exact maps of stretches of time, and each uninterrupted one only once.

    Parameters
    ----------
    equations, kicks, drives : sequence
        What the events refer to by index.
    timeline : Timeline
        What happens in a period.
    unit : Fraction
        Unit of time of the timeline [s].
    """

    def __init__(
        self,
        equations: Sequence[Langevin],
        kicks: Sequence[Kick],
        drives: Sequence[Drive],
        timeline: Timeline,
        unit: Fraction,
    ) -> None:
        self.equations, self.kicks, self.drives = equations, kicks, drives
        self.timeline, self.unit = timeline, unit
        d = equations[0].dimension
        self.nothing = Map(Fraction(0), np.eye(d), np.zeros(d), np.zeros((d, d)), np.zeros((len(drives), 2, d)))
        self.made: dict[Event, Map] = {}

    def __call__(self, events: Iterable[Event]) -> Map:
        """The map of all events, one after the other."""
        result = self.nothing
        for event in events:
            if event not in self.made:
                self.made[event] = self.make(event)
            result = self.then(result, self.made[event])
        return result

    def make(self, event: Event) -> Map:
        """The map of one event."""
        if isinstance(event, Periods):
            return self.power(self(self.timeline.within(Fraction(0), self.timeline.period or Fraction(0))), event.count)
        if isinstance(event, Jump):
            kick = self.kicks[event.kick]
            matrix = self.nothing.matrix if kick.matrix is None else kick.matrix
            return self.nothing._replace(matrix=matrix, shift=self.nothing.shift if kick.shift is None else kick.shift)
        equations, duration = self.equations[event.equations], event.length * self.unit
        drive = [_driven(equations, drive, float(duration)) for drive in self.drives]
        exact = equations.propagator(float(duration))
        return Map(duration, *exact, np.stack(drive) if drive else self.nothing.drive)

    def then(self, first: Map, second: Map) -> Map:
        """One map after the other."""
        angle = [2 * math.pi * float(drive.turns(first.duration)) for drive in self.drives]
        cosine, sine = np.cos(angle)[:, None], np.sin(angle)[:, None]
        # The second map begins at the phase that the first has reached.
        in_phase, quarter = second.drive[:, 0], second.drive[:, 1]
        moved = np.stack([cosine * in_phase + sine * quarter, cosine * quarter - sine * in_phase], axis=1)
        with np.errstate(over="ignore", invalid="ignore"):
            covariance = second.matrix @ first.covariance @ second.matrix.T + second.covariance
            result = Map(
                first.duration + second.duration,
                second.matrix @ first.matrix,
                second.matrix @ first.shift + second.shift,
                0.5 * (covariance + covariance.T),
                first.drive @ second.matrix.T + moved,
            )
        if not all(np.isfinite(part).all() for part in result[1:]):
            raise PlanError(
                f"Over {float(result.duration):.6g} s the system outgrows floating point; ask for a shorter time."
            )
        return result

    def power(self, base: Map, count: int) -> Map:
        """The same map `count` times, at least once."""
        result = base
        for digit in bin(count)[3:]:
            result = self.then(result, result)
            result = self.then(result, base) if digit == "1" else result
        return result


def _driven(equations: Langevin, drive: Drive, duration: float) -> FloatArray:
    """Shift by a drive of phase zero, and of a quarter turn, at the start; shape (2, d)."""
    d, omega = equations.dimension, drive.angular_frequency * equations.time_unit
    drift = drive.drift(equations)
    # The phase becomes two more coordinates, its cosine and sine, so that resonance needs no care. The drive is
    # scaled to the rates of the system, so that its strength costs no precision.
    strength = float(np.abs(drift).max()) or 1.0
    rate = max(float(np.abs(equations.drift_matrix).sum(axis=0).max()), omega) or 1.0
    matrix = np.zeros((d + 2, d + 2))
    matrix[:d, :d] = equations.drift_matrix
    matrix[:d, d] = drift / strength * rate
    matrix[d, d + 1], matrix[d + 1, d] = -omega, omega
    exact = propagate(matrix, np.zeros(d + 2), np.zeros_like(matrix), duration, equations.time_unit)
    result: FloatArray = exact.matrix[:d, d:].T * (strength / rate)
    return result


def eigenvalues(matrix: FloatArray, n_factors: int) -> tuple[ComplexArray, float]:
    """Eigenvalues of a product of matrices, largest modulus first, and the uncertainty of the first."""
    # Of each part that is coupled both ways by itself, as for `stochbind.stability.stability`.
    count, part = connected_components(matrix != 0, directed=True, connection="strong")
    eps = float(np.finfo(float).eps)
    found, doubt = [], []
    for index in range(count):
        member = np.flatnonzero(part == index)
        block = matrix[np.ix_(member, member)]
        value, left, right = linalg.eig(block, left=True, right=True)  # type: ignore[misc]
        overlap = np.maximum(np.abs(np.sum(left.conj() * right, axis=0)), math.sqrt(eps))
        found.append(value)
        doubt.append(4 * eps * math.sqrt(n_factors) * np.linalg.norm(block, 2) / overlap)
    values = np.concatenate(found).astype(np.complex128)
    order = np.argsort(-np.abs(values), kind="stable")
    return values[order], float(np.concatenate(doubt)[order[0]])
