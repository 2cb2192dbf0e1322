"""Everything stochbind raises on purpose.

::

    StochbindError
    ├── ScenarioError        a scenario file or its numbers are wrong        (also a ValueError)
    ├── PlanError            a run was asked for that cannot be right        (also a ValueError)
    ├── NoiseError           a noise covariance has a negative eigenvalue    (also a ValueError)
    ├── UnstableError        a steady state was asked of a system without one
    ├── TooFewSamplesError   the data cannot carry the error bar asked for
    └── StoreError           a store cannot be read or written
        ├── StoreMismatchError   the store belongs to another plan
        ├── StoreDamagedError    data that the ledger promises are missing or altered
        ├── StoreLockedError     another run is writing to the store
        └── IncompleteError      the run in the store is not finished

Every message is one sentence or two: what is wrong, with its name and value, and the fix.
"""

from __future__ import annotations

from typing import Any


class StochbindError(Exception):
    """Base of all errors that stochbind raises on purpose."""


class ScenarioError(StochbindError, ValueError):
    """A scenario file, or a number in it, is wrong."""


class PlanError(StochbindError, ValueError):
    """A run was asked for that cannot be right."""


class NoiseError(StochbindError, ValueError):
    """A noise covariance is not positive semidefinite.

    Parameters
    ----------
    message : str
        What is wrong, with the fix.
    eigenvalue : float
        The most negative eigenvalue, relative to the largest.
    """

    def __init__(self, message: str, eigenvalue: float) -> None:
        super().__init__(message, eigenvalue)  # all arguments, so that it can cross to another process
        self.eigenvalue = eigenvalue

    def __str__(self) -> str:
        return str(self.args[0])


class UnstableError(StochbindError):
    """A steady state was asked of a system that has none.

    Parameters
    ----------
    message : str
        What is wrong, with the fix.
    growth_rate : float
        Largest real part of the eigenvalues of the drift matrix [1/s]; not negative.
    """

    def __init__(self, message: str, growth_rate: float) -> None:
        super().__init__(message, growth_rate)  # all arguments, so that it can cross to another process
        self.growth_rate = growth_rate

    def __str__(self) -> str:
        return str(self.args[0])


class TooFewSamplesError(StochbindError):
    """The data are too few for the error bar that was asked for.

    Parameters
    ----------
    message : str
        What is wrong, with what would be enough.
    estimate : stochbind.Estimate, optional
        What the data say nevertheless, with an error bar that is not to be trusted, or is NaN.
    """

    def __init__(self, message: str, estimate: Any = None) -> None:
        super().__init__(message, estimate)  # all arguments, so that it can cross to another process
        self.estimate = estimate

    def __str__(self) -> str:
        return str(self.args[0])


class StoreError(StochbindError):
    """A store cannot be read or written."""


class StoreMismatchError(StoreError):
    """The store on disk belongs to another plan."""


class StoreDamagedError(StoreError):
    """Data that the ledger of the store promises are missing or altered."""


class StoreLockedError(StoreError):
    """Another run is writing to the store."""


class IncompleteError(StoreError):
    """The run in the store is not finished."""
