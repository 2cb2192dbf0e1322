"""Force fields that come with the package, against mpmath, the linear theory, and compiled."""

import math

import mpmath
import numba
import numpy as np
import pytest
from mpmath import mpf
from numba.extending import register_jitable
from scipy import constants

from stochbind import elementary, fields
from stochbind.errors import ScenarioError
from stochbind.fields import light, traps
from stochbind.optics import beams, binding

register_jitable(forceinline=True)(elementary.cos_sin)

K = 2 * math.pi / 1064e-9
WAIST = 0.8e-6
Z_R = beams.rayleigh_range(1064e-9, WAIST)
KAPPA = K - 1 / Z_R
STIFFNESS = np.array([3.6e-7, 4.1e-7, 3.8e-7])


def array(n=3, seed=5):
    """N tweezers at random places of the plane, with complex fields of any polarization."""
    rng = np.random.default_rng(seed)
    corner = np.array([[0.0, 0.0], [2.2e-6, 0.4e-6], [-0.9e-6, 2.4e-6], [2.0e-6, 3.1e-6]])[:n]
    return {
        "position": corner + rng.uniform(-2e-7, 2e-7, (n, 2)),
        "field": (rng.normal(size=(n, 2)) + 1j * rng.normal(size=(n, 2))) * 1e7,
        "polarizability": rng.uniform(1, 3, n) * 1e-21,
    }


def tweezers(n=3, **changes):
    given = array(n) | changes
    strength = np.linalg.norm(given["field"], axis=1)
    pressure = binding.radiation_pressure(given["polarizability"], strength, K, Z_R)
    stiffness = constants.epsilon_0 * given["polarizability"] * strength**2 / (2 * Z_R**2)
    return fields.TweezerForces(stiffness=stiffness, radiation_pressure=pressure, wavenumber=K, z_r=Z_R, **given)


def tweezer_pair(phase, distance):
    """Two equal tweezers along x, polarized across; the field of the first leads by `phase`."""
    field = beams.linear_polarization(np.full(2, 1.2e7), np.array([phase, 0.0]), np.full(2, math.pi / 2))
    return {
        "position": np.array([[0.0, 0.0], [distance, 0.0]]),
        "field": field,
        "polarizability": np.full(2, 1.3e-21),
    }


def beam(z):
    """Field of a tweezer on its axis, relative to the focus, in mpmath."""
    return mpmath.exp(1j * mpf(K) * z) / (1 + 1j * z / mpf(Z_R))


def green(x, y, z):
    """G = k^2 (1 + grad grad / k^2) exp(ikr)/(4 pi r), in mpmath."""
    k, point = mpf(K), (x, y, z)
    r = mpmath.sqrt(x**2 + y**2 + z**2)
    scalar = mpmath.exp(1j * k * r) / (4 * mpmath.pi * r)
    first = scalar * (1j * k - 1 / r)
    second = scalar * ((1j * k - 1 / r) ** 2 + 1 / r**2)

    def element(a, b):
        grad_grad = point[a] * point[b] / r**2 * (second - first / r) + (a == b) * first / r
        return k**2 * (a == b) * scalar + grad_grad

    return [[element(a, b) for b in range(3)] for a in range(3)]


def binding_truth(given, j, k, z_j, z_k):
    """Force on j by k: half the real part of the dipole's conjugate times the scattered field, differentiated."""
    alpha = [mpf(float(a)) for a in given["polarizability"]]
    vector = [[mpmath.mpc(complex(c)) for c in e] + [0] for e in given["field"]]
    x, y = (mpf(float(c)) - mpf(float(d)) for c, d in zip(given["position"][j], given["position"][k], strict=True))

    def energy(z):
        tensor = green(x, y, z - z_k)
        dipole = [alpha[k] * beam(z_k) * c for c in vector[k]]
        scattered = [sum(tensor[a][b] * dipole[b] for b in range(3)) for a in range(3)]
        received = sum(mpmath.conj(alpha[j] * beam(z) * vector[j][a]) * scattered[a] for a in range(3))
        return mpf(constants.epsilon_0) / 2 * mpmath.re(received)

    with mpmath.workdps(100):
        return mpmath.diff(energy, z_j)


def typical(given, distance=20.0):
    """Strength of the force between two particles, at `distance` over 2 pi wavelengths."""
    size = np.max(given["polarizability"]) ** 2 * np.max(np.abs(given["field"])) ** 2
    return constants.epsilon_0 * size * K**4 / (8 * math.pi * distance)


def places(n=40):
    rng = np.random.default_rng(11)
    pairs = [(j, k) for j in range(3) for k in range(3) if j != k]
    return [(*pairs[i % 6], *(rng.uniform(-1.5, 1.5, 2) * Z_R)) for i in range(n)]


def test_optical_binding_against_mpmath():
    given = array()
    force = fields.optical_binding(**given, wavenumber=K, z_r=Z_R)
    swapped = np.swapaxes(force.parameters, 0, 1)
    worst, twin = 0.0, 0.0
    for j, k, z_j, z_k in places():
        truth = binding_truth(given, j, k, mpf(z_j), mpf(z_k))
        worst = max(worst, abs(force.function(z_j, z_k, force.parameters[j, k]) - truth))
        twin = max(twin, abs(force.function(z_j, z_k, swapped[j, k]) - truth))
    assert worst < 1e-12 * typical(given)
    assert twin > 0.1 * typical(given)  # the twin: row and column exchanged


def test_far_apart_phases_stay_right():
    given = array()
    given["position"] = given["position"] * 60.0
    force = fields.optical_binding(**given, wavenumber=K, z_r=Z_R)
    for j, k, z_j, z_k in places(6):
        truth = binding_truth(given, j, k, mpf(z_j), mpf(z_k))
        found = force.function(z_j, z_k, force.parameters[j, k])
        assert abs(found - truth) < 1e-12 * typical(given, 1000.0)  # the last digit of the phase counts 1e-13


def test_the_slopes_are_those_of_the_force():
    given = array()
    force = fields.optical_binding(**given, wavenumber=K, z_r=Z_R)
    scale = typical(given) * K
    for j, k, z_j, z_k in places(6):
        a, b = mpf(z_j), mpf(z_k)
        with mpmath.workdps(30):
            truth = [
                mpmath.diff(lambda z, j=j, k=k, b=b: binding_truth(given, j, k, z, b), a),
                mpmath.diff(lambda z, j=j, k=k, a=a: binding_truth(given, j, k, a, z), b),
            ]
        found = light.optical_binding_slopes(z_j, z_k, force.parameters[j, k])
        np.testing.assert_allclose(found, np.array(truth, float), rtol=0, atol=1e-12 * scale)
        assert abs(found[0] + truth[0]) > 1e-3 * scale  # the twin: minus the slope


def test_linear_limit_is_optical_binding():
    given = array()
    exact = binding.binding(**given, wavenumber=K, z_r=Z_R, far_field=False)
    force = fields.optical_binding(**given, wavenumber=K, z_r=Z_R)
    rest = np.zeros((3, 3))
    parameters = np.moveaxis(force.parameters, -1, 0)
    by_j, by_k = light.optical_binding_slopes(rest, rest, parameters)
    np.testing.assert_allclose(by_k, exact.coupling, rtol=0, atol=1e-13 * np.abs(exact.coupling).max())
    assert np.abs(by_k - exact.coupling.T).max() > 0.1 * np.abs(exact.coupling).max()  # the twin
    # The tweezer's own change of amplitude: kappa^2 + 1/z_R^2 in the place of kappa^2.
    tensor = {}
    for z_r in (Z_R, Z_R / 2):  # G is in X linearly; two Rayleigh ranges give it
        kappa = K - 1 / z_r
        coupling = binding.binding(**given, wavenumber=K, z_r=z_r, far_field=False).coupling
        tensor[kappa**2] = coupling
    (square, first), (other, second) = tensor.items()
    extra = (first - second) / (square - other) / Z_R**2
    assert np.abs(extra).max() > 1e-3 * np.abs(first).max()
    np.testing.assert_allclose(by_j, -(first + extra), rtol=0, atol=1e-12 * np.abs(first).max())
    # The force, beside radiation pressure.
    strength = np.linalg.norm(given["field"], axis=1)
    pressure = binding.radiation_pressure(given["polarizability"], strength, K, Z_R)
    value = force.function(rest, rest, parameters).sum(axis=1)
    np.testing.assert_allclose(value + pressure, exact.force, rtol=1e-12)


def test_action_is_not_reaction():
    """At k d = phi = pi/4 (modulo 2 pi, far away) the first feels the second and not the other way round."""
    phase = math.pi / 4
    given = tweezer_pair(phase, (2000 * math.pi + phase) / K)
    force = fields.optical_binding(**given, wavenumber=K, z_r=Z_R)
    by_k = {(j, k): light.optical_binding_slopes(0.0, 0.0, force.parameters[j, k])[1] for j, k in ((0, 1), (1, 0))}
    assert by_k[0, 1] > 0
    assert abs(by_k[1, 0]) < 1e-3 * by_k[0, 1]  # one power of 1/kd less
    near = fields.optical_binding(**tweezer_pair(phase, (4 * math.pi + phase) / K), wavenumber=K, z_r=Z_R)
    there, back = (near.function(1e-7, -2e-7, near.parameters[pair]) for pair in ((0, 1), (1, 0)))
    assert abs(there + back) > 0.1 * abs(there)


def tweezer_truth(u, pressure, z):
    """Gradient of the intensity, and intensity times the slope of the phase, each differentiated by mpmath."""
    intensity = mpmath.diff(lambda x: abs(beam(x)) ** 2, z)
    push = mpmath.im(mpmath.conj(beam(z)) * mpmath.diff(beam, z)) / mpf(KAPPA)
    return mpf(u) * mpf(Z_R) ** 2 / 2 * intensity + mpf(pressure) * push


def test_tweezer_against_mpmath():
    pressure = np.array([4e-14, 7e-14, 5e-14])
    force = fields.tweezer(STIFFNESS, pressure, K, Z_R)
    scale = STIFFNESS.max() * Z_R
    for place in np.linspace(-2.5, 2.5, 11) * Z_R:
        with mpmath.workdps(40):
            truth = np.array([float(tweezer_truth(u, f, mpf(place))) for u, f in zip(STIFFNESS, pressure, strict=True)])
            slope = [
                float(mpmath.diff(lambda z, u=u, f=f: tweezer_truth(u, f, z), mpf(place)))
                for u, f in zip(STIFFNESS, pressure, strict=True)
            ]
        np.testing.assert_allclose(force.function(place, force.parameters.T), truth, rtol=0, atol=1e-15 * scale)
        np.testing.assert_allclose(
            light.tweezer_slope(place, force.parameters.T), slope, rtol=0, atol=1e-14 * scale / Z_R
        )
        opposite = force.function(-place, force.parameters.T)
        assert np.abs(-opposite - truth).max() > 1e-3 * scale  # the twin: light from the other side


def test_remainders_are_whole_forces_less_linear_ones():
    whole = tweezers()
    about = np.array([3.1e-7, -1.2e-7, 0.4e-7])
    rest = np.zeros(3)
    remainders = whole.forces(about)
    matrix = whole.force_matrix(about)
    scale = np.abs(np.diagonal(matrix)).min() * Z_R
    for force in remainders:
        assert (force(rest) == 0).all()  # no constant force is left by round-off
    rng = np.random.default_rng(2)
    for x in rng.normal(size=(10, 3)) * 2e-7:
        expected = whole.force(about + x) - whole.force(about) + matrix @ x
        found = sum(force(x) for force in remainders)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13 * scale)
        assert np.abs(expected).max() > 1e-4 * scale
        twin = whole.force(about + x) - whole.force(about) + matrix.T @ x
        assert np.abs(found - twin).max() > 1e-4 * scale
    # Of second order in the displacement: nothing linear is left.
    x = np.array([1e-8, -2e-8, 1.5e-8])
    large, small = (np.abs(sum(force(x * h) for force in remainders)).max() for h in (1.0, 0.1))
    assert large / small == pytest.approx(100, rel=0.1, abs=0)


def test_the_jacobian_of_all_forces():
    whole = tweezers()
    z = np.array([3.1e-7, -1.2e-7, 0.4e-7])
    h = 1e-9
    numeric = np.stack([(whole.force(z - h * e) - whole.force(z + h * e)) / (2 * h) for e in np.eye(3)], axis=1)
    found = whole.force_matrix(z)
    np.testing.assert_allclose(found, numeric, rtol=0, atol=1e-4 * np.abs(found).max())
    assert np.abs(found - numeric.T).max() > 1e-2 * np.abs(found).max()  # the twin: rows and columns exchanged


def test_equilibrium_of_all_forces():
    whole = tweezers()
    z = whole.equilibrium
    assert np.abs(whole.force(np.zeros(3))).max() > 1e-2 * whole.stiffness.max() * Z_R
    assert np.abs(whole.force(z)).max() < 1e-14 * whole.stiffness.max() * Z_R
    assert (np.diagonal(whole.force_matrix(z)) > 0).all()
    alone = tweezers(1)
    s, softening = beams.pushed_equilibrium(alone.stiffness, alone.radiation_pressure, Z_R)
    # The closed form takes the slope of the phase at the focus: it differs by s^2/(k z_R).
    assert alone.equilibrium / Z_R == pytest.approx(s, rel=2 * s[0] ** 2 / (KAPPA * Z_R))
    found = np.diagonal(alone.force_matrix(alone.equilibrium)) / alone.stiffness
    assert found == pytest.approx(softening, rel=0.02, abs=0)


def test_no_equilibrium_is_told():
    heavy = tweezers(polarizability=array()["polarizability"] * 4)
    with pytest.raises(ScenarioError, match="no mechanical equilibrium near their foci"):
        heavy.equilibrium  # noqa: B018


def relative_error(function, p, truth, places):
    with mpmath.workdps(40):
        exact = np.array([float(truth(mpf(float(x)))) for x in places])
    return np.abs(function(places, p) - exact) / np.abs(exact)


def test_duffing_and_gaussian_traps_against_mpmath():
    rng = np.random.default_rng(8)
    x = rng.choice([-1, 1], 300) * 10 ** rng.uniform(-11, -5.5, 300)
    u, width = 2e-6, 1.7e-6
    force = fields.gaussian_trap([u, u], [width, 2 * width])
    for j, wide in enumerate((width, 2 * width)):
        well = lambda z, wide=wide: mpf(u) * mpf(wide) ** 2 / 2 / (1 + (z / mpf(wide)) ** 2)  # noqa: E731

        def truth(z, well=well):
            with mpmath.workdps(60):
                return mpmath.diff(well, z) + mpf(u) * z

        assert relative_error(force.function, force.parameters[j], truth, x).max() < 2e-15
    assert relative_error(force.function, force.parameters[0], lambda z: mpf(u) * z, x).min() > 0.01  # the twin
    duffing = fields.duffing([3e5, 0.0])
    assert list(duffing.active) == [True, False]
    assert relative_error(duffing.function, duffing.parameters[0], lambda z: -mpf(3e5) * z**3, x).max() < 1e-15


def test_the_pendulum_against_mpmath():
    x = np.random.default_rng(9).uniform(-4e-6, 4e-6, 300)
    u, length = 2e-6, 0.3e-6
    force = fields.pendulum([u], [length])
    truth = [float(mpf(u) * mpf(length) * mpmath.sin(mpf(float(z)) / mpf(length))) for z in x]
    whole = u * x - force.function(x, force.parameters[0])
    np.testing.assert_allclose(whole, truth, rtol=0, atol=3e-16 * u * np.abs(x).max())
    tiny = x * 1e-6
    found = force.function(tiny, force.parameters[0])
    np.testing.assert_allclose(found, u * tiny**3 / (6 * length**2), rtol=0, atol=2e-16 * u * np.abs(tiny).max())
    assert np.abs(whole - u * x).max() > u * length  # the twin: a linear spring


ONE_BODY = {
    "duffing": lambda: fields.duffing([2e5]),
    "gaussian_trap": lambda: fields.gaussian_trap([2e-6], [1.3e-6]),
    "pendulum": lambda: fields.pendulum([2e-6], [0.2e-6]),
    "tweezer": lambda: fields.tweezer([3e-7], [6e-14], K, Z_R, [2.2e-7]),
}


@pytest.mark.parametrize("name", ONE_BODY)
def test_one_body_forces_compile_to_the_same_bits(name):
    force = ONE_BODY[name]()
    function = numba.njit(error_model="numpy", forceinline=True)(force.function)

    @numba.njit(error_model="numpy")
    def loop(x, p, out):
        for b in range(len(x)):
            out[b] = function(x[b], p)

    x = np.random.default_rng(1).normal(size=1003) * 4e-7
    out = np.empty_like(x)
    loop(x, force.parameters[0], out)
    assert np.array_equal(out, force.function(x, force.parameters[0]))
    assert np.array_equal(out[None, :50], force(x[None, :50]))


def test_optical_binding_compiles_to_the_same_bits_in_vector_instructions():
    force = tweezers(2).forces(np.array([2e-7, 3e-7]))[1]
    function = numba.njit(error_model="numpy", forceinline=True)(force.function)

    @numba.njit(error_model="numpy")
    def loop(x_j, x_k, p, out):
        for b in range(len(out)):
            out[b] += function(x_j[b], x_k[b], p)

    x = np.random.default_rng(1).normal(size=(2, 1003)) * 2e-7
    out = np.zeros(1003)
    p = force.parameters[0, 1]
    loop(x[0], x[1], p, out)
    assert np.array_equal(out, 0.0 + force.function(x[0], x[1], p))
    assert np.array_equal(out, 0.0 + force(x)[0])
    assert not np.array_equal(out, 0.0 + force(x[::-1])[0])  # the twin: j and k exchanged
    (assembly,) = loop.inspect_asm().values()
    if "sqrtsd" in assembly:  # x86
        assert "sqrtpd" in assembly


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: fields.gaussian_trap([1.0], [0.0]), r"`length` must be positive, but length\[0\] is 0"),
        (lambda: fields.pendulum([1.0, 2.0], [1.0]), r"`length` must have shape \(2,\), but has shape \(1,\)"),
        (lambda: fields.duffing([math.nan]), r"`cubic_stiffness` must be finite, but cubic_stiffness\[0\] is nan"),
        (lambda: fields.tweezer([1.0], [1.0, 2.0], K, Z_R), "`radiation_pressure` must have shape"),
        (lambda: fields.tweezer([1.0], [1.0], K, 1e-7), "`z_r` must be above 1/wavenumber"),
        (lambda: fields.tweezer([1.0], [1.0], -K, Z_R), "`wavenumber` must be positive"),
        (
            lambda: fields.optical_binding(**tweezer_pair(0.0, 0.0), wavenumber=K, z_r=Z_R),
            "`position` must hold different foci, but 0 and 1 coincide; move one.",
        ),
    ],
)
def test_wrong_numbers_are_told(make, sentence):
    with pytest.raises(ScenarioError, match=sentence):
        make()


def test_the_functions_name_what_they_are():
    assert fields.duffing([1.0]).function is traps.duffing_force
    assert not fields.duffing([1.0]).pair
    assert fields.optical_binding(**array(), wavenumber=K, z_r=Z_R).pair
