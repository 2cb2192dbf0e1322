"""The laboratory: N particles, light, gas and baths, in SI, with the source of the numbers."""

from stochbind.scenario.arrays import ArrayScenario
from stochbind.scenario.base import Derived, RunSettings, Scenario
from stochbind.scenario.bodies import DipoleParticle
from stochbind.scenario.dipoles import DipoleScenario
from stochbind.scenario.files import json_schema, parse, read, scenario_from_dict
from stochbind.scenario.illumination import DipoleLight, PlaneWaveTable, TweezerTable
from stochbind.scenario.lattices import Lattice, PhaseLattice, TweezerLattice
from stochbind.scenario.oscillators import Oscillator, OscillatorScenario, SharedBath
from stochbind.scenario.spheres import Gas, Light, Sphere
from stochbind.scenario.sweep_axes import Axis
from stochbind.scenario.sweeps import Sweep, read_any
from stochbind.scenario.tweezers import TweezerScenario

__all__ = [
    "ArrayScenario",
    "Axis",
    "Derived",
    "DipoleLight",
    "DipoleParticle",
    "DipoleScenario",
    "Gas",
    "Lattice",
    "Light",
    "Oscillator",
    "OscillatorScenario",
    "PhaseLattice",
    "PlaneWaveTable",
    "RunSettings",
    "Scenario",
    "SharedBath",
    "Sphere",
    "Sweep",
    "TweezerLattice",
    "TweezerScenario",
    "TweezerTable",
    "json_schema",
    "parse",
    "read",
    "read_any",
    "scenario_from_dict",
]
