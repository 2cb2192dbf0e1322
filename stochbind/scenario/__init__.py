"""The laboratory: N particles, light, gas and baths, in SI, with the source of the numbers."""

from stochbind.scenario.base import Derived, RunSettings, Scenario
from stochbind.scenario.files import json_schema, parse, read, scenario_from_dict
from stochbind.scenario.oscillators import Oscillator, OscillatorScenario
from stochbind.scenario.spheres import Gas, Light, Sphere
from stochbind.scenario.tweezers import TweezerScenario

__all__ = [
    "Derived",
    "Gas",
    "Light",
    "Oscillator",
    "OscillatorScenario",
    "RunSettings",
    "Scenario",
    "Sphere",
    "TweezerScenario",
    "json_schema",
    "parse",
    "read",
    "scenario_from_dict",
]
