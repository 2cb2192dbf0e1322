"""Statistics: what a run adds up while it goes on, so that averages need no record of the trajectories.

Windows of time are counted from the first kept state on: window w holds the kept states ``w * window`` to
``(w + 1) * window - 1``.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, Field, model_validator

from stochbind.checks import short
from stochbind.errors import PlanError, ScenarioError
from stochbind.scenario.parts import Part

#: Longest window, in kept states.
LARGEST_WINDOW = 2**16
LARGEST_N_BINS = 10_000
LARGEST_N_LAGS = 1000


def _power_of_two(window: int) -> int:
    if window & (window - 1):
        raise ValueError(
            f"must be a power of two, such as {1 << (window.bit_length() - 1)} or {1 << window.bit_length()}, "
            f"but is {window}"
        )
    return window


def _window(minimum: int) -> Any:
    return Annotated[int, Field(strict=True, ge=minimum, le=LARGEST_WINDOW), AfterValidator(_power_of_two)]


_Lag = Annotated[int, Field(strict=True)]
_Start = Annotated[int, Field(strict=True, ge=0)] | None


class MomentStatistic(Part):
    """First and second moments in each window: means, covariances, and those of successive states.

    Temperatures, heat flows, powers and directional transfer follow from them.

    Parameters
    ----------
    window : int, optional
        Kept states of a window, a power of two; by default 64, or more so that a record has at most 256 windows.
    """

    kind: Literal["moments"] = "moments"
    window: _window(1) | None = None  # type: ignore[valid-type]

    @property
    def name(self) -> str:
        """Name of the statistic in a store."""
        return self.kind


class CorrelationStatistic(Part):
    """Lagged correlations of all coordinates, averaged over time.

    Parameters
    ----------
    window : int
        Kept states of a window, a power of two; pairs of states lie within one.
    lags : sequence of int, optional
        Distances in kept states, increasing; by default 0, 1, 2, 3, 4, 6, 8, 12, 16, ... up to half a window.
    start : int, optional
        Windows that begin before this kept state are left out; by default six decay times of the slowest mode.
    """

    kind: Literal["correlations"] = "correlations"
    window: _window(2) = 256  # type: ignore[valid-type]
    lags: Annotated[tuple[_Lag, ...], Field(min_length=1, max_length=LARGEST_N_LAGS)] | None = None
    start: _Start = None

    @model_validator(mode="after")
    def _check(self) -> CorrelationStatistic:
        lags = self.all_lags
        if lags[0] < 0 or any(b <= a for a, b in itertools.pairwise(lags)):
            raise ValueError(f"`lags` must be whole numbers from 0 on that increase, but are {short(list(lags))}")
        if lags[-1] >= self.window:
            raise ValueError(
                f"`lags` must be below `window` = {self.window}, but the largest is {lags[-1]}; use a longer window"
            )
        return self

    @property
    def name(self) -> str:
        """Name of the statistic in a store."""
        return self.kind

    @property
    def all_lags(self) -> tuple[int, ...]:
        """The lags, in kept states."""
        if self.lags is not None:
            return self.lags
        powers = [1 << k for k in range(self.window.bit_length())]
        between = [3 * power // 2 for power in powers[1:]]
        return (0, *(lag for lag in sorted(powers + between) if lag <= self.window // 2))


class SpectrumStatistic(Part):
    """Power spectral densities and cross-spectra of all coordinates, by Welch's method.

    Windows do not overlap and are tapered by Hann's. The mean is not taken out of a window: what does not average to
    zero stands in the two lowest frequencies.

    Parameters
    ----------
    window : int
        Kept states of a window, a power of two, at least 8. Frequencies are multiples of one over its duration.
    start : int, optional
        Windows that begin before this kept state are left out; by default six decay times of the slowest mode.
    """

    kind: Literal["spectra"] = "spectra"
    window: _window(8) = 1024  # type: ignore[valid-type]
    start: _Start = None

    @property
    def name(self) -> str:
        """Name of the statistic in a store."""
        return self.kind


class HistogramStatistic(Part):
    """A histogram for each particle, of states or of what its ledger gains in a window.

    Parameters
    ----------
    of : {"position", "velocity", "heat", "work", "drive_work"}
        What is counted: every kept state, or what is gained from the end of a window to the end of the next.
    window : int
        Kept states of a window, a power of two.
    n_bins : int
        Number of bins of equal width. The first and the last also hold all that is beyond.
    largest : float, optional
        The bins reach from minus to plus this, in thermal units: standard deviations of the particle alone in its trap
        and bath (6 by default), or for heat and work its thermal energy (20 by default).
    start : int, optional
        Windows that begin before this kept state are left out; by default six decay times of the slowest mode.
    """

    kind: Literal["histograms"] = "histograms"
    of: Literal["position", "velocity", "heat", "work", "drive_work"] = "position"
    window: _window(1) = 64  # type: ignore[valid-type]
    n_bins: Annotated[int, Field(strict=True, ge=2, le=LARGEST_N_BINS)] = 120
    largest: Annotated[float, Field(gt=0, le=1e6)] | None = None
    start: _Start = None

    @property
    def name(self) -> str:
        """Name of the statistic in a store."""
        return f"histogram_{self.of}"

    @property
    def edge(self) -> float:
        """Upper edge of the last bin, in thermal units."""
        if self.largest is not None:
            return self.largest
        return 6.0 if self.of in ("position", "velocity") else 20.0


class CurrentStatistic(Part):
    """First and second moments of the heat and the work in each window; needs the ledger.

    Parameters
    ----------
    window : int, optional
        Kept states of a window, a power of two; by default 64, or more so that a record has at most 256 windows.
    """

    kind: Literal["currents"] = "currents"
    window: _window(1) | None = None  # type: ignore[valid-type]

    @property
    def name(self) -> str:
        """Name of the statistic in a store."""
        return self.kind


Statistic = Annotated[
    MomentStatistic | CorrelationStatistic | SpectrumStatistic | HistogramStatistic | CurrentStatistic,
    Field(discriminator="kind"),
]
#: The classes, by kind.
STATISTICS: dict[str, Any] = {
    "moments": MomentStatistic,
    "correlations": CorrelationStatistic,
    "spectra": SpectrumStatistic,
    "histograms": HistogramStatistic,
    "currents": CurrentStatistic,
}


def statistics_of(given: Any) -> tuple[Statistic, ...]:
    """Statistics from what a user writes.

    Parameters
    ----------
    given : sequence of Statistic, str or dict
        A name stands for the statistic with its defaults: a kind, or such as "histogram_heat". A dict holds the fields
        and the `kind`.

    Returns
    -------
    tuple of Statistic
        All of them.

    Raises
    ------
    PlanError
        If one is unknown, or two have the same name.
    """
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise PlanError(f'`statistics` must be a list, such as ["moments"], but is {short(given)}.')
    result = tuple(_statistic(item) for item in given)
    names = [item.name for item in result]
    for name in names:
        if names.count(name) > 1:
            raise PlanError(f"`statistics` must have different names, but {name!r} is there {names.count(name)} times.")
    return result


def _statistic(given: Any) -> Statistic:
    if isinstance(given, tuple(STATISTICS.values())):
        return cast(Statistic, given)
    fields = dict(given) if isinstance(given, Mapping) else named_statistic(given)
    kind = fields.pop("kind", None)
    if not isinstance(kind, str) or kind not in STATISTICS:
        known = ", ".join(repr(name) for name in STATISTICS)
        raise PlanError(f"`statistics` must hold statistics or their names ({known}), but holds {short(given)}.")
    try:
        made: Statistic = STATISTICS[kind](**fields)
    except ScenarioError as error:
        raise PlanError(f"`statistics`: {error}") from None
    return made


def named_statistic(name: Any) -> dict[str, Any]:
    """The fields of a statistic that is given by its name alone, such as "moments" or "histogram_heat"."""
    if isinstance(name, str) and name.startswith("histogram_"):
        return {"kind": "histograms", "of": name.removeprefix("histogram_")}
    return {"kind": name}
