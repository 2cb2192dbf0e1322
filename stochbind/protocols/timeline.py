"""What happens when, in exact fractions, so that no number of steps brings rounding into it."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from stochbind.errors import PlanError

#: Times that differ by less than this, in steps, are the same time.
TIME_TOLERANCE = Fraction(1, 10**9)
#: Largest number of periods after which a step that fits no single period may fit.
MOST_PERIODS_IN_COMMON = 1000


@dataclass(frozen=True, slots=True)
class Flow:
    """The equations of an index hold for a length of time."""

    equations: int
    length: Fraction


@dataclass(frozen=True, slots=True)
class Jump:
    """The kick of an index acts."""

    kick: int


@dataclass(frozen=True, slots=True)
class Periods:
    """A number of whole periods pass."""

    count: int


Event = Flow | Jump | Periods


class Timeline:
    """When what happens, in any unit of time.

    Parameters
    ----------
    change : iterable of (Fraction, int)
        When which equations begin to hold, in order; the first at zero.
    kick : iterable of (Fraction, int)
        When which kick acts; those of one time act in the order given.
    period : Fraction or None
        When all begins again.
    """

    def __init__(
        self, change: Iterable[tuple[Fraction, int]], kick: Iterable[tuple[Fraction, int]], period: Fraction | None
    ) -> None:
        self.period = period
        piece: dict[Fraction, int] = dict(change)  # of pieces that begin together, the last one is left
        self.kicks: dict[Fraction, list[int]] = {}
        for position, index in kick:
            self.kicks.setdefault(position, []).append(index)
        begin = sorted(piece)
        self.position = sorted({*piece, *self.kicks})
        self.equations = [piece[begin[bisect_right(begin, position) - 1]] for position in self.position]

    def within(self, begin: Fraction, end: Fraction) -> Iterator[Flow | Jump]:
        """What happens in [begin, end), within one period."""
        now, i = begin, bisect_left(self.position, begin)
        active = self.equations[max(i - 1, 0)]
        for place in range(i, bisect_left(self.position, end)):
            position, equations = self.position[place], self.equations[place]
            if equations != active or position in self.kicks:
                if position > now:
                    yield Flow(active, position - now)
                yield from map(Jump, self.kicks.get(position, ()))
                now, active = position, equations
        if end > now:
            yield Flow(active, end - now)

    def between(self, begin: Fraction, end: Fraction) -> Iterator[Event]:
        """What happens in [begin, end), whole periods taken together."""
        if self.period is None or end // self.period == begin // self.period:
            past = begin // self.period * self.period if self.period else Fraction(0)
            yield from self.within(begin - past, end - past)
            return
        first, last = begin // self.period, end // self.period
        if begin > first * self.period:
            yield from self.within(begin - first * self.period, self.period)
            first += 1
        if last > first:
            yield Periods(last - first)
        yield from self.within(Fraction(0), end - last * self.period)

    def changes(self, length: int) -> Iterable[int]:
        """The steps below `length` that may differ from the step before, where the unit is a step."""
        repeats = self.period.denominator if self.period else 1
        if self.period and repeats * len(self.position) >= self.period.numerator:
            return range(length)
        found = {0}
        for repeat in range(repeats):
            for position in self.position:
                place = position + repeat * (self.period or 0)
                found.update((math.floor(place), math.floor(place) + 1))
        return sorted(n for n in found if n < length)


def period_in_steps(period: Fraction, step: Fraction) -> Fraction:
    """Ratio of period to step, as the ratio of whole numbers that it is within rounding."""
    ratio = period / step
    whole, divisor = max(round(ratio), 1), max(round(1 / ratio), 1)
    for candidate in (Fraction(whole), Fraction(1, divisor), ratio.limit_denominator(MOST_PERIODS_IN_COMMON)):
        rounding = 4 * Fraction(np.finfo(float).eps) * candidate.numerator
        if candidate and abs(ratio - candidate) * candidate.denominator <= max(TIME_TOLERANCE, rounding):
            return candidate
    nearest = period / whole if ratio >= 1 else period * divisor
    raise PlanError(
        f"`step` is {float(step):.9g}, of which no whole number makes up to {MOST_PERIODS_IN_COMMON} periods of "
        f"{float(period):.9g}; use {float(nearest)!r}."
    )
