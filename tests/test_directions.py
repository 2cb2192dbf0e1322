"""Measures of direction: lagged correlations, responses by driving and by theorem, and all of them side by side."""

import numpy as np
import pytest
from scipy import integrate, linalg

import stochbind as sb
import systems
from stochbind.analysis import responses, transfer
from stochbind.analysis.directions import DEFINITIONS, found_directions
from stochbind.analysis.lagged import LaggedProducts, asymmetry_of, exact_lagged_asymmetry, found_lagged_asymmetry
from stochbind.analysis.statistics import record
from stochbind.errors import PlanError, TooFewSamplesError, UnstableError

MAKERS = (systems.overdamped_pair, systems.underdamped_pair)


def simulated(array, *, step=0.25, n_steps=1000, n_trajectories=128, seed=1, drive=None):
    equations = array.langevin()
    system = equations if drive is None else sb.Protocol.constant(equations, drives=[drive])
    return sb.simulate(
        system, step=step, n_steps=n_steps, n_trajectories=n_trajectories, initial=equations.stationary, seed=seed
    )


# ------------------------------------------------------------------------------------------ lagged correlations


@pytest.mark.parametrize("make", MAKERS)
def test_exact_lagged_asymmetry_is_that_of_the_matrix_exponential(make):
    array = make(c=(0.5, 0.1))
    equations = array.langevin()
    lag = np.array([0.0, 0.4, 1.0, 2.5])
    found = exact_lagged_asymmetry(array, lag)
    covariance = linalg.solve_continuous_lyapunov(equations.drift_matrix, -equations.noise_covariance)
    deviation = np.sqrt(np.diagonal(covariance)[:2])
    scaled = np.array(
        [(linalg.expm(equations.drift_matrix * t / equations.time_unit) @ covariance)[:2, :2] for t in lag]
    ) / np.outer(deviation, deviation)
    np.testing.assert_allclose(found.curve[:, 0, 1], scaled[:, 0, 1] - scaled[:, 1, 0], atol=1e-12)
    square = [np.trapezoid(scaled[:, j, k] ** 2, lag) for j, k in ((0, 1), (1, 0))]
    contrast = (square[0] - square[1]) / (square[0] + square[1])
    assert found.contrast[0, 1] == pytest.approx(contrast, rel=1e-10, abs=0)
    assert found.contrast[0, 1] > 0.05  # 0 follows 1, of which it feels more
    assert found.peak[0, 1] == found.curve[np.abs(found.curve[:, 0, 1]).argmax(), 0, 1]
    negative = exact_lagged_asymmetry(make(c=(-0.5, -0.1)), lag)
    np.testing.assert_allclose(negative.curve, -found.curve, atol=1e-12)
    np.testing.assert_allclose(negative.contrast, found.contrast, atol=1e-12)


def test_time_without_direction_has_no_lag():
    """Onsager: reciprocal and at one temperature; the twin has two."""
    lag = np.linspace(0, 5, 9)
    for make in MAKERS:
        one = exact_lagged_asymmetry(make(c=(0.4, 0.4), temperature=(1.0, 1.0)), lag)
        assert np.abs(one.curve).max() < 1e-13
        assert np.abs(one.contrast).max() < 1e-13
        assert exact_lagged_asymmetry(make(c=(0.4, 0.4), temperature=(1.0, 0.5)), lag).contrast[0, 1] < -0.1


@pytest.mark.parametrize("make", MAKERS)
def test_found_lagged_asymmetry(make):
    array = make(c=(0.5, 0.1))
    found = found_lagged_asymmetry(simulated(array), array)
    exact = exact_lagged_asymmetry(array, found.lag)
    assert len(found.lag) > 20
    assert np.abs(found.curve.z(exact.curve)).max() < 4.5
    assert abs(found.contrast.z(exact.contrast)[0, 1]) < 4
    assert abs(found.contrast.z(-exact.contrast)[0, 1]) > 5  # the twin: who follows whom, exchanged
    uncoupled = make(c=(0.0, 0.0))
    assert np.isnan(found_lagged_asymmetry(simulated(uncoupled), uncoupled).contrast.value[0, 1])


def test_contrast_of_short_records_has_no_bias():
    """Without correction noise in the squares brings it nearer to zero: always to the same side."""
    array = systems.underdamped_pair(c=(0.3, 0.0), temperature=(1.0, 1.0))
    n, trajectories, step = 60, 12, 0.5
    run = simulated(array, step=step, n_steps=300, n_trajectories=n * trajectories, seed=5)
    lags = np.arange(0, 25, 2)
    one = LaggedProducts(np.arange(2), lags, n * trajectories)
    cells = np.arange(n * trajectories)
    one.add(run["position"].to_numpy() / array.langevin().unit[:2], cells=cells, first=0, last=True)
    found, plain = [], []
    for sums in one.sums.reshape(n, trajectories, *one.sums.shape[1:]):
        found.append(asymmetry_of(sums, lags * step).contrast.value[0, 1])
        total = sums.sum(axis=0)
        moment = (total[:, :4] / total[:, 4:]).reshape(-1, 2, 2)
        square = [np.trapezoid(moment[:, j, k] ** 2, lags) for j, k in ((0, 1), (1, 0))]
        plain.append((square[0] - square[1]) / (square[0] + square[1]))
    exact = exact_lagged_asymmetry(array, lags * step).contrast[0, 1]
    assert abs(np.mean(found) - exact) < 3 * np.std(found) / np.sqrt(n)
    assert exact - np.mean(plain) > 4 * np.std(plain) / np.sqrt(n)


def test_lagged_products_are_those_of_plain_sums():
    rng = np.random.default_rng(0)
    state = rng.normal(size=(3, 40, 3))
    one = LaggedProducts(np.array([0, 2]), np.array([0, 1, 7]), 2)
    for begin, end in ((0, 3), (3, 4), (4, 40)):
        one.add(state[:, begin:end], cells=np.array([0, 1, 0]), first=begin, last=end == 40)
    for index, lag in enumerate((0, 1, 7)):
        late, early = state[[0, 2], lag:][:, :, [0, 2]], state[[0, 2], : 40 - lag][:, :, [0, 2]]
        expected = np.einsum("nti,ntj->ij", late, early)
        np.testing.assert_allclose(one.sums[0, index, :4].reshape(2, 2), expected, rtol=1e-12)
        assert one.sums[0, index, 4] == 2 * (40 - lag)


def test_lagged_asymmetry_of_a_statistic(tmp_path):
    scenario = systems.pair_scenario(0.5, 0.1)
    lags = [0, 1, 2, 4, 8]
    plan = sb.Plan(
        scenario=scenario, step=0.25, n_steps=2048, n_trajectories=256, initial="stationary", record=False,
        statistics=[{"kind": "correlations", "window": 256, "lags": lags}],
    )  # fmt: skip
    sb.run(plan, tmp_path / "store")
    array = scenario.oscillators()
    found = found_lagged_asymmetry(sb.open(tmp_path / "store"), array)
    np.testing.assert_allclose(found.lag, 0.25 * np.array(lags))
    assert np.abs(found.curve.z(exact_lagged_asymmetry(array, found.lag).curve)).max() < 4.5
    assert found.contrast.value[0, 1] > 5 * found.contrast.stderr[0, 1]


# ----------------------------------------------------------------------------------------------------- responses


@pytest.mark.parametrize("make", MAKERS)
def test_naive_susceptibility_is_the_integral_of_correlations(make):
    array = make(c=(0.4, 0.1), temperature=(1.0, 0.5))
    equations = array.langevin()
    omega, scale = 0.8, np.outer(equations.unit[:2], equations.unit[:2])
    covariance = equations.stationary_covariance()

    def correlation(t):
        return (linalg.expm(equations.drift_matrix * t / equations.time_unit) @ covariance)[:2, :2] * scale

    cosine, _ = integrate.quad_vec(lambda t: correlation(t) * np.cos(omega * t), 0, 150, epsabs=1e-9, limit=2000)
    sine, _ = integrate.quad_vec(lambda t: correlation(t) * np.sin(omega * t), 0, 150, epsabs=1e-9, limit=2000)
    expected = (correlation(0) + 1j * omega * (cosine + 1j * sine)) / np.array([1.0, 0.5])
    found = responses.naive_susceptibility(array, equations, covariance, omega)
    np.testing.assert_allclose(found, expected, atol=1e-7)


@pytest.mark.parametrize("make", MAKERS)
def test_theorem_holds_in_equilibrium_only(make):
    array = make(c=(0.4, 0.4), temperature=(0.7, 0.7))
    equations = array.langevin()
    real = transfer.susceptibility(array, equations, 0.9)
    covariance = equations.stationary_covariance()
    np.testing.assert_allclose(responses.naive_susceptibility(array, equations, covariance, 0.9), real, rtol=1e-10)
    np.testing.assert_allclose(responses.effective_temperature(array, equations, covariance, 0.9), 1.0, rtol=1e-10)
    for c, temperature in (((0.5, 0.0), (0.7, 0.7)), ((0.4, 0.4), (0.7, 0.3))):
        other = make(c=c, temperature=temperature)
        second = other.langevin().stationary_covariance()
        assert responses.effective_temperature(other, other.langevin(), second, 0.9)[0] != pytest.approx(1.0, abs=0.02)


def test_theorem_says_that_a_one_way_pair_is_reciprocal():
    """Overdamped, at zero frequency: covariances are symmetric, whatever the couplings."""
    array = systems.overdamped_pair(c=(0.5, 0.0), temperature=(1.0, 1.0))
    equations = array.langevin()
    naive = responses.resonant_naive_susceptibility(array, equations, equations.stationary_covariance())
    assert transfer.exact_response_transfer(naive, transfer.Direction(0, 1)) == pytest.approx((1.0, 0.0), abs=1e-12)
    real = transfer.resonant_susceptibility(array, equations)
    assert transfer.exact_response_transfer(real, transfer.Direction(0, 1)) == pytest.approx((0.0, 1.0), abs=1e-12)


def test_found_effective_temperature():
    array = systems.underdamped_pair(c=(0.4, 0.4), temperature=(1.0, 0.3))
    equations = array.langevin()
    one = record(simulated(array), equations)
    exact = responses.effective_temperature(array, equations, equations.stationary_covariance(), 1.0)
    found = responses.found_effective_temperature(array, equations, one, 1.0)
    assert np.abs(found.z(exact)).max() < 4
    assert np.abs(found.z(1.0)).min() > 5
    naive = responses.resonant_naive_susceptibility(array, equations, equations.stationary_covariance())
    for item in responses.naive_response_transfer(array, equations, one).found:
        assert abs(item.asymmetry.z(transfer.exact_response_transfer(naive, item.direction)[1])) < 4


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(("n_trajectories", "n_steps"), [(128, 500), (1, 40_000)])
def test_driven_response(make, n_trajectories, n_steps):
    array = make(c=(0.4, 0.1))
    run = {"n_trajectories": n_trajectories, "n_steps": n_steps}
    drives = [sb.Drive(k, 2.0, 0.9, 0.6) for k in (0, 1)]
    found = [
        responses.driven_response(simulated(array, drive=drive, seed=3 + drive.particle, **run), array, drive)
        for drive in drives
    ]
    expected = np.linalg.inv(
        np.diag(array.stiffness - (0 if array.mass is None else array.mass) * 0.9**2 - 0.9j * array.friction)
        - array.coupling
    )
    for k, one in enumerate(found):
        np.testing.assert_allclose(one.exact, expected[:, k], rtol=1e-10)
        assert np.abs(one.real.z(expected[:, k].real)).max() < 4
        assert np.abs(one.imaginary.z(expected[:, k].imag)).max() < 4
        assert np.abs(one.modulus.z(np.abs(expected[:, k]))).max() < 4
        assert np.abs(one.imaginary.z(-expected[:, k].imag)).max() > 8  # the twin: phase of the other sign
        assert np.abs(one.modulus.z(2 * np.abs(expected[:, k]))).max() > 8  # and half a force
        np.testing.assert_allclose(one.value, one.real.value + 1j * one.imaginary.value)
    pair = responses.driven_transfer(*found)
    assert pair.direction == (0, 1)
    assert abs(pair.ratio.z(0.25)) < 4  # the ratio of the couplings
    assert abs(pair.asymmetry.z(0.6)) < 4
    assert responses.driven_transfer(*found[::-1]).ratio.value == pair.ratio.value


def test_bad_drives():
    array = systems.overdamped_pair()
    dataset = simulated(array, n_steps=200, n_trajectories=16)
    for drive, name in ((sb.Drive(0, 0.0, 1.0), "force"), (sb.Drive(0, 1.0, 0.0), "angular_frequency")):
        with pytest.raises(PlanError, match=name):
            responses.driven_response(dataset, array, drive)
    for omega in (1e-3, np.pi / 0.25):
        with pytest.raises(TooFewSamplesError, match="resolve"):
            responses.driven_response(dataset, array, sb.Drive(0, 1.0, omega))
    with pytest.raises(UnstableError):
        responses.driven_response(dataset, systems.overdamped_pair(c=(2.0, 2.0)), sb.Drive(0, 1.0, 1.0))
    none = [responses.driven_response(dataset, array, sb.Drive(k, 1.0, 1.0)) for k in (0, 1)]
    with pytest.raises(TooFewSamplesError, match="drive harder"):
        responses.driven_transfer(*none)
    with pytest.raises(PlanError, match="two oscillators"):
        responses.driven_transfer(none[0], none[0])
    cold = systems.overdamped_pair(temperature=(1.0, 0.0))
    with pytest.raises(PlanError, match="above zero"):
        responses.naive_susceptibility(cold, cold.langevin(), np.eye(2), 1.0)
    with pytest.raises(PlanError, match="lags"):
        found_lagged_asymmetry(dataset, array, lags=[1, 2])
    with pytest.raises(PlanError, match="correlations"):
        found_lagged_asymmetry(dataset.drop_vars("position"), array)


def test_theorem_is_left_out_where_it_tells_only_temperatures():
    """Of an overdamped pair at any frequency, whatever couples; the twin is underdamped."""
    for c in ((0.4, 0.1), (0.2, 0.35)):
        array = systems.overdamped_pair(c=c, temperature=(1.0, 0.8))
        equations = array.langevin()
        second = equations.stationary_covariance()
        for omega in (0.0, 0.3, 2.0):
            naive = np.abs(responses.naive_susceptibility(array, equations, second, omega))
            assert naive[1, 0] / naive[0, 1] == pytest.approx(0.8, rel=1e-9, abs=0)
    told = {row.name for row in found_directions(simulated(array, n_steps=300), array).measures}
    assert told == {*DEFINITIONS} - {"susceptibility if in equilibrium"}
    array = systems.underdamped_pair(c=(0.4, 0.1), temperature=(1.0, 0.8))
    equations = array.langevin()
    naive = np.abs(responses.resonant_naive_susceptibility(array, equations, equations.stationary_covariance()))
    assert abs(naive[1, 0] / naive[0, 1] - 0.8) > 0.05


# ----------------------------------------------------------------------------------------------------- side by side


def equal_pair(c, temperature):
    return systems.underdamped_pair(mass=(1.0, 1.0), u=(1.0, 1.0), friction=(0.2, 0.2), c=c, temperature=temperature)


@pytest.mark.parametrize(
    ("c", "temperature", "sign"),
    [
        # One way and one temperature: all agree.
        ((0.15, 0.0), (1.0, 1.0), (1, 1, 1, 1, 1, 1, 1)),
        # Reciprocal, and the sender is hot: equations have no direction, states do.
        ((0.15, 0.15), (0.25, 1.0), (0, 0, 1, 1, 1, 1, 1)),
        # The stronger coupling comes from the cold one: what states show points against it.
        ((0.15, 0.075), (1.0, 0.1), (1, 1, -1, -1, -1, -1, -1)),
        # Equilibrium: none.
        ((0.15, 0.15), (1.0, 1.0), (0, 0, 0, 0, 0, 0, 0)),
    ],
)
def test_measures_side_by_side(c, temperature, sign):
    array = equal_pair(c, temperature)
    found = found_directions(simulated(array, n_steps=3000, seed=9), array)
    assert found.notes == []
    assert [row.name for row in found.measures] == list(DEFINITIONS)
    for row, expected in zip(found.measures, sign, strict=True):
        assert row.direction == (0, 1)
        assert row.definition == DEFINITIONS[row.name]
        if row.name == "energy bursts":
            assert np.isnan(row.exact)
            z = row.estimate.z(0.0)
            assert z * expected > 3 if expected else abs(z) < 4
            continue
        assert np.sign(row.exact) == expected if expected else abs(row.exact) < 1e-12
        told = np.isfinite(row.estimate.value)
        assert told or row.name in ("energy current", "susceptibility if in equilibrium")
        if told:
            assert abs(row.estimate.z(row.exact)) < 4, row


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("ratio", [1.0, 0.5])
def test_where_no_heat_flows_only_transfer_entropy_has_a_direction(make, ratio):
    """Of unlike particles with couplings in the ratio of the temperatures: scaled, they are in equilibrium."""
    array = make(c=(0.4, 0.4 * ratio), temperature=(1.0, ratio))
    found = found_directions(simulated(array, n_steps=1000), array)
    row = {row.name: row for row in found.measures}
    for name in ("lagged correlations", "information flow"):
        assert abs(row[name].exact) < 1e-12
        assert abs(row[name].estimate.z(0.0)) < 4
    assert abs(row["energy bursts"].estimate.z(0.0)) < 4
    assert row["transfer entropy"].exact > 0.4
    assert abs(row["transfer entropy"].estimate.z(row["transfer entropy"].exact)) < 4
    assert row["transfer entropy"].estimate.z(0.0) > 5
    assert row["susceptibility"].exact == pytest.approx((1 - ratio) / (1 + ratio), abs=1e-12)


def test_measures_of_a_chain_and_without_a_steady_state():
    array = systems.Oscillators(
        stiffness=np.ones(3), friction=np.ones(3), bath_temperature=np.ones(3), coupling=0.4 * np.eye(3, k=1),
        reduced=True,
    )  # fmt: skip
    found = found_directions(simulated(array, n_steps=400), array)
    assert {tuple(row.direction) for row in found.measures} == {(0, 1), (1, 2)}
    for row in found.measures:
        assert not abs(row.estimate.z(row.exact)) > 4, row
    short = found_directions(simulated(array, n_steps=8, n_trajectories=2), array)
    assert any("needs at least" in note for note in short.notes)
    with pytest.raises(UnstableError):
        found_directions(simulated(array, n_steps=10), equal_pair((2.0, 2.0), (1.0, 1.0)))
