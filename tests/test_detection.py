"""Records made of trajectories that are there already, and the filter that reads them."""

import numpy as np
import pytest
from scipy import stats

import stochbind as sb
from stochbind.errors import PlanError
from stochbind.langevin import Moments
from stochbind.quantum import detection, filtering
from stochbind.quantum.measurement import Homodyne, measured, measured_moments


@pytest.fixture(scope="module")
def homodyne():
    """Two coupled particles in reduced units, recoil and a bath, the first detected at 40 %, the second at 20 %."""
    array = sb.Oscillators(
        mass=np.array([1.0, 1.3]),
        stiffness=np.array([1.0, 1.6]),
        friction=np.array([0.05, 0.08]),
        bath_temperature=np.array([1.0, 2.0]),
        coupling=np.array([[0.0, 0.12], [0.04, 0.0]]),
        diffusion=np.array([[0.2, 0.03 + 0.02j], [0.03 - 0.02j, 0.3]]),
        reduced=True,
    )
    return Homodyne(array, [0.4, 0.2])


@pytest.fixture(scope="module")
def start(homodyne):
    return Moments(np.array([1.0, 0.0, -2.0, 0.5]), np.diag([2.0, 3.0, 1.0, 2.0]))


def run(system, initial, seed=3, n=20_000, step=0.3):
    return sb.simulate(system, step=step, n_steps=8, n_trajectories=n, initial=initial, seed=seed)


def moments_of(data):
    """Covariance of the last two states and the increment of the record between them, (10, 10)."""
    record = data["record"].diff("time").isel(time=-1).values
    state = np.concatenate([data["position"].values, data["velocity"].values], axis=-1)
    return np.cov(np.concatenate([state[:, -2], state[:, -1], record], axis=1).T)


@pytest.mark.parametrize("interval", [1.5, 6.0])
def test_a_record_made_later_has_the_law_of_one_made_at_once(homodyne, interval):
    """All covariances of two successive states and the increment between them, against the equations with records."""
    start = Moments(np.zeros(4), np.zeros((4, 4)))  # so that most of what is seen is noise of the last intervals
    later = detection.detected(run(homodyne.equations, start, step=interval).isel(time=slice(0, 3)), homodyne, seed=7)
    found = moments_of(later)
    # the exact law, from the equations that hold the record as a coordinate
    whole = measured(homodyne)
    d = homodyne.equations.dimension
    unit = whole.unit
    before = whole.moments(2 * interval, measured_moments(homodyne, start)).covariance[:d, :d]
    step = whole.propagator(interval)
    joint = np.vstack([np.eye(d), step.matrix[:, :d]])
    exact = joint @ before @ joint.T
    exact[d:, d:] += step.covariance
    scale = np.concatenate([unit[:d], unit])
    exact = exact * scale[:, None] * scale
    n = later.sizes["trajectory"]
    deviation = np.sqrt((np.outer(np.diagonal(exact), np.diagonal(exact)) + exact**2) / n)
    assert (np.abs(found - exact) < 5 * deviation).all()
    # without what the later state tells of the position in between, the record is seen to be another one
    naive = exact.copy()
    naive[d : 2 * d, 2 * d :] = (joint[d : 2 * d] @ before @ joint[2 * d :].T) * scale[d : 2 * d, None] * scale[2 * d :]
    assert (np.abs(found - naive) > 8 * deviation).any()


def test_the_filter_of_a_record_made_later_is_right(homodyne, start):
    data = run(homodyne.equations, start, n=4000)
    first = homodyne.equations.moments(0.3, start)
    known = detection.conditional(data, homodyne, first, seed=1)
    error = (data["position"].isel(time=slice(1, None)).values - known["position"].values) / homodyne.equations.unit[:2]
    predicted = known["covariance"].values[:, :2, :2]
    found = np.einsum("ntj,ntk->tjk", error, error) / len(error)
    deviation = np.sqrt((predicted**2 + np.einsum("tjj,tkk->tjk", predicted, predicted)) / len(error))
    assert (np.abs(found - predicted) < 5 * deviation).all()
    unconditional = homodyne.equations.moments(8 * 0.3, start).covariance[:2, :2]
    assert (np.diagonal(found[-1]) < 0.7 * np.diagonal(unconditional)).all()  # and it does tell something
    innovation = known["innovation"].values
    assert stats.kstest(innovation.ravel(), "norm").pvalue > 1e-3
    assert abs((innovation[:, 1:] * innovation[:, :-1]).mean()) < 5 / np.sqrt(innovation[:, 1:].size)


def test_the_noise_of_a_trajectory_is_its_own(homodyne, start):
    data = run(homodyne.equations, start, n=6)
    whole = detection.detected(data, homodyne, seed=5)
    part = detection.detected(data.isel(trajectory=slice(0, 2)), homodyne, seed=5)
    np.testing.assert_array_equal(whole["record"].values[:2], part["record"].values)
    other = detection.detected(data, homodyne, seed=6)
    assert (whole["record"].values != other["record"].values).all()
    # pieces in time go on where the last one stopped
    detector = detection.Detector(filtering.sampling(homodyne, 0.3), 5)
    state = np.concatenate([data["position"].values, data["velocity"].values], axis=-1) / homodyne.equations.unit
    at_once = detector.increments(state, detector.generators(0, 6))
    sources = detector.generators(0, 6)
    pieces = [detector.increments(state[:, :4], sources), detector.increments(state[:, 3:], sources)]
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), at_once)


def test_trajectories_that_cannot_be_detected(homodyne, start):
    data = run(homodyne.equations, start, n=3)
    with pytest.raises(PlanError, match="holds 1 states"):
        detection.detected(data.isel(time=[0]), homodyne)
    with pytest.raises(PlanError, match="equal intervals"):
        detection.detected(data.isel(time=[0, 1, 3]), homodyne)
    with pytest.raises(PlanError, match="must hold `velocity`"):
        detection.detected(data.drop_vars("velocity"), homodyne)
    with pytest.raises(PlanError, match="motion of 2 oscillators, but holds that of 1"):
        detection.detected(data.isel(particle=[0]), homodyne)
    with pytest.raises(PlanError, match="finite states"):
        detection.detected(data.where(data["time"] < 1.0), homodyne)
