"""Whether linear equations have a steady state, and which mode decides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import linalg
from scipy.sparse.csgraph import connected_components

from stochbind.checks import ComplexArray, FloatArray


class Coordinate(NamedTuple):
    """What a coordinate is: ``("position", 0, "z")`` is the position of particle 0 along z."""

    quantity: str
    particle: int
    axis: str


class Stability(NamedTuple):
    """Verdict on the long-time behaviour.

    Attributes
    ----------
    stable : bool
        Whether every mode decays, beyond the round-off of the eigenvalues.
    growth_rate : float
        Largest real part of the eigenvalues of A [1/s]; negative if stable, zero within round-off.
    round_off : float
        Uncertainty of that rate [1/s]. It is large where A is nearly defective, at an exceptional point.
    angular_frequency : float
        Magnitude of the imaginary part of that eigenvalue [rad/s].
    mode : (d,) complex
        Its eigenvector, scaled to norm 1.
    participation : dict of int to float
        Share of each particle in the squared positions, or of each amplitude in the squares, of the mode.
    reduced : bool
        Whether times are in reduced units.
    """

    stable: bool
    growth_rate: float
    round_off: float
    angular_frequency: float
    mode: ComplexArray
    participation: dict[int, float]
    reduced: bool

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        who = ", ".join(
            f"particle {j} ({share:.0%})"
            for j, share in sorted(self.participation.items(), key=lambda item: -item[1])[:3]
            if share >= 0.005
        )
        if self.reduced:
            mode = f"the mode at angular frequency {self.angular_frequency:.6g} of {who}"
        else:
            mode = f"the mode at {self.angular_frequency / (2 * math.pi):.6g} Hz of {who}"
        unit = "" if self.reduced else " 1/s"
        if self.stable:
            return f"stable: {mode} decays slowest, at {-self.growth_rate:.6g}{unit}"
        if self.growth_rate > 0:
            return f"unstable: {mode} grows at {self.growth_rate:.6g}{unit}"
        return (
            f"not damped, as far as double precision can tell: the growth rate of {mode} is zero "
            f"within {self.round_off:.2g}{unit}"
        )


def stability(
    drift_matrix: FloatArray, coordinates: Sequence[Coordinate], time_unit: float = 1.0, *, reduced: bool = False
) -> Stability:
    """The verdict on a drift matrix, from its eigenvalues and their conditioning.

    Parameters
    ----------
    drift_matrix : (d, d) float
        A [1/time_unit].
    coordinates : sequence of Coordinate
        What each coordinate is.
    time_unit : float
        Value of one unit of time [s].
    reduced : bool
        Whether times are in reduced units; only the words depend on it.
    """
    # The spectrum of a one-way array is that of its strongly connected parts. Taken together, they form
    # nearly defective matrices whose eigenvalues carry errors of the square root of the round-off.
    count, part = connected_components(drift_matrix != 0, directed=True, connection="strong")
    best: tuple[float, float, float, ComplexArray] = (-math.inf, 0.0, 0.0, np.zeros(0, complex))
    eps = float(np.finfo(float).eps)
    for index in range(count):
        member = np.flatnonzero(part == index)
        block = drift_matrix[np.ix_(member, member)]
        value, left, right = linalg.eig(block, left=True, right=True)  # type: ignore[misc]
        top = int(np.argmax(value.real))
        if value[top].real > best[0]:
            mode = np.zeros(len(drift_matrix), complex)
            mode[member] = right[:, top]
            # First order perturbation theory, for an error of ten units in the last place. Near an exceptional
            # point left and right vectors are orthogonal, and the error of the eigenvalue tends to a square root.
            overlap = max(float(abs(np.vdot(left[:, top], right[:, top]))), math.sqrt(eps))
            round_off = 10 * eps * float(np.abs(block).max(initial=0.0)) / overlap
            best = (float(value[top].real), float(abs(value[top].imag)), round_off, mode)
    rate, frequency, round_off, mode = best
    weight: dict[int, float] = {}
    for amplitude, coordinate in zip(mode, coordinates, strict=True):
        if coordinate.quantity in ("position", "real", "imaginary"):
            weight[coordinate.particle] = weight.get(coordinate.particle, 0.0) + abs(amplitude) ** 2
    total = sum(weight.values()) or 1.0
    return Stability(
        stable=bool(rate < -round_off),
        growth_rate=rate / time_unit if abs(rate) > round_off else 0.0,
        round_off=round_off / time_unit,
        angular_frequency=frequency / time_unit,
        mode=mode,
        participation={j: share / total for j, share in weight.items()},
        reduced=reduced,
    )
