"""Responses to the drives of a run, one or several, and what an analysis tells of them."""

import numpy as np
import pytest

import stochbind as sb
import systems
from stochbind.analysis.findings.analyses import analyse
from stochbind.analysis.lock_in import LockIn
from stochbind.analysis.responses import driven_response, effective_temperature
from stochbind.errors import PlanError, TooFewSamplesError

COUPLING = (0.2, 0.1)


def driven(array, drives, *, n_steps=1000, n_trajectories=32):
    equations = array.langevin()
    protocol = sb.Protocol.constant(equations, drives=drives)
    return sb.simulate(
        protocol, step=0.3, n_steps=n_steps, n_trajectories=n_trajectories, initial=equations.stationary, seed=4
    )


def inverse_susceptibility(array, omega):
    return np.diag(array.stiffness - array.mass * omega**2 - 1j * omega * array.friction) - array.coupling


def test_drives_are_fitted_together():
    """Their beat is no whole number of times in the window, so that one by one they would be parts of each other."""
    array = systems.underdamped_pair(c=COUPLING)
    drives = [sb.Drive(0, 1.0, 1.0, 0.3), sb.Drive(1, 1.0, 1.3), sb.Drive(0, 0.4, 0.0)]
    dataset = driven(array, drives)
    for index, k in ((0, 0), (1, 1)):
        others = [drive for drive in drives if drive is not drives[index]]
        found = driven_response(dataset, array, drives[index], others=others)
        exact = np.linalg.inv(inverse_susceptibility(array, drives[index].angular_frequency))[:, k]
        assert np.abs(found.real.z(exact.real)).max() < 4
        assert np.abs(found.imaginary.z(exact.imag)).max() < 4
    alone = driven_response(dataset, array, drives[1])  # the twin
    assert np.abs(alone.modulus.z(np.abs(exact))).max() > 5


def test_the_fit_of_many_waves_is_that_of_least_squares():
    rng = np.random.default_rng(0)
    state = rng.normal(size=(3, 60, 4))
    drives = [sb.Drive(0, 1.0, 0.9, 0.2), sb.Drive(1, 1.0, 2.0, 1.0)]
    one = LockIn(np.array([0, 1]), 2, drives, first_time=5.0, interval=0.25)
    for begin, end in ((0, 7), (7, 60)):
        one.add(state[:, begin:end], cells=np.array([0, 1, 0]), first=begin, last=end == 60)
    time = 5.0 + 0.25 * np.arange(60)
    angle = [drive.angular_frequency * time + drive.phase for drive in drives]
    columns = np.stack([np.cos(angle[0]), np.cos(angle[1]), np.sin(angle[0]), np.sin(angle[1]), np.ones(60)], axis=1)
    both = np.concatenate([state[0, :, :2], state[2, :, :2]])
    expected = np.linalg.lstsq(np.concatenate([columns, columns]), both, rcond=None)[0]
    np.testing.assert_allclose(one.amplitudes(one.sums)[0].reshape(4, 2), expected[:4], rtol=1e-10)


def test_drives_that_are_not_told_apart():
    array = systems.underdamped_pair(c=COUPLING)
    dataset = driven(array, [sb.Drive(0, 1.0, 1.0)], n_steps=400, n_trajectories=8)
    one = sb.Drive(0, 1.0, 1.0)
    for omega in (1.0, 1.01):
        with pytest.raises(PlanError, match="told apart"):
            driven_response(dataset, array, one, others=[sb.Drive(1, 1.0, omega)])
    alike = [sb.Drive(1, 1.0, 1.5), sb.Drive(0, 2.0, 1.5, 0.7)]  # not told apart from each other, but from the drive
    both = driven_response(dataset, array, one, others=alike)
    np.testing.assert_array_equal(both.value, driven_response(dataset, array, one, others=alike[1:]).value)
    assert both.real.z(both.exact.real)[0] < 4
    with pytest.raises(TooFewSamplesError, match="look the same"):  # kept so rarely that they do
        driven_response(dataset, array, one, others=[sb.Drive(1, 1.0, 2 * np.pi / 0.3 - 1.0)])


def test_effective_temperature_is_that_of_the_spectrum():
    """What fluctuates over what dissipates: a hot neighbour heats."""
    temperature, omega = np.array([0.3, 1.0]), 0.9
    array = systems.underdamped_pair(c=(0.4, 0.4), temperature=temperature)
    chi = np.linalg.inv(inverse_susceptibility(array, omega))
    spectrum = np.real(np.diagonal(chi @ np.diag(2 * array.friction * temperature) @ chi.conj().T))
    expected = omega * spectrum / (2 * temperature * np.diagonal(chi).imag)
    equations = array.langevin()
    found = effective_temperature(array, equations, equations.stationary_covariance(), omega)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    assert found[0] > 1.05
    assert found[1] < 0.95


def scenario(*drives):
    return sb.OscillatorScenario.model_validate({**systems.pair_scenario(*COUPLING).to_dict(), "drive": drives})


def analysed(path, *drives):
    run = {"step": 0.3, "n_steps": 800, "n_trajectories": 48, "initial": "stationary", "seed": 2}
    plan = sb.Plan(scenario=scenario(*drives), **run)
    sb.run(plan, path)
    return analyse(sb.open(path))


def test_an_analysis_tells_the_response_of_each_to_each(tmp_path):
    drives = [{"particle": 0, "force": 2.0, "frequency": 1.0}, {"particle": 1, "force": 2.0, "frequency": 1.3}]
    result = analysed(tmp_path / "store", *drives)
    pair = scenario(*drives).oscillators()
    for k, omega in ((0, 1.0), (1, 1.3)):
        exact = np.abs(np.linalg.inv(inverse_susceptibility(pair, omega)))
        for j in (0, 1):
            row = result[f"susceptibility |chi| at {omega:g}", f"{j} <- {k}"]
            assert row.exact == pytest.approx(exact[j, k], rel=1e-9, abs=0)
            assert abs(row.z) < 4.5
            assert abs(row.value - exact[j, k]) < 4.5 * row.stderr
        other = result[f"susceptibility |chi| at {omega:g}", f"{1 - k} <- {k}"]
        assert abs(other.value - exact[k, 1 - k]) > 5 * other.stderr  # the twin: who is driven and who is read


def test_an_analysis_does_not_tell_responses_to_drives_of_one_frequency(tmp_path):
    drives = [{"particle": k, "force": 1.0, "frequency": 1.0} for k in (0, 1)]
    result = analysed(tmp_path / "store", *drives)
    assert not [row for row in result.findings if row.section == "response"]
    assert len([note for note in result.notes if "told apart" in note]) == 2
