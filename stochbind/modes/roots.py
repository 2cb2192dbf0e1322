"""Roots of analytic functions that can be evaluated on a real interval only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stochbind.checks import ComplexArray, FloatArray

_MOST_STEPS = 60


def parabola_roots(nodes: FloatArray, values: ComplexArray) -> ComplexArray:
    """Complex roots of the parabola, or line, through three values; none where it is constant.

    Parameters
    ----------
    nodes : (3,) float
        Different places.
    values : (3,) complex
        Values there.
    """
    first = (values[1] - values[0]) / (nodes[1] - nodes[0])
    second = (values[2] - values[1]) / (nodes[2] - nodes[1])
    curvature = (second - first) / (nodes[2] - nodes[0])
    slope = second + curvature * (nodes[2] - nodes[1])
    root = np.sqrt(slope**2 - 4.0 * curvature * values[2] + 0j)
    # The form in which nothing cancels, of both signs.
    larger = slope + root if abs(slope + root) >= abs(slope - root) else slope - root
    if larger == 0:
        return np.zeros(0, complex)
    found = [-2.0 * values[2] / larger]
    if curvature != 0:
        found.append(-0.5 * larger / curvature)
    result: ComplexArray = nodes[2] + np.array(found, dtype=np.complex128)
    return result


def nearest_root(function: Callable[[float], complex], begin: float, step: float, low: float, high: float) -> float:
    """Place in an interval near which an analytic function has a root, by Muller's method on the real axis.

    The parabola through the last three places has complex roots; the real part of the nearer one is the next place.
    It converges at simple and at double roots. If there is no root on the axis, some place is returned.

    Parameters
    ----------
    function : callable
        Takes a float in the interval, returns a complex number.
    begin, step : float
        Where to begin, and how far from there the first other places are.
    low, high : float
        The interval.

    Returns
    -------
    float
        The place at which the function was found smallest.
    """
    # Near an end both other places lie on the same side.
    sides = (-step, step) if low + step <= begin <= high - step else (step, 2 * step)
    if begin > high - step:
        sides = (-step, -2 * step)
    places = [begin + sides[0], begin + sides[1], begin]
    values = [function(p) for p in places]
    spacing = 2.0 * np.finfo(float).eps * max(abs(low), abs(high))
    best, least = min(zip(places, map(abs, values), strict=True), key=lambda item: item[1])
    stalled = 0
    for _ in range(_MOST_STEPS):
        roots = parabola_roots(np.array(places[-3:]), np.array(values[-3:]))
        if least == 0 or len(roots) == 0 or not np.isfinite(roots).all():
            break
        following = float(np.clip(roots[np.argmin(np.abs(roots - best))].real, low, high))
        if min(abs(following - p) for p in places[-3:]) <= spacing:
            break
        places.append(following)
        values.append(function(following))
        stalled = 0 if abs(values[-1]) < least else stalled + 1
        if abs(values[-1]) < least:
            best, least = following, abs(values[-1])
        if stalled > 3:
            break
    return best
