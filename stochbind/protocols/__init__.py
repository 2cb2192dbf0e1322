"""Equations that change with time, kicks and drives: what a solver needs at any step, and the exact truth about them.

A `Protocol` is a sequence of pieces, each a duration and the `stochbind.Langevin` equations that hold during it, once
or again and again. Kicks change the state at given times, drives are harmonic forces. As for equations that do not
change, times are in seconds, states are scaled, and everything exact is of the linear part.
"""

from stochbind.protocols.actions import Drive as Drive
from stochbind.protocols.actions import Kick as Kick
from stochbind.protocols.likeness import in_units_of as in_units_of
from stochbind.protocols.protocol import Protocol as Protocol
from stochbind.protocols.schedule import Schedule as Schedule
