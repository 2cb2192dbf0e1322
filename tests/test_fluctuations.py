"""Entropy along paths, fluctuation theorems and uncertainty relations, by other routes, and records that must fail."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import linalg

import stochbind as sb
import systems
from stochbind.analysis import (
    currents,
    fluctuation_checks,
    fluctuations,
    generating_functions,
    passes,
    thermodynamics,
    uncertainty,
)
from stochbind.analysis.stochastic_entropy import SampledChain, parity
from stochbind.errors import NoiseError, PlanError, ScenarioError, TooFewSamplesError, UnstableError
from stochbind.langevin import Langevin, Moments
from stochbind.oscillators import Oscillators
from stochbind.propagation import covariance_root

RECOIL = np.array([[0.4, 0.25], [0.25, 0.3]])
MAKERS = [systems.overdamped_pair, systems.underdamped_pair]
#: Far from equilibrium, and stable.
DRIVEN = {
    systems.overdamped_pair: {"c": (0.8, -0.3), "temperature": (1.0, 0.3)},
    systems.underdamped_pair: {"c": (0.7, 0.1), "temperature": (1.0, 0.3)},
}


def paths(equations, interval, n_steps, n_paths, seed=0):
    """Paths of the steady state, (n_paths, n_steps + 1, d), from the exact step."""
    rng = np.random.default_rng(seed)
    step, steady = equations.propagator(interval), equations.stationary_covariance()
    root, d = covariance_root(step.covariance), equations.dimension
    states = [rng.normal(size=(n_paths, d)) @ covariance_root(steady).T]
    for _ in range(n_steps):
        states.append(states[-1] @ step.matrix.T + rng.normal(size=(n_paths, d)) @ root.T)
    return np.stack(states, axis=1)


def joint(equations, interval, n_steps):
    """Covariance of all states of a path, from two-time correlations alone, and that of the path backwards."""
    steady, d = equations.stationary_covariance(), equations.dimension
    drift = equations.drift_matrix * interval / equations.time_unit
    forward = np.empty((n_steps + 1, d, n_steps + 1, d))
    for i in range(n_steps + 1):
        for j in range(i + 1):
            forward[i, :, j, :] = linalg.expm(drift * (i - j)) @ steady
            forward[j, :, i, :] = forward[i, :, j, :].T
    sign = parity(equations)
    backward = forward[::-1, :, ::-1, :] * sign[None, :, None, None] * sign
    size = (n_steps + 1) * d
    return forward.reshape(size, size), backward.reshape(size, size)


def continuous_rate(array):
    """Entropy production rate of the continuous motion, from the general formulas with matrices in SI."""
    equations = array.langevin()
    steady = equations.stationary_covariance() * np.outer(equations.unit, equations.unit)
    n = array.n_oscillators
    if array.mass is None:
        drift = -array.force_matrix / array.friction[:, None]
        inverse = np.linalg.inv(array.force_noise / np.outer(array.friction, array.friction))
        return np.trace(drift.T @ inverse @ drift @ steady) + np.trace(drift)
    damping = np.diag(array.friction / array.mass)
    momentum = steady[n:, n:] * np.outer(array.mass, array.mass)
    return np.trace(damping @ np.linalg.inv(array.force_noise) @ damping @ momentum) - np.trace(damping)


# Entropy along a path.


@pytest.mark.parametrize("diffusion", [None, RECOIL])
@pytest.mark.parametrize("make", MAKERS)
def test_entropy_is_the_log_ratio_of_two_gaussian_densities(make, diffusion):
    equations = make(diffusion=diffusion).langevin()
    forward, backward = joint(equations, 0.4, 5)
    chain = SampledChain(equations, 0.4)
    sample = paths(equations, 0.4, 5, 50)
    flat = sample.reshape(50, -1)
    form = np.linalg.inv(backward) - np.linalg.inv(forward)
    expected = 0.5 * np.einsum("ni,ij,nj->n", flat, form, flat)
    np.testing.assert_allclose(chain.total(sample), expected, rtol=1e-8, atol=1e-8)
    assert chain.mean(5) == pytest.approx(0.5 * np.trace(form @ forward), rel=1e-9, abs=0)
    assert np.abs(chain.total(sample * parity(equations)) - expected).max() > 0.1 or make is systems.overdamped_pair
    split = chain.medium(sample[:, :-1], sample[:, 1:]).sum(axis=1) + chain.system(sample[:, 0], sample[:, -1])
    np.testing.assert_allclose(split, expected, rtol=1e-8, atol=1e-8)
    reverse = sample[:, ::-1] * parity(equations)
    np.testing.assert_allclose(chain.total(reverse), -expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("exponent", [-0.5, 0.3, 1.7, 4.0])
@pytest.mark.parametrize("make", MAKERS)
def test_generating_function_is_the_determinant_of_the_whole_path(make, exponent):
    equations = make(c=(0.7, 0.1), temperature=(1.0, 0.4)).langevin()
    forward, backward = joint(equations, 0.4, 6)
    first, second = np.linalg.inv(forward), np.linalg.inv(backward)
    mixed = (1.0 - exponent) * first + exponent * second
    found = SampledChain(equations, 0.4).generating_function(exponent, 6)[-1]
    assert (np.linalg.eigvalsh(mixed)[0] > 0) is np.bool_(math.isfinite(found))
    if math.isfinite(found):
        logarithm = np.linalg.slogdet(first)[1] - np.linalg.slogdet(mixed)[1]
        assert found == pytest.approx(math.exp(0.5 * logarithm), rel=1e-9, abs=0)
    assert exponent == 4.0 or math.isfinite(found)


@pytest.mark.parametrize("make", MAKERS)
def test_both_theorems_hold_exactly(make):
    chain = SampledChain(make(c=(0.7, 0.1), diffusion=RECOIL).langevin(), 0.7)
    np.testing.assert_allclose(chain.generating_function(1.0, 30), 1.0, rtol=1e-12)
    np.testing.assert_allclose(chain.generating_function(0.2, 30), chain.generating_function(0.8, 30), rtol=1e-11)
    assert np.abs(chain.generating_function(0.8, 30) - chain.generating_function(0.6, 30)).max() > 1e-3  # the twin


@pytest.mark.parametrize("diffusion", [None, RECOIL])
@pytest.mark.parametrize("make", MAKERS)
def test_rate_tends_to_that_of_the_continuous_motion_from_below(make, diffusion):
    array = make(diffusion=diffusion)
    exact = continuous_rate(array)
    interval = 0.5 ** np.arange(1, 11)
    rate = np.array([SampledChain(array.langevin(), h).rate for h in interval])
    assert (np.diff(rate) > -1e-9 * exact).all()
    assert (rate < exact * (1.0 + 1e-9)).all()
    # The error is even in h for independent baths, and linear where recoil is shared; extrapolated once.
    assert 2.0 * rate[-1] - rate[-2] == pytest.approx(exact, rel=2e-6, abs=0)
    wrong = replace(array, bath_temperature=1.5 * array.bath_temperature[::-1])
    assert abs(continuous_rate(wrong) / rate[-1] - 1.0) > 0.05  # the twin


@pytest.mark.parametrize("make", MAKERS)
def test_medium_part_is_minus_the_heat_over_temperature(make):
    """Path by path, with the heat that the ledger adds up from the forces."""
    array = make(c=(0.7, 0.1), temperature=(1.0, 0.4))
    equations = array.langevin()

    def found(step):
        run = sb.simulate(
            equations, step=step, n_steps=round(2.0 / step), n_trajectories=64, seed=1, ledger=array,
            initial=equations.stationary,
        )  # fmt: skip
        parts = [run[name].to_numpy() for name in ("position", "velocity") if name in run]
        state = np.concatenate(parts, axis=-1) / equations.unit
        medium = SampledChain(equations, step).medium(state[:, :-1], state[:, 1:]).sum(axis=1)
        heat = run["heat"].isel(time=-1).to_numpy() - run["heat"].isel(time=0).to_numpy()
        return medium, -(heat / array.thermal_energy).sum(axis=1)

    errors = []
    # Underdamped, both are of high order in the step.
    for step in (0.5, 0.1) if array.mass is not None else (0.02, 0.005):
        medium, expected = found(step)
        errors.append(np.sqrt(np.mean((medium - expected) ** 2)) / expected.std())
    assert errors[1] < 0.1
    assert errors[1] < 0.5 * errors[0]
    assert np.std(medium + expected) / expected.std() > 1.0  # the twin: heat of the other sign


@pytest.mark.parametrize(("quality", "turn"), [(10.0, 0.01), (10.0, 10.0), (1e4, 0.1), (1e4, 10.0)])
def test_no_path_of_equilibrium_produces_entropy(quality, turn):
    array = systems.underdamped_pair(
        mass=(1.2, 0.6), u=(1.2, 0.6), friction=(1.2 / quality, 0.6 / quality), c=(0.2, 0.2), temperature=(0.7, 0.7)
    )
    equations = array.langevin()
    chain = SampledChain(equations, turn)
    sample = paths(equations, turn, 400, 50)
    assert np.abs(chain.total(sample)).max() < 2e-9
    assert abs(chain.per_step) < 1e-14
    assert np.abs(chain.medium(sample[:, :-1], sample[:, 1:]).sum(axis=1)).max() > 0.1  # it is not all zero
    driven = replace(array, bath_temperature=np.array([0.7, 0.75]))
    assert np.abs(SampledChain(driven.langevin(), turn).total(sample)).max() > 1e-3  # the twin


def test_the_highest_quality_and_the_shortest_step():
    """Round-off of the states themselves is 1e-11 of the noise of one step: nothing more is lost."""
    array = systems.underdamped_pair(friction=(1.2e-4, 0.6e-4), u=(1.2, 0.6), c=(0.2, 0.2), temperature=(0.7, 0.7))
    equations = array.langevin()
    assert np.abs(SampledChain(equations, 0.01).total(paths(equations, 0.01, 400, 50))).max() < 2e-8
    driven = replace(array, bath_temperature=np.array([1.0, 0.5]), coupling=np.array([[0.0, 0.2], [0.15, 0.0]]))
    assert SampledChain(driven.langevin(), 0.01).rate == pytest.approx(continuous_rate(driven), rel=1e-6, abs=0)


def test_bad_equations_are_refused():
    pair = systems.overdamped_pair()
    with pytest.raises(NoiseError, match="none along the position of particle 1"):
        SampledChain(systems.overdamped_pair(temperature=(1.0, 0.0)).langevin(), 0.1)
    with pytest.raises(NoiseError, match="follows from that along others"):
        SampledChain(Langevin(drift_matrix=np.array([[-1.0, 0.3], [0.0, -2.0]]), noise_covariance=np.ones((2, 2))), 0.1)
    with pytest.raises(UnstableError):
        SampledChain(systems.overdamped_pair(c=(3.0, 3.0)).langevin(), 0.1)
    with pytest.raises(PlanError, match="`interval` must be positive, but is 0"):
        SampledChain(pair.langevin(), 0.0)
    drifting = Langevin(
        drift_matrix=np.array([[-1.0, 1.0], [-1.0, -1.0]]), noise_covariance=np.eye(2), constant_drift=[1.0, 0.0],
        coordinate=[("position", 0, "x"), ("velocity", 0, "x")],
    )  # fmt: skip
    with pytest.raises(ScenarioError, match="at rest on average"):
        SampledChain(drifting, 0.1)
    equilibrium = systems.overdamped_pair(c=(0.3, 0.3), temperature=(1.0, 1.0)).langevin()
    with pytest.raises(TooFewSamplesError, match="nothing to test"):
        fluctuations.choose_stretch(SampledChain(equilibrium, 0.1), 1000)
    strong = systems.overdamped_pair(c=(5.0, -5.0), temperature=(1.0, 1e-3)).langevin()
    with pytest.raises(TooFewSamplesError, match="keep states more often"):
        fluctuations.choose_stretch(SampledChain(strong, 0.03), 1000)


# Fluctuation theorems as tests of a record.


def verdicts(record, equations):
    return {test.name: test for test in fluctuations.fluctuation_tests(record, equations).tests}


def distance(tests):
    """Largest |z| of all tests."""
    return max(abs(float(test.estimate.z(test.exact))) for test in tests.values())


def simulated(array, *, step=0.5, n_steps=200, n_trajectories=1000, seed=2, initial=None, every=1, **keywords):
    equations = array.langevin()
    return sb.simulate(
        equations, step=step / every, n_steps=n_steps * every, save_every=every, n_trajectories=n_trajectories,
        seed=seed, initial=initial or equations.stationary, **keywords,
    )  # fmt: skip


def reversed_in_time(record):
    result = record.isel(time=slice(None, None, -1)).assign_coords(time=record["time"])
    return result.assign(velocity=-result["velocity"]) if "velocity" in result else result


@pytest.fixture(scope="module", params=MAKERS)
def pair(request):
    """Maker, array, and its right record."""
    array = request.param(**DRIVEN[request.param])
    return request.param, array, simulated(array)


def test_the_right_record_passes(pair):
    _, array, record = pair
    found = fluctuations.fluctuation_tests(record, array.langevin())
    tests = {test.name: test for test in found.tests}
    assert len(tests) == 6
    assert found.notes == ()
    assert distance(tests) < 4.0
    assert tests["slope of ln p(s)/p(-s)"].estimate.stderr < 0.05
    assert tests["integral fluctuation theorem"].estimate.stderr < 0.05
    place, value, stderr = found.logarithmic_ratio
    assert np.mean(((value - place) / stderr) ** 2) < 1.6
    assert np.mean(((value + place) / stderr) ** 2) > 10.0


@pytest.mark.parametrize("error", ["temperature", "coupling", "euler", "reversed"])
def test_records_of_other_equations_are_caught(pair, error):
    make, array, right = pair
    keywords = DRIVEN[make]
    if error == "temperature":
        record = simulated(make(**{**keywords, "temperature": (1.0, 0.45)}))
    elif error == "coupling":
        record = simulated(make(**{**keywords, "c": keywords["c"][::-1]}))
    elif error == "euler":
        record = simulated(array, solver="euler_maruyama", allowed_bias=10.0, every=2)
    else:
        record = reversed_in_time(right)
    tests = verdicts(record, array.langevin())
    assert distance(tests) > 5.0
    if error == "reversed":
        slope = tests["slope of ln p(s)/p(-s)"].estimate
        assert slope.value == pytest.approx(-1.0, abs=5.0 * float(slope.stderr))


def test_the_integral_theorem_does_not_see_the_first_state():
    """Overdamped, it holds for any law of the first state; the mean entropy tells that it is not the steady one."""
    array = systems.overdamped_pair(c=(0.9, -0.6), temperature=(1.0, 0.2))
    cold = Moments(np.zeros(2), array.langevin().stationary_covariance() / 9.0)
    record = simulated(array, step=0.1, n_steps=3, n_trajectories=20_000, initial=cold)
    tests = verdicts(record, array.langevin())
    assert abs(float(tests["integral fluctuation theorem"].estimate.z(1.0))) < 4.0
    mean = tests["entropy of a stretch"]
    assert abs(float(mean.estimate.z(mean.exact))) > 5.0


def test_equilibrium_is_blind():
    """No path produces entropy by equations of equilibrium: not even one at another temperature."""
    array = systems.underdamped_pair(c=(0.3, 0.3), temperature=(1.0, 1.0))
    hotter = systems.underdamped_pair(c=(0.3, 0.3), temperature=(2.0, 1.0)).langevin()
    assert np.abs(SampledChain(array.langevin(), 0.3).total(paths(hotter, 0.3, 50, 20))).max() < 1e-10


@pytest.mark.parametrize("sizes", [[7, 1, 30, 63], [101]])
def test_pieces_and_cells_do_not_matter(sizes):
    array = systems.underdamped_pair(c=(0.7, 0.1))
    equations = array.langevin()
    chain = SampledChain(equations, 0.3)
    sample = paths(equations, 0.3, 100, 6)
    work = currents.work_current(array, 0, 1)
    one = fluctuations.EntropyPass(chain, 3, 8, current=[work])
    cells = np.array([0, 0, 0, 1, 1, 2])
    for rows in (slice(0, 4), slice(4, 6)):
        first = 0
        for size in sizes:
            piece = sample[rows, first : first + size].copy()
            one.add(piece, cells=cells[rows], first=first, last=first + size == 101)
            piece[:] = np.nan  # it is only lent
            first += size
    whole = np.stack([chain.total(sample[:, 8 * i : 8 * i + 9]) for i in range(12)], axis=1)
    np.testing.assert_allclose(one.sums[:, 1], [whole[cells == g].sum() for g in range(3)], rtol=1e-9)
    np.testing.assert_allclose(one.sums[:, 0], [36, 24, 12])
    assert one.histogram[0].sum() == 72
    position = sample[..., :2] * equations.unit[:2]
    middle = 0.5 * (position[:, 1:, 1] + position[:, :-1, 1])
    power = array.coupling[0, 1] * (middle * np.diff(position[..., 0]))[:, :96].reshape(6, 12, 8).sum(axis=2)
    np.testing.assert_allclose(one.sums[:, -2], [power[cells == g].sum() for g in range(3)], rtol=1e-9)
    np.testing.assert_allclose(one.sums[:, -1], [(power[cells == g] ** 2).sum() for g in range(3)], rtol=1e-9)
    medium = chain.medium(sample[:, :-1], sample[:, 1:]).sum(axis=1)
    np.testing.assert_allclose(one.steps[:, 1], [medium[cells == g].sum() for g in range(3)], rtol=1e-9)
    with pytest.raises(PlanError, match="use work"):
        fluctuations.EntropyPass(chain, 3, 8, current=[currents.heat_current(array, 0)])


def test_slope_is_the_most_likely_one():
    """Of samples whose odds are known."""
    rng = np.random.default_rng(5)
    size = rng.exponential(1.5, 400_000)
    sign = np.where(rng.random(size.size) < 1.0 / (1.0 + np.exp(-0.7 * size)), 1.0, -1.0)
    count, _ = np.histogram(sign * size, fluctuation_checks.EDGE)
    total, _ = np.histogram(sign * size, fluctuation_checks.EDGE, weights=sign * size)
    found = fluctuation_checks.most_likely_slope(np.stack([count, total])[None].astype(float))
    assert found[0] == pytest.approx(0.7, abs=0.01)


def test_ledger_of_few_trajectories():
    """Error bars of one long trajectory come from blocks of time."""
    array = systems.overdamped_pair(c=(0.8, -0.3), temperature=(1.0, 0.3))
    record = simulated(array, n_steps=20_000, n_trajectories=2)
    found = fluctuations.fluctuation_tests(record, array.langevin())
    assert found.tests[0].estimate.n_eff >= passes.FEWEST_CELLS
    assert distance({test.name: test for test in found.tests}) < 4.0


# Uncertainty relations.


@pytest.mark.parametrize("diffusion", [None, RECOIL])
@pytest.mark.parametrize("make", MAKERS)
def test_variance_over_a_finite_time(make, diffusion):
    """Against the curvature of the generating function, and its rate against the one over long times."""
    array = make(c=(0.7, 0.1), diffusion=diffusion)
    equations = array.langevin()
    for current in (currents.work_current(array, 0, 1), currents.heat_current(array, 1)):
        for duration in (0.3, 5.0):
            found = currents.window_variance(equations, current, duration)
            k = 3e-3 / math.sqrt(found) * np.array([-1.0, 1.0])
            log = generating_functions.logarithm(equations, current, k, duration).real
            assert found == pytest.approx(log.sum() / k[0] ** 2, rel=1e-4, abs=0)
        long = currents.window_variance(equations, current, 1e6) / 1e6
        assert long == pytest.approx(currents.variance_rate(equations, current), rel=1e-3, abs=0)


def test_overdamped_precision_costs_at_least_two():
    rng = np.random.default_rng(7)
    lowest = math.inf
    for _ in range(40):
        array = systems.overdamped_pair(
            u=rng.uniform(1, 2, 2), friction=rng.uniform(0.5, 2, 2), c=rng.uniform(-0.9, 0.9, 2),
            temperature=rng.uniform(0.1, 2, 2),
        )  # fmt: skip
        for duration in (0.1, 10.0, 1e4):
            found = uncertainty.exact_precision(array, currents.work_current(array, 0, 1), duration)
            assert found.product >= uncertainty.OVERDAMPED_BOUND
            assert found.long_product >= uncertainty.OVERDAMPED_BOUND
            assert found.relative_variance >= found.finite_bound
            lowest = min(lowest, found.long_product)
    assert lowest < 2.1  # so that a factor of two would be seen
    reciprocal = systems.overdamped_pair(c=(0.3, 0.3), temperature=(1.0, 1.0))
    still = uncertainty.exact_precision(reciprocal, currents.work_current(reciprocal, 0, 1), 1.0)
    assert math.isinf(still.product)
    assert math.isinf(still.finite_bound)


def test_underdamped_precision_has_no_bound_of_two_over_short_times():
    """Ballistic motion is precise at a small cost; the bound of the detailed theorem holds all the same."""
    array = systems.underdamped_pair(c=(0.7, 0.1), temperature=(1.0, 0.3))
    work = currents.work_current(array, 0, 1)
    found = [uncertainty.exact_precision(array, work, duration) for duration in (0.05, 0.5, 5.0, 50.0)]
    assert found[0].product < 2.0
    assert math.isnan(found[0].bound)
    assert all(one.relative_variance >= one.finite_bound for one in found)
    # without the reversal of velocities the bound would be broken
    assert found[0].relative_variance < uncertainty.finite_time_bound(found[0].entropy_rate * found[0].duration)
    assert uncertainty.reversal(array.langevin()) == pytest.approx(
        SampledChain(array.langevin(), 1.0).reversal, rel=1e-9, abs=0
    )


@pytest.mark.parametrize("make", MAKERS)
def test_precision_of_a_record(make):
    array = make(**DRIVEN[make])
    record = simulated(array, step=0.5, n_steps=200, every=20, n_trajectories=400, ledger=array)
    for sender, current in ((1, currents.work_current(array, 0, 1)), (None, currents.heat_current(array, 0))):
        found = uncertainty.found_precision(record, array, 0, sender, window=10)
        exact = uncertainty.exact_precision(array, current, found.duration)
        assert found.duration == pytest.approx(5.0)
        for name in ("mean", "variance", "relative_variance", "product"):
            estimate = getattr(found, name)
            assert abs(float(estimate.z(getattr(exact, name)))) < 4.0
            assert estimate.stderr < 0.15 * abs(estimate.value)
        assert abs(float(found.variance.z(2.0 * exact.variance))) > 5.0  # the twin
        assert abs(float(found.mean.z(-exact.mean))) > 5.0
    mean = thermodynamics.power(array, array.langevin().stationary_covariance())[0, 1]
    assert abs(float(uncertainty.found_precision(record, array, 0, 1).mean.z(mean))) < 4.0
    with pytest.raises(PlanError, match="`receiver`"):
        uncertainty.found_precision(record, array, 2)


@pytest.mark.parametrize("make", MAKERS)
def test_work_of_kept_states_obeys_the_bound_of_the_detailed_theorem(make):
    array = make(**DRIVEN[make])
    equations = array.langevin()
    chain = SampledChain(equations, 0.2)
    one = fluctuations.EntropyPass(chain, 50, 3, current=[currents.work_current(array, 0, 1)])
    one.add(paths(equations, 0.2, 60, 1000), cells=np.repeat(np.arange(50), 20), first=0, last=True)
    found = one.relative_variance(0)
    assert found.value > uncertainty.finite_time_bound(chain.mean(3))
    assert found.stderr < 0.25 * found.value


def test_relative_variance_is_that_of_plain_sums():
    array = systems.overdamped_pair(**DRIVEN[systems.overdamped_pair])
    equations = array.langevin()
    state = paths(equations, 0.2, 60, 1000)
    one = fluctuations.EntropyPass(SampledChain(equations, 0.2), 50, 3, current=[currents.work_current(array, 0, 1)])
    one.add(state, cells=np.repeat(np.arange(50), 20), first=0, last=True)
    middle, change = 0.5 * (state[:, 1:] + state[:, :-1]), np.diff(state, axis=1)
    work = (middle[..., 1] * change[..., 0]).reshape(1000, 20, 3).sum(axis=2)
    assert float(one.relative_variance(0).value) == pytest.approx(work.var() / work.mean() ** 2, rel=0.01, abs=0)


def test_variance_of_few_windows_has_no_bias():
    """One long window of each of twelve trajectories: the sample variance, and nothing on top."""
    array = systems.overdamped_pair(**DRIVEN[systems.overdamped_pair])
    record = simulated(array, n_steps=400, n_trajectories=12, ledger=array)
    found = uncertainty.found_precision(record, array, 0, 1, window=399)
    work = record["work"].to_numpy()[..., 0, 1]
    assert found.n_windows == 12
    assert float(found.variance.value) == pytest.approx((work[:, -1] - work[:, 0]).var(ddof=1) / 199.5, rel=1e-9, abs=0)


def test_precision_from_windows_of_a_run(tmp_path):
    """The statistic "currents" against the ledger of the same run, and one long trajectory."""
    scenario = systems.pair_scenario(0.5, 0.1, temperature=(1.0, 0.5))
    array = scenario.oscillators()
    plan = sb.Plan(
        scenario=scenario, step=0.5, n_steps=320, n_trajectories=100, ledger=True, seed=5, initial="stationary",
        statistics=[{"kind": "currents", "window": 16}],
    )  # fmt: skip
    sb.run(plan, tmp_path / "run.zarr")
    run = sb.open(tmp_path / "run.zarr").load()
    kept = run.drop_vars(["work", "heat", "drive_work"])
    found = uncertainty.found_precision(kept, array, 0, 1, start=8.0)
    exact = uncertainty.exact_precision(array, currents.work_current(array, 0, 1), found.duration)
    assert found.duration == pytest.approx(8.0)
    assert abs(float(found.variance.z(exact.variance))) < 4.0
    gain = np.diff(run["work"].to_numpy()[:, 15::16, 0, 1], axis=1)
    assert float(found.mean.value) == pytest.approx(gain.mean() / 8.0, rel=1e-9, abs=0)
    assert float(found.variance.value) == pytest.approx(gain.var(ddof=1) / 8.0, rel=1e-2, abs=0)
    with pytest.raises(PlanError, match="did not accumulate"):
        uncertainty.found_precision(kept.drop_vars(["current_count", "current_work"]), array, 0, 1)


def test_precision_of_one_long_trajectory():
    array = systems.overdamped_pair(**DRIVEN[systems.overdamped_pair])
    record = simulated(array, n_steps=20_000, every=10, n_trajectories=1, ledger=array)
    found = uncertainty.found_precision(record, array, 0, 1)
    exact = uncertainty.exact_precision(array, currents.work_current(array, 0, 1), found.duration)
    assert found.mean.n_eff == 64
    assert abs(float(found.mean.z(exact.mean))) < 4.0
    assert abs(float(found.product.z(exact.product))) < 4.0


def test_bad_durations_are_refused():
    array: Oscillators = systems.overdamped_pair()
    with pytest.raises(PlanError, match="`duration` must be positive, but is -1"):
        uncertainty.exact_precision(array, currents.work_current(array, 0, 1), -1.0)


def test_few_short_trajectories_are_not_judged(pair):
    """Of three trajectories the rare paths are in one or in none, and their scatter tells no error bar."""
    _, array, record = pair
    few = record.isel(trajectory=slice(3), time=slice(24))
    with pytest.raises(TooFewSamplesError, match="8 independent parts"):
        fluctuations.fluctuation_tests(few, array.langevin())
