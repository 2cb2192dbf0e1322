"""Exact steps as arrays."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stochbind.checks import FloatArray
from stochbind.propagation import Propagator


class Schedule(NamedTuple):
    r"""Exact steps of a protocol: step n goes from :math:`n h` to :math:`(n + 1) h`.

    Its shift is ``shift[k] + sum_f cos(2 pi tau_f) drive[k, f, 0] + sin(2 pi tau_f) drive[k, f, 1]``, where
    :math:`\tau_f` is the phase of drive f at the start of the step, ``(phase[f] + n * turn[f]) mod 2**64 / 2**64``.
    The set k is ``which[i]`` with the largest i for which ``start[i] <= n``, or ``<= n mod period`` if it is not zero.

    Attributes
    ----------
    matrix, covariance : (K, d, d) float
        E and S of each set; see `Propagator`.
    shift : (K, d) float
        e of each set, without drives.
    drive : (K, F, 2, d) float
        Shift by drive f of a phase of zero, and of a quarter turn, at the start of the step.
    turn, phase : (F,) uint64
        Phase gained in a step, and at time zero, in turns times 2^64.
    start, which : (S,) int64
        First step of each run of equal steps, and their set.
    period : int
        Number of steps after which the sets repeat, or zero.
    """

    matrix: FloatArray
    shift: FloatArray
    covariance: FloatArray
    drive: FloatArray
    turn: npt.NDArray[np.uint64]
    phase: npt.NDArray[np.uint64]
    start: npt.NDArray[np.int64]
    which: npt.NDArray[np.int64]
    period: int

    def set_of(self, step: int) -> int:
        """The set of the step of one index."""
        index = step % self.period if self.period else step
        return int(self.which[np.searchsorted(self.start, index, side="right") - 1])

    def propagator(self, step: int) -> Propagator:
        """The whole step of one index, drives included."""
        k = self.set_of(step)
        pairs = zip(self.phase, self.turn, strict=True)
        angle = [2 * math.pi * ((int(phase) + step * int(turn)) % 2**64 / 2**64) for phase, turn in pairs]
        shift = self.shift[k] + np.cos(angle) @ self.drive[k, :, 0] + np.sin(angle) @ self.drive[k, :, 1]
        return Propagator(self.matrix[k], shift, self.covariance[k])


def fixed_point(turns: Fraction) -> int:
    """A phase as the nearest multiple of 2^-64 turns."""
    return round(turns % 1 * 2**64) % 2**64
