"""What all reducers have in common, and what they need to know of a run."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from stochbind.checks import FloatArray
from stochbind.engine.accounts import Ledger
from stochbind.engine.layout import row_dimension
from stochbind.langevin import Langevin
from stochbind.oscillators import Oscillators, coordinate_names
from stochbind.stability import Coordinate

if TYPE_CHECKING:
    import xarray as xr


class Context(NamedTuple):
    """What reducers need to know of a run.

    Attributes
    ----------
    coordinate : tuple of Coordinate
        What each of the d coordinates is.
    n_oscillators : int
        Number of oscillators N: of particles, times axes.
    unit : (d,) float
        SI value of a scaled unit.
    thermal_scale : (d,) float
        Standard deviation of each coordinate, of the particle alone in its trap and bath; scaled.
    thermal_energy : (N,) float
        Energy of each bath [J].
    interval : float
        Time between kept states [s].
    n_saves : int
        Number of kept states.
    ledger : bool
        Whether there is a ledger.
    reduced : bool
        Whether the numbers are in reduced units.
    """

    coordinate: tuple[Coordinate, ...]
    n_oscillators: int
    unit: FloatArray
    thermal_scale: FloatArray
    thermal_energy: FloatArray
    interval: float
    n_saves: int
    ledger: bool
    reduced: bool

    @classmethod
    def of(cls, array: Oscillators, equations: Langevin, *, interval: float, n_saves: int, ledger: bool) -> Self:
        """Of the oscillators that the equations describe.

        A bath without temperature is taken to have the largest one, and a trap that does not hold its particle has the
        scaled unit for its scale.
        """
        energy = array.thermal_energy
        energy = np.where(energy > 0, energy, energy.max() if energy.max() > 0 else 1.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = np.where(array.stiffness > 0, energy / array.stiffness, np.nan)
        if array.mass is not None:
            variance = np.concatenate([variance, energy / array.mass])
        scale = np.sqrt(variance) / equations.unit
        return cls(
            coordinate=equations.coordinate,
            n_oscillators=array.n_oscillators,
            unit=equations.unit,
            thermal_scale=np.where(np.isfinite(scale) & (scale > 0), scale, 1.0),
            thermal_energy=energy,
            interval=interval,
            n_saves=n_saves,
            ledger=ledger,
            reduced=array.reduced,
        )

    @property
    def dimension(self) -> int:
        """Number of coordinates d."""
        return len(self.coordinate)

    @property
    def labels(self) -> list[str]:
        """Names of the coordinates, such as "position 0"."""
        return coordinate_names(self.coordinate)

    @property
    def row(self) -> str:
        """Dimension of what there is for each oscillator."""
        return row_dimension({c.axis for c in self.coordinate})

    def si(self, unit: str) -> str:
        """A unit, or nothing in reduced units."""
        return "" if self.reduced else unit

    def select(self, quantity: str) -> npt.NDArray[np.int64]:
        """Indices of all coordinates of a quantity."""
        return np.array([i for i, c in enumerate(self.coordinate) if c.quantity == quantity], dtype=np.int64)


class Reducer(abc.ABC):
    """A statistic that is added up while a run goes on.

    Attributes
    ----------
    name : str
        Name in a store.
    window : int
        Kept states of a window.
    start : int
        Windows that begin before this kept state are left out.
    n_entries : int
        Numbers in a row of sums; the first is the number of trajectories that took part.
    per_window : bool
        Whether there is a row for each window; otherwise there is one for each segment of time.
    whole : bool
        Whether an incomplete window at the end is left out.
    needs_ledger : bool
        Whether it is of what the ledger gains.
    """

    per_window: ClassVar[bool] = False
    whole: ClassVar[bool] = True
    needs_ledger: bool = False
    name: str
    window: int
    n_entries: int
    start: int = 0

    def __init__(self, context: Context) -> None:
        self.context = context

    @abc.abstractmethod
    def sums(self, states: FloatArray, gain: Ledger | None, taking: npt.NDArray[np.bool_], group: int) -> FloatArray:
        """Sums over one window of a batch of trajectories.

        Parameters
        ----------
        states : (n, d, B) float
            Scaled states of the window; fewer than `window` at the end of a record.
        gain : Ledger, optional
            What each trajectory gained since the end of the window before, (N, N, B), (N, B), (N, B).
        taking : (B,) bool
            Trajectories that take part; others are not finite.
        group : int
            Trajectories of a group, a power of two.

        Returns
        -------
        (n_groups, n_entries) float
            The sums.
        """

    @abc.abstractmethod
    def describe(self, data: FloatArray) -> dict[str, xr.Variable]:
        """The statistic in SI, by the names of its variables and coordinates.

        Parameters
        ----------
        data : (n_rows, n_groups, n_entries) float
            Sums; of what is not per window, rows are summed.
        """

    def variables(self) -> dict[str, xr.Variable]:
        """What `describe` gives, of sums that are zero: names and dims."""
        return self.describe(np.zeros((1, 1, self.n_entries)))

    def window_ends(self, n_rows: int) -> tuple[FloatArray, FloatArray]:
        """Times of the first and last kept state of each window [s]."""
        first = np.arange(n_rows, dtype=np.float64) * self.window
        last = np.minimum(first + self.window, self.context.n_saves) - 1
        start: FloatArray = (first + 1.0) * self.context.interval
        stop: FloatArray = (last + 1.0) * self.context.interval
        return start, stop


def variable(
    dims: tuple[str, ...], data: npt.NDArray[Any] | list[str], units: str | None, meaning: str, **more: Any
) -> Any:
    """A variable with its meaning, and its unit if all its elements have the same."""
    import xarray as xr

    return xr.Variable(dims, data, {**({} if units is None else {"units": units}), "long_name": meaning, **more})


def ratio(sums: FloatArray, count: FloatArray) -> FloatArray:
    """Averages; NaN where nothing was counted."""
    with np.errstate(divide="ignore", invalid="ignore"):
        result: FloatArray = sums / count.reshape(count.shape + (1,) * (sums.ndim - count.ndim))
    return result
