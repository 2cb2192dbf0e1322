"""Compiled forces on coupled dipoles: those of the array, with the same bits in plain Python, alone and in a batch."""

import os
import pickle
import platform
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import mpmath
import numpy as np
import pytest

import dipole_arrays
from dipole_arrays import SCATTERING, WAVELENGTH, K, largest_difference, places
from stochbind.engine.solvers import OWN_SOLVERS
from stochbind.engine.stored_forces import identity
from stochbind.fields import dipole_loops, dipole_pairs, dipole_tables, trapped_dipoles
from stochbind.fields.dipole_lanes import LANES
from stochbind.fields.dipoles import Remainder, dipole_forces
from stochbind.optics import waves
from stochbind.optics.dipoles import Dipoles
from stochbind.optics.trapped import TrappedDipoles
from stochbind.optics.waves import lasers
from stochbind.scenario import parse
from test_import_order import heavy_after

SCENARIOS = Path(__file__).parent.parent / "scenarios"
APPROXIMATIONS = [*((name, False) for name in SCATTERING), ("single", True)]


def tweezer(direction, *, longitudinal=False, detuning=0.0, focus=(0.1e-6, 0.0, -0.2e-6), phase=0.7):
    polarization = waves.elliptical(0.4, 0.5, direction)
    return waves.GaussianTweezer(WAVELENGTH, 0.7e-6, focus, direction, polarization, 9e5, phase, detuning, longitudinal)


def all_kinds():
    """Plane waves and tweezers in oblique directions, standing waves of both, with and without longitudinal fields."""
    standing = waves.standing_wave(tweezer((0.0, 0.6, -0.8), longitudinal=True), 0.4)
    row = waves.standing_wave(dipole_arrays.plane((0.0, 1.0, 0.0), amplitude=5e5), 1.0)
    return waves.Superposition((dipole_arrays.crossed(), standing, waves.Superposition((row,)), tweezer((0, 0, -1))))


def system(n, *, magnetic=True, size=6e-21, light=None, **more):
    """Particles in two groups of light, and in traps."""
    rng = np.random.default_rng(n)
    other = dipole_arrays.array(n, light=tweezer((1.0, 0.0, 0.0), detuning=4e7), magnetic=magnetic, size=size, **more)
    main = dipole_arrays.array(n, light=all_kinds() if light is None else light, magnetic=magnetic, size=size, **more)
    return TrappedDipoles(
        parts=(main, other), trap_position=1e-7 * rng.normal(size=(n, 3)), trap_stiffness=1e-6 * rng.random((n, 3))
    )


def prepared(array, origin, free=None):
    """The force and what it leaves out: the value and the derivatives at the origin."""
    free = np.arange(origin.size) if free is None else free
    jacobian = array.jacobian(origin)[np.ix_(free, free)]
    return trapped_dipoles(array, origin, free, jacobian), array.force(origin).ravel()[free], jacobian


def whole(array, origin, free, displacement):
    """All forces, column by column, by the array itself."""
    place = np.repeat(origin.ravel()[:, None], displacement.shape[1], axis=1)
    place[free] += displacement
    return array.force(place.T.reshape(-1, *origin.shape)).reshape(-1, origin.size).T[free]


def displaced(n_free, width, size=6e-8, seed=1):
    return size * np.random.default_rng(seed).normal(size=(n_free, width))


def plain(displacement, parameters):
    """The loops as they are, in Python."""
    out = np.empty_like(displacement)
    with np.errstate(all="ignore"):
        dipole_loops.light_forces(displacement, parameters.ravel(), out)
    return out


def same_bits(one, other):
    return one.tobytes() == other.tobytes()


# ---------------------------------------------------------------------- the forces are those of the array


@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("magnetic", [False, True])
@pytest.mark.parametrize(("scattering", "far_field"), APPROXIMATIONS)
def test_forces_are_those_of_the_array(n, magnetic, scattering, far_field):
    """In light without symmetry of all kinds, of random anisotropic particles, along some of the axes."""
    array = system(n, magnetic=magnetic, scattering=scattering, far_field=far_field)
    origin = places(n, n)
    free = np.flatnonzero(np.arange(3 * n) % 4 != 1)
    force, value, jacobian = prepared(array, origin, free)
    assert force.function is dipole_forces
    x = displaced(len(free), 7)
    expected = whole(array, origin, free, x)
    found = force.function(x, force.parameters) + value[:, None] + jacobian @ x
    assert largest_difference(found, expected) < 1e-13
    light = array.parts[0].force(origin)
    assert np.abs(light).max() > 0.1 * np.abs(expected).max()


TWINS = {
    "transposed": lambda part: {"polarizability": np.swapaxes(part.polarizability, -1, -2)},
    "conjugate": lambda part: {"polarizability": part.polarizability.conj()},
    "other sign": lambda part: {"magnetic": -part.magnetic},
    "exchanged": lambda part: {"polarizability": part.polarizability[::-1]},
}


@pytest.mark.parametrize("change", TWINS.values(), ids=TWINS)
def test_typical_errors_are_seen(change):
    array, origin = system(2), places(2)
    wrong = []
    for part in array.parts:
        given = {"light": part.light, "polarizability": part.polarizability, "magnetic": part.magnetic}
        wrong.append(Dipoles(**{**given, **change(part)}))
    twin = TrappedDipoles(parts=tuple(wrong), trap_position=array.trap_position, trap_stiffness=array.trap_stiffness)
    assert largest_difference(twin.force(origin), array.force(origin)) > 1e-2


def test_a_wave_of_its_own_goes_through_numpy():
    """A subclass may be anything: its light is asked for, and the force is the same."""

    class Own(waves.PlaneWave):
        pass

    common = dipole_arrays.plane()
    own = Own(WAVELENGTH, common.direction, common.polarization, common.amplitude, common.phase)
    origin, x = places(2), displaced(6, 5)
    forces = [prepared(system(2, light=light), origin)[0] for light in (common, waves.Superposition((own,)))]
    assert isinstance(forces[1].function, Remainder)
    compiled, other = (force.function(x, force.parameters) for force in forces)
    assert largest_difference(compiled, other) < 1e-11  # of what is left after much has been taken away


def test_no_light_where_a_tweezer_does_not_reach():
    """As in `stochbind.optics.waves`: beyond exp(-60) the field is zero, and a particle there is free."""
    array = TrappedDipoles(parts=(dipole_arrays.array(1, light=tweezer((0.0, 0.0, 1.0))),))
    force, value, jacobian = prepared(array, np.zeros((1, 3)))
    edge = 0.7e-6 * np.sqrt(lasers.LARGEST_EXPONENT)
    x = np.array([[0.1e-6 + 1.001 * edge, 1e-3, 10.0], [0.0, 0.0, 0.0], [-0.2e-6, 0.0, 10.0]])
    found = force.function(x, force.parameters) + (value[:, None] + jacobian @ x)
    assert np.abs(found / (jacobian @ x)).max() < 1e-12
    inside = np.array([[0.1e-6 + 0.999 * edge], [0.0], [-0.2e-6]])
    assert array.force(inside.T.reshape(1, 3)).any()


# ---------------------------------------------------------------------- equations of multiple scattering


def hard_pair(exact=1.0):
    """Two particles whose equations have a pivot of zero (or 1 - exact), and a good solution all the same."""
    origin = np.array([[0.0, 0.0, 0.0], [0.4e-6, 0.0, 0.0]])
    first = dipole_arrays.tensors(2, 1)[:1] * 0.0 + 2e-20 * np.eye(3)
    one = Dipoles(light=dipole_arrays.crossed(), polarizability=np.repeat(first, 2, axis=0))
    green = one.matrix(origin)[:3, 3:]
    exchange = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    second = np.linalg.solve(green @ first[0] @ green, np.eye(3) - exact * exchange)
    light = dipole_arrays.crossed()
    return TrappedDipoles(parts=(Dipoles(light=light, polarizability=np.stack([first[0], second])),)), origin


def test_pivots_are_exchanged_where_they_must_be(monkeypatch):
    array, origin = hard_pair()
    force, *_ = prepared(array, origin)
    x = np.concatenate([np.zeros((6, 1)), displaced(6, 3)], axis=1)
    value, jacobian = array.force(origin).ravel(), array.jacobian(origin)
    expected = whole(array, origin, np.arange(6), x)
    found = force.function(x, force.parameters)
    assert largest_difference(found + value[:, None] + jacobian @ x, expected) < 1e-12
    assert same_bits(plain(x, force.parameters), found)
    monkeypatch.setattr(dipole_loops, "LARGEST_RATIO", np.inf)
    wrong = plain(x[:, :1], force.parameters)
    assert not np.abs(wrong - found[:, :1]).max() < 1e-3 * np.abs(expected).max()  # the twin: no exchange


@pytest.mark.parametrize("n", [3, 5])
def test_strong_scatterers(n):
    """Random equations whose pivots are exchanged in some trajectories and not in others."""
    array, origin = system(n, size=6e-20), places(n, extent=0.5e-6, spacing=0.2e-6)
    force, value, jacobian = prepared(array, origin)
    x = displaced(3 * n, LANES + 3, 3e-8)
    expected = whole(array, origin, np.arange(3 * n), x)
    found = force.function(x, force.parameters) + value[:, None] + jacobian @ x
    assert (np.abs(found - expected).max(axis=0) / np.abs(expected).max(axis=0)).max() < 1e-11


# ---------------------------------------------------------------------- radial functions


DISTANCE = np.concatenate([np.geomspace(0.02, 300.0, LANES - 2), [1.4142135, 1.4142136]])


def radial():
    """Rows of a pair at these distances kr, along an oblique axis, and the distances that they have there."""
    row = np.zeros(dipole_pairs.PAIR_ROWS * LANES)
    apart = row[dipole_pairs.APART * LANES :].reshape(3, LANES)
    apart[:] = np.array([[0.48], [-0.6], [0.64]]) * DISTANCE
    dipole_pairs.exact_radial(row)
    value = row[: dipole_pairs.APART * LANES].reshape(-1, 2, LANES)
    with mpmath.workdps(40):
        length = [mpmath.sqrt(sum(mpmath.mpf(float(x)) ** 2 for x in point)) for point in apart.T]
    return value[:, 0] + 1j * value[:, 1], length


@cache
def exact_radial():
    """The same by mpmath, from Bessel functions of half-integer order: rows n of g_n."""
    _, length = radial()
    with mpmath.workdps(40):
        unit = 1 / (4 * mpmath.pi)
        return np.array([[complex((-1) ** n * unit * hankel(n, z) / z**n) for z in length] for n in range(4)])


def hankel(n, z):
    """``i j_n - y_n``, whose real and imaginary part are taken apart from each other."""
    half = mpmath.sqrt(mpmath.pi / (2 * z))
    return mpmath.mpc(-half * mpmath.bessely(n + 0.5, z), half * mpmath.besselj(n + 0.5, z))


def test_radial_functions_against_mpmath():
    """Where particles are close, each of real and imaginary part to its own last digits."""
    found, exact = radial()[0], exact_radial()
    for n, row in ((1, dipole_pairs.SLOPE), (2, dipole_pairs.SECOND), (3, dipole_pairs.THIRD)):
        assert (np.abs(found[row] - exact[n]) < 2e-15 * np.abs(exact[n]) * np.maximum(1.0, DISTANCE)).all()
        assert np.abs(found[row].imag / exact[n].imag - 1.0)[DISTANCE < 2.0].max() < 1e-12
    largest = np.abs(exact[:2]).max(axis=0)
    assert (np.abs(found[dipole_pairs.NEAR] - exact[0] - exact[1]) < 4e-15 * largest * np.maximum(1.0, DISTANCE)).all()
    closed = np.exp(1j * DISTANCE) * (6 * DISTANCE**2 - 15 + 1j * DISTANCE * (15 - DISTANCE**2)) / DISTANCE**7
    assert np.abs(closed.imag / exact[3].imag / (4 * np.pi) - 1.0)[DISTANCE < 0.5].max() > 1e-6  # the twin: no series


# ---------------------------------------------------------------------- the same bits


@pytest.mark.parametrize("magnetic", [False, True])
@pytest.mark.parametrize(("scattering", "far_field"), APPROXIMATIONS)
def test_plain_python_gives_the_same_bits(magnetic, scattering, far_field):
    array = system(2, magnetic=magnetic, scattering=scattering, far_field=far_field)
    force, *_ = prepared(array, places(2))
    x = displaced(6, 3)
    x[:, 2] = -0.9 * (places(2) - places(2).mean(axis=0)).ravel()  # close, where series are used
    found = force.function(x, force.parameters)
    assert same_bits(plain(x, force.parameters), found)
    nudged = force.parameters.copy()
    nudged.flat[3] = np.nextafter(nudged.flat[3], np.inf)
    assert not same_bits(plain(x, nudged), found)  # the twin: a last place of the origin


@pytest.mark.parametrize("scattering", SCATTERING)
def test_trajectories_come_out_alike_alone_and_together(scattering):
    array = system(3, scattering=scattering, size=3e-20)
    force, *_ = prepared(array, places(3))
    x = displaced(9, 2 * LANES + 5)
    together = force.function(x, force.parameters)
    for width in (1, 7, LANES - 1, LANES, LANES + 1):
        cut = range(0, x.shape[1], width)
        alone = np.concatenate([force.function(x[:, i : i + width], force.parameters) for i in cut], axis=1)
        assert same_bits(alone, together)
    turned = force.function(np.ascontiguousarray(x[:, ::-1]), force.parameters)[:, ::-1]
    assert same_bits(np.ascontiguousarray(turned), together)
    assert not same_bits(force.function(np.nextafter(x, 1.0), force.parameters), together)  # the twin


OTHER_PROCESSOR = """
import pickle, sys
force, x = pickle.load(sys.stdin.buffer)
sys.stdout.buffer.write(force.function(x, force.parameters).tobytes())
"""


def has_avx512():
    told = Path("/proc/cpuinfo")
    return told.exists() and "avx512dq" in told.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("processor", ["x86-64", "skylake-avx512"])
def test_other_processors_give_the_same_bits(processor):
    """Compiled for one with the oldest vectors, and for one with fused products, which the loops must not use."""
    if platform.machine() != "x86_64" or (processor != "x86-64" and not has_avx512()):
        pytest.skip("this processor cannot run the code of that one")
    force, *_ = prepared(system(3, size=3e-20), places(3))
    x = displaced(9, LANES + 7)
    found = force.function(x, force.parameters)
    environment = {**os.environ, "NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": ""}
    command = [sys.executable, "-c", OTHER_PROCESSOR]
    given = pickle.dumps((force, x))
    done = subprocess.run(command, input=given, capture_output=True, env=environment, check=True)
    assert done.stdout == found.tobytes()


def test_only_its_own_trajectory_is_lost():
    array = system(2, size=4e-21)
    radius = {"radius": np.array([80e-9, 120e-9])}
    parts = tuple(
        Dipoles(light=p.light, polarizability=p.polarizability, magnetic=p.magnetic, **radius) for p in array.parts
    )
    array = TrappedDipoles(parts=parts)
    origin = np.array([[0.0, 0.0, 0.0], [0.3e-6, 0.4e-6, 0.0]])
    force, *_ = prepared(array, origin)
    x = displaced(6, 12, 1e-8)
    clean = force.function(x, force.parameters)
    toward = np.array([0.3, 0.4, 0.0])
    x[:, 3] = np.concatenate([toward * (0.5e-6 - 0.1999e-6) / 0.5, np.zeros(3)])
    x[:, 4] = np.concatenate([toward * (0.5e-6 - 0.2001e-6) / 0.5, np.zeros(3)])
    x[:, 5] = np.concatenate([origin[1], np.zeros(3)])  # at one place
    x[0, 6], x[5, 7], x[4, 8] = np.nan, np.inf, -np.inf
    found = force.function(x, force.parameters)
    lost = [3, 5, 6, 7, 8]
    assert np.isnan(found[:, lost]).all()
    assert np.isfinite(np.delete(found, lost, axis=1)).all()
    left = [0, 1, 2, 9, 10, 11]
    assert same_bits(np.ascontiguousarray(found[:, left]), np.ascontiguousarray(clean[:, left]))


def test_one_particle_that_moves_along_one_axis_is_lost_too():
    force, *_ = prepared(system(1), np.zeros((1, 3)), np.array([2]))
    found = force.function(np.array([[0.0, np.nan, 1e-9]]), force.parameters)
    assert list(np.isnan(found[0])) == [False, True, False]


# ---------------------------------------------------------------------- how they travel


def test_all_constants_are_parameters():
    """The function holds no numbers: what a run keeps of a force decides its bits, on any processor."""
    force, *_ = prepared(system(2), places(2))
    x = displaced(6, 4)
    found = force.function(x, force.parameters)
    copy = pickle.loads(pickle.dumps(force))
    assert copy.function is dipole_forces
    assert same_bits(copy.function(x, copy.parameters), found)
    assert identity(force.function)[0] == "dipole_forces"
    changed = prepared(system(2, size=6.1e-21), places(2))[0]
    assert changed.parameters.shape == force.parameters.shape
    assert not np.array_equal(changed.parameters, force.parameters)
    fixed = x.copy()
    fixed.setflags(write=False)
    assert same_bits(force.function(fixed, force.parameters), found)
    assert force.function(x[:, :0], force.parameters).shape == (6, 0)


def test_a_run_keeps_them():
    """Workers take the constants from the run, and not from a scenario that they read again."""
    text = (SCENARIOS / "second_kerker_pair.toml").read_text(encoding="utf-8")
    scenario = parse(text.replace("[light]", '[light]\nforces = "full"'))
    (force,) = scenario.oscillators().forces
    program = OWN_SOLVERS["strang"].program(scenario.langevin(), 1e-8)
    assert same_bits(program.coefficients["force_parameter"], force.parameters)

    def moved(program):
        state, total = np.full((4, 2), 0.3), np.zeros((program.n_totals, 2))
        return program.run(state, total, seed=1, first_trajectory=0, first_step=0, save_every=2, n_saves=2)[0]

    table = force.parameters.copy()
    table.flat[3] += 1e-8  # the origin of a particle
    changed = replace(program, coefficients={**program.coefficients, "force_parameter": table})
    assert same_bits(moved(replace(program)), moved(program))
    assert not same_bits(moved(changed), moved(program))


def test_the_table_is_as_long_as_it_says():
    array, origin = system(3, magnetic=False), places(3)
    table = dipole_tables.table_of(array, origin, np.arange(9), np.zeros(9), np.zeros((9, 9)))
    n_waves = 3 + 2 + 2 + 1, 1
    head = 3 + 9 * 3 + 2 * 9 + 81 + 9
    part = dipole_tables.PART_HEADER + 3 * dipole_tables.POLARIZABILITY
    assert len(table) == head + 2 * part + sum(n_waves) * dipole_tables.WAVE
    assert table[head + 2] == pytest.approx(K, rel=1e-15)


def test_importing_force_fields_is_cheap():
    assert heavy_after("import stochbind.fields") == []
    assert heavy_after("import stochbind.fields.compiling") == ["numba"]
