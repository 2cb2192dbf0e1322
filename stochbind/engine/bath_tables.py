"""Everything that defines the steps of a run with finite baths, as tables of numbers."""

from __future__ import annotations

from typing import Any, NamedTuple


class Rows(NamedTuple):
    """A matrix of few entries, row by row: those of row i are ``start[i]`` to ``start[i + 1] - 1``."""

    start: Any  # (n + 1,) int64
    column: Any  # (e,) int64
    value: Any  # (e,)


class Exchange(NamedTuple):
    """How the velocity of each oscillator, and then each bath, takes part in the exchange of energy."""

    keep: Any  # (N,): part of a velocity that is kept over a step
    take: Any  # (N,): part of a component of the bath that is taken
    bath: Any  # (N,) int64: bath of each oscillator
    temperature: Any  # (K,): at time zero, scaled
    cooling: Any  # (K,): fall of the temperature per heat given; zero of an infinite bath
    spread: Any  # (K,): n / (n - 2) of n degrees of freedom; one of an infinite bath
    narrowing: Any  # (K,): 1 / (n - 2) / 2^doublings; zero of an infinite bath
    doublings: Any  # (K,) int64


class Tables(NamedTuple):
    """All tables of a step: half a flow, half a kick, the exchange, half a kick, half a flow."""

    flow: Rows  # (d, d): half a step without baths
    exchange: Exchange
    kick: Rows  # (N, N), or (0, 0): normals to velocities, of the recoil of half a step
    area: Rows  # (P, d * d): quadratic forms of the state before half a flow


def _series() -> tuple[float, ...]:
    """Coefficients of (1 - exp(-p)) / p, last first; up to p = 1/2 the terms left out are below 1e-17."""
    coefficients, term = [], 1.0
    for order in range(16):
        coefficients.append(term)
        term /= -(order + 2.0)
    return tuple(reversed(coefficients))


SERIES = _series()
#: Largest argument of the series.
LARGEST_ARGUMENT = 0.5
#: Largest sum of the squares of a pair of normals, which come from a uniform number of 53 bits.
LARGEST_SQUARE = 75.0
