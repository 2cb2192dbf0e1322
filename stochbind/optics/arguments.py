"""Checks of arguments that may have any shape."""

from __future__ import annotations

from typing import Any

import numpy as np

from stochbind import checks
from stochbind.checks import FloatArray
from stochbind.errors import ScenarioError


def real_numbers(name: str, value: Any) -> FloatArray:
    """Return `value` as a finite, read-only array of real numbers, of its own shape.

    Parameters
    ----------
    name : str
        What the message calls it.
    value : (...) float
        Whatever was given.

    Returns
    -------
    (...) float
        Same shape.

    Raises
    ------
    ScenarioError
        If it holds anything but finite real numbers, or nothing.
    """
    try:
        given = np.asarray(value)
        # numpy would drop an imaginary part with no more than a warning
        wrong = np.iscomplexobj(given)
    except ValueError:
        wrong = True
    if wrong:
        raise ScenarioError(f"`{name}` must be an array of real numbers, but is {checks.short(value)}.")
    return checks.array(name, given, tuple(map(str, range(given.ndim))))
