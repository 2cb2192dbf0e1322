"""The command that shows quantum states: quantum."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stochbind import errors, reports
from stochbind.cli.common import JsonOption, ScenarioArgument, duration_of, scenario_of

if TYPE_CHECKING:
    from stochbind.oscillators import Oscillators
    from stochbind.quantum.states import GaussianState
    from stochbind.scenario import Scenario

#: Columns of the table: the key of the report, the heading and the width.
_COLUMNS = (
    ("occupation", "occupation", 14),
    ("mode_variance", "least variance", 16),
    ("squeezing", "in dB", 14),
    ("logarithmic_negativity", "negativity", 12),
    ("mutual_information", "information", 13),
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: stochbind quantum rieser_like_pair --time '0.1 us' --efficiency 0.3")(quantum)


def quantum(
    scenario: ScenarioArgument,
    time: Annotated[
        str | None, typer.Option(help="Time after the start, such as '1 us'; by default the steady state.")
    ] = None,
    initial: Annotated[
        str | None, typer.Option(help="State at time zero, with --time: ground (the default), thermal or stationary.")
    ] = None,
    efficiency: Annotated[
        float | None, typer.Option(help="Show the conditional state: all positions are detected this efficiently.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show a scenario as a Gaussian quantum state: quanta, purity, squeezing, entanglement.

    Negativity and information are those of each particle with all others. Below the table stands how far the recoil, as
    far as it is not detected, is from where the light would entangle particles, if couplings do not change with time.
    """
    from stochbind.scenario import Sweep

    if initial is not None and time is None:
        raise errors.PlanError("`--initial` is the state at time zero; give a `--time` after it, or leave it out.")
    if initial == "rest":
        raise errors.PlanError('`--initial` "rest" is no quantum state, as nothing is at rest in one; take "ground".')
    found = scenario_of(scenario)
    base = found.base if isinstance(found, Sweep) else found
    array = base.oscillators()
    duration = None if time is None else duration_of(time, base, "--time")
    report = {
        "scenario": base.name,
        "time": duration,
        "initial": None if duration is None else initial or "ground",
        "efficiency": efficiency,
        **_told(array, _state(base, duration, initial or "ground", efficiency)),
        **({} if base.modulated else _told_of_light(array, efficiency or 0.0)),
        "base_of_sweep": isinstance(found, Sweep),
        "finite_baths": array.has_finite_baths,
        "drives_left_out": bool(base.drive) and not (base.modulated and duration is not None),
    }
    if as_json:
        print(json.dumps(reports.json_ready(report), indent=2, allow_nan=False))
    else:
        _print(report, "" if base.reduced else " s")


def _state(scenario: Scenario, duration: float | None, initial: str, efficiency: float | None) -> GaussianState:
    """The steady state, or that after a time; conditional on a record if its efficiency is given."""
    import numpy as np

    from stochbind.quantum.measurement import Homodyne, conditional_covariance
    from stochbind.quantum.quadratures import local_frequency
    from stochbind.quantum.states import GaussianState, state

    array = scenario.oscillators()
    local_frequency(array)  # raises if there are no quantum states
    equations = array.langevin()
    if efficiency is not None:
        scenario.require_constant("conditional states")
    if duration is None:
        scenario.require_constant("steady states")
    if efficiency is not None:
        start = None if duration is None else state(array, array.initial_moments(initial)).covariance
        known = conditional_covariance(Homodyne(array, efficiency), duration, start)
        return GaussianState(np.zeros(len(known)), known)
    if duration is None:
        if not equations.stability.stable:
            raise errors.UnstableError(
                f"There is no steady state, as the array is {equations.stability.sentence}; give a `--time`.",
                equations.stability.growth_rate,
            )
        return state(array, equations.stationary)
    system = scenario.driven(equations) if scenario.modulated else equations
    return state(array, system.moments(duration, scenario.initial_moments(initial)))


def _told(array: Oscillators, found: GaussianState) -> dict[str, Any]:
    """What a report says of a state."""
    import numpy as np

    from stochbind.quantum.squeezing import decibel

    several = found.n_modes > 1
    parties = range(found.n_modes) if several else ()
    return {
        "particle": list(array.names),
        "nonlinear": bool(array.forces),
        "physical": bool(found.physical),
        "purity": float(found.purity),
        "entropy": float(found.entropy),
        "smallest_variance": float(found.smallest_variance),
        "symplectic_eigenvalue": found.symplectic_eigenvalues.tolist(),
        "occupation": found.occupation.tolist(),
        "mode_variance": found.mode_variance.tolist(),
        "squeezing": (np.round(decibel(found.mode_variance), 9) + 0.0).tolist(),
        "logarithmic_negativity": [float(found.logarithmic_negativity(j)) for j in parties],
        "mutual_information": [float(found.mutual_information(j)) for j in parties],
    }


def _told_of_light(array: Oscillators, efficiency: float) -> dict[str, Any]:
    """What a report says of the light alone, without gas, and without the recoil of which detectors tell."""
    import numpy as np

    from stochbind.quantum import entanglement
    from stochbind.quantum.master_equation import array_generator, completely_positive, rates_of

    diffusion = np.asarray(array.diffusion)
    unknown = diffusion - efficiency * np.diag(np.diagonal(diffusion))
    light = array_generator(replace(array, friction=np.zeros_like(array.friction), baths=None, diffusion=unknown))
    ratio = {}
    for j, k in combinations(range(array.n_oscillators), 2):
        rates = rates_of(light, j, k)
        if (threshold := float(entanglement.entanglement_threshold(rates))) > 0.0:
            ratio[j, k] = float(np.sqrt(rates.recoil.prod())) / threshold
    closest = min(ratio, key=ratio.__getitem__, default=None)
    parties = range(array.n_oscillators) if array.n_oscillators > 1 else ()
    return {
        "light_completely_positive": bool(completely_positive(light)),
        "light_entangles": [not bool(entanglement.creates_no_negativity(light, j)) for j in parties],
        "closest_pair": None if closest is None else [array.names[j] for j in closest],
        "recoil_over_threshold": None if closest is None else ratio[closest],
    }


def _print(report: dict[str, Any], unit: str) -> None:
    when = "steady state" if report["time"] is None else f'{report["time"]:.6g}{unit} after "{report["initial"]}"'
    known = f", known by detection with efficiency {report['efficiency']:g}" if report["efficiency"] else ""
    print(f"{report['scenario']}: {when}{known}")
    columns = [column for column in _COLUMNS if report[column[0]]]
    print("particle" + "".join(f"{heading:>{width}}" for _, heading, width in columns))
    for row, name in enumerate(report["particle"]):
        print(f"{name:>8}" + "".join(f"{report[key][row]:{width}.6g}" for key, _, width in columns))
    print(
        f"purity {report['purity']:.6g}, entropy {report['entropy']:.6g} nats, smallest variance of any quadrature "
        f"{report['smallest_variance']:.6g} (vacuum 0.5)"
    )
    if report["base_of_sweep"]:
        print("The file holds a sweep; this is the scenario that it starts from.")
    if report["finite_baths"]:
        print("Baths are taken to keep their temperatures.")
    if report["drives_left_out"]:
        print("Drives are left out: they move the mean of the state, and its quanta with that, not its covariance.")
    if report["nonlinear"]:
        print("Forces beyond the linear ones are left out.")
    if not report["physical"]:
        print("No quantum state has this covariance: baths are classical here, and these are too cold for that.")
    if "light_completely_positive" not in report:
        return
    if not report["light_completely_positive"]:
        print("Without gas the master equation is not completely positive: antireciprocal coupling comes with recoil.")
    if report["recoil_over_threshold"] == 0.0:
        print("No recoil keeps particles from entanglement by their coupling.")
    elif report["closest_pair"]:
        first, second = report["closest_pair"]
        recoil = "undetected recoil" if report["efficiency"] else "recoil"
        print(
            f"Of all pairs, {first} and {second} come closest to entanglement by light: their {recoil} is "
            f"{report['recoil_over_threshold']:.4g} times what keeps them from it."
        )
    if any(report["light_entangles"]):
        print("Without gas the coupling would entangle particles.")
