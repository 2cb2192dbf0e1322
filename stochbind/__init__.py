"""Stochastic trajectories of optically bound and levitated nanoparticle arrays.

The public names. They are imported when first used, so that ``import stochbind`` is fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stochbind import errors as errors
    from stochbind import fields as fields
    from stochbind.analysis.statistics import Estimate as Estimate
    from stochbind.analysis.validation import Validation as Validation
    from stochbind.analysis.validation import validate as validate
    from stochbind.engine.ensemble import dask_map as dask_map
    from stochbind.engine.ensemble import local_cluster as local_cluster
    from stochbind.engine.ensemble import process_map as process_map
    from stochbind.engine.ensemble import run as run
    from stochbind.engine.ensemble import thread_map as thread_map
    from stochbind.engine.plan import Plan as Plan
    from stochbind.engine.reading import open_dataset as open  # noqa: F401
    from stochbind.engine.simulation import simulate as simulate
    from stochbind.engine.store import Store as Store
    from stochbind.forces import Force as Force
    from stochbind.langevin import Langevin as Langevin
    from stochbind.langevin import Moments as Moments
    from stochbind.oscillators import Oscillators as Oscillators
    from stochbind.protocols import Drive as Drive
    from stochbind.protocols import Kick as Kick
    from stochbind.protocols import Protocol as Protocol
    from stochbind.scenario import OscillatorScenario as OscillatorScenario
    from stochbind.scenario import Scenario as Scenario
    from stochbind.scenario import TweezerScenario as TweezerScenario

__version__ = "0.1.0"

_HOME = {
    "Estimate": "analysis.statistics",
    "Validation": "analysis.validation",
    "validate": "analysis.validation",
    "dask_map": "engine.ensemble",
    "local_cluster": "engine.ensemble",
    "process_map": "engine.ensemble",
    "run": "engine.ensemble",
    "thread_map": "engine.ensemble",
    "simulate": "engine.simulation",
    "Plan": "engine.plan",
    "open": "engine.reading",
    "Store": "engine.store",
    "Force": "forces",
    "Langevin": "langevin",
    "Moments": "langevin",
    "Drive": "protocols",
    "Kick": "protocols",
    "Protocol": "protocols",
    "Oscillators": "oscillators",
    "OscillatorScenario": "scenario",
    "Scenario": "scenario",
    "TweezerScenario": "scenario",
    "errors": "",
    "fields": "",
    "plots": "",
}

__all__ = [*_HOME, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'stochbind' has no attribute {name!r}")
    if not _HOME[name]:
        return importlib.import_module(f"stochbind.{name}")
    module = importlib.import_module(f"stochbind.{_HOME[name]}")
    return getattr(module, "open_dataset" if name == "open" else name)


def __dir__() -> list[str]:
    return sorted(__all__)
