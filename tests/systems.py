"""Systems with closed-form truths, each independent of the library's own linear algebra.

Loos and Klapp, New J. Phys. 22, 123051 (2020), for the overdamped pair; the underdamped forms follow from the same
Lyapunov equation by the Routh-Hurwitz integrals. Boltzmann's constant is one. Heat here is positive from the bath to
the particle: the opposite of the convention "into the bath".
"""

import numpy as np

import stochbind as sb
from stochbind.oscillators import Oscillators


def overdamped_pair(*, u=(1.3, 0.8), friction=(0.7, 1.9), c=(0.5, 0.2), temperature=(1.0, 0.8), diffusion=None):
    return Oscillators(
        stiffness=np.array(u),
        friction=np.array(friction),
        bath_temperature=np.array(temperature),
        coupling=np.array([[0.0, c[0]], [c[1], 0.0]]),
        diffusion=diffusion,
        reduced=True,
    )


def overdamped_truth(*, u=(1.3, 0.8), friction=(0.7, 1.9), c=(0.5, 0.2), temperature=(1.0, 0.8)):
    """Covariance, heat from bath to particle, and information flow of the overdamped pair."""
    (u_a, u_b), (g_a, g_b), (c_a, c_b), (t_a, t_b) = u, friction, c, temperature
    den = g_b * u_a + g_a * u_b
    det = u_a * u_b - c_a * c_b
    ab = (c_a * t_b * g_b * u_a + c_b * t_a * g_a * u_b) / (det * den)
    covariance = np.array([[(t_a + c_a * ab) / u_a, ab], [ab, (t_b + c_b * ab) / u_b]])
    into_bath = np.array([c_a * (c_a * t_b - c_b * t_a), c_b * (c_b * t_a - c_a * t_b)]) / den
    return covariance, -into_bath


def underdamped_pair(
    *, mass=(1.2, 0.6), u=(1.3, 0.8), friction=(0.3, 0.5), c=(0.5, 0.2), temperature=(1.0, 0.8), diffusion=None
):
    return Oscillators(
        mass=np.array(mass),
        stiffness=np.array(u),
        friction=np.array(friction),
        bath_temperature=np.array(temperature),
        coupling=np.array([[0.0, c[0]], [c[1], 0.0]]),
        diffusion=diffusion,
        reduced=True,
    )


def underdamped_heat(*, mass=(1.2, 0.6), u=(1.3, 0.8), friction=(0.3, 0.5), c=(0.5, 0.2), temperature=(1.0, 0.8)):
    """Heat from bath to particle of the underdamped pair with unequal masses, springs and friction."""
    (m_a, m_b), (u_a, u_b), (g_a, g_b), (c_a, c_b), (t_a, t_b) = mass, u, friction, c, temperature
    a0 = m_a * m_b
    a1 = m_a * g_b + m_b * g_a
    a2 = m_a * u_b + m_b * u_a + g_a * g_b
    a3 = g_a * u_b + g_b * u_a
    a4 = u_a * u_b - c_a * c_b
    rate = g_a * g_b * a1 / (a1 * a2 * a3 - a0 * a3**2 - a1**2 * a4)
    into_bath = rate * (c_a * t_b - c_b * t_a) * np.array([c_a, -c_b])
    return -into_bath


def identical_pair_kinetic(*, gamma, g1, g2, temperature):
    """Kinetic temperatures of two identical oscillators with C_12 = 2 m W g1 and C_21 = 2 m W g2."""
    t1, t2 = temperature
    den = gamma**2 + 4 * g1 * g2
    return np.array([t1 + 2 * g1 * (g1 * t2 - g2 * t1) / den, t2 + 2 * g2 * (g2 * t1 - g1 * t2) / den])


def oscillator(quality, *, reduced=True):
    """One oscillator of unit mass, frequency and temperature."""
    return Oscillators(
        mass=np.ones(1),
        stiffness=np.ones(1),
        friction=np.array([1.0 / quality]),
        bath_temperature=np.ones(1),
        coupling=np.zeros((1, 1)),
        reduced=reduced,
    )


def pair_scenario(c_a, c_b, *, temperature=(1.0, 0.8), damping=0.3, **particle):
    """A reduced underdamped pair as a scenario."""
    return sb.OscillatorScenario(
        name="pair",
        units="reduced",
        coupling=[[0.0, c_a], [c_b, 0.0]],
        particle=[
            {"mass": 1.0, "stiffness": 1.0, "damping_rate": damping, "bath_temperature": t, **particle}
            for t in temperature
        ],
    )
