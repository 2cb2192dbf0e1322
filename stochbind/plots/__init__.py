"""Figures: one function per panel, which draws what it is given and computes nothing."""

from stochbind.plots.runs import Response as Response
from stochbind.plots.runs import currents as currents
from stochbind.plots.runs import deviations as deviations
from stochbind.plots.runs import overview as overview
from stochbind.plots.runs import paths as paths
from stochbind.plots.runs import susceptibilities as susceptibilities
from stochbind.plots.runs import temperatures as temperatures
