"""Figures: one function per panel, which draws what it is given and computes nothing."""

from stochbind.plots.diagrams import class_map as class_map
from stochbind.plots.diagrams import eigenfrequency_curves as eigenfrequency_curves
from stochbind.plots.diagrams import rate_map as rate_map
from stochbind.plots.layouts import layout_sketch as layout_sketch
from stochbind.plots.light import coupling_map as coupling_map
from stochbind.plots.light import field_map as field_map
from stochbind.plots.light import force_curves as force_curves
from stochbind.plots.light import reciprocity_curves as reciprocity_curves
from stochbind.plots.light import regime_map as regime_map
from stochbind.plots.light import scattering_pattern as scattering_pattern
from stochbind.plots.pictures import light_of_dipoles as light_of_dipoles
from stochbind.plots.pictures import light_of_tweezers as light_of_tweezers
from stochbind.plots.runs import Response as Response
from stochbind.plots.runs import bath_temperatures as bath_temperatures
from stochbind.plots.runs import currents as currents
from stochbind.plots.runs import deviations as deviations
from stochbind.plots.runs import overview as overview
from stochbind.plots.runs import paths as paths
from stochbind.plots.runs import susceptibilities as susceptibilities
from stochbind.plots.runs import temperatures as temperatures
