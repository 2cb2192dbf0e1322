"""Complex amplitudes, checked in complex numbers: closed forms, sums over pairs of indices, complex trajectories.

The optically bound pair is that of Rudolph et al., Phys. Rev. Lett. 133, 233603 (2024), with the noise of the
amplitudes corrected.
"""

import math
import pickle

import numpy as np
import pytest
from scipy import linalg

from stochbind import amplitudes
from stochbind.errors import NoiseError, PlanError, ScenarioError, UnstableError
from stochbind.langevin import Langevin, Moments
from stochbind.oscillators import Oscillators


def close(value, truth, relative=1e-12):
    np.testing.assert_allclose(value, truth, rtol=0, atol=relative * np.abs(truth).max())


def differs(value, truth, relative=0.01):
    assert np.abs(np.asarray(value) - truth).max() > relative * np.abs(truth).max()


def random_system(seed, m=3, squeezed=0.7):
    """A stable dynamical matrix, and a possible pair of noise covariances, from numbers without symmetry."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(4, m, m)) + 1j * rng.normal(size=(4, m, m))
    h = z[0] - 1j * (np.linalg.eigvals(z[0]).imag.max() + 0.5) * np.eye(m)
    return h, *noise_covariances(z[1], squeezed * z[2])


def noise_covariances(u, v):
    """Gamma and C of the noise xi = u w + v w*, with complex noise w of covariance one: every one is possible."""
    return u @ u.conj().T + v @ v.conj().T, u @ v.T + v @ u.T


def steady(h, gamma, *, anomalous=False):
    """Solve -iHN + iNH^+ + Gamma = 0, or -iHM - iMH^T + C = 0, as a linear system over pairs of indices."""
    one = np.eye(len(h))
    right = -1j * h if anomalous else 1j * h.conj()
    system = np.kron(-1j * h, one) + np.kron(one, right)
    return np.linalg.solve(system, -gamma.ravel()).reshape(h.shape)


def pair(g_r, g_a, detuning, d11, d12, *, damping=0.0):
    h, gamma = amplitudes.optical_binding_pair(g_r, g_a, detuning, np.array([[d11, d12], [np.conj(d12), d11]]))
    return h - 0.5j * damping * np.eye(2), gamma


DECAYING = np.array([1, 1j]) / math.sqrt(2)  # its conjugate projects on (a_1 - i a_2) / sqrt 2
GROWING = DECAYING.conj()


def in_mode(correlation, mode):
    return (mode.conj() @ correlation @ mode).real


# The real form


def test_a_step_of_the_real_form_is_that_of_the_complex_equation():
    h, gamma, c = random_system(1)
    constant = np.array([0.3 - 1j, 2.0, 0.5j])
    start = np.array([1 - 2j, 0.5j, -3.0])
    step = Langevin.from_complex(h, gamma, c, constant=constant).propagator(0.4)
    reached = amplitudes.amplitude(step.matrix @ amplitudes.real_parts(start) + step.shift)
    e = linalg.expm(-0.4j * h)
    close(reached, e @ start + np.linalg.solve(-1j * h, (e - np.eye(3)) @ constant))
    differs(reached, e.conj() @ start + np.linalg.solve(-1j * h, (e - np.eye(3)) @ constant))


def test_noise_of_a_short_step_is_that_of_the_complex_equation():
    h, gamma, c = random_system(2)
    covariance = Langevin.from_complex(h, gamma, c).propagator(1e-9).covariance / 1e-9
    close(amplitudes.correlation(covariance), gamma, 1e-7)
    close(amplitudes.anomalous_correlation(covariance), c, 1e-7)
    differs(amplitudes.correlation(covariance), gamma.conj())


def test_moments_come_back():
    _, correlation, anomalous = random_system(3)
    covariance = amplitudes.real_covariance(correlation, anomalous)
    mean = np.array([1 + 2j, -3j, 0.5])
    state = amplitudes.real_parts(mean)
    close(amplitudes.amplitude(state), mean)
    close(amplitudes.correlation(covariance, state), correlation + np.outer(mean, mean.conj()))
    close(amplitudes.anomalous_correlation(covariance, state), anomalous + np.outer(mean, mean))
    second = np.stack([covariance, covariance + np.outer(state, state)])
    close(amplitudes.correlation(second)[1], amplitudes.correlation(covariance, state))
    assert amplitudes.occupation(second).shape == (2, 3)
    close(amplitudes.occupation(covariance, state), np.diag(correlation).real + abs(mean) ** 2)


def test_time_unit_and_unit_scale_without_changing_the_physics():
    h, gamma, c = random_system(4)
    plain = Langevin.from_complex(h, gamma, c, constant=[1j, 0, 2])
    scaled = Langevin.from_complex(h, gamma, c, constant=[1j, 0, 2], time_unit=1e-3, unit=[1, 2, 3])
    close(scaled.stationary.covariance, plain.stationary.covariance, 1e-10)
    close(scaled.propagator(0.3).matrix, plain.propagator(0.3).matrix, 1e-10)
    close(scaled.propagator(0.3).shift, plain.propagator(0.3).shift, 1e-10)
    assert scaled.unit.tolist() == [1, 2, 3, 1, 2, 3]
    assert scaled.stability.growth_rate == pytest.approx(plain.stability.growth_rate)


def test_coordinates_are_labelled_and_none_is_a_position():
    equations = Langevin.from_complex(-1j * np.eye(2), np.eye(2), reduced=True)
    assert [tuple(c) for c in equations.coordinate] == [
        ("real", 0, "a"),
        ("real", 1, "a"),
        ("imaginary", 0, "a"),
        ("imaginary", 1, "a"),
    ]
    assert equations.select("position").size == 0
    assert equations.mobility.shape == (0,)
    assert equations.reduced
    copy = pickle.loads(pickle.dumps(equations.with_forces()))
    assert (copy.drift_matrix == equations.drift_matrix).all()
    state = np.array([1.0, 2.0, 3.0, 4.0])
    close(copy.drift(state), -state)


# Steady states


@pytest.mark.parametrize("seed", range(5))
def test_steady_correlations_solve_the_complex_equations(seed):
    h, gamma, c = random_system(seed)
    covariance = Langevin.from_complex(h, gamma, c).stationary_covariance()
    close(amplitudes.correlation(covariance), steady(h, gamma), 1e-11)
    close(amplitudes.anomalous_correlation(covariance), steady(h, c, anomalous=True), 1e-11)
    # the twins: conjugated noise is seen, in the occupations alone; so is a transposed coupling
    number = amplitudes.occupation(covariance)
    close(number, np.diag(steady(h, gamma)).real, 1e-11)
    differs(number, np.diag(steady(h, gamma.conj())).real)
    differs(number, np.diag(steady(h.T, gamma)).real)
    differs(amplitudes.anomalous_correlation(covariance), steady(h, c.conj(), anomalous=True))


def test_one_damped_mode():
    """n = Gamma/gamma, and <a^2> = C/(gamma + 2 i omega), which turns with the mode."""
    gamma, omega, noise, c = 0.3, 1.7, 2.0, 0.9 - 0.4j
    equations = Langevin.from_complex([[omega - 0.5j * gamma]], [[noise]], [[c]])
    covariance = equations.stationary_covariance()
    close(amplitudes.correlation(covariance), np.array([[noise / gamma]]))
    close(amplitudes.anomalous_correlation(covariance), np.array([[c / (gamma + 2j * omega)]]))
    differs(amplitudes.anomalous_correlation(covariance), c / (gamma - 2j * omega))


@pytest.mark.parametrize("angle", [0.0, 0.4, math.pi])
def test_squeezed_variance(angle):
    """On resonance the quadratures have the variances (Gamma -+ |C|)/(2 gamma) at half the angle of C."""
    gamma, noise, c = 0.5, 2.0, 1.6
    covariance = Langevin.from_complex([[-0.5j * gamma]], [[noise]], [[c * np.exp(1j * angle)]]).stationary_covariance()
    squeezed = np.array([-math.sin(angle / 2), math.cos(angle / 2)])
    wide = np.array([math.cos(angle / 2), math.sin(angle / 2)])
    assert squeezed @ covariance @ squeezed == pytest.approx((noise - c) / (2 * gamma), rel=1e-12, abs=0)
    assert wide @ covariance @ wide == pytest.approx((noise + c) / (2 * gamma), rel=1e-12, abs=0)


@pytest.mark.parametrize("angle", [0.0, 1e-3, 0.3, math.pi / 2, math.pi])
def test_noise_of_one_quadrature_is_possible(angle):
    """One real noise that drives all modes: round-off must not make its covariance impossible."""
    drive = np.exp(1j * angle) * np.array([1, 2e-3, 5j])
    gamma, c = np.outer(drive, drive.conj()), np.outer(drive, drive)
    equations = Langevin.from_complex(-0.5j * np.eye(3), gamma, c)
    close(amplitudes.correlation(equations.noise_covariance), gamma, 1e-14)
    close(amplitudes.anomalous_correlation(equations.noise_covariance), c, 1e-14)


def test_complex_trajectories():
    """Second moments after a finite time, against complex Euler steps of 40 000 trajectories."""
    h = np.array([[1 - 0.5j, 0.8j], [0.4 - 1j, -1 - 0.2j]])
    u, v = np.array([[1, 0.5j], [0.3, 1 - 1j]]), np.array([[0.4j, 0.1], [0.1, -0.4]])
    rng = np.random.default_rng(7)
    n, steps, dt = 40_000, 100, 0.002
    start = np.array([0.3 + 0.3j, -0.5])
    a = np.tile(start, (n, 1))
    for _ in range(steps):
        w = (rng.normal(size=(n, 2)) + 1j * rng.normal(size=(n, 2))) / math.sqrt(2)
        a = a - 1j * dt * a @ h.T + math.sqrt(dt) * (w @ u.T + w.conj() @ v.T)
    gamma, c = noise_covariances(u, v)
    at_rest = Moments(amplitudes.real_parts(start), np.zeros((4, 4)))
    products = a[:, :, None] * a.conj()[:, None, :], a[:, :, None] * a[:, None, :]

    def agrees(equations):
        exact = equations.moments(steps * dt, at_rest)
        truth = amplitudes.correlation(*exact[::-1]), amplitudes.anomalous_correlation(*exact[::-1])
        for sample, value in zip(products, truth, strict=True):
            # 0.005: Euler's bias is of order |H| dt = 0.003
            allowed = 5 * sample.std(axis=0) / math.sqrt(n) + 0.005 * np.abs(value).max()
            if not (np.abs(sample.mean(axis=0) - value) < allowed).all():
                return False
        return True

    assert agrees(Langevin.from_complex(h, gamma, c))
    assert not agrees(Langevin.from_complex(h, gamma))
    assert not agrees(Langevin.from_complex(h, gamma, c.conj()))
    assert not agrees(Langevin.from_complex(h, gamma.conj(), c))
    assert not agrees(Langevin.from_complex(h.T, gamma, c))
    assert not agrees(Langevin.from_complex(h, 1.1 * gamma, c))


# The two orderings


def quantum_system(seed, m=3):
    """A dynamical matrix with gain and loss, and a normally ordered noise that quantum mechanics allows."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(3, m, m)) + 1j * rng.normal(size=(3, m, m))
    gain, thermal = z[0] @ z[0].conj().T, z[1] @ z[1].conj().T
    loss = gain + z[2] @ z[2].conj().T + np.eye(m)
    energy = z[0] + z[0].conj().T
    return energy + 0.5j * (gain - loss), gain + thermal


@pytest.mark.parametrize("seed", range(4))
def test_orderings_differ_by_half_a_quantum(seed):
    h, normal = quantum_system(seed)
    symmetric = amplitudes.to_symmetric(h, normal)
    close(amplitudes.to_normal(h, symmetric), normal)
    first, second = Langevin.from_complex(h, normal), Langevin.from_complex(h, symmetric)
    n, s = (amplitudes.correlation(e.stationary_covariance()) for e in (first, second))
    close(s - n, 0.5 * np.eye(3), 1e-10)
    close(
        amplitudes.occupation(second.stationary_covariance(), ordering="symmetric"),
        amplitudes.occupation(first.stationary_covariance()),
        1e-10,
    )
    # also before the steady state, from the vacuum
    vacuum = [Moments(np.zeros(6), amplitudes.real_covariance(x * np.eye(3))) for x in (0.0, 0.5)]
    n, s = (amplitudes.correlation(e.moments(0.3, v).covariance) for e, v in zip((first, second), vacuum, strict=True))
    close(s - n, 0.5 * np.eye(3), 1e-10)
    # the twin: the opposite sign of the commutator
    differs(steady(h, normal - (symmetric - normal)) - steady(h, normal), 0.5 * np.eye(3))


def test_noise_that_quantum_mechanics_forbids_is_refused():
    loss, gain = np.array([[-0.5j]]), np.array([[0.5j]])
    assert amplitudes.to_symmetric(loss, [[0.0]]) == pytest.approx(0.5)
    assert amplitudes.to_symmetric(gain, [[1.0]]) == pytest.approx(0.5)
    for wrong in (
        lambda: amplitudes.to_symmetric(loss, [[-0.1]]),
        lambda: amplitudes.to_symmetric(gain, [[0.9]]),
        lambda: amplitudes.to_normal(loss, [[0.4]]),
        lambda: amplitudes.to_normal(gain, [[0.4]]),
    ):
        with pytest.raises(NoiseError, match="ordered Gamma` must be positive semidefinite"):
            wrong()


def test_noise_at_the_limit_of_the_vacuum_is_not_lost_to_round_off():
    rng = np.random.default_rng(3)
    for _ in range(20):
        jump = rng.normal(size=(2, 3)) + 1j * rng.normal(size=(2, 3))  # collective loss into an empty bath
        rate = jump.conj().T @ jump
        energy = rng.normal(size=(3, 3))
        h = energy + energy.T - 0.5j * rate
        assert np.abs(amplitudes.to_normal(h, 0.5 * rate)).max() == 0
        close(amplitudes.to_symmetric(h - 1j * np.eye(3), np.zeros((3, 3))), 0.5 * rate + np.eye(3))
    for wrong in (0.499 * rate, 0.5 * rate.conj()):
        with pytest.raises(NoiseError, match="normally ordered Gamma"):
            amplitudes.to_normal(h, wrong)


# The optically bound pair

G_R, G_A = 0.3, 0.8


@pytest.mark.parametrize(("g_r", "g_a", "detuning"), [(0.3, 0.8, 0.5), (1.0, 0.2, -0.7), (0.0, 1.0, 2.0)])
def test_eigenvalues_of_the_pair(g_r, g_a, detuning):
    h, gamma = pair(g_r, g_a, detuning, 5.0, 0.4 + 1j * g_a)
    truth = 0.5 * np.emath.sqrt(detuning**2 + 4 * g_r**2 - 4 * g_a * detuning)
    value = Langevin.from_complex(h, gamma).stability.growth_rate
    assert value == pytest.approx(abs(truth.imag), abs=1e-12)
    close(np.linalg.eigvals(h) ** 2, np.full(2, truth**2))
    assert np.trace(h) == 0
    # the two forces on one another, of which one is amplified
    assert h[0, 1] == -(g_r + g_a)
    assert h[1, 0] == -(g_r - g_a)


@pytest.mark.parametrize("sign", [-1, 1])
def test_exceptional_points_are_defective(sign):
    detuning = 2 * G_A + 2 * sign * math.sqrt(G_A**2 - G_R**2)
    h, _ = pair(G_R, G_A, detuning, 5.0, 1j * G_A)
    assert np.abs(h @ h).max() < 1e-15  # nilpotent, and not zero: there is no second eigenvector
    assert np.abs(h).max() > 0.1
    off, _ = pair(G_R, G_A, detuning + 0.01, 5.0, 1j * G_A)
    assert np.abs(np.linalg.eigvals(off)).min() > 0.05  # the twin: the square root opens at once


def test_the_decaying_mode_saturates():
    """Its occupation tends to D11/(2 g_a) - 1/2, although nothing else heats; the other mode grows."""
    d11, g_a, time = 12.5, 1.0, 3.0
    h, normal = pair(0.0, g_a, 2 * g_a, d11, 1j * g_a)
    symmetric = amplitudes.to_symmetric(h, normal)

    def occupation(noise, mode, start=0.0):
        initial = Moments(np.zeros(4), amplitudes.real_covariance(start * np.eye(2)))
        moments = Langevin.from_complex(h, noise).moments(time, initial)
        return in_mode(amplitudes.correlation(moments.covariance), mode)

    left = math.exp(-2 * g_a * time)
    assert occupation(normal, DECAYING) / (1 - left) == pytest.approx(5.75, rel=1e-11, abs=0)
    assert occupation(normal, DECAYING, start=5.75) == pytest.approx(5.75, rel=1e-11, abs=0)
    assert occupation(symmetric, DECAYING, start=6.25) == pytest.approx(d11 / (2 * g_a), rel=1e-11, abs=0)
    assert occupation(normal, GROWING) == pytest.approx((d11 + g_a) * (1 / left - 1) / (2 * g_a), rel=1e-11, abs=0)
    # the twins: the noise as printed in the paper, and conjugated noise
    assert occupation(2 * normal, DECAYING) / (1 - left) == pytest.approx(11.5, rel=1e-11, abs=0)
    assert occupation(normal.conj(), DECAYING) / (1 - left) == pytest.approx(6.75, rel=1e-11, abs=0)


def test_saturation_with_gas():
    """Both modes are stable in gas with gamma > 2 g_a: n + 1/2 = (D11 + gamma (n_th + 1/2))/(gamma +- 2 g_a)."""
    d11, g_a, damping, n_th = 12.5, 1.0, 2.5, 40.0
    h, normal = pair(0.0, g_a, 2 * g_a, d11, 1j * g_a, damping=damping)
    normal = normal + damping * n_th * np.eye(2)
    covariance = Langevin.from_complex(h, normal).stationary_covariance()
    n = amplitudes.correlation(covariance)
    for mode, rate in ((DECAYING, damping + 2 * g_a), (GROWING, damping - 2 * g_a)):
        assert in_mode(n, mode) + 0.5 == pytest.approx((d11 + damping * (n_th + 0.5)) / rate, rel=1e-11, abs=0)
    symmetric = amplitudes.to_symmetric(h, normal)
    close(symmetric, (d11 + damping * (n_th + 0.5)) * np.eye(2))
    # without enough gas the growing mode has no steady state
    with pytest.raises(UnstableError):
        _ = Langevin.from_complex(h + 0.3j * np.eye(2), normal).stationary


def test_symmetric_noise_of_the_pair_is_the_real_part_of_the_diffusion():
    """The antireciprocal part of the light is in the drift; classical noise does not hold it again."""
    h, normal = pair(G_R, G_A, 0.4, 5.0, 1.2 + 1j * G_A)
    close(amplitudes.to_symmetric(h, normal), normal.real)
    with pytest.raises(ScenarioError, match=r"imaginary part of `diffusion\[0, 1\]` must be"):
        pair(G_R, G_A, 0.4, 5.0, 1.2 - 1j * G_A)
    with pytest.raises(NoiseError, match="`diffusion` must be positive semidefinite"):
        pair(G_R, G_A, 0.4, 0.5, 1.2 + 1j * G_A)


def quadratures(scale):
    """Symmetrised correlations of the pair without rotating-wave approximation; rates are `scale` of the frequency."""
    g_r, g_a, delta, d11, d12, damping = (scale * x for x in (G_R, G_A, 0.5, 1.5, 0.6, 2.0))
    stiff = 2 * (g_r + np.array([g_a, -g_a]))  # what binding adds
    frequency = np.array([1 - delta / 2, 1 + delta / 2])
    array = Oscillators(
        mass=np.ones(2),
        stiffness=frequency**2 + stiff,
        friction=damping * np.ones(2),
        bath_temperature=np.array([0.5, 2.5]),  # quanta, and half a quantum
        coupling=2 * np.array([[0, g_r + g_a], [g_r - g_a, 0]]),
        diffusion=np.array([[d11, d12 + 1j * g_a], [d12 - 1j * g_a, d11]]),
        reduced=True,
    )
    equations = array.langevin()
    second = equations.stationary_covariance() * np.outer(equations.unit, equations.unit)
    # a = (z + ip)/sqrt 2, its real and imaginary parts as coordinates
    full = amplitudes.correlation(second / 2)
    h, normal = pair(g_r, g_a, delta, d11, d12 + 1j * g_a, damping=damping)
    noise = amplitudes.to_symmetric(h, normal + damping * np.diag([0.0, 2.0]))
    return full, h, noise


def test_the_rotating_frame_agrees_with_the_full_oscillators():
    error = []
    for scale in (1e-2, 1e-3):
        full, h, noise = quadratures(scale)
        rotating = amplitudes.correlation(Langevin.from_complex(h, noise).stationary_covariance())
        error.append(np.abs(full - rotating).max() / np.abs(full).max())
    assert error[0] < 0.02
    assert error[1] == pytest.approx(error[0] / 10, rel=0.3, abs=0)  # it is the approximation, not a mistake
    # the twins: complex noise in a symmetrised equation, the detuning as the other way round, transposed coupling
    _, normal = pair(0.0, 1e-3 * G_A, 0.0, 1.5e-3, 0.6e-3 + 1e-3j * G_A)
    for wrong in (
        steady(h, noise + 1j * normal.imag),
        steady(h - np.diag([-5e-4, 5e-4]), noise),
        steady(h.T, noise),
        rotating.conj(),
    ):
        differs(wrong, full)


# Mistakes


def test_impossible_noise_is_refused_with_its_eigenvalue():
    h = -0.5j * np.eye(2)
    with pytest.raises(NoiseError, match=r"`Gamma` must be positive semidefinite") as info:
        Langevin.from_complex(h, [[1, 2], [2, 1]])
    assert info.value.eigenvalue == pytest.approx(-1)
    with pytest.raises(NoiseError, match=r"`\[\[Gamma, C\], \[C\*, Gamma\*\]\]` must be positive.*symmetric") as info:
        Langevin.from_complex(h, np.eye(2), [[0, 1.5j], [1.5j, 0]])
    assert info.value.eigenvalue == pytest.approx(-0.5)
    with pytest.raises(NoiseError, match=r"`C` must be symmetric, but element \[0, 1\] is"):
        Langevin.from_complex(h, np.eye(2), [[0, 0.5j], [-0.5j, 0]])
    with pytest.raises(NoiseError, match="`Gamma` must be Hermitian"):
        Langevin.from_complex(h, [[1, 0.5j], [0.5j, 1]])
    with pytest.raises(NoiseError, match="`correlation` must be positive semidefinite"):
        amplitudes.real_covariance([[-1.0]])
    assert Langevin.from_complex(h, np.eye(2), [[0, 1j], [1j, 0]]).dimension == 4  # the edge is possible


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((np.eye(2)[:1], np.eye(2)), {}, r"`H` must have shape \(M, M\), but has shape \(1, 2\)"),
        ((np.eye(2), np.eye(3)), {}, r"`Gamma` must have shape \(2, 2\)"),
        ((np.eye(2), np.eye(2), np.eye(3)), {}, r"`C` must have shape \(2, 2\)"),
        ((np.full((2, 2), complex(0, np.inf)), np.eye(2)), {}, "`H` must be finite"),
        (("H", np.eye(2)), {}, "`H` must be an array of numbers, but is 'H'"),
        ((np.eye(2), np.eye(2)), {"constant": [1j]}, r"`constant` must have shape \(2,\)"),
        ((np.eye(2), np.eye(2)), {"unit": [1, 1, 1, 1]}, r"`unit` must have shape \(2,\)"),
        ((np.eye(2), np.eye(2)), {"unit": [1, 0]}, "`unit` must be positive"),
        ((np.eye(2), np.eye(2)), {"time_unit": 0}, "`time_unit` must be positive"),
    ],
)
def test_wrong_equations_are_refused(arguments, options, words):
    with pytest.raises(ScenarioError, match=words):
        Langevin.from_complex(*arguments, **options)


def test_wrong_moments_are_refused():
    with pytest.raises(ScenarioError, match=r"`record` must hold real and then imaginary parts"):
        amplitudes.amplitude(np.zeros((4, 3)))
    with pytest.raises(ScenarioError, match=r"`covariance` must have the shape \(..., 2M, 2M\), but has \(3, 3\)"):
        amplitudes.correlation(np.eye(3))
    with pytest.raises(ScenarioError, match=r"`mean` must have the shape \(..., 2\), but has \(4,\)"):
        amplitudes.anomalous_correlation(np.eye(2), np.zeros(4))
    with pytest.raises(PlanError, match='`ordering` must be "normal" or "symmetric", but is \'wigner\''):
        amplitudes.occupation(np.eye(2), ordering="wigner")


def test_equations_that_are_not_amplitudes_still_check_their_mobility():
    with pytest.raises(ScenarioError, match=r"`mobility` must have shape \(0,\)"):
        Langevin(
            drift_matrix=-np.eye(2),
            noise_covariance=np.eye(2),
            coordinate=(("real", 0, "a"), ("imaginary", 0, "a")),
            mobility=np.ones(2),
        )
