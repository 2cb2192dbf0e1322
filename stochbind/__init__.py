"""Stochastic trajectories of optically bound and levitated nanoparticle arrays.

The public names. They are imported when first used, so that ``import stochbind`` is fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stochbind import errors as errors
    from stochbind import fields as fields
    from stochbind import studies as studies
    from stochbind.analysis.findings.analyses import Analysis as Analysis
    from stochbind.analysis.findings.analyses import analyse as analyse
    from stochbind.analysis.phase_diagrams import phase_diagram as phase_diagram
    from stochbind.analysis.statistics import Estimate as Estimate
    from stochbind.analysis.validation import Validation as Validation
    from stochbind.analysis.validation import validate as validate
    from stochbind.engine.ensemble import run as run
    from stochbind.engine.extension import extend as extend
    from stochbind.engine.plan import Plan as Plan
    from stochbind.engine.reading import open_dataset as open  # noqa: F401
    from stochbind.engine.repairing import repair as repair
    from stochbind.engine.simulation import simulate as simulate
    from stochbind.engine.store import Store as Store
    from stochbind.engine.workers import dask_workers as dask_workers
    from stochbind.engine.workers import local_dask_workers as local_dask_workers
    from stochbind.engine.workers import process_workers as process_workers
    from stochbind.engine.workers import serial_workers as serial_workers
    from stochbind.engine.workers import thread_workers as thread_workers
    from stochbind.forces import Force as Force
    from stochbind.langevin import Langevin as Langevin
    from stochbind.langevin import Moments as Moments
    from stochbind.oscillators import Oscillators as Oscillators
    from stochbind.protocols import Drive as Drive
    from stochbind.protocols import Kick as Kick
    from stochbind.protocols import Protocol as Protocol
    from stochbind.scenario import ArrayScenario as ArrayScenario
    from stochbind.scenario import DipoleScenario as DipoleScenario
    from stochbind.scenario import OscillatorScenario as OscillatorScenario
    from stochbind.scenario import Scenario as Scenario
    from stochbind.scenario import Sweep as Sweep
    from stochbind.scenario import TweezerScenario as TweezerScenario
    from stochbind.scenario import statistics as statistics

__version__ = "0.1.0"

# Name: module, and after a colon the name there if it is another one; a module itself has nothing after the colon.
_HOME = {
    "Estimate": "analysis.statistics",
    "Analysis": "analysis.findings.analyses",
    "analyse": "analysis.findings.analyses",
    "Validation": "analysis.validation",
    "validate": "analysis.validation",
    "phase_diagram": "analysis.phase_diagrams",
    "run": "engine.ensemble",
    "extend": "engine.extension",
    "repair": "engine.repairing",
    "dask_workers": "engine.workers",
    "local_dask_workers": "engine.workers",
    "process_workers": "engine.workers",
    "serial_workers": "engine.workers",
    "thread_workers": "engine.workers",
    "simulate": "engine.simulation",
    "Plan": "engine.plan",
    "open": "engine.reading:open_dataset",
    "Store": "engine.store",
    "Force": "forces",
    "Langevin": "langevin",
    "Moments": "langevin",
    "Drive": "protocols",
    "Kick": "protocols",
    "Protocol": "protocols",
    "Oscillators": "oscillators",
    "ArrayScenario": "scenario",
    "DipoleScenario": "scenario",
    "OscillatorScenario": "scenario",
    "Scenario": "scenario",
    "Sweep": "scenario",
    "TweezerScenario": "scenario",
    "errors": ":",
    "fields": ":",
    "plots": ":",
    "studies": ":",
    "statistics": "scenario:",
}

__all__ = [*_HOME, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'stochbind' has no attribute {name!r}")
    home, renamed, theirs = _HOME[name].partition(":")
    if renamed and not theirs:
        return importlib.import_module(".".join(filter(None, ("stochbind", home, name))))
    return getattr(importlib.import_module(f"stochbind.{home}"), theirs or name)


def __dir__() -> list[str]:
    return sorted(__all__)
