"""Protocols: pieces of equations in time, their schedules of steps, and their exact moments."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from numbers import Real
from typing import Any

import numpy as np

from stochbind import checks
from stochbind.checks import ComplexArray, FloatArray
from stochbind.errors import PlanError, ScenarioError, UnstableError
from stochbind.langevin import Langevin, Moments
from stochbind.protocols.actions import TWO_PI, Drive, Kick
from stochbind.protocols.likeness import require_alike
from stochbind.protocols.maps import Composer, Map, eigenvalues
from stochbind.protocols.schedule import Schedule, fixed_point
from stochbind.protocols.timeline import TIME_TOLERANCE, Event, Timeline, period_in_steps

#: Times that differ by this part of themselves are the same time where there are no steps.
TIME_ROUNDING = Fraction(1, 10**14)
#: Most memory for the coefficients of a schedule [bytes].
LARGEST_SCHEDULE = 256 * 2**20
#: Largest relative error of the covariance of a periodic state that is returned.
LARGEST_PERIODIC_ERROR = 1e-3


@dataclass(frozen=True, eq=False, kw_only=True)
class Protocol:
    r"""Langevin equations that change with time, with kicks and drives.

    Parameters
    ----------
    pieces : sequence of (float, Langevin)
        Duration [s] of each piece and the equations that hold during it, all in the same coordinates and units, with
        the same forces; see `in_units_of`. If not periodic, the last piece holds for ever.
    periodic : bool
        Whether all is repeated after the sum of the durations.
    kicks : sequence of Kick
        Sudden changes of the state; in a periodic protocol they repeat too.
    drives : sequence of Drive
        Harmonic forces. Their phase runs on from time zero, also if periodic.

    Raises
    ------
    ScenarioError
        If pieces do not fit each other, or a duration, kick or drive does not fit them.
    """

    pieces: tuple[tuple[float, Langevin], ...]
    periodic: bool = False
    kicks: tuple[Kick, ...] = ()
    drives: tuple[Drive, ...] = ()

    def __post_init__(self) -> None:
        for name, what in (("pieces", "(duration, equations)"), ("kicks", "Kick"), ("drives", "Drive")):
            given = getattr(self, name)
            if not isinstance(given, Iterable):
                raise ScenarioError(f"`{name}` must be a sequence of {what}, but is {checks.short(given)}.")
            object.__setattr__(self, name, tuple(given))
            items: tuple[Any, ...] = getattr(self, name)
            for index, one in enumerate(items):
                kind = {"kicks": Kick, "drives": Drive}.get(name, tuple)
                if not isinstance(one, kind) or (isinstance(one, tuple) and len(one) != 2):
                    raise ScenarioError(f"`{name}[{index}]` must be {what}, but is {checks.short(one)}.")
        if not self.pieces:
            raise ScenarioError("`pieces` must hold at least one duration with its equations, but is empty.")
        for index, (duration, equations) in enumerate(self.pieces):
            if not isinstance(equations, Langevin):
                raise ScenarioError(f"`pieces[{index}][1]` must be `Langevin`, but is {checks.short(equations)}.")
            for_ever = duration == math.inf and index == len(self.pieces) - 1 and not self.periodic
            if not (isinstance(duration, Real) and duration > 0 and (math.isfinite(duration) or for_ever)):
                raise ScenarioError(
                    f"`pieces[{index}][0]`, a duration, must be positive and finite, but is {duration!r}; only the "
                    "last piece of a protocol that does not repeat may hold for ever."
                )
            require_alike(f"pieces[{index}]", equations, self.equations)
        object.__setattr__(self, "pieces", tuple((float(duration), equations) for duration, equations in self.pieces))
        d = self.equations.dimension
        for index, kick in enumerate(self.kicks):
            for name, value, shape in (("shift", kick.shift, (d,)), ("matrix", kick.matrix, (d, d))):
                if value is not None:
                    checks.array(f"kicks[{index}].{name}", value, shape)
            if self.periodic and kick.time >= self.duration * (1 - 1e-12):
                raise ScenarioError(
                    f"`kicks[{index}].time` must be within the period of {self.duration:.6g} s, but is "
                    f"{kick.time:.6g} s; kicks repeat with the period."
                )
        for drive in self.drives:
            drive.drift(self.equations)

    @classmethod
    def constant(cls, equations: Langevin, *, drives: Iterable[Drive] = (), kicks: Iterable[Kick] = ()) -> Protocol:
        """Equations that do not change."""
        return cls(pieces=((math.inf, equations),), drives=tuple(drives), kicks=tuple(kicks))

    @classmethod
    def sampled(
        cls,
        function: Callable[[float], Langevin],
        duration: float,
        n_pieces: int,
        *,
        periodic: bool = False,
        drives: Iterable[Drive] = (),
        kicks: Iterable[Kick] = (),
    ) -> Protocol:
        """Equations that change smoothly, held in each of n equal pieces at their value at its middle.

        The exponential midpoint rule: errors are of order ``(duration / n_pieces)**2``.

        Parameters
        ----------
        function : callable
            Equations at a time [s]; called once per piece, here.
        duration : float
            Of all pieces together [s].
        n_pieces : int
            Number of pieces n.
        periodic, drives, kicks
            See `Protocol`.
        """
        duration = float(checks.positive("duration", checks.array("duration", duration, ())))
        n = checks.integer("n_pieces", n_pieces, minimum=1, error=ScenarioError)
        pieces = tuple((duration / n, function((i + 0.5) * duration / n)) for i in range(n))
        return cls(pieces=pieces, periodic=periodic, drives=tuple(drives), kicks=tuple(kicks))

    @property
    def equations(self) -> Langevin:
        """Equations of the first piece: what the coordinates are, their units, and the forces."""
        return self.pieces[0][1]

    @cached_property
    def duration(self) -> float:
        """Sum of the durations [s]: the period, if periodic."""
        return math.fsum(duration for duration, _ in self.pieces)

    def schedule(self, step: float, n_steps: int) -> Schedule:
        """Exact steps, for a solver: any step is exact, also one longer than a piece or a period.

        A kick belongs to the step that ends after it: one at time zero to the first step, and a state saved at its
        very time is the one before. Times closer than 1e-9 of a step are the same time; a period that is so close to
        a ratio of whole numbers of steps is taken to be that ratio.

        Parameters
        ----------
        step : float
            h [s].
        n_steps : int
            Number of steps that are asked for.

        Raises
        ------
        PlanError
            If no common multiple of step and period is in reach, the coefficients would need too much memory, or
            outgrow floating point.
        """
        step = float(checks.positive("step", checks.array("step", step, (), error=PlanError), error=PlanError))
        n_steps = checks.integer("n_steps", n_steps, minimum=1, error=PlanError)
        h = Fraction(step)
        timeline = self._timeline(h)
        repeat = timeline.period.numerator if timeline.period else 0
        sets: dict[tuple[Event, ...], int] = {}
        start: list[int] = []
        which: list[int] = []
        for n in timeline.changes(min(n_steps, repeat or n_steps)):
            k = sets.setdefault(tuple(timeline.between(Fraction(n), Fraction(n + 1))), len(sets))
            if not which or which[-1] != k:
                start.append(n)
                which.append(k)
        d, f = self.equations.dimension, len(self.drives)
        if (size := 8 * len(sets) * d * (2 * d + 1 + 2 * f)) > LARGEST_SCHEDULE:
            raise PlanError(
                f"The {len(sets)} different steps of this schedule need {size / 2**20:.0f} MiB of coefficients (limit "
                f"{LARGEST_SCHEDULE // 2**20} MiB); use fewer pieces, or a `step` that divides them."
            )
        compose = self._composer(timeline, h)
        maps = [compose(events) for events in sets]
        return Schedule(
            matrix=np.stack([one.matrix for one in maps]),
            shift=np.stack([one.shift for one in maps]),
            covariance=np.stack([one.covariance for one in maps]),
            drive=np.stack([one.drive for one in maps]),
            turn=np.array([fixed_point(drive.turns(h)) for drive in self.drives], np.uint64),
            phase=np.array([fixed_point(Fraction(drive.phase) / TWO_PI) for drive in self.drives], np.uint64),
            start=np.array(start, np.int64),
            which=np.array(which, np.int64),
            period=repeat if repeat <= n_steps else 0,
        )

    def moments(self, time: float, initial: Moments) -> Moments:
        """Exact mean and covariance at `time` [s], just before a kick at that time, from a Gaussian state at time zero.

        Raises
        ------
        PlanError
            If the time is negative or not finite, or an unstable mode outgrows floating point.
        """
        if not (math.isfinite(time) and time >= 0):
            raise PlanError(f"`time` must be zero or positive, but is {time}.")
        timeline, milestone = self._milestones
        count, rest = divmod(Fraction(time), timeline.period) if timeline.period else (0, Fraction(time))
        # Times that differ by the rounding of their sums are the same time.
        known = [*timeline.position, timeline.period] if timeline.period else timeline.position
        near = known[max(bisect_right(known, rest + Fraction(time) * TIME_ROUNDING) - 1, 0)]
        rest = near if abs(near - rest) <= Fraction(time) * TIME_ROUNDING else rest
        compose = self._composer(timeline, Fraction(1))
        i = bisect_right(timeline.position, rest) - 1
        whole = compose.power(milestone[-1], count) if count else milestone[0]
        part = compose.then(milestone[i], compose(timeline.within(timeline.position[i], rest)))
        result = compose.then(whole, part)
        covariance = result.matrix @ initial.covariance @ result.matrix.T + result.covariance
        mean = result.matrix @ initial.mean + self._whole_shift(result)
        return Moments(mean, 0.5 * (covariance + covariance.T))

    def multipliers(self) -> ComplexArray:
        """Floquet multipliers, largest first: factors by which the modes of the linear part grow in one period.

        Returns
        -------
        (d,) complex
            Eigenvalues of the matrix of one period, kicks included.

        Raises
        ------
        PlanError
            If the protocol does not repeat.
        """
        return self._floquet[0]

    @property
    def stable(self) -> bool:
        """Whether every mode decays, beyond round-off; if not periodic, under the last piece."""
        if not self.periodic:
            return self.pieces[-1][1].stability.stable
        value, round_off = self._floquet
        return bool(abs(value[0]) < 1 - round_off)

    @property
    def growth_rate(self) -> float:
        """Largest growth rate of a mode [1/s], negative if all decay; if not periodic, under the last piece."""
        if not self.periodic:
            return self.pieces[-1][1].stability.growth_rate
        largest = float(abs(self._floquet[0][0]))
        return math.log(largest) / self.duration if largest > 0 else -math.inf

    def periodic_state(self) -> Moments:
        r"""Exact moments at the start of a period, before kicks there, after many periods.

        :math:`\Sigma = E \Sigma E^T + S` and :math:`\mu = E \mu + e` with the map of one period, composed with itself
        until its matrix has decayed.

        Raises
        ------
        UnstableError
            If a Floquet multiplier is not inside the unit circle, or so close to it that rounding decides.
        PlanError
            If the protocol does not repeat, or a drive does not fit a whole number of cycles into its period: then
            the mean does not repeat. The covariance does not depend on drives; leave the drive out to get it.
        """
        value, round_off = self._floquet
        if not self.stable or round_off > LARGEST_PERIODIC_ERROR * (1 - abs(value[0])):
            raise UnstableError(
                "The periodic state needs all Floquet multipliers inside the unit circle, as far as double precision "
                f"can tell, but the largest has modulus 1 {abs(value[0]) - 1:+.3g}, with a rounding error of "
                f"{round_off:.2g}. Add damping or change the modulation, or study the transient with `moments`.",
                self.growth_rate,
            )
        for index, drive in enumerate(self.drives):
            turns = Fraction(drive.angular_frequency) * Fraction(self.duration) / TWO_PI
            if abs(turns - round(turns)) > TIME_TOLERANCE:
                raise PlanError(
                    f"`drives[{index}]` makes {float(turns):.9g} cycles in a period, not a whole number, so that the "
                    "mean does not repeat; leave it out, as the covariance does not depend on it, or use `moments`."
                )
        period = self._milestones[1][-1]
        matrix, covariance = period.matrix.astype(np.longdouble), period.covariance.astype(np.longdouble)
        shift = self._whole_shift(period).astype(np.longdouble)
        while np.abs(matrix).max() > 1e-20:
            covariance = covariance + matrix @ covariance @ matrix.T
            shift = shift + matrix @ shift
            matrix = matrix @ matrix
        return Moments(shift.astype(np.float64), (0.5 * (covariance + covariance.T)).astype(np.float64))

    def steady_response(self, drive: Drive) -> ComplexArray:
        r"""Response of every coordinate to a drive, in scaled units, after transients; of constant equations.

        :math:`x(t) = \mathrm{Re}(a\,e^{-i\omega t})` with :math:`a = (-i\omega - A)^{-1} b\,e^{-i\phi}`.

        Raises
        ------
        PlanError
            If the equations change with time.
        UnstableError
            If a mode is not damped.
        """
        if any(equations is not self.equations for _, equations in self.pieces) or (self.periodic and self.kicks):
            raise PlanError("`steady_response` needs equations that do not change with time; use `moments` for these.")
        self.equations.require_stable("The steady response")
        amplitude = drive.drift(self.equations) * np.exp(-1j * drive.phase)
        result: ComplexArray = self.equations.susceptibility(drive.angular_frequency) @ amplitude
        return result

    @cached_property
    def _distinct(self) -> tuple[Langevin, ...]:
        """The equations, each object once."""
        return tuple({id(equations): equations for _, equations in self.pieces}.values())

    def _timeline(self, step: Fraction | None = None) -> Timeline:
        """Times in seconds, or in steps and then rounded to what times of steps can be told apart."""
        begin, now = [], Fraction(0)
        index = {id(equations): i for i, equations in enumerate(self._distinct)}
        for duration, equations in self.pieces:
            begin.append((now, index[id(equations)]))
            now += Fraction(duration) if math.isfinite(duration) else 0
        kick = [(Fraction(kick.time), i) for i, kick in enumerate(self.kicks)]
        if step is None:
            return Timeline(begin, kick, now if self.periodic else None)
        period = period_in_steps(now, step) if self.periodic else None
        scale = period / now if period else 1 / step
        part = period.denominator if period else 1
        grid = part << 44  # so that steps that differ by rounding alone share their coefficients
        tolerance = TIME_TOLERANCE * min(period or 1, 1)

        def rounded(time: Fraction) -> Fraction:
            place = time * scale
            near = Fraction(round(place * part), part)
            return near if abs(near - place) <= tolerance else Fraction(round(place * grid), grid)

        begin = [(rounded(time), i) for time, i in begin]
        kick = [(rounded(time) % period if period else rounded(time), i) for time, i in kick]
        return Timeline([b for b in begin if not period or b[0] < period], kick, period)

    @cached_property
    def _milestones(self) -> tuple[Timeline, list[Map]]:
        """Times in seconds, and the maps from time zero to each of them (before its kicks), and to the period."""
        timeline = self._timeline()
        compose = self._composer(timeline, Fraction(1))
        result = [compose(())]
        for begin, end in pairwise([*timeline.position, *([timeline.period] if timeline.period else [])]):
            result.append(compose.then(result[-1], compose(timeline.within(begin, end))))
        return timeline, result

    @cached_property
    def _floquet(self) -> tuple[ComplexArray, float]:
        """Multipliers, largest first, and the uncertainty of the largest."""
        if not self.periodic:
            raise PlanError("Floquet multipliers and periodic states are of periodic protocols; this one is not.")
        return eigenvalues(self._milestones[1][-1].matrix, len(self.pieces))

    def _composer(self, timeline: Timeline, unit: Fraction) -> Composer:
        return Composer(self._distinct, self.kicks, self.drives, timeline, unit)

    def _whole_shift(self, one: Map) -> FloatArray:
        """Shift of a map that starts at time zero, drives included."""
        phase = np.array([drive.phase for drive in self.drives])
        result: FloatArray = one.shift + np.cos(phase) @ one.drive[:, 0] + np.sin(phase) @ one.drive[:, 1]
        return result
