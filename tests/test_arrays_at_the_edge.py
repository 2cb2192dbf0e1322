"""Particles at rest, traps that do not hold: what such arrays lack is left out, with a note, and the rest is told."""

import numpy as np
import pytest

import stochbind as sb
import systems
from stochbind.analysis.bursts import found_bursts
from stochbind.analysis.directions import found_directions
from stochbind.analysis.findings.analyses import analyse
from stochbind.errors import ScenarioError
from stochbind.oscillators import Oscillators


def simulated(array, **run):
    equations = array.langevin()
    run = {"step": 0.3, "n_steps": 600, "n_trajectories": 24, "seed": 1, **run}
    return sb.simulate(equations, initial=equations.stationary, **run)


def test_an_analysis_of_a_particle_at_rest(tmp_path, recwarn):
    """Without noise, and nothing that drives it; but it drives another, so that there is a pair."""
    scenario = systems.pair_scenario(0.0, 0.3, temperature=(0.0, 1.0))
    plan = sb.Plan(scenario=scenario, step=0.3, n_steps=400, n_trajectories=12, initial="stationary", seed=1)
    sb.run(plan, tmp_path / "store")
    result = analyse(sb.open(tmp_path / "store"))
    assert [note for note in result.notes if note.startswith("Measures of direction") and "0 is at rest" in note]
    assert {row.section for row in result.findings}.isdisjoint({"direction", "energy bursts", "information"})
    assert result["kinetic temperature", "0"].value == 0.0
    assert abs(result["kinetic temperature", "1"].z) < 4.5
    assert not [warning for warning in recwarn if issubclass(warning.category, RuntimeWarning)]


def test_directions_need_particles_that_move():
    at_rest = systems.underdamped_pair(c=(0.0, 0.3), temperature=(0.0, 1.0))
    with pytest.raises(ScenarioError, match="0 is at rest"):
        found_directions(simulated(at_rest, n_steps=50), at_rest)
    moved = systems.underdamped_pair(c=(0.3, 0.0), temperature=(0.0, 1.0))  # the twin: the other drives it
    assert found_directions(simulated(moved), moved).measures


def test_directions_need_a_state_that_is_spread():
    """Two particles alike, with one and the same noise, are one."""
    alike = systems.overdamped_pair(
        u=(1.0, 1.0), friction=(1.0, 1.0), c=(0.2, 0.2), temperature=(0.0, 0.0), diffusion=np.ones((2, 2))
    )
    with pytest.raises(ScenarioError, match="always zero"):
        found_directions(simulated(alike, n_steps=50), alike)


def three(stiffness):
    return Oscillators(
        stiffness=np.array([stiffness, 2.0, 1.5]),
        friction=np.ones(3),
        bath_temperature=np.array([1.0, 0.7, 1.0]),
        coupling=np.array([[0.0, 0.8, 0.0], [-0.9, 0.0, 0.3], [0.0, 0.3, 0.0]]),
        reduced=True,
    )


def test_particles_whose_mean_energy_is_not_positive_have_no_bursts():
    array = three(-0.3)
    found = found_bursts(simulated(array), array)
    assert found.threshold[0] == np.inf
    assert np.isnan(found.rate.value).tolist() == [True, False, False]
    for matrix in (found.followed, found.delay, found.asymmetry):
        assert np.isnan(matrix.value[0]).all()
        assert np.isnan(matrix.value[:, 0]).all()
    assert np.isfinite(found.followed.value[1:, 1:]).all()
    assert np.isnan(found.passed.value).all()  # the chain has 0 in it
    along = found_bursts(simulated(array), array, chain=[1, 2])
    assert np.isfinite(along.passed.value).all()
    equations = array.langevin()
    square = np.diagonal(equations.stationary_covariance()) * equations.unit**2
    np.testing.assert_allclose(found.threshold[1:], 1.5 * array.stiffness[1:] * square[1:], rtol=1e-12)
    held = three(0.3)
    assert np.isfinite(found_bursts(simulated(held), held).rate.value).all()
