"""Scenarios of dipoles: from lab numbers to equations of motion, against independent routes."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from scipy import constants

import stochbind as sb
from stochbind import errors
from stochbind.optics import kerker, polarizability, rows, waves
from stochbind.scenario import parse

ROOT = Path(__file__).parent.parent

KERKER = """
name = "pair"
kind = "dipoles"
motion = ["x"]

[light]
wavelength = "420 nm"
scattering = "multiple"

[[wave]]
kind = "plane"
direction = [2.0, 0.0, 0.0]
polarization = [0.0, 1.0, 0.0]
intensity = "100 mW/um^2"

[gas]
pressure = "10 mbar"
temperature = "300 K"

[[particle]]
radius = "45 nm"
density = "2330 kg/m^3"
refractive_index = 5.1
extinction_coefficient = 0.2
polarizability = "mie"
position = ["0 um", "0 um", "0 um"]
stiffness = ["50 uN/m", "50 uN/m", "50 uN/m"]

[[particle]]
radius = "45 nm"
density = "2330 kg/m^3"
refractive_index = 5.1
extinction_coefficient = 0.2
polarizability = "mie"
position = ["425 nm", "0 um", "0 um"]
stiffness = ["70 uN/m", "70 uN/m", "70 uN/m"]

[run]
step = "50 ns"
n_steps = 100
save_every = 4
n_trajectories = 8
seed = 7
"""

TWEEZERS = """
name = "far apart"
kind = "dipoles"
motion = ["z"]
origin = "given"

[light]
wavelength = "1064 nm"
scattering = "single"

[[wave]]
kind = "tweezer"
direction = [0.0, 0.0, 1.0]
polarization = [0.0, 1.0, 0.0]
focus = ["0 um", "0 um", "0 um"]
waist = "0.8 um"
power = "0.3 W"
phase = "40 deg"

[[wave]]
kind = "tweezer"
direction = [0.0, 0.0, 1.0]
polarization = [0.5, 1.0, 0.0]
focus = ["6 um", "1 um", "0 um"]
waist = "0.8 um"
power = "0.2 W"

[gas]
pressure = "1 mbar"
temperature = "300 K"

[[particle]]
radius = "75 nm"
density = "1850 kg/m^3"
refractive_index = 1.45
polarizability = "rayleigh"
position = ["0 um", "0 um", "0 um"]

[[particle]]
radius = "60 nm"
density = "1850 kg/m^3"
refractive_index = 1.45
polarizability = "rayleigh"
position = ["6 um", "1 um", "0 um"]
"""


def read(text, *changes):
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return parse(text)


def refused(text, *changes):
    with pytest.raises(errors.ScenarioError) as caught:
        read(text, *changes)
    return str(caught.value)


def row(scenario, *, events=None):
    """Forces and derivatives in K's one-dimensional form, at the origin of the scenario."""
    alpha = [p.polarizability_at(420e-9) for p in scenario.particle]
    electric = np.array([a.electric[0, 0] for a in alpha])
    magnetic = np.array([a.magnetic[0, 0] for a in alpha])
    amplitude = waves.amplitude_of_intensity(100e9)
    place = scenario.origin_position[:, 0]
    return rows.row_forces(place, electric, magnetic, scenario.wavenumber, amplitude, events=events)


@pytest.mark.parametrize(("scattering", "events"), [("multiple", None), ("one_event", 1)])
@pytest.mark.parametrize("model", ["mie", "first_kerker", "second_kerker", "rayleigh"])
def test_a_pair_behind_each_other_is_that_of_the_one_dimensional_equations(model, scattering, events):
    """Couplings, stiffness and the equilibrium of K's pairs; which particle is moved by which is not exchanged."""
    changes = (('"mie"', f'"{model}"'), ('"multiple"', f'"{scattering}"'))
    scenario = read(KERKER, *changes)
    found, exact = scenario.oscillators(), row(scenario, events=events)
    linear = rows.around_traps(exact.jacobian, np.array([50e-6, 70e-6]))
    scale = np.abs(exact.jacobian).max()
    assert np.abs(found.coupling - linear.coupling).max() < 1e-9 * scale
    assert np.abs(found.stiffness - linear.stiffness).max() < 1e-9 * scale
    assert np.abs(found.coupling - linear.coupling.T).max() > 1e-3 * scale  # twin: transposed
    light = exact.isolated + exact.interaction
    held = np.array([50e-6, 70e-6]) * (scenario.origin_position[:, 0] - [0.0, 425e-9])
    assert np.abs(light - held).max() < 1e-9 * np.abs(light).max()
    assert np.abs(held).max() > 0.1 * np.abs(light).max()  # the light does push


def test_factors_of_non_reciprocity_are_those_of_the_pair():
    scenario = read(KERKER)
    zeroth, first = scenario.reciprocity_factors()
    place = scenario.origin_position
    alpha = polarizability.mie(45e-9, 5.1 + 0.2j, scenario.wavenumber)
    amplitude = waves.amplitude_of_intensity(100e9)
    distance = np.array([place[1, 0] - place[0, 0]])
    curve = kerker.pair_curves(
        distance, alpha.electric[0, 0], alpha.magnetic[0, 0], scenario.wavenumber, amplitude, events=None
    )
    assert zeroth[0] == pytest.approx(float(curve.zeroth[0]), rel=1e-8, abs=0)
    assert first[0, 0] == pytest.approx(float(curve.first[0]), rel=1e-8, abs=0)
    assert 0.4 < first[0, 0] < 0.5


def test_tweezers_far_apart_are_those_of_the_tweezer_scenario():
    """Couplings and recoil along the beams, with unequal spheres, powers and polarizations."""
    scenario = read(TWEEZERS)
    sphere = [
        {"radius": 75e-9, "position": (0.0, 0.0), "power": 0.3, "phase": np.radians(40), "polarization": np.pi / 2},
        {"radius": 60e-9, "position": (6e-6, 1e-6), "power": 0.2, "polarization": np.arctan2(1.0, 0.5)},
    ]
    along = sb.TweezerScenario(
        name="pair",
        light={"wavelength": 1064e-9, "waist": 0.8e-6, "binding": "exact"},
        gas={"pressure": 100.0, "temperature": 300.0},
        particle=[{"density": 1850.0, "refractive_index": 1.45, **each} for each in sphere],
    )
    found, exact = scenario.oscillators(), along.oscillators()
    assert found.coupling == pytest.approx(exact.coupling, rel=1e-9, abs=0)
    assert np.asarray(found.diffusion) == pytest.approx(np.asarray(exact.diffusion), rel=1e-9, abs=0)
    assert found.friction == pytest.approx(exact.friction, rel=1e-12, abs=0)
    assert abs(found.coupling[0, 1] / found.coupling[1, 0] - 1.0) > 0.1  # transposed would be seen
    assert np.abs(np.imag(found.diffusion[0, 1])) > 0.1 * np.abs(found.diffusion[0, 1])  # conjugated, too
    # The tweezer's own amplitude changes over the binding force of the other: (kappa z_R)^-2 of it.
    assert found.stiffness == pytest.approx(exact.stiffness, rel=2e-3, abs=0)


def test_antireciprocity_is_that_of_the_recoil():
    array = read(TWEEZERS).oscillators()
    c, d = array.coupling, np.asarray(array.diffusion)
    assert c[0, 1] - c[1, 0] == pytest.approx(4.0 * d[0, 1].imag / constants.hbar, rel=1e-9, abs=0)


def test_lasers_of_different_detuning_do_not_couple_the_particles():
    coupled = read(TWEEZERS).oscillators().coupling
    apart = read(TWEEZERS, ('power = "0.2 W"', 'power = "0.2 W"\ndetuning = "40 MHz"'))
    assert np.abs(apart.oscillators().coupling).max() < 1e-9 * np.abs(coupled).max()
    assert not any("beat" in note for note in apart.notes())
    close = read(TWEEZERS, ('power = "0.2 W"', 'power = "0.2 W"\ndetuning = "40 kHz"'))
    assert any("detuned by 4e+04 Hz only" in note for note in close.notes())


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ('ellipticity = "45 deg"', [0.0, 1.0, 0.0, 0.0, 0.0, 1j]),
        ('ellipticity = "-45 deg"', [0.0, 1.0, 0.0, 0.0, 0.0, -1j]),
    ],
)
def test_ellipticity_is_the_helicity(table, expected):
    """Along x, with the major axis along y: the minor axis is x cross y = z, a quarter of a period later."""
    scenario = read(KERKER, ("intensity", f"{table}\nintensity"))
    light = scenario.array.parts[0].light
    field = light.at(np.zeros((1, 3))).value[0, :3]
    wanted = np.array(expected[1:3] + expected[5:]) / np.sqrt(2)
    assert field / (light.at(np.zeros((1, 3))).value[0, 1] * np.sqrt(2)) == pytest.approx(
        np.array([0.0, wanted[0], wanted[2]]), abs=1e-12
    )


def test_standing_waves_hold_particles_at_their_antinodes():
    changes = (
        ('intensity = "100 mW/um^2"', 'intensity = "100 mW/um^2"\nstanding = true\nstanding_phase = "90 deg"'),
        ('polarizability = "mie"', 'polarizability = "radiation_corrected"'),
        ("refractive_index = 5.1\nextinction_coefficient = 0.2", "refractive_index = 1.45"),
        ('stiffness = ["50 uN/m", "50 uN/m", "50 uN/m"]', ""),
        ('stiffness = ["70 uN/m", "70 uN/m", "70 uN/m"]', ""),
        ('["425 nm", "0 um", "0 um"]', '["20 um", "0 um", "0 um"]'),
    )
    scenario = read(KERKER, *changes)
    found = scenario.origin_position[:, 0] / 420e-9
    assert found[0] == pytest.approx(0.125, abs=2e-3)  # a quarter of a period of half a wavelength along the beam
    assert scenario.equilibrium.holds
    assert scenario.oscillators().stiffness.min() > 0


class TestFullForces:
    def full(self):
        return read(KERKER, ('scattering = "multiple"', 'scattering = "multiple"\nforces = "full"'))

    def test_they_are_what_is_left_of_the_whole_forces(self):
        scenario = self.full()
        (force,) = scenario.oscillators().forces
        rng = np.random.default_rng(1)
        for size, most in ((1e-9, 1e-3), (4e-8, None)):
            x = size * rng.normal(size=(2, 5))
            rest = force.function(x, force.parameters)
            linear = -scenario.oscillators().force_matrix @ x
            for i in range(5):
                place = scenario.origin_position.copy()
                place[:, 0] += x[:, i]
                whole = scenario.array.force(place)[:, 0]
                assert rest[:, i] + linear[:, i] == pytest.approx(whole, abs=1e-9 * np.abs(linear).max())
            if most is not None:  # of second order in the displacements
                assert np.abs(rest).max() < 20 * most * np.abs(linear).max()
            else:
                assert np.abs(rest).max() > 0.05 * np.abs(linear).max()

    def test_trajectories_come_out_alike_alone_and_together(self):
        (force,) = self.full().oscillators().forces
        x = 2e-8 * np.random.default_rng(2).normal(size=(2, 50))
        together = force.function(x, force.parameters)
        for width in (1, 7, 16):
            parts = [force.function(x[:, i : i + width], force.parameters) for i in range(0, 50, width)]
            assert np.array_equal(np.concatenate(parts, axis=1), together)

    def test_where_particles_touch_there_is_no_force(self):
        scenario = self.full()
        (force,) = scenario.oscillators().forces
        gap = scenario.origin_position[1, 0] - scenario.origin_position[0, 0]
        x = np.array([[0.0, gap - 80e-9, np.nan], [0.0, 0.0, 0.0]])
        assert list(np.isnan(force.function(x, force.parameters)).all(axis=0)) == [False, True, True]

    def test_they_travel_to_other_processes(self, tmp_path):
        assert pickle.loads(pickle.dumps(self.full().oscillators().forces[0])).collective
        plan = sb.Plan(scenario=self.full(), step=1e-8, n_steps=40, save_every=10, n_trajectories=4, seed=3)
        one, other = tmp_path / "serial.zarr", tmp_path / "processes.zarr"
        with sb.serial_workers() as alone, sb.process_workers(2) as workers:
            sb.run(plan, one, workers=alone)
            sb.run(plan, other, workers=workers)
        first, second = (sb.open(path).position.to_numpy() for path in (one, other))
        assert np.array_equal(first, second)
        assert first.shape == (4, 4, 2, 1)
        linear = sb.Plan(scenario=read(KERKER), step=1e-8, n_steps=40, save_every=10, n_trajectories=4, seed=3)
        sb.run(linear, tmp_path / "linear.zarr")
        difference = np.abs(sb.open(tmp_path / "linear.zarr").position.to_numpy() - first).max()
        assert 0 < difference < 0.5 * np.abs(first).max()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ((('"425 nm"', '"80 nm"'),), "Particles 0 and 1 overlap"),
        ((('"425 nm"', '"80 nm"'),), "add up to 9e-08 m (of ellipsoids, the spheres around them); move them apart"),
        ((('radius = "45 nm"', 'semi_axes = ["45 nm", "40 nm", "40 nm"]'),), 'set "size_corrected"'),
        ((("polarization = [0.0, 1.0, 0.0]", "polarization = [1.0, 1.0, 0.0]"),), "perpendicular"),
        ((("direction = [2.0, 0.0, 0.0]", "direction = [0.0, 0.0, 0.0]"),), "direction"),
        ((('motion = ["x"]', 'motion = ["y", "x"]'),), "motion must name each axis once, in the order x, y, z"),
        ((('intensity = "100 mW/um^2"', ""),), "needs either `intensity` or `peak_field`"),
        ((('wavelength = "420 nm"', 'wavelength = "420 nm"\nscattering_ = 1'),), "did you mean `scattering`"),
        ((('"mie"', '"rayleigh"'), ('radius = "45 nm"', 'radius = "70 nm"')), "is too large for a dipole"),
        ((('"multiple"', '"far_field"'),), "The particles are too close for the far field"),
        ((('radius = "45 nm"', 'radius = "10 um"'),), "is too large for a dipole: its k R is 150 (limit 3)"),
        ((("refractive_index = 5.1", "refractive_index = 1e9"),), "and 6.73e+08 inside (limit 100)"),
        ((("refractive_index = 5.1", 'material = "silicon"'),), "has an `extinction_coefficient`"),
        ((("refractive_index = 5.1\nextinction_coefficient = 0.2", 'material = "glass"'),), "material must be one of"),
        ((('temperature = "300 K"', 'temperature = "300 K"\nmolar_mass = "4 g/mol"'),
          ('pressure = "10 mbar"', 'pressure = "1 bar"')), "gas.viscosity is needed"),
        ((('stiffness = ["50 uN/m", "50 uN/m", "50 uN/m"]', ""), ('stiffness = ["70 uN/m", "70 uN/m", "70 uN/m"]', "")),
         "There is no equilibrium near the given positions"),
        ((("intensity", 'ellipticity = "50 deg"\nintensity'),), "between -45 deg and 45 deg, but is 50 deg"),
        ((("intensity", 'standing_phase = "50 deg"\nintensity'),), "set standing = true"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_one_sentence(changes, sentence):
    told = refused(KERKER, *changes)
    assert sentence in told
    assert "Traceback" not in told


def test_notes_tell_what_the_model_leaves_out():
    (hot,) = read(KERKER).notes()
    assert "absorbs" in hot
    assert "2.5e+04 K" in hot
    clear = ("5.1\nextinction_coefficient = 0.2", "3.0")
    assert read(KERKER, clear).notes() == []
    large = read(KERKER, ("5.1\nextinction_coefficient = 0.2", "1.5"), ('"45 nm"', '"140 nm"'), ('"425 nm"', '"2 um"'))
    assert any("quadrupole" in note for note in large.notes())
    assert any("optical gain" in note for note in read(KERKER, ('"mie"', '"second_kerker"')).notes())
    loose = read(KERKER, ("100 mW", "1 mW"), ("50 uN/m", "0.5 uN/m"), ("70 uN/m", "0.5 uN/m"))
    assert any('set light.forces = "full"' in note for note in loose.notes())
    once = read(KERKER, ('"multiple"', '"single"'), ('"425 nm"', '"220 nm"'))
    assert any("Light scattered more than once" in note for note in once.notes())
    turned = read(
        KERKER,
        ('radius = "45 nm"', 'semi_axes = ["30 nm", "45 nm", "30 nm"]\norientation = ["45 deg", "0 deg", "0 deg"]'),
        ('polarizability = "mie"\n', ""),
    )
    assert any("Light twists particle 0" in note for note in turned.notes())
    across = read(
        KERKER,
        ('radius = "45 nm"', 'semi_axes = ["30 nm", "30 nm", "45 nm"]'),
        ('polarizability = "mie"\n', ""),
    )
    assert any("Light turns particle 0 away" in note for note in across.notes())
    assert across.derived()["tumbling_rate"].value.max() > 0
    along = read(
        KERKER,
        ('radius = "45 nm"', 'semi_axes = ["30 nm", "45 nm", "30 nm"]'),
        ('polarizability = "mie"\n', ""),
    )
    assert not any("Light t" in note for note in along.notes())
    assert any("nothing holds it" in note for note in across_circular().notes())
    rate = along.derived()["libration_angular_frequency"].value
    assert rate[:, 1:].min() > 100 * along.derived()["tumbling_rate"].value.max()


def across_circular():
    """An ellipsoid whose long axis turns with circular light, with no field to hold it about the beam."""
    return read(
        KERKER,
        ('radius = "45 nm"', 'semi_axes = ["30 nm", "45 nm", "30 nm"]'),
        ('polarizability = "mie"\n', ""),
        ("intensity", 'ellipticity = "45 deg"\nintensity'),
    )


def test_notes_tell_where_the_numbers_are_strange():
    near = read(KERKER, ('"multiple"', '"one_event"'), ('"425 nm"', '"120 nm"'), ("100 mW", "1 uW"))
    assert any("times the sum of their radii apart" in note for note in near.notes())
    given = read(KERKER, ('motion = ["x"]', 'motion = ["x"]\norigin = "given"'))
    assert any('which origin = "given" leaves out' in note for note in given.notes())
    vacuum = read(KERKER, ('"10 mbar"', '"1e-9 mbar"'))
    assert any("light's own friction" in note for note in vacuum.notes())
    far = read(KERKER, ("100 mW", "1000 mW"))
    assert any("from its given position" in note for note in far.notes())


def test_power_and_friction_of_light():
    """Of two particles far apart: cross sections times intensity."""
    scenario = read(KERKER, ('"425 nm"', '"50 um"'))
    alpha = scenario.polarizability[0]
    field = np.array([0, 1, 0, 0, 0, 1])
    absorbed = alpha.absorption(scenario.wavenumber, field) * 100e9
    taken = alpha.extinction(scenario.wavenumber, field) * 100e9
    assert scenario.absorbed_power == pytest.approx([absorbed] * 2, rel=1e-2, abs=0)
    assert scenario.optical_damping_rate == pytest.approx(taken / scenario.mass / constants.c**2, rel=1e-2, abs=0)
    black = (absorbed / (4 * np.pi * 45e-9**2 * constants.Stefan_Boltzmann) + 300**4) ** 0.25
    assert any(f"{black:.2g} K" in note for note in scenario.notes())
    bare = read(KERKER, ('"425 nm"', '"50 um"'), ('"mie"', '"rayleigh"'))
    alpha = bare.polarizability[0]
    absorbed = alpha.extinction(bare.wavenumber, field) * 100e9
    assert bare.absorbed_power == pytest.approx([absorbed] * 2, rel=1e-2, abs=0)
    taken = absorbed + alpha.scattering(bare.wavenumber, field) * 100e9
    assert bare.optical_damping_rate == pytest.approx(taken / bare.mass / constants.c**2, rel=1e-2, abs=0)


def test_errors_of_approximations_are_told():
    """Of strong scatterers side by side all are percents; of weak ones far apart each is better than the one before."""
    near = read(KERKER).derived()
    for name in ("far_field", "single", "one_event"):
        assert 0.005 < near[f"error_{name}"].value[1] < 0.2
    along = sb.Scenario.from_toml(ROOT / "scenarios" / "unidirectional_pair.toml").derived()
    far, single, event = (along[f"error_{name}"].value for name in ("far_field", "single", "one_event"))
    assert far[1] == pytest.approx(0.0118, abs=2e-4)
    assert single[1] < 0.02 * far[1]
    assert event[3] < 0.01 * single[3]


def test_any_number_of_a_wave_or_particle_can_be_swept():
    axes = """
[sweep]

[[sweep.axis]]
parameter = "wave[0].intensity"
values = ["50 mW/um^2", "100 mW/um^2"]

[[sweep.axis]]
parameter = "particle[1].position[0]"
name = "place"
values = ["425 nm", "2 um"]
"""
    sweep = sb.Sweep.parse(KERKER + axes)
    weak, near = sweep.point(0), sweep.point(2)
    assert near.wave[0].intensity == pytest.approx(2.0 * weak.wave[0].intensity, rel=1e-12, abs=0)
    far = sweep.point(3)
    assert np.abs(far.oscillators().coupling).max() < 0.3 * np.abs(near.oscillators().coupling).max()


def test_equilibria_far_from_the_origin_are_found_to_round_off():
    """A metre away a place is known to 1e-16 m only: the search ends there."""
    changes = (('origin = "given"\n', ""), ('motion = ["z"]\n', ""), ('"6 um"', '"1 m"'), ('"rayleigh"', '"mie"'))
    scenario = read(TWEEZERS, *changes)
    assert scenario.equilibrium.holds
    assert scenario.origin_position[:, :2] == pytest.approx(scenario.position[:, :2], abs=1e-9)
    assert np.abs(scenario.origin_position[:, 2]).min() > 1e-7
