"""Squeezed vacuum: both readings of the squeezing parameter, and what it does to recoil and record."""

import math

import numpy as np
import pytest

from measured_arrays import one, pair
from stochbind.errors import NoiseError, ScenarioError
from stochbind.langevin import Moments
from stochbind.optics.pairs import Rates, far_field_rates
from stochbind.quantum import symplectic
from stochbind.quantum.entanglement import transposed_eigenvalue
from stochbind.quantum.measurement import Homodyne, conditional_covariance
from stochbind.quantum.quadratures import quadratures
from stochbind.quantum.squeezed_light import SqueezedLight, least_squeezing, squeezed_homodyne, squeezed_recoil


def bound(rate, recoil):
    """Rates of two particles that are bound conservatively, without correlated recoil."""
    return Rates(np.array(rate), np.array(0.0), np.full(2, recoil), np.array(0j))


def test_two_conventions_of_the_squeezing_parameter():
    letter, operator = SqueezedLight(0.8, 1.2, "variance"), SqueezedLight(0.8, 1.2, "amplitude")
    assert letter.recoil_factor == pytest.approx(1 - 0.64 * (1 - math.exp(-1.2)), rel=1e-14)
    assert operator.recoil_factor == pytest.approx(1 - 0.64 * (1 - math.exp(-2.4)), rel=1e-14)
    assert SqueezedLight(0.8, 0.6, "amplitude").recoil_factor == pytest.approx(letter.recoil_factor, rel=1e-14)
    assert SqueezedLight(0.0, 3.0, "variance").recoil_factor == 1.0


def test_the_noise_of_a_mode_that_overlaps_in_part():
    # Two orthogonal modes of light, one squeezed: the mode of the scattered field is a mixture of both.
    overlap, s = 0.7, math.exp(-1.5)
    light = SqueezedLight(overlap, 1.5, "variance")
    modes = np.array([overlap, math.sqrt(1 - overlap**2)])
    assert light.recoil_factor == pytest.approx(modes @ np.diag([s, 1.0]) @ modes, rel=1e-14)
    loss = 0.35  # a beam splitter in front of the detector
    seen = (1 - loss) * modes @ np.diag([1 / s, 1.0]) @ modes + loss
    assert light.record_factor(1 - loss) == pytest.approx(seen, rel=1e-14)


def test_only_the_own_recoil_is_squeezed():
    array = pair(0.3, 0.1, 0.4, common=0.1 + 0.05j)
    light = SqueezedLight(0.9, 0.7, "variance")
    quiet = squeezed_recoil(array, light)
    own = 0.4 * light.recoil_factor
    np.testing.assert_allclose(quiet.diffusion, [[own, 0.1 + 0.05j], [0.1 - 0.05j, own]])
    assert (quiet.coupling == array.coupling).all()
    noise = [quadratures(given).noise_covariance for given in (array, quiet)]
    np.testing.assert_allclose(np.diagonal(noise[1])[2:] / np.diagonal(noise[0])[2:], light.recoil_factor)
    with pytest.raises(NoiseError, match="Squeeze less"):
        squeezed_recoil(array, SqueezedLight(1.0, 5.0, "amplitude"))


@pytest.mark.parametrize("squeezing", [0.0, 0.4, 2.0])
def test_full_overlap_without_losses_keeps_the_conditional_state_pure(squeezing):
    light = SqueezedLight(1.0, squeezing, "amplitude")
    covariance = conditional_covariance(squeezed_homodyne(one(0.5), 1.0, light))
    assert symplectic.purity(covariance) == pytest.approx(1.0, rel=1e-9)
    # the same noise of the record as without squeezing would be more than quantum mechanics allows
    with pytest.raises((NoiseError, ScenarioError)):
        Homodyne(squeezed_recoil(one(0.5), light), 1.0001 / light.recoil_factor)


@pytest.mark.parametrize("overlap", [0.3, 0.9, 1.0])
@pytest.mark.parametrize("efficiency", [0.2, 1.0])
def test_no_squeezing_makes_unphysical_states(overlap, efficiency):
    for squeezing in (0.5, 3.0):
        detected = squeezed_homodyne(one(0.5), efficiency, SqueezedLight(overlap, squeezing, "variance"))
        assert symplectic.is_physical(conditional_covariance(detected))
        assert detected.information[0] < efficiency * 0.5
        assert detected.efficiency[0] <= 1.0


def test_squeezed_light_entangles_beyond_the_least_squeezing():
    rate, recoil, overlap = 0.1, 0.25, 0.9
    array = pair(2 * rate, 2 * rate, recoil)
    r = {name: least_squeezing(bound(rate, recoil), overlap, name) for name in ("variance", "amplitude")}
    assert r["variance"] == pytest.approx(2 * r["amplitude"], rel=1e-14)
    for name, value in r.items():
        assert recoil * SqueezedLight(overlap, value, name).recoil_factor == pytest.approx(rate, rel=1e-12)
    lowest = {}
    for share in (0.9, 3.0):
        quiet = squeezed_recoil(array, SqueezedLight(overlap, share * r["variance"], "variance"))
        equations = Homodyne(quiet, 1e-9).equations
        values = []
        for squeezing in (0.02, 0.1, 0.5, 2.0, 10.0):
            begin = Moments(np.zeros(4), np.diag([squeezing, 0.25 / squeezing, 0.25 / squeezing, squeezing]))
            for time in np.linspace(0.05, 4.0, 30):
                values.append(transposed_eigenvalue(equations.moments(time, begin).covariance))
        lowest[share] = min(values)
    assert lowest[0.9] >= 0.5 - 1e-12
    assert lowest[3.0] < 0.495
    assert least_squeezing(bound(0.2, 0.1), 0.5, "variance") == 0.0
    assert least_squeezing(bound(0.1, 1.0), 0.5, "variance") == math.inf
    with pytest.raises(ScenarioError, match=r"`recoil` must have shape \(2,\)"):
        least_squeezing(bound(0.1, 1.0)._replace(recoil=np.ones((3, 2))), 0.5, "variance")


@pytest.mark.parametrize(("share", "entangled"), [(0.95, False), (1.05, True)])
def test_correlated_recoil_takes_less_squeezing(share, entangled):
    """Correlations are not squeezed, so that they count as the coupling does."""
    rates = far_field_rates(2.25 * math.pi, 0.0, 0.1 * 2.25 * math.pi, 0.5)
    rate, common = float(rates.reciprocal), float(rates.recoil_correlation.real)
    r = least_squeezing(rates, 1.0, "variance")
    assert r == pytest.approx(math.log(5.0), rel=1e-12)
    assert -math.log(rate / 0.5) > 1.2 * r  # what the coupling alone would tell
    quiet = squeezed_recoil(pair(2 * rate, 2 * rate, 0.5, common=common), SqueezedLight(1.0, share * r, "variance"))
    after = quadratures(quiet).moments(1e-3, Moments(np.zeros(4), 0.5 * np.eye(4))).covariance
    assert (transposed_eigenvalue(after) < 0.5 - 1e-9) == entangled


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((1.2, 1.0, "variance"), "`overlap` must be at most 1"),
        ((-0.2, 1.0, "variance"), "`overlap` must be zero or positive"),
        ((0.2, -1.0, "variance"), "`squeezing` must be zero or positive"),
        ((0.2, 1.0, "power"), "`convention` must be one of 'variance', 'amplitude', but is 'power'"),
        ((0.2, 1.0, ["variance"]), "`convention` must be one of"),
    ],
)
def test_light_that_cannot_be_is_refused(given, message):
    with pytest.raises(ScenarioError, match=message):
        SqueezedLight(*given)
