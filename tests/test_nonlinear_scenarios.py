"""Scenarios whose forces are not linear, against formulas written out once more."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import constants, integrate

import stochbind as sb
from stochbind.errors import ScenarioError
from stochbind.scenario import parse

SCENARIOS = Path(__file__).parent.parent / "scenarios"
H = 2e-10  # of difference quotients [m]


@pytest.fixture(scope="module")
def nonlinear():
    return sb.Scenario.from_toml(SCENARIOS / "nonlinear_pair.toml")


def changed(scenario, light=None, particle=None, **fields):
    """A copy with some fields of the light, or of all particles, replaced."""
    update = dict(fields)
    if light:
        update["light"] = scenario.light.model_copy(update=light)
    if particle:
        update["particle"] = [p.model_copy(update=particle) for p in scenario.particle]
    return scenario.model_copy(update=update)


def independent_force(scenario, z):
    """Force on each sphere at the distances z from the foci: difference quotients of fields in complex numbers."""
    k = 2 * math.pi / scenario.light.wavelength
    z_r = math.pi * scenario.light.waist**2 / scenario.light.wavelength
    epsilon = np.array([p.refractive_index**2 for p in scenario.particle])
    radius = np.array([p.radius for p in scenario.particle])
    alpha = 4 * math.pi * radius**3 * (epsilon - 1) / (epsilon + 2)
    power = np.array([p.power for p in scenario.particle])
    peak = np.sqrt(4 * power / (math.pi * scenario.light.waist**2 * constants.epsilon_0 * constants.c))
    phase = np.array([p.phase for p in scenario.particle])
    angle = np.array([p.polarization for p in scenario.particle])
    foci = np.array([p.position for p in scenario.particle])
    field = (peak * np.exp(1j * phase)) * np.array([np.cos(angle), np.sin(angle), 0 * angle])

    def tweezer(j, x):
        return field[:, j] * np.exp(1j * k * x) / (1 + 1j * x / z_r)

    def scattered(j, other, x):
        """Field of the dipole `other` at the height x above the focus j."""
        separation = np.array([*(foci[j] - foci[other]), x - z[other]])
        r = np.linalg.norm(separation)
        n = separation / r
        dipole = alpha[other] * tweezer(other, z[other])
        across = dipole - n * (n @ dipole)
        along = 3 * n * (n @ dipole) - dipole
        return np.exp(1j * k * r) / (4 * math.pi) * (k**2 / r * across + (1 / r**3 - 1j * k / r**2) * along)

    def slope(function, x):
        return (8 * (function(x + H) - function(x - H)) - (function(x + 2 * H) - function(x - 2 * H))) / (12 * H)

    total = np.zeros(len(z))
    for j in range(len(z)):
        total[j] = 0.25 * alpha[j] * slope(lambda x, j=j: np.sum(np.abs(tweezer(j, x)) ** 2), z[j])
        own = np.vdot(tweezer(j, z[j]), slope(lambda x, j=j: tweezer(j, x), z[j])).imag
        total[j] += alpha[j] ** 2 * k**3 / (12 * math.pi) * own
        for other in set(range(len(z))) - {j}:
            total[j] += (
                0.5
                * alpha[j]
                * slope(lambda x, j=j, other=other: np.vdot(tweezer(j, x), scattered(j, other, x)).real, z[j])
            )
    return constants.epsilon_0 * total


def model_force(scenario, displacement):
    """What the equations of motion make of the displacements: the force on each particle."""
    equations = scenario.langevin()
    state = np.zeros(equations.dimension)
    where = equations.select("position")
    state[where] = displacement / equations.unit[where]
    return equations.drift(state)[equations.driven] / equations.force_scale


def test_the_equations_hold_the_whole_forces(nonlinear):
    scale = nonlinear.trap_stiffness.max() * nonlinear.rayleigh_range
    origin = nonlinear.derived()["equilibrium"].value
    assert np.abs(independent_force(nonlinear, origin)).max() < 1e-8 * scale
    rng = np.random.default_rng(4)
    for x in rng.normal(size=(10, 2)) * 3e-7:
        truth = independent_force(nonlinear, origin + x)
        np.testing.assert_allclose(model_force(nonlinear, x), truth, rtol=0, atol=1e-8 * scale)
        linear = -nonlinear.oscillators().force_matrix @ x
        assert np.abs(linear - truth).max() > 1e-4 * scale  # the twin: without what is not linear
        swapped = independent_force(nonlinear, origin + x[::-1])
        assert np.abs(model_force(nonlinear, x) - swapped).max() > 1e-3 * scale


def test_the_linear_part_is_the_slope_at_the_equilibrium(nonlinear):
    origin, h = nonlinear.equilibrium, 1e-9
    array = nonlinear.oscillators()
    columns = [
        (independent_force(nonlinear, origin + h * e) - independent_force(nonlinear, origin - h * e)) / (2 * h)
        for e in np.eye(2)
    ]
    slope = np.stack(columns, axis=1)
    scale = np.abs(slope).max()
    np.testing.assert_allclose(array.stiffness, -np.diagonal(slope), rtol=0, atol=1e-4 * scale)
    np.testing.assert_allclose(array.coupling, slope - np.diag(np.diagonal(slope)), rtol=0, atol=1e-4 * scale)
    assert abs(array.coupling[0, 1] - slope[1, 0]) > 0.1 * scale  # the twin: rows and columns exchanged


def test_small_spheres_make_it_linear(nonlinear):
    """Radiation pressure is as the volume squared, and the trap as the volume: small spheres stay at the foci."""
    small = changed(nonlinear, particle={"radius": 5e-9})
    linear = changed(small, light={"forces": "linear"})
    np.testing.assert_allclose(small.equilibrium, linear.equilibrium, rtol=1e-3)
    np.testing.assert_allclose(small.oscillators().stiffness, linear.oscillators().stiffness, rtol=1e-4)
    scale = np.abs(linear.oscillators().coupling).max()
    np.testing.assert_allclose(small.oscillators().coupling, linear.oscillators().coupling, rtol=0, atol=1e-3 * scale)
    large = changed(nonlinear, light={"forces": "linear"}).oscillators()
    assert np.abs(nonlinear.oscillators().coupling - large.coupling).max() > 0.05 * np.abs(large.coupling).max()


def test_recoil_is_that_at_the_foci(nonlinear):
    linear = changed(nonlinear, light={"forces": "linear"})
    np.testing.assert_array_equal(nonlinear.oscillators().diffusion, linear.oscillators().diffusion)
    assert np.abs(linear.oscillators().diffusion.imag).max() > 0


def test_what_the_shipped_pair_says_of_itself(nonlinear):
    found = {name: quantity.value for name, quantity in nonlinear.derived().items()}
    np.testing.assert_allclose(found["equilibrium"], [0.32e-6, 0.34e-6], atol=0.005e-6)
    tweezer = np.diagonal(nonlinear.oscillators().force_matrix) - found["binding_stiffness"]
    np.testing.assert_allclose(1 - tweezer / found["trap_stiffness"], [0.11, 0.13], atol=0.005)
    assert found["coupling"][1, 0] / found["coupling"][0, 1] == pytest.approx(0.15, abs=0.005)
    np.testing.assert_array_equal(found["coupling"], nonlinear.oscillators().coupling)


def test_notes_are_those_of_the_model(nonlinear):
    linear = changed(nonlinear, light={"forces": "linear"})
    assert any("at the focus" in note for note in linear.notes())
    assert nonlinear.notes() == []
    hot = changed(nonlinear, particle={"bath_temperature": 4000.0})
    (note,) = hot.notes()
    assert note == (
        "The barrier that keeps particle 0 in its tweezer against radiation pressure is 5.9 k_B T high: sooner or "
        "later a trajectory leaves it."
    )
    assert any("no longer harmonic" in note for note in changed(hot, light={"forces": "linear"}).notes())


def test_the_barrier_is_the_work_to_its_top(nonlinear):
    z_r = nonlinear.rayleigh_range
    for u, push, s, found in zip(
        nonlinear.trap_stiffness,
        nonlinear.radiation_pressure,
        nonlinear.pushed_equilibrium[0],
        nonlinear.barrier,
        strict=True,
    ):
        work, _ = integrate.quad(lambda t, u=u, f=push: u * t * z_r / (1 + t * t) ** 2 - f / (1 + t * t), s, 1 / s)
        assert found == pytest.approx(work * z_r, rel=1e-9, abs=0)


def test_one_sphere_alone(nonlinear):
    alone = nonlinear.model_copy(update={"particle": nonlinear.particle[:1]})
    assert len(alone.oscillators().forces) == 1
    x = np.array([2e-7])
    truth = independent_force(alone, alone.equilibrium + x)
    assert model_force(alone, x) == pytest.approx(truth, rel=1e-6, abs=0)


def test_full_forces_need_the_exact_field(nonlinear):
    with pytest.raises(
        ScenarioError,
        match=r'light.forces = "full" takes the whole dipole field, but light.binding is "far_field"; set '
        r'light.binding = "exact"\.$',
    ):
        changed(nonlinear, light={"binding": "far_field"})
    text = (SCENARIOS / "nonlinear_pair.toml").read_text().replace('binding = "exact"', 'binding = "far_field"')
    with pytest.raises(ScenarioError, match=r"^scenario: line 17: light.forces = "):
        parse(text)


def test_a_sphere_that_is_pushed_out_is_told(nonlinear):
    with pytest.raises(ScenarioError, match=r"particle\[0\] is pushed out of its tweezer"):
        changed(nonlinear, particle={"radius": 115e-9})
    # Held alone, by a push of 0.47, but not with the light of the other.
    with pytest.raises(ScenarioError, match="no mechanical equilibrium near their foci"):
        changed(nonlinear, particle={"radius": 109e-9})
    assert changed(nonlinear, light={"forces": "linear"}, particle={"radius": 109e-9}).barrier.min() > 0


def test_defaults_leave_the_identity_of_runs_alone(nonlinear, unidirectional, cold_to_hot):
    for scenario in (unidirectional, cold_to_hot):
        text = json.dumps(sb.Plan.from_scenario(scenario).identity["scenario"])
        assert not any(f'"{name}"' in text for name in ("forces", "trap", "trap_length", "cubic_stiffness"))
    given = unidirectional.model_copy(update={"light": unidirectional.light.model_copy(update={"forces": "linear"})})
    assert sb.Plan.from_scenario(given).fingerprint == sb.Plan.from_scenario(unidirectional).fingerprint
    assert '"forces": "full"' in json.dumps(nonlinear.model_dump(mode="json", exclude_defaults=True))


def oscillators(**particle):
    return sb.OscillatorScenario(
        name="one",
        units="reduced",
        particle=[{"mass": 2.0, "stiffness": 1.5, "damping_rate": 0.1, "bath_temperature": 0.1, **particle}],
    )


TRAPS = {
    "duffing": ({"cubic_stiffness": 0.7}, lambda x: -1.5 * x - 0.7 * x**3),
    "gaussian": ({"trap": "gaussian", "trap_length": 3.0}, lambda x: -1.5 * x / (1 + x**2 / 9) ** 2),
    "pendulum": ({"trap": "pendulum", "trap_length": 0.4}, lambda x: -1.5 * 0.4 * np.sin(x / 0.4)),
    "both": (
        {"trap": "gaussian", "trap_length": 3.0, "cubic_stiffness": -0.01},
        lambda x: -1.5 * x / (1 + x**2 / 9) ** 2 + 0.01 * x**3,
    ),
}


@pytest.mark.parametrize("name", TRAPS)
@pytest.mark.parametrize("dynamics", ["underdamped", "overdamped"])
def test_traps_of_oscillators(name, dynamics):
    particle, truth = TRAPS[name]
    scenario = oscillators(**particle)
    if dynamics == "overdamped":
        kept = {"stiffness": 1.5, "friction": 0.3, "bath_temperature": 0.1}
        scenario = sb.OscillatorScenario(
            name="one", units="reduced", dynamics=dynamics, particle=[{**kept, **particle}]
        )
    for x in (-2.0, -0.3, 0.1, 1.7):
        assert model_force(scenario, np.array([x])) == pytest.approx(truth(x), rel=1e-12, abs=0)
        assert abs(-1.5 * x - truth(x)) > 1e-5  # the twin: a harmonic trap


def test_each_particle_has_its_own_trap():
    base = {"mass": "3 fg", "stiffness": "1 uN/m", "damping_rate": "100 1/s", "bath_temperature": "300 K"}
    scenario = sb.OscillatorScenario(
        name="three",
        particle=[
            base,
            {**base, "trap": "pendulum", "trap_length": "80 nm"},
            {**base, "trap": "gaussian", "trap_length": "1 um", "cubic_stiffness": "1e7 N/um^2/m"},
        ],
    )
    x = np.array([1e-7, 1e-7, 1e-7])
    assert scenario.particle[2].cubic_stiffness == pytest.approx(1e19, rel=1e-12, abs=0)
    expected = [
        -1e-13,
        -1e-6 * 80e-9 * math.sin(1e-7 / 80e-9),
        -1e-13 / (1 + 0.1**2) ** 2 - 1e19 * 1e-21,
    ]
    np.testing.assert_allclose(model_force(scenario, x), expected, rtol=1e-12)
    assert scenario.notes() == []


@pytest.mark.parametrize(
    ("particle", "sentence"),
    [
        ({"trap": "gaussian"}, 'needs `trap_length`, as trap = "gaussian"'),
        ({"trap_length": 1.0}, "has a `trap_length`, but a harmonic trap has none"),
        ({"trap": "pendulum", "trap_length": -1.0}, "must be positive, but is -1.0"),
        ({"trap": "square", "trap_length": 1.0}, "must be 'harmonic', 'gaussian' or 'pendulum', but is 'square'"),
        ({"cubic_stiffness": math.nan}, "must be finite, but is nan"),
        ({"cubic_stiffness": "1 N/m^3"}, "must be a bare number"),
    ],
)
def test_wrong_traps_are_told(particle, sentence):
    with pytest.raises(ScenarioError, match=sentence):
        oscillators(**particle)


def test_notes_of_traps_that_a_particle_can_leave():
    (note,) = oscillators(cubic_stiffness=-0.1).notes()
    assert note.startswith("The cubic stiffness of particle 0 is negative")
    (note,) = oscillators(trap="gaussian", trap_length=1.0).notes()
    assert note == "The trap of particle 0 is 7.5 k_B T deep: sooner or later a trajectory leaves it."
    assert oscillators(trap="gaussian", trap_length=2.0, cubic_stiffness=0.1).notes() == []


def test_the_duffing_particle_says_what_boltzmann_says():
    scenario = sb.Scenario.from_toml(SCENARIOS / "duffing_particle.toml")

    def potential(x):
        return -integrate.quad(lambda y: float(model_force(scenario, np.array([y]))[0]), 0.0, x)[0]

    grid = np.linspace(-5.0, 5.0, 401)
    weight = np.exp(-np.array([potential(x) for x in grid]))
    second = np.sum(grid**2 * weight) / np.sum(weight)  # exponentially small error: the weight vanishes at the ends
    fourth = np.sum(grid**4 * weight) / np.sum(weight)
    assert second == pytest.approx(0.467920, abs=5e-7)
    assert second + fourth == pytest.approx(1.0, abs=1e-9)
    assert "0.467920" in scenario.source


def test_compiled_tweezers_make_the_bits_of_numpy(nonlinear):
    """All forces of the light, in the compiled loop and in NumPy: which number stands for which function, too."""
    equations = nonlinear.langevin()
    start = sb.Moments(np.zeros(4), equations.stationary_covariance())
    options = {"step": 1e-7, "n_steps": 20, "n_trajectories": 5, "save_every": 5, "initial": start}
    fast, plain = (sb.simulate(equations, **options, compiled=way) for way in (True, False))
    np.testing.assert_array_equal(fast.position, plain.position)
    without = sb.simulate(dataclasses.replace(equations, forces=()), **options)
    assert np.abs(without.position - fast.position).max() > 1e-3 * np.abs(fast.position).max()  # the twin
