"""Force fields that come with the package: traps that are not harmonic, and the whole forces of optical tweezers.

Each is a builder that returns a `stochbind.forces.Force`, and a scalar function of that name with ``_force`` added.
"""

from stochbind.fields.dipoles import trapped_dipoles as trapped_dipoles
from stochbind.fields.light import optical_binding as optical_binding
from stochbind.fields.light import optical_binding_force, tweezer_force
from stochbind.fields.light import tweezer as tweezer
from stochbind.fields.traps import duffing as duffing
from stochbind.fields.traps import duffing_force, gaussian_trap_force, pendulum_force
from stochbind.fields.traps import gaussian_trap as gaussian_trap
from stochbind.fields.traps import pendulum as pendulum
from stochbind.fields.tweezers import TweezerForces as TweezerForces

#: Force functions that come with the package; their place is their kind in the compiled loops.
BUILT_IN = (duffing_force, gaussian_trap_force, pendulum_force, tweezer_force, optical_binding_force)
