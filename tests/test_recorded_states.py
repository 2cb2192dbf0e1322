"""Covariances of recorded trajectories: units, means, and smallest eigenvalues that see nothing that is not there."""

import numpy as np
import pytest
import xarray as xr

from stochbind import Oscillators
from stochbind.analysis.gaussian_states import RecordedState, recorded_state
from stochbind.errors import TooFewSamplesError
from stochbind.quantum import entanglement, quadratures, squeezing, states, symplectic

MASS, OMEGA = np.array([2e-18, 5e-18]), np.array([2e5, 3e5])


def dataset(sample):
    """Trajectories (n, 4) in SI as a run with one time."""
    dims = ("trajectory", "time", "particle")
    return xr.Dataset(
        {"position": (dims, sample[:, None, :2]), "velocity": (dims, sample[:, None, 2:])}, coords={"time": [2e-6]}
    )


@pytest.fixture(scope="module")
def array():
    return Oscillators(
        mass=MASS,
        stiffness=MASS * OMEGA**2,
        friction=1e2 * MASS,
        bath_temperature=np.full(2, 300.0),
        coupling=np.zeros((2, 2)),
    )


@pytest.mark.parametrize("n", [300, 1000, 4096])
def test_the_covariance_is_that_of_a_displaced_sample_in_si(array, n):
    """Groups are of unequal size, and the mean is far from zero."""
    rng = np.random.default_rng(n)
    truth = states.squeezed([0.4, -0.3], 0.2, [0.1, 2.0]).covariance
    sample = rng.multivariate_normal([30.0, -20.0, 5.0, 40.0], truth, n)
    found = recorded_state(dataset(sample * quadratures.quadrature_unit(array)), quadratures.quadratures(array))
    assert found.time == 2e-6
    assert found.weight.sum() == pytest.approx(1.0)
    assert (np.ptp(found.weight) > 0) == bool(n % 256 and n // 2 >= 256)
    np.testing.assert_allclose(found.covariance().value, np.cov(sample.T), rtol=0, atol=1e-3)
    error = np.sqrt((np.outer(np.diagonal(truth), np.diagonal(truth)) + truth**2) / n)
    np.testing.assert_allclose(found.covariance().stderr, error, rtol=0.45)
    # a covariance without the mean taken out is of another order
    assert np.abs(sample.T @ sample / n).min() > 20


def sampled(covariance, count, rng, n_groups=256):
    """Moments of that many independent states."""
    root = np.linalg.cholesky(covariance)
    cells = (rng.normal(size=(count, len(root))) @ root.T).reshape(n_groups, count // n_groups, -1)
    second = np.einsum("gni,gnj->gij", cells, cells) * n_groups / count
    return RecordedState(cells.mean(axis=1), second, np.full(n_groups, 1 / n_groups), 1.0)


KINDS = {
    "mode": (squeezing.mode_variance, squeezing.mode_witness),
    "any": (squeezing.smallest_variance, squeezing.witness),
    "transposed": (entanglement.transposed_eigenvalue, entanglement.entanglement_witness),
}


@pytest.mark.parametrize(("kind", "n_modes"), [("mode", 1), ("mode", 6), ("any", 2), ("any", 6), ("transposed", 6)])
def test_a_product_of_vacua_looks_neither_squeezed_nor_entangled(kind, n_modes):
    """200 samples: along fixed directions none is far too low; as the sample's own eigenvalue, many are."""
    function, witness = KINDS[kind]
    rng, vacuum = np.random.default_rng(5), 0.5 * np.eye(2 * n_modes)
    z = []
    for _ in range(200):
        one = sampled(vacuum, 1024, rng)
        estimates = one.witnessed(witness, vacuum), one.witnessed(witness), one.estimate(function)
        z.append([np.mean(estimate.z(0.5)) for estimate in estimates])
    fixed, crossed, own = np.array(z).T
    width = 1.0 / np.sqrt(n_modes if kind == "mode" else 1)
    assert abs(fixed.mean()) < 5 * width / np.sqrt(200)
    assert fixed.std() == pytest.approx(width, rel=0.2)
    assert fixed.min() > -4.0
    assert crossed.mean() > -5 * width / np.sqrt(200)
    assert crossed.min() > -4.0
    # the twin
    assert own.mean() < -0.25
    if n_modes == 6 and kind != "mode":
        assert own.min() < -4.0


@pytest.mark.parametrize("kind", ["any", "transposed"])
def test_what_is_entangled_is_seen(kind):
    function, witness = KINDS[kind]
    covariance = states.two_mode_squeezed(0.15, 0.02).covariance
    one = sampled(covariance, 4096, np.random.default_rng(2))
    for estimate in (one.witnessed(witness, covariance), one.witnessed(witness)):
        assert abs(estimate.z(function(covariance))) < 4.0
        assert estimate.z(0.5) < -8.0
        assert estimate.stderr < 0.02
    # along the direction of another state it reads too large, and never too small
    other = symplectic.mixed(covariance, np.diag([1.0, 1j]))
    assert one.witnessed(witness, other).value > 0.5


def test_halves_need_groups():
    one = sampled(0.5 * np.eye(2), 40, np.random.default_rng(1), n_groups=10)
    assert one.witnessed(squeezing.witness, 0.5 * np.eye(2)).n_eff == 10
    with pytest.raises(TooFewSamplesError):
        one.witnessed(squeezing.witness)
