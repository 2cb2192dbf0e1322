"""The tables of lattices: where the tweezers of many equal particles are, and their phases."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from stochbind.checks import FloatArray
from stochbind.optics import lattices
from stochbind.quantities import quantity
from stochbind.scenario.parts import Part

#: Most places of a lattice.
MOST_PLACES = 10_000

_Count = Annotated[int, Field(strict=True, ge=1, le=MOST_PLACES)]
_Angle = Annotated[float, *quantity("angle")]


class Lattice(Part):
    """Places and phases of equal tweezers.

    A chain along x, or a ring, has `n` places; a square or triangular lattice has `rows` and `columns`, and its places
    count row by row. Phases grow by `phase_step` from place to place, and by `row_phase_step` from row to row; with
    `alternating` every other place has the phase `phase_step`; on a ring `winding` makes them grow by so many whole
    turns on the way round; or `phases` gives them one by one.
    """

    shape: Literal["chain", "ring", "square", "triangular"]
    n: _Count | None = None
    rows: _Count | None = None
    columns: _Count | None = None
    phase_step: _Angle = 0.0
    row_phase_step: _Angle = 0.0
    alternating: Annotated[bool, Field(strict=True)] = False
    winding: Annotated[int, Field(strict=True, ge=-MOST_PLACES, le=MOST_PLACES)] | None = None
    phases: Annotated[tuple[_Angle, ...], Field(max_length=MOST_PLACES)] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.shape in ("chain", "ring"):
            if self.n is None or self.rows is not None or self.columns is not None:
                raise ValueError(f'needs `n`, and neither `rows` nor `columns`, as shape = "{self.shape}"')
            if self.shape == "ring" and self.n < 3:
                raise ValueError(f"`n` must be at least 3 for a ring, but is {self.n}")
        elif self.rows is None or self.columns is None or self.n is not None:
            raise ValueError(f'needs `rows` and `columns`, and no `n`, as shape = "{self.shape}"')
        if self.n_places > MOST_PLACES:
            raise ValueError(f"must have at most {MOST_PLACES} places, but has {self.n_places}")
        self._check_phases()
        return self

    def _check_phases(self) -> None:
        """Raise `ValueError` unless the phases are given in one way, and one that the shape has."""
        stepped = bool(self.phase_step or self.row_phase_step or self.alternating)
        if stepped + (self.winding is not None) + (self.phases is not None) > 1:
            raise ValueError("needs phases by steps, by `winding` or by `phases`, and only one of them")
        if self.winding is not None and self.shape != "ring":
            raise ValueError(f'has a `winding`, but shape = "{self.shape}" is no ring; give `phase_step`')
        if self.row_phase_step and (self.alternating or self.shape in ("chain", "ring")):
            raise ValueError("has a `row_phase_step`, but its phases have no rows; leave it out")
        if self.phases is not None and len(self.phases) != self.n_places:
            raise ValueError(
                f"`phases` must hold {self.n_places} phases, one for each place, but holds {len(self.phases)}"
            )

    @property
    def n_places(self) -> int:
        """Number of places N."""
        rows, columns = self._table
        return rows * columns

    @property
    def _table(self) -> tuple[int, int]:
        """Rows and columns; a chain or a ring is one row."""
        return (1, self.n) if self.n is not None else (self.rows or 1, self.columns or 1)

    def places(self, spacing: float) -> FloatArray:
        """Places, shape (N, 2), with neighbours `spacing` apart, in its unit."""
        rows, columns = self._table
        if self.shape == "ring":
            return lattices.ring(columns, spacing)
        build = lattices.triangular if self.shape == "triangular" else lattices.square
        return build(rows, columns, spacing)

    @property
    def phase(self) -> FloatArray:
        """Phases at the places [rad], shape (N,)."""
        rows, columns = self._table
        if self.phases is not None:
            return np.array(self.phases)
        if self.winding is not None:
            return lattices.winding_phases(columns, self.winding)
        if self.alternating:
            return lattices.alternating_phases(rows, columns, self.phase_step)
        return lattices.stepped_phases(rows, columns, self.phase_step, self.row_phase_step)

    @property
    def phase_steps(self) -> FloatArray:
        """How often `phase_step` is counted in the phase at each place, shape (N,): as often as phases run there."""
        rows, columns = self._table
        pattern = lattices.alternating_phases if self.alternating else lattices.stepped_phases
        return pattern(rows, columns, 1.0)


class PhaseLattice(Lattice):
    """A lattice whose `distance_phase` is the phase kd of light on the way between neighbours."""

    distance_phase: Annotated[float, *quantity("angle", "positive")]


class TweezerLattice(Lattice):
    """A lattice of tweezers, with neighbours `spacing` apart.

    With `equal_frequencies` the tweezers get the powers with which all particles oscillate at the frequency of the
    first, optical binding included. Its power is the one given.
    """

    spacing: Annotated[float, *quantity("length", "positive")]
    equal_frequencies: Annotated[bool, Field(strict=True)] = False
