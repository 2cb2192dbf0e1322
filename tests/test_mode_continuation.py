"""Modes followed along parameters and around loops, and where in an array they live."""

import math

import numpy as np
import pytest

from stochbind.errors import ScenarioError
from stochbind.langevin import Langevin
from stochbind.modes.continuation import encircle, follow
from stochbind.modes.localisation import localisation, skin_effect
from stochbind.modes.spectrum import modes

TURN = np.array([[1, 0.3], [0.2, 1]])


def crossing(p, apart=0.0):
    return TURN @ np.array([[p, apart], [apart, -p]]) @ np.linalg.inv(TURN) + 0j


def pair(detuning, g_r=0.5, g_a=1.0):
    return np.array([[g_a - detuning / 2, -g_r - g_a], [g_a - g_r, detuning / 2 - g_a]], dtype=complex)


# Along a parameter


@pytest.mark.parametrize("count", [12, 11])
def test_modes_are_told_apart_where_they_cross(count):
    """Also where a value of the parameter is the crossing itself."""
    values = np.linspace(-1, 1, count)
    branches = follow(crossing, values)
    np.testing.assert_allclose(branches.frequency, np.stack([values, -values], axis=1), atol=1e-14)
    overlap = np.abs(np.sum(branches.right[0].conj() * branches.right, axis=1))
    np.testing.assert_allclose(overlap, 1.0, rtol=1e-12)
    assert branches.lost == ()
    # the twin: in the order of the frequencies they are exchanged
    assert np.abs(np.array([modes(crossing(p)).frequency for p in values]) - branches.frequency).max() > 1


def test_modes_are_followed_through_an_avoided_crossing():
    """A gap of 2e-5 in steps of 0.2: the branches do not cross, and their vectors do."""
    values = np.linspace(-1, 1, 12)
    branches = follow(lambda p: crossing(p, 1e-5), values)
    truth = np.sqrt(values**2 + 1e-10)
    np.testing.assert_allclose(branches.frequency, np.stack([-truth, truth], axis=1), atol=1e-13)
    first, last = branches.right[0, :, 0], branches.right[-1, :, 0]
    np.testing.assert_allclose(abs(np.vdot(TURN[:, 0] / np.linalg.norm(TURN[:, 0]), first)), 1.0, rtol=1e-8)
    np.testing.assert_allclose(abs(np.vdot(TURN[:, 1] / np.linalg.norm(TURN[:, 1]), last)), 1.0, rtol=1e-8)


def test_at_an_exceptional_point_it_is_said_that_modes_are_lost():
    values = np.linspace(-1, 6, 50)
    branches = follow(pair, values)
    np.testing.assert_allclose(branches.lost, [2 - math.sqrt(3), 2 + math.sqrt(3)], atol=1e-6)
    truth = 0.25 * values**2 + 0.25 - values
    np.testing.assert_allclose(branches.frequency**2, np.stack([truth, truth], axis=1), atol=1e-12)
    assert follow(pair, values[values > 4][::-1]).lost == ()


def test_wrong_values_are_refused():
    for values in ([1.0], [1.0, 1.0], [0.0, 2.0, 1.0]):
        with pytest.raises(ScenarioError, match="`parameter` must hold two or more values"):
            follow(pair, values)
    with pytest.raises(ScenarioError, match="of one size"):
        follow(lambda p: np.eye(2 if p < 0.5 else 3), [0.0, 1.0])


# Around a loop

HIGH = 2 + math.sqrt(3)


@pytest.mark.parametrize(
    ("centre", "radius", "turns", "swaps"),
    [(HIGH, 0.5, 1, True), (HIGH, 0.5, 2, False), (HIGH, 0.5, 3, True), (2, 0.5, 1, False), (2, 3, 1, False)],
)
def test_around_an_exceptional_point_modes_change_places(centre, radius, turns, swaps):
    """Once round one point, but not twice, round none, or round both."""
    result = encircle(pair, centre, radius, turns=turns)
    assert result.swaps is swaps
    assert sorted(result.permutation) == [0, 1]
    assert result.angle[-1] == pytest.approx(2 * math.pi * turns)


def test_around_a_point_of_order_three_modes_move_on_by_one():
    def ring(closing):
        h = np.eye(3, k=-1).astype(complex)
        h[0, -1] = closing
        return h

    one, two, three = (encircle(ring, 0.0, 0.5, turns=turns).permutation for turns in (1, 2, 3))
    assert (one != np.arange(3)).all()
    np.testing.assert_array_equal(one[one], two)
    np.testing.assert_array_equal(three, np.arange(3))


def test_around_a_crossing_modes_stay_what_they_are():
    assert not encircle(crossing, 0.0, 0.5).swaps


def test_two_real_parameters_make_a_plane():
    """Detuning and the difference of two losses: an exceptional point where that is four times the coupling."""

    def family(z):
        return np.array([[z.real - 0.5j * z.imag, 0.5], [0.5, -z.real + 0.5j * z.imag]])

    assert encircle(family, 1j, 0.3).swaps
    assert not encircle(family, 0.5j, 0.3).swaps


def test_a_loop_through_an_exceptional_point_is_refused():
    with pytest.raises(ScenarioError, match="stay away from exceptional points"):
        encircle(pair, HIGH - 0.5, 0.5)
    with pytest.raises(ScenarioError, match="`radius` must be positive"):
        encircle(pair, 0.0, 0.0)


# Localisation


def hatano_nelson(n, right, left, gain=0.0):
    return right * np.eye(n, k=-1) + left * np.eye(n, k=1) + 1j * gain * np.eye(n)


@pytest.mark.parametrize(("n", "right", "left"), [(20, 1.2, 0.8), (21, 0.5, 1.1), (30, 1.0, 1.0)])
def test_the_skin_effect_of_a_one_way_chain(n, right, left):
    """Exact: frequencies 2 sqrt(t_R t_L) cos(k), vectors sin(k j) (t_R/t_L)^(j/2), with k of the open chain."""
    found = modes(hatano_nelson(n, right, left))
    k = np.pi * np.arange(n, 0, -1) / (n + 1)
    np.testing.assert_allclose(found.frequency, 2 * math.sqrt(right * left) * np.cos(k), atol=1e-13)
    assert found.phase == "unbroken"
    site = np.arange(1, n + 1)
    vectors = np.sin(np.outer(site, k)) * (right / left) ** (0.5 * site)[:, None]
    vectors /= np.linalg.norm(vectors, axis=0)
    np.testing.assert_allclose(np.abs(np.sum(vectors * found.right.conj(), axis=0)), 1.0, rtol=1e-10)
    growth = 0.5 * math.log(right / left)
    result = skin_effect(found)
    np.testing.assert_allclose(result.growth, growth, atol=1e-9)
    assert result.condition == pytest.approx(np.linalg.cond(vectors), rel=1e-6)
    weight = np.abs(vectors.T) ** 2
    measures = localisation(found.participation)
    np.testing.assert_allclose(measures.centre, weight @ np.arange(n), rtol=1e-9)
    np.testing.assert_allclose(measures.participation_number, 1 / np.sum(weight**2, axis=1), rtol=1e-9)
    np.testing.assert_allclose(measures.last, weight[:, -1], rtol=1e-6)
    if n % 2 == 0:  # else one wave has nodes on sites, of which the logarithm is that of round-off
        np.testing.assert_allclose(measures.growth, growth, atol=1e-9)
    if right == left:
        np.testing.assert_allclose(found.petermann, 1.0, rtol=1e-12)
        assert abs(result.centre) < 1e-12
    else:
        assert np.median(measures.length) == pytest.approx(1 / abs(growth), rel=1e-6)
        assert np.sign(result.centre) == np.sign(growth)
        # the left vectors pile up at the other end, so that transposed couplings are seen
        other = skin_effect(modes(hatano_nelson(n, left, right)))
        np.testing.assert_allclose(other.growth, -growth, atol=1e-9)


def test_a_ring_has_no_skin_effect():
    """Without ends the modes of the same couplings are waves, and their frequencies enclose an area."""
    n, right, left = 12, 1.2, 0.8
    h = hatano_nelson(n, right, left)
    h[0, -1], h[-1, 0] = right, left
    found = modes(h)
    k = 2 * np.pi * np.arange(n) / n
    truth = right * np.exp(-1j * k) + left * np.exp(1j * k)
    distance = np.abs(found.frequency[:, None] - truth)
    assert distance.min(axis=1).max() < 1e-13
    assert distance.min(axis=0).max() < 1e-13
    np.testing.assert_allclose(found.petermann, 1.0, rtol=1e-10)
    assert np.ptp(found.frequency.imag) > 0.5
    assert found.phase == "broken"


def test_where_amplitudes_of_equations_live():
    """The same through `Langevin`, with positions in any order and unit."""
    h = hatano_nelson(8, 1.2, 0.8, gain=-3.0)
    found = modes(Langevin.from_complex(h, np.zeros((8, 8)), time_unit=0.1))
    growth = 0.5 * math.log(1.5)
    np.testing.assert_allclose(skin_effect(found, 2.0 * np.arange(8)).growth, 0.5 * growth, rtol=1e-9)
    np.testing.assert_allclose(skin_effect(found, np.arange(8)[::-1]).growth, -growth, rtol=1e-9)
    edges = localisation(found.participation, np.arange(8)[::-1], edge=2)
    np.testing.assert_allclose(edges.first, found.participation[:, -2:].sum(axis=1))


def test_extremes_of_localisation():
    measures = localisation([[1.0, 0, 0, 0], [1, 1, 1, 1]], edge=4)
    np.testing.assert_allclose(measures.participation_number, [1, 4])
    np.testing.assert_allclose(measures.centre, [0, 1.5])
    np.testing.assert_allclose(measures.spread, [0, math.sqrt(1.25)])
    np.testing.assert_allclose(measures.length, math.inf)
    np.testing.assert_allclose(measures.last, 1.0)
    merged = skin_effect(modes(np.array([[0, 0], [1, 0]], complex)))
    assert math.isinf(merged.condition)
    assert math.isinf(merged.petermann)


@pytest.mark.parametrize(
    ("weight", "options", "words"),
    [
        ([[1.0, -1.0]], {}, "`weight` must be zero or positive"),
        ([[0.0, 0.0]], {}, "`weight` must not be zero for all particles"),
        ([[1.0, 1.0]], {"position": [1.0]}, "`position` must have shape"),
        ([[1.0, 1.0]], {"edge": 3}, "`edge` must be at most 2"),
    ],
)
def test_wrong_weights_are_refused(weight, options, words):
    with pytest.raises(ScenarioError, match=words):
        localisation(weight, **options)


def test_the_skin_effect_is_of_one_direction():
    label = [("position", j, axis) for j in range(2) for axis in ("x", "y")]
    equations = Langevin(drift_matrix=-np.diag([1.0, 2, 3, 4]), noise_covariance=np.eye(4), coordinate=label)
    with pytest.raises(ScenarioError, match="several"):
        skin_effect(modes(equations))
