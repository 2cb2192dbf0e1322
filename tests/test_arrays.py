"""Arrays and lattices as scenarios: files, steady states, growth, and what goes round a ring."""

import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import stochbind as sb
from stochbind.analysis import entropy, views
from stochbind.analysis import thermodynamics as thermo
from stochbind.errors import ScenarioError
from stochbind.modes import localisation, spectrum
from stochbind.optics import chains, pairs
from stochbind.scenario import ArrayScenario, TweezerScenario, parse

SCENARIOS = Path(__file__).parent.parent / "scenarios"
GAMMA = 2 * math.pi * 2e3


def read(name):
    return sb.Scenario.from_toml(SCENARIOS / f"{name}.toml")


def changed(scenario, lattice=None, **fields):
    """The scenario with some fields of its own and of its lattice replaced."""
    if lattice is not None:
        fields["lattice"] = scenario.lattice.model_copy(update=lattice)
    return scenario.model_copy(update=fields)


def temperatures(scenario):
    """Exact kinetic temperatures."""
    array = scenario.oscillators()
    return thermo.kinetic_temperature(array, array.langevin().stationary_covariance())


def test_file_is_the_same_as_rates():
    """Couplings in SI against the rates of each pair, from the letter's closed form."""
    scenario = read("directional_chain")
    array = scenario.oscillators()
    omega = 2 * math.pi * 40e3
    np.testing.assert_allclose(array.stiffness, 9e-18 * omega**2, rtol=1e-13)
    for j, k in ((0, 1), (4, 3), (2, 9), (8, 1)):
        kd, phase = abs(j - k) * 3.125 * 2 * math.pi, (j - k) * 0.25 * math.pi
        pair = pairs.far_field_rates(kd, phase, 3769.911 * 3.125 * 2 * math.pi, 73164.0)
        found = pairs.rates_from(
            array.coupling[np.ix_([j, k], [j, k])], array.diffusion[np.ix_([j, k], [j, k])], 9e-18, omega
        )
        for one, other in zip(found, pair, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-9)


def test_reduced_units_are_literal():
    """A frequency is an angular one, and the Planck constant is one."""
    scenario = changed(read("circulating_ring"), recoil_rate=0.5)
    array, kd = scenario.oscillators(), scenario.lattice.distance_phase
    np.testing.assert_allclose(array.stiffness, 1.0, rtol=1e-14)
    for to, back in ((1, 0), (0, 1)):
        phase = (to - back) * math.pi / 6
        assert array.coupling[to, back] == pytest.approx(2 * 0.01 * math.cos(kd - phase), rel=1e-12)
        expected = 0.01 * math.sin(kd) * np.exp(1j * phase)
        assert array.diffusion[to, back] == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(array.diffusion.diagonal(), 0.5, rtol=1e-14)
    heavy = changed(scenario, mass=3.0, frequency=2.0).oscillators()
    np.testing.assert_allclose(heavy.stiffness, 12.0, rtol=1e-14)
    np.testing.assert_allclose(heavy.coupling, 6.0 * array.coupling, rtol=1e-14)
    np.testing.assert_allclose(heavy.diffusion, 6.0 * array.diffusion, rtol=1e-14)


@pytest.mark.parametrize(
    ("n", "first", "last", "largest", "entropy_rate"),
    [
        (2, 300, 354, 354, 2.26e3),
        (10, 384, 645, 949, 1.93e5),
        (20, 403, 772, 1141, 5.83e5),
        (40, 422, 897, 1313, 1.49e6),
    ],
)
def test_temperatures_of_the_stable_chain(n, first, last, largest, entropy_rate):
    scenario = changed(read("directional_chain"), {"n": n})
    found = temperatures(scenario)
    np.testing.assert_allclose([found[0], found[-1], found.max()], [first, last, largest], atol=0.51)
    assert n == 2 or 0 < found.argmax() < n - 1  # the hottest is within
    array = scenario.oscillators()
    produced = entropy.total(array, array.langevin().stationary_covariance())
    assert produced == pytest.approx(entropy_rate, rel=4e-3)
    # what is dissipated, over the bath temperature
    assert produced == pytest.approx(12566.37 * (found / 300 - 1).sum(), rel=1e-6)
    turned = changed(scenario, {"n": n, "phase_step": -0.25 * math.pi})
    np.testing.assert_allclose(temperatures(turned), found[::-1], rtol=1e-9)


def test_simulated_temperatures_of_the_stable_chain():
    scenario = read("directional_chain")
    array = scenario.oscillators()
    steady = array.langevin().stationary
    data = sb.simulate(array, step=1e-3, n_steps=8, n_trajectories=8192, initial=steady, seed=11)
    each = array.mass * (data.velocity.to_numpy() ** 2).mean(axis=1) / array.boltzmann
    error = each.std(axis=0, ddof=1) / math.sqrt(len(each))
    z = (each.mean(axis=0) - temperatures(scenario)) / error
    assert np.abs(z).max() < 5
    assert (error / each.mean(axis=0)).max() < 0.01
    turned = temperatures(changed(scenario, {"phase_step": -0.25 * math.pi}))
    assert np.abs((each.mean(axis=0) - turned) / error).max() > 50


def test_unstable_chain_grows_as_its_mode_does():
    """The logarithm of the energy along trajectories, against the growth rate from the eigenvalues of the couplings."""
    scenario = read("unstable_chain")
    array = scenario.oscillators()
    rate = chains.growth_rate(scenario.rates, scenario.angular_frequency, scenario.damping_rate)
    assert rate == pytest.approx(1.0319 * 12566.37, rel=1e-4)
    assert array.langevin().stability.growth_rate == pytest.approx(rate, rel=1e-6)
    late, later = 300, 600
    data = sb.simulate(
        array, step=1e-5, n_steps=later, n_trajectories=512, initial=array.initial_moments("thermal"), seed=5
    )
    energy = (data.velocity.to_numpy()[:, [late - 1, later - 1]] ** 2).sum(axis=2)
    slope = 0.5 * np.log(energy[:, 1] / energy[:, 0]) / (1e-5 * (later - late))
    error = slope.std(ddof=1) / math.sqrt(len(slope))
    assert abs(slope.mean() - rate) < 5 * error
    assert error < 0.01 * rate
    assert abs(slope.mean() - 0.5 * rate) > 20 * error  # it is the rate of the amplitude
    with pytest.raises(sb.errors.UnstableError, match="unstable"):
        array.langevin().stationary_covariance()


def test_driven_particle_of_a_pair_has_the_closed_form():
    """T + 2 (g/gamma)^2 T of the driver, also at g = gamma, where longer chains have no steady state."""
    pair = changed(read("unstable_chain"), {"n": 2})
    np.testing.assert_allclose(temperatures(pair), [300.0, 900.0], rtol=1e-4)


def test_far_couplings_leave_no_skin_effect():
    """Kept to two neighbours the modes pile up at one end; with all couplings they become waves."""
    found = {}
    for n in (20, 40):
        array = changed(read("directional_chain"), {"n": n}).oscillators()
        far = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
        for reach in (2, n):
            kept = replace(array, coupling=np.where(far <= reach, array.coupling, 0.0))
            found[n, reach] = localisation.skin_effect(spectrum.modes(kept.langevin()))
    assert np.median(found[40, 2].growth) == pytest.approx(0.173, abs=2e-3)
    assert np.median(found[20, 20].growth) == pytest.approx(0.012, abs=1e-3)
    assert np.median(found[40, 40].growth) == pytest.approx(0.003, abs=5e-4)
    assert found[40, 2].condition > 1e4
    assert found[40, 40].condition < 50


def test_figures(tmp_path):
    scripts = SCENARIOS.parent / "scripts" / "figures"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(scripts))
        import chain_response
        import chain_temperatures
    try:
        chain_response.save(chain_response.figure(), tmp_path, "response.png")
        warm = {n: chain_temperatures.temperatures(n, 64) for n in chain_temperatures.LENGTHS}
        wild = {n: chain_temperatures.growing(n, n_trajectories=8) for n in (3, 10)}
        chain_temperatures.save(chain_temperatures.figure(warm, wild), tmp_path, "temperatures.png")
    finally:
        for name in ("chain_response", "chain_temperatures", "saving"):
            sys.modules.pop(name)
    assert all(5000 < (tmp_path / f"{name}.png").stat().st_size < 150_000 for name in ("response", "temperatures"))
    energy, time, rate = wild[10]
    slope, error = chain_temperatures.fitted(energy, time)
    assert slope == pytest.approx(rate, rel=2e-3)
    assert error < 0.01 * rate


def ring_in_closed_form(scenario):
    r"""Kinetic temperature and correlation <q_j p_k> of a ring, from its waves, each of which is alone.

    :math:`\ddot z = -Kz - \gamma\dot z + \xi` with complex K has
    :math:`\langle|\dot z|^2\rangle = T / (1 - K''^2/\gamma^2K')` and
    :math:`\langle z\dot z^*\rangle = iK''\langle|\dot z|^2\rangle/\gamma K'`, for a unit mass.
    """
    n, gamma, row = scenario.n_particles, scenario.damping_rate, scenario.rates[0]
    wave = np.exp(2j * math.pi * np.outer(np.arange(n), np.arange(n)) / n)
    stiffness = scenario.angular_frequency**2 - 2 * scenario.angular_frequency * (wave @ row)
    kinetic = scenario.bath_temperature / (1 - stiffness.imag**2 / (gamma**2 * stiffness.real))
    across = 1j * stiffness.imag * kinetic / (gamma * stiffness.real)
    return kinetic.mean(), (wave.conj().T @ across).real / n


@pytest.mark.parametrize("winding", [1, 2, -1, 0])
def test_what_goes_round_a_ring(winding):
    """Particles are alike and equally warm, and yet energy goes round, in the sense of the winding."""
    scenario = changed(read("circulating_ring"), {"winding": winding})
    array = scenario.oscillators()
    covariance = array.langevin().stationary_covariance()
    kinetic, across = ring_in_closed_form(scenario)
    np.testing.assert_allclose(thermo.kinetic_temperature(array, covariance), kinetic, rtol=1e-9)
    power = thermo.power(array, covariance)
    n, j = 12, np.arange(12)
    for far in (1, 2, 5):
        onto_next, back = power[(j + far) % n, j], power[j, (j + far) % n]
        # <q_j p_(j+far)>
        expected = array.coupling[far, 0] * across[far]
        np.testing.assert_allclose(onto_next, expected, rtol=1e-8, atol=1e-15)
        if far == 1:
            assert np.sign((onto_next - back).round(12)).tolist() == [np.sign(winding)] * n
    for j in range(n):
        heat = power[j].sum() - scenario.damping_rate * (kinetic - 1.0)
        assert heat == pytest.approx(0, abs=1e-12)


def test_circulation_is_seen_in_trajectories():
    scenario = read("circulating_ring")
    array = scenario.oscillators()
    equations = array.langevin()
    data = sb.simulate(array, step=120.0, n_steps=8, n_trajectories=2048, initial=equations.stationary, seed=3)
    position, velocity = data.position.to_numpy(), data.velocity.to_numpy()
    onto_next = array.coupling[1, 0] * (np.roll(velocity, -1, axis=2) * position)
    back = array.coupling[0, 1] * (np.roll(position, -1, axis=2) * velocity)
    each = (onto_next - back).mean(axis=(1, 2))
    power = thermo.power(array, equations.stationary_covariance())
    exact, error = power[1, 0] - power[0, 1], each.std(ddof=1) / math.sqrt(len(each))
    assert abs(each.mean() - exact) < 5 * error
    assert abs(each.mean() + exact) > 20 * error


def test_lattice_of_tweezers_is_its_particles_one_by_one():
    scenario = changed(read("square_lattice"), {"equal_frequencies": False})
    (one,) = scenario.particle
    listed = [
        one.model_copy(update={"position": (2.261e-6 * c, 2.261e-6 * r), "phase": 0.25 * math.pi * c})
        for r in range(3)
        for c in range(3)
    ]  # fmt: skip
    alone = TweezerScenario(name="x", light=scenario.light, gas=scenario.gas, particle=listed)
    found, expected = scenario.oscillators(), alone.oscillators()
    for name in ("mass", "stiffness", "friction", "coupling", "diffusion"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-12)
    assert any("equal_frequencies = true" in note for note in scenario.notes())
    assert not any("equal_frequencies" in note for note in alone.notes())
    assert len(views.layout(scenario).beam) == 9


def test_equal_frequencies():
    scenario = read("square_lattice")
    bound = np.sqrt(scenario.oscillators().stiffness / scenario.mass)
    np.testing.assert_allclose(bound, bound[0], rtol=1e-12)
    assert np.ptp(scenario.trap_stiffness) > 0.05 * scenario.trap_stiffness[0]
    assert scenario.peak_field[0] == changed(scenario, {"equal_frequencies": False}).peak_field[0]
    given = changed(scenario, {"equal_frequencies": False}).oscillators()
    assert np.ptp(np.sqrt(given.stiffness / given.mass)) > 0.01 * bound[0]
    assert not any("equal_frequencies" in note for note in scenario.notes())
    # A pair has a closed form: e^2 + r_21 e = 1 + r_12 e
    ratio = np.array([[0.0, 0.3], [-0.1, 0.0]])
    root = 0.5 * (0.4 + math.sqrt(0.4**2 + 4))
    np.testing.assert_allclose(chains.equalising_fields(ratio), [1.0, root], rtol=1e-13)
    with pytest.raises(ScenarioError, match="put them farther apart"):
        chains.equalising_fields(np.array([[0.0, 30.0], [-30.0, 0.0]]))


def test_chain_of_spheres_is_an_array_of_rates():
    """The same chain from spheres in tweezers and from its rates; at equal powers its frequencies would differ."""
    tweezers = changed(
        read("square_lattice"),
        light={"wavelength": 1064e-9, "waist": 0.8e-6, "binding": "far_field"},
        lattice={
            "shape": "chain", "n": 6, "rows": None, "columns": None, "spacing": 3.125 * 1064e-9,
            "equal_frequencies": False,
        },
    )  # fmt: skip
    array = tweezers.oscillators()
    bound = np.sqrt(array.stiffness[0] / array.mass[0])
    found = pairs.rates_from(array.coupling[:2, :2], array.diffusion[:2, :2], array.mass[:2], np.full(2, bound))
    rates = ArrayScenario(
        name="x", mass=array.mass[0], frequency=bound / (2 * math.pi), damping_rate=array.friction[0] / array.mass[0],
        bath_temperature=300.0, coupling_rate=found.reciprocal + abs(found.antireciprocal),
        recoil_rate=found.recoil[0], lattice={"shape": "chain", "n": 6, "distance_phase": 3.125 * 2 * math.pi,
        "phase_step": 0.25 * math.pi},
    )  # fmt: skip
    other = rates.oscillators()
    scale = np.abs(other.coupling).max()
    np.testing.assert_allclose(other.coupling, array.coupling, atol=1e-9 * scale)
    scale = np.abs(other.diffusion).max()
    np.testing.assert_allclose(other.diffusion, array.diffusion, atol=1e-9 * scale)
    assert np.ptp(array.stiffness) > 0.01 * array.stiffness[0]


def test_notes_and_derived_quantities():
    scenario = read("unstable_chain")
    assert scenario.notes() == []
    limit = scenario.derived()["largest_stable_coupling_rate"].value
    assert limit == pytest.approx(0.32703 * 12566.37, rel=2e-5)
    # it does not depend on the coupling that there is
    for rate in (0.0, 3.0, 5e4):
        other = changed(scenario, coupling_rate=rate).derived()["largest_stable_coupling_rate"].value
        assert other == pytest.approx(limit, rel=1e-12)
    for factor, stable in ((0.999, True), (1.001, False)):
        assert changed(scenario, coupling_rate=factor * limit).stable is stable
    (note,) = changed(scenario, recoil_rate=1e5).notes()
    assert "is less than that of any light" in note
    (note,) = read("circulating_ring").notes()
    assert note.startswith("Recoil noise is left out")
    lone = changed(read("circulating_ring"), {"shape": "chain", "n": 1, "winding": None})
    assert lone.notes() == []
    assert lone.derived()["largest_stable_coupling_rate"].value == math.inf
    assert "recoil_real" not in lone.derived()
    undamped = changed(lone, damping_rate=0.0)
    assert "quality_factor" not in undamped.derived()


def test_phases_in_all_forms():
    ring = read("circulating_ring")
    assert ring.lattice.phase[3] == pytest.approx(0.5 * math.pi)
    phases = tuple(float(p) for p in ring.lattice.phase)
    same = changed(ring, {"winding": None, "phases": phases})
    np.testing.assert_array_equal(same.rates, ring.rates)
    stepped = changed(ring, {"winding": None, "phase_step": math.pi / 6})
    np.testing.assert_allclose(stepped.rates, ring.rates, atol=1e-15)
    other = changed(ring, {"winding": None, "phase_step": 0.3, "alternating": True})
    assert other.lattice.phase.tolist() == [0.0, 0.3] * 6
    table = {"shape": "triangular", "n": None, "rows": 2, "columns": 3, "winding": None}
    rows = changed(ring, {**table, "phase_step": 0.1, "row_phase_step": 1.0})
    assert rows.lattice.phase[4] == pytest.approx(1.1)
    tilted = changed(ring, {**table}, polarization=0.4)
    assert parse(tilted.to_toml()) == tilted


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("n = 10", "rows = 10", r'needs `n`, and neither `rows` nor `columns`, as shape = "chain"'),
        ('"chain"', '"square"', r'needs `rows` and `columns`, and no `n`, as shape = "square"'),
        ('"chain"', '"line"', r"shape: must be 'chain', 'ring', 'square' or 'triangular'"),
        ('"chain"\nn = 10', '"ring"\nn = 2', r"n: must be at least 3 for a ring, but is 2"),
        ("n = 10", "n = 10\nwinding = 1", "needs phases by steps, by `winding` or by `phases`"),
        ('phase_step = "45 deg"', "winding = 1", 'has a `winding`, but shape = "chain" is no ring'),
        ('phase_step = "45 deg"', 'phases = ["1 deg"]', "must hold 10 phases, one for each place, but holds 1"),
        ("n = 10", 'n = 10\nrow_phase_step = "3 deg"', "its phases have no rows"),
        ('distance_phase = "3.125 turn"', 'distance_phase = "-1 turn"', "distance_phase: must be positive"),
        ('distance_phase = "3.125 turn"', 'spacing = "1 um"', "distance_phase: is missing"),
        ('"73164 1/s"', '"10 1/s"', "the diffusion by recoil must be positive semidefinite"),
        ('mass = "9 fg"', "mass = 9", r'mass: must have a unit, such as "9 fg"'),
        ('"40 kHz"', '"40 kHz"\nunits = "reduced"', "must be a bare number"),
        ("n = 10", "n = 20000", r"n: "),
        ('"chain"\nn = 10', '"square"\nrows = 200\ncolumns = 200', "at most 10000 places, but has 40000"),
    ],
)  # fmt: skip
def test_faults_are_told(old, new, message):
    text = (SCENARIOS / "directional_chain.toml").read_text()
    assert old in text
    with pytest.raises(ScenarioError, match=message):
        parse(text.replace(old, new))


def test_faults_of_lattices_of_tweezers_are_told():
    text = (SCENARIOS / "square_lattice.toml").read_text()
    particle = text[text.index("[[particle]]") : text.index("[run]")]
    for change, message in (
        (lambda t: t.replace("[run]", particle + "[run]"), "`?lattice`?:? is for one particle .* but there are 2"),
        (
            lambda t: t.replace('binding = "exact"', 'binding = "exact"\nforces = "full"'),
            "equal_frequencies:? needs light",
        ),
        (lambda t: t.replace('"2.261 um"', '"0.1 um"'), "overlap"),
        (lambda t: t.replace("equal_frequencies = true", "equal_frequencies = 1"), "must be true or false"),
    ):
        with pytest.raises(ScenarioError, match=message):
            parse(change(text))


def test_lattices_can_be_swept(tmp_path):
    """Both ways of the chain, and its length along with the phase."""
    text = (SCENARIOS / "directional_chain.toml").read_text()
    axis = '\n[[sweep.axis]]\nparameter = "lattice.phase_step"\nvalues = ["-45 deg", "45 deg"]\n'
    along = '\n[[sweep.axis.along]]\nparameter = "lattice.n"\nvalues = [3, 4]\n'
    path = tmp_path / "both.toml"
    path.write_text(text + "\n[sweep]\n" + axis + along)
    sweep = sb.Sweep.from_toml(path)
    one, other = sweep.point(0), sweep.point(1)
    assert (one.n_particles, other.n_particles) == (3, 4)
    np.testing.assert_allclose(other.rates[:3, :3].T, one.rates, rtol=0, atol=1e-9)
