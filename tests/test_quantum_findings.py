"""The section "quantum state" of an analysis, of runs that begin in the ground state."""

import pytest

import stochbind as sb
from stochbind.analysis.findings import quantum

PAIR = {
    "name": "cold pair",
    "kind": "oscillators",
    "units": "reduced",
    "particle": [{"mass": 1.0, "stiffness": 1.0, "damping_rate": 0.0, "bath_temperature": 0.0}] * 2,
    "coupling": [[0.0, 0.6], [0.6, 0.0]],
    "momentum_diffusion": [[0.005, 0.0], [0.0, 0.005]],
    "run": {"step": 0.5, "n_steps": 4, "n_trajectories": 16384, "seed": 2, "initial": "ground"},
}


def rows(tmp_path, changes=None, scenario=None):
    table = {**PAIR, **(changes or {})}
    sb.run(sb.Plan.from_scenario(sb.OscillatorScenario.model_validate(table)), tmp_path / "run.zarr", workers="serial")
    found = sb.analyse(sb.open(tmp_path / "run.zarr"), scenario, n_surrogates=0)
    return {(row.quantity, row.where): row for row in found.findings if row.section == quantum.QUANTUM}, found.notes


def test_a_strong_conservative_coupling_entangles(tmp_path):
    """Recoil far below what optical binding has; then two particles are entangled after a while."""
    found, _ = rows(tmp_path)
    assert len(found) == 7
    assert max(abs(row.z) for row in found.values()) < 4.5
    transpose = found["eigenvalue of the partial transpose", "0 and 1"]
    assert transpose.value + 5 * transpose.stderr < 0.5
    assert transpose.exact < 0.42
    assert found["smallest variance of any quadrature", "all"].exact < 0.4
    assert found["purity", "all"].exact < 1
    # the theory of another coupling does not fit
    other = sb.OscillatorScenario.model_validate({**PAIR, "coupling": [[0.0, 0.5], [0.5, 0.0]]})
    again = sb.analyse(sb.open(tmp_path / "run.zarr"), other, n_surrogates=0)
    assert abs(again["eigenvalue of the partial transpose", "0 and 1"].z) > 5


def test_recoil_undoes_it(tmp_path):
    found, _ = rows(tmp_path, {"momentum_diffusion": [[0.3, 0.0], [0.0, 0.3]]})
    assert found["eigenvalue of the partial transpose", "0 and 1"].exact >= 0.5
    assert found["eigenvalue of the partial transpose", "0 and 1"].value > 0.5


def test_particles_that_are_left_alone_stay_in_the_ground_state(tmp_path):
    """Of masses and frequencies that are not one; the first is driven, which moves its mean far and nothing else."""
    alone = {
        "particle": [
            {"mass": 2.5, "stiffness": 1.0, "damping_rate": 0.0, "bath_temperature": 0.0},
            {"mass": 0.4, "stiffness": 3.0, "damping_rate": 0.0, "bath_temperature": 0.0},
        ],
        "coupling": [[0.0, 0.0], [0.0, 0.0]],
        "momentum_diffusion": [[0.0, 0.0], [0.0, 0.0]],
        "drive": [{"particle": 0, "force": 20.0, "frequency": 0.9}],
        "run": {**PAIR["run"], "n_trajectories": 2000},
    }
    found, _ = rows(tmp_path, alone)
    exact = {
        ("final occupation number", "0"): 0.0,
        ("final occupation number", "1"): 0.0,
        ("purity", "all"): 1.0,
        ("smallest variance", "0"): 0.5,
        ("smallest variance", "1"): 0.5,
        ("smallest variance of any quadrature", "all"): 0.5,
        ("eigenvalue of the partial transpose", "0 and 1"): 0.5,
    }
    assert set(found) == set(exact)
    for key, value in exact.items():
        assert found[key].exact == pytest.approx(value, rel=0, abs=1e-9)
        assert abs(found[key].z) < 4.0


def test_twelve_particles_that_are_left_alone_look_neither_squeezed_nor_entangled(tmp_path):
    """The smallest eigenvalues of their sampled covariance do: 0.46 in place of 0.5."""
    n = quantum.MOST_OSCILLATORS
    zero = [[0.0] * n for _ in range(n)]
    run = {"step": 2.0, "n_steps": 2, "n_trajectories": 4096, "seed": 1, "initial": "ground"}
    found, _ = rows(
        tmp_path, {"particle": PAIR["particle"][:1] * n, "coupling": zero, "momentum_diffusion": zero, "run": run}
    )
    least = found["smallest variance of any quadrature", "all"]
    assert least.value == pytest.approx(0.5, abs=4 * least.stderr)
    assert least.value > 0.475
    transposed = [row.z for (quantity, _), row in found.items() if quantity == "eigenvalue of the partial transpose"]
    assert len(transposed) == n
    assert min(transposed) > -4.0
    assert sum(transposed) / n > -1.5


def test_the_exact_state_is_that_of_a_phase_that_runs(tmp_path):
    scenario = sb.Scenario.from_toml("scenarios/squeezed_pair.toml")
    scenario = scenario.model_copy(
        update={"run": scenario.run.model_copy(update={"n_trajectories": 512, "n_steps": 8})}
    )
    sb.run(sb.Plan.from_scenario(scenario), tmp_path / "run.zarr", workers="serial")
    found = sb.analyse(sb.open(tmp_path / "run.zarr"), n_surrogates=0)
    state = {(row.quantity, row.where): row for row in found.findings if row.section == quantum.QUANTUM}
    least = state["smallest variance of any quadrature", "all"]
    assert abs(least.z) < 4.0
    # with the average coupling, which is none, nothing would be squeezed
    assert least.exact < 0.4
    assert least.value + 3 * least.stderr < 0.5


@pytest.mark.parametrize(
    ("change", "note"), [({"n_trajectories": 8}, "needs at least 16 trajectories"), ({"initial": "rest"}, "")]
)
def test_where_there_is_none(tmp_path, change, note):
    found, notes = rows(tmp_path, {"run": {**PAIR["run"], **change}})
    assert not found
    assert note in " ".join(notes)
