"""The filter of simulated records: its errors are those of the Riccati equation, and only those of the right model."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import linalg

import stochbind as sb
from measured_arrays import covariance_z, one, pair
from stochbind.errors import NoiseError, PlanError, ScenarioError, UnstableError
from stochbind.langevin import Moments
from stochbind.oscillators import Oscillators
from stochbind.quantum.filtering import filtered, sampled_covariance, sampling
from stochbind.quantum.measurement import Homodyne, conditional_covariance, measured, measured_moments

STEP = 0.1
#: Particle 1 drives particle 0, with the recoil that belongs to that: g_r = g_a = Re D12 = Im D12.
ONE_WAY = pair(0.4, 0.0, 0.5, common=0.1 + 0.1j, damping=0.05, temperature=2.0)
DETECTED = Homodyne(ONE_WAY, [0.6, 0.3])
BEGIN = Moments(np.array([1.0, 0.0, 0.0, -1.0]), np.diag([3.0, 2.0, 1.0, 4.0]))


@pytest.fixture(scope="module")
def trajectories():
    return sb.simulate(
        measured(DETECTED),
        step=STEP,
        n_steps=240,
        n_trajectories=4000,
        seed=11,
        initial=measured_moments(DETECTED, BEGIN),
    )


@pytest.fixture(scope="module")
def estimates(trajectories):
    return filtered(trajectories, DETECTED, BEGIN)


def states(dataset, homodyne=DETECTED):
    """Quadratures (trajectory, time, 4)."""
    return np.concatenate([dataset["position"], dataset["velocity"]], axis=-1) / homodyne.equations.unit


def largest_z(trajectories, homodyne, index):
    """How far the errors of the filter of a model are from what the model expects, at one time."""
    found = filtered(trajectories, homodyne, BEGIN)
    error = (states(trajectories) - states(found))[:, index]
    return np.abs(covariance_z(error, found["covariance"].values[index])).max()


def autocorrelation_z(innovation, lag):
    """Deviations of the lagged products of innovations from zero, in errors, for each pair of records."""
    before, after = innovation[:, : innovation.shape[1] - lag], innovation[:, lag:]
    count = before.shape[0] * before.shape[1]
    return np.einsum("kti,ktj->ij", before, after) / math.sqrt(count)


@pytest.mark.parametrize("index", [0, 2, 7, 20, 60, 239])
def test_errors_have_the_covariance_that_the_filter_says(trajectories, estimates, index):
    error = (states(trajectories) - states(estimates))[:, index]
    expected = estimates["covariance"].values[index]
    assert np.abs(covariance_z(error, expected)).max() < 5.0
    assert np.abs(error.mean(axis=0) / np.sqrt(np.diagonal(expected) / len(error))).max() < 5.0
    # in the transient as later: the continuous equation, up to what the sampling hides
    continuous = conditional_covariance(DETECTED, STEP * (index + 1), BEGIN.covariance)
    assert np.linalg.eigvalsh(expected - continuous).min() > -1e-12
    np.testing.assert_allclose(expected, continuous, atol=0.01)


def test_errors_in_the_steady_state_over_all_times(trajectories, estimates):
    every = 40  # several correlation times of the error
    assert np.linalg.eigvals(DETECTED.equations.drift_matrix).real.max() < 0
    error = (states(trajectories) - states(estimates))[:, 119::every].reshape(-1, 4)
    expected = sampled_covariance(DETECTED, STEP)
    np.testing.assert_allclose(estimates["covariance"].values[-1], expected, rtol=1e-9, atol=1e-10)
    assert np.abs(covariance_z(error, expected)).max() < 5.0


def test_estimate_and_error_are_uncorrelated(trajectories, estimates):
    guess, error = states(estimates)[:, -1], (states(trajectories) - states(estimates))[:, -1]
    scale = np.sqrt(np.outer(guess.var(axis=0), error.var(axis=0)) / len(guess))
    assert np.abs(guess.T @ error / len(guess) / scale).max() < 5.0


def test_innovations_are_white_and_of_unit_variance(estimates):
    innovation = estimates["innovation"].values
    assert np.abs(covariance_z(innovation.reshape(-1, 2), np.eye(2))).max() < 5.0
    for lag in (1, 2, 3, 10, 31):
        assert np.abs(autocorrelation_z(innovation, lag)).max() < 5.0
    # from any one trajectory alone: Ljung and Box's sum over the first lags
    statistic = sum(
        240 * 242 / (240 - lag) * (np.sum(innovation[:, lag:, 0] * innovation[:, :-lag, 0], axis=1) / 240) ** 2
        for lag in range(1, 11)
    )
    assert abs(statistic.mean() - 10.0) < 0.4
    assert abs((statistic < 18.31).mean() - 0.95) < 0.02  # the 95th percentile of chi squared with 10 degrees


@pytest.mark.parametrize(
    ("array", "efficiency"),
    [
        (ONE_WAY, [0.3, 0.3]),  # another efficiency
        (dataclasses.replace(ONE_WAY, coupling=ONE_WAY.coupling.T), [0.6, 0.3]),  # the other way round
        (pair(0.4, 0.0, 0.5, common=0.2, damping=0.05, temperature=2.0), [0.6, 0.3]),  # Im D for noise, once more
        (pair(0.4, 0.0, 0.25, common=0.05 + 0.05j, damping=0.05, temperature=2.0), [0.6, 0.3]),  # D for 2D
    ],
)
def test_the_errors_of_wrong_models_are_others(trajectories, array, efficiency):
    assert largest_z(trajectories, DETECTED, 150) < 5.0
    assert largest_z(trajectories, Homodyne(array, efficiency), 150) > 8.0


def test_innovations_of_a_wrong_model_are_not_white(trajectories):
    wrong = Homodyne(dataclasses.replace(ONE_WAY, coupling=ONE_WAY.coupling.T), [0.6, 0.3])
    innovation = filtered(trajectories, wrong, BEGIN)["innovation"].values
    assert max(np.abs(autocorrelation_z(innovation, lag)).max() for lag in (1, 2, 3)) > 8.0


def test_it_is_the_filter_of_statsmodels(trajectories, estimates):
    from statsmodels.tsa.statespace.kalman_filter import KalmanFilter

    # The increment as part of the state, so that both share their noise: observed without any of its own.
    step = measured(DETECTED).propagator(STEP)
    transition = step.matrix.copy()
    transition[:, 4:] = 0.0
    peer = KalmanFilter(
        k_endog=2, k_states=6, initialization="known", initial_state=np.zeros(6), initial_state_cov=np.eye(6)
    )
    first = Moments(transition @ [*BEGIN.mean, 0, 0], transition[:, :4] @ BEGIN.covariance @ transition[:, :4].T)
    peer.initialize_known(first.mean, first.covariance + step.covariance)
    peer["design"], peer["obs_cov"] = np.eye(2, 6, 4), np.zeros((2, 2))
    peer["transition"], peer["selection"], peer["state_cov"] = transition, np.eye(6), step.covariance
    scale = measured(DETECTED).unit[4:]
    peer.bind(np.ascontiguousarray(np.diff(trajectories["record"].values[0] / scale, axis=0, prepend=0.0)))
    result = peer.filter()
    np.testing.assert_allclose(result.filtered_state[:4].T, states(estimates)[0], rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(
        result.filtered_state_cov[:4, :4].transpose(2, 0, 1), estimates["covariance"], rtol=1e-8, atol=1e-9
    )


def test_sampling_hides_less_and_less():
    limit = conditional_covariance(DETECTED)
    lost = [np.abs(sampled_covariance(DETECTED, h) - limit).max() for h in (0.2, 0.1, 0.05)]
    assert lost[0] / lost[1] == pytest.approx(4.0, rel=0.05)
    assert lost[1] / lost[2] == pytest.approx(4.0, rel=0.05)


def test_the_steady_state_of_the_samples_is_that_of_the_discrete_riccati_equation():
    step = sampling(DETECTED, 0.3)
    expected = linalg.solve_discrete_are(
        step.transition.T, step.observation.T, step.state_noise, step.record_noise, s=step.cross_noise
    )
    np.testing.assert_allclose(sampled_covariance(DETECTED, 0.3), expected, rtol=1e-9)
    wrong = linalg.solve_discrete_are(step.transition.T, step.observation.T, step.state_noise, step.record_noise)
    assert np.abs(wrong / expected - 1.0).max() > 1e-3  # without the noise that state and record share


def test_what_is_known_and_what_is_not_add_up():
    stationary = DETECTED.equations.stationary
    run = sb.simulate(
        measured(DETECTED), step=STEP, n_steps=320, save_every=4, n_trajectories=5000, seed=5,
        initial=measured_moments(DETECTED, stationary),
    )  # fmt: skip
    found = filtered(run, DETECTED, stationary)
    known = sampled_covariance(DETECTED, 4 * STEP)
    late = states(found)[:, -1]
    assert np.abs(covariance_z(late, stationary.covariance - known)).max() < 5.0
    assert np.abs(covariance_z(late, stationary.covariance)).max() > 5.0


def test_a_nanosphere_in_si_units_and_an_unstable_pair():
    scenario = sb.Scenario.from_toml("scenarios/rieser_like_pair.toml")
    scenario = scenario.model_copy(update={"gas": scenario.gas.model_copy(update={"pressure": 1e-7})})
    for detected, step in (
        (Homodyne(scenario.oscillators(), 0.8), 2e-7),
        (Homodyne(pair(0.3, -0.3, 0.4, common=0.15j, stiffness=1.0), 0.5), 0.1),
    ):
        known = Moments(np.zeros(4), np.eye(4))
        begin = measured_moments(detected, known)
        run = sb.simulate(measured(detected), step=step, n_steps=150, n_trajectories=2000, seed=2, initial=begin)
        found = filtered(run, detected, known)
        error = (states(run, detected) - states(found, detected))[:, -1]
        assert np.abs(covariance_z(error, sampled_covariance(detected, step))).max() < 5.0
        assert np.abs(covariance_z(found["innovation"].values.reshape(-1, 2), np.eye(2))).max() < 5.0


def test_particles_that_move_along_two_axes():
    flat = Oscillators(
        mass=np.ones(2), stiffness=[1.0, 2.0], friction=[0.1, 0.1], bath_temperature=[1.0, 1.0],
        coupling=np.zeros((2, 2)), diffusion=np.diag([0.2, 0.3]), axis=("x", "z"), reduced=True,
    )  # fmt: skip
    detected, known = Homodyne(flat, 0.5, [1]), Moments(np.zeros(4), np.eye(4))
    run = sb.simulate(
        measured(detected), step=0.1, n_steps=20, n_trajectories=8, initial=measured_moments(detected, known)
    )
    found = filtered(run, detected, known)
    assert found["position"].dims == run["position"].dims == ("trajectory", "time", "particle", "axis")
    assert found["axis"].values.tolist() == ["x", "z"]
    assert np.abs(found["position"].values[..., 0]).max() < 1e-12  # nothing is told of x
    assert np.abs(found["position"].values[..., 1]).max() > 0.1


def test_records_that_do_not_fit_are_refused(trajectories):
    for dataset, message in (
        (trajectories.drop_vars("record"), "must hold a `record`"),
        (trajectories.isel(record_component=[0]), "records of 2 detected oscillators, but has 1"),
        (trajectories.isel(time=slice(5, None)), "at equal intervals from time zero"),
        (trajectories.where(trajectories["record"] < 0), "finite records"),
    ):
        with pytest.raises(PlanError, match=message):
            filtered(dataset, DETECTED, BEGIN)
    with pytest.raises(NoiseError, match=r"`initial\.covariance`"):
        filtered(trajectories, DETECTED, Moments(BEGIN.mean, -np.eye(4)))
    with pytest.raises(ScenarioError, match=r"`initial\.mean`"):
        filtered(trajectories, DETECTED, Moments(np.zeros(3), np.eye(4)))
    with pytest.raises(PlanError, match="`interval` must be positive"):
        sampling(DETECTED, 0.0)
    with pytest.raises(UnstableError, match="does not settle"):
        sampled_covariance(Homodyne(pair(0.0, 0.0, 0.4), 0.5, [0]), 0.1)
    assert sampled_covariance(Homodyne(one(0.2), 0.5), 0.1).shape == (2, 2)


@pytest.mark.parametrize(("interval", "resolved"), [(100.0, True), (300.0, True), (2000.0, False), (3000.0, False)])
def test_intervals_within_which_too_much_grows_are_refused(interval, resolved):
    """An array that is not stable: what the record leaves is then a rest of large numbers."""
    array = sb.Oscillators(
        mass=[1.0, 2.5],
        stiffness=[1.0, 3.0],
        friction=[0.02, 0.1],
        bath_temperature=[1.0, 3.0],
        coupling=[[0.0, 0.3], [-0.1, 0.0]],
        diffusion=[[0.5, 0.1 + 0.1j], [0.1 - 0.1j, 0.7]],
        reduced=True,
    )
    detected = Homodyne(array, 0.5)
    assert detected.equations.stability.growth_rate > 0.009
    if resolved:
        assert np.linalg.eigvalsh(sampled_covariance(detected, interval))[0] > 0.4
        return
    with pytest.raises(PlanError, match="take a shorter interval"):
        sampled_covariance(detected, interval)
