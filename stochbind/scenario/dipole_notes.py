"""What a scenario of dipoles leaves out, where it matters: one sentence each."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

from stochbind.checks import ComplexArray, FloatArray
from stochbind.optics import heating, particles
from stochbind.optics.polarizability import PASSIVE_TOLERANCE
from stochbind.scenario.base import LARGEST_COMPARED, LARGEST_MODEL_ERROR
from stochbind.scenario.bodies import WITH_REACTION

if TYPE_CHECKING:
    from stochbind.scenario.dipoles import DipoleScenario

#: Largest steady motion, in units of 1/k, over which forces of light count as linear.
LARGEST_SPREAD = 0.3
#: The steady motion of more coordinates than this is not looked at: it takes minutes.
LARGEST_SPREAD_COMPUTED = 600
#: Waves whose detuning is less than so many times a mechanical frequency beat while the particles move.
SLOWEST_BEAT = 20.0
#: Distance of centres over the sum of radii, below which dipoles are a poor picture of two bodies.
CLOSEST = 1.5
#: Largest way from the given position to the equilibrium without a note, in wavelengths.
LONGEST_WAY = 0.5
#: Temperature above which a note says that the particle would not last [K].
HOTTEST = 1000.0
#: Friction of light over that of the gas, above which a note says that it is left out.
LARGEST_OPTICAL_FRICTION = 0.1
#: A torque or a stiffness below this, relative to the largest stiffness, is none.
SMALLEST_TORQUE = 1e-3


def notes(scenario: DipoleScenario) -> list[str]:
    """All notes on a scenario."""
    return [
        *_on_particles(scenario),
        *_on_distances(scenario),
        *_on_light(scenario),
        *_on_motion(scenario),
        *_on_orientation(scenario),
    ]


def _on_particles(scenario: DipoleScenario) -> list[str]:
    result = []
    k = scenario.wavenumber
    for j, (particle, polarizability) in enumerate(zip(scenario.particle, scenario.polarizability, strict=True)):
        if particle.semi_axes is None:
            index = particle.index(scenario.light.wavelength)
            missed = particles.neglected_multipoles(index, k * particle.largest_radius)
            if missed > LARGEST_MODEL_ERROR:
                result.append(
                    f"Particle {j} is not small beside the wavelength: its quadrupole, which is left out, is "
                    f"{missed:.0%} of its dipole."
                )
        if particle.model not in WITH_REACTION:
            result.append(
                f"Particle {j} has no reaction to its own radiation: the light that it scatters does not push it."
            )
        elif polarizability.gain(k) > PASSIVE_TOLERANCE:
            result.append(
                f"Particle {j} needs optical gain: it gives out more light than it takes in; the noise of its gain is "
                "at least what is counted here."
            )
    radius = np.array([p.mean_radius for p in scenario.particle])
    temperature = heating.radiative_temperature(scenario.absorbed_power, radius, scenario.gas.temperature)
    j = int(temperature.argmax())
    if temperature[j] > HOTTEST:
        result.append(
            f"Particle {j} absorbs {scenario.absorbed_power[j]:.2g} W, which a black sphere of its size radiates at "
            f"{temperature[j]:.2g} K: it would not last. Its heating is left out."
        )
    friction, gas = scenario.optical_damping_rate, scenario.oscillators().friction[:: len(scenario.motion)]
    ratio = friction * scenario.mass / np.maximum(gas, 1e-300)
    j = int(ratio.argmax())
    if ratio[j] > LARGEST_OPTICAL_FRICTION:
        result.append(
            f"The light's own friction, which is left out, damps particle {j} by about {friction[j]:.2g} 1/s, and the "
            f"gas by {gas[j] / scenario.mass[j]:.2g} 1/s."
        )
    return result


def _on_distances(scenario: DipoleScenario) -> list[str]:
    result = []
    if scenario.n_particles > 1:
        distance, touching = scenario.array.parts[0].distances(scenario.origin_position)
        pair = int((distance / touching).argmin())
        if distance[pair] < CLOSEST * touching[pair]:
            j, k = (int(side[pair]) for side in np.triu_indices(scenario.n_particles, 1))
            result.append(
                f"Particles {j} and {k} are {distance[pair] / touching[pair]:.3g} times the sum of their radii apart: "
                "so close, bodies are not two dipoles."
            )
    way = np.linalg.norm(scenario.origin_position - scenario.position, axis=-1)
    j = int(way.argmax())
    if way[j] > LONGEST_WAY * scenario.light.wavelength:
        result.append(
            f"The equilibrium of particle {j} is {way[j]:.3g} m from its given position; check that it is the one that "
            "is meant."
        )
    if scenario.equilibrium is None:
        force = scenario.array.force(scenario.position)[scenario.moves]
        stiffness = np.maximum(np.abs(scenario.oscillators().stiffness), 1e-300)
        i = int(np.abs(force / stiffness).argmax())
        if abs(force[i] / stiffness[i]) > LARGEST_SPREAD / scenario.wavenumber:
            result.append(
                f"The forces at the given positions are not balanced: {scenario.oscillators().names[i]} feels "
                f'{force[i]:.2g} N, which origin = "given" leaves out.'
            )
    return result


def _on_light(scenario: DipoleScenario) -> list[str]:
    result = []
    many = scenario.n_particles > LARGEST_COMPARED
    if many and scenario.light.scattering == "far_field":
        result.append(f"How wrong the far field is, is not computed for more than {LARGEST_COMPARED} particles.")
    if scenario.n_particles > 1 and not many and scenario.light.scattering != "multiple":
        error = scenario.deviations[scenario.light.scattering].coupling
        if error > LARGEST_MODEL_ERROR:
            result.append(
                f"Light scattered more than once changes the couplings by {error:.0%} of the largest that there can "
                'be; set light.scattering = "multiple".'
            )
    stiffest = float(np.abs(scenario.oscillators().stiffness).max() / scenario.mass.min())
    fastest = math.sqrt(stiffest) / (2.0 * math.pi)
    detuning = sorted({wave.detuning for wave in scenario.wave})
    closest = min((b - a for a, b in itertools.pairwise(detuning)), default=math.inf)
    if closest < SLOWEST_BEAT * fastest:
        result.append(
            f"Two lasers are detuned by {closest:.3g} Hz only, and the fastest particle oscillates at {fastest:.3g} "
            "Hz: their beat, which is left out, drives it."
        )
    return result


def _on_motion(scenario: DipoleScenario) -> list[str]:
    result = []
    equilibrium, equations = scenario.equilibrium, scenario.langevin()
    if equilibrium is not None and not equilibrium.holds:
        result.append(
            "The forces balance at the origin but do not hold the particles there: the smallest eigenvalue of the "
            f"force matrix is {equilibrium.eigenvalue[0].real:.3g} N/m."
        )
    n = scenario.n_oscillators
    if scenario.light.forces == "linear" and n <= LARGEST_SPREAD_COMPUTED and equations.steady is not None:
        spread = (np.sqrt(np.diagonal(equations.steady.covariance)) * equations.unit)[:n]
        most = int(spread.argmax())
        if scenario.wavenumber * spread[most] > LARGEST_SPREAD:
            result.append(
                f"The steady motion of {scenario.oscillators().names[most]} spreads over {spread[most]:.2g} m, and the "
                f"light's forces are linear over a fraction of {1.0 / scenario.wavenumber:.2g} m; set "
                'light.forces = "full", or use stiffer traps.'
            )
    return result


def _on_orientation(scenario: DipoleScenario) -> list[str]:
    ellipsoids = [j for j, particle in enumerate(scenario.particle) if particle.semi_axes is not None]
    if not ellipsoids:
        return []
    turned, torques = scenario.torque_derivative, scenario.array.torque(scenario.origin_position)
    result = []
    for j in ellipsoids:
        torque, size = torques[j], float(np.linalg.norm(torques[j]))
        value, axis = np.linalg.eigh(0.5 * (turned[j] + turned[j].T))
        largest = float(np.abs(turned[j]).max())
        free = [
            i
            for i in range(3)
            if abs(value[i]) < LARGEST_MODEL_ERROR * largest
            and abs(axis[:, i] @ torque) > SMALLEST_TORQUE * largest
            and _is_turned(scenario.polarizability[j].electric, axis[:, i])
        ]
        if size > LARGEST_MODEL_ERROR * largest or free:
            nothing = ", about an axis about which nothing holds it" if free else ""
            result.append(
                f"Light twists particle {j}, by {size:.2g} N m{nothing}; its orientation is held fixed all the same."
            )
        elif value[-1] > LARGEST_MODEL_ERROR * largest:
            result.append(
                f"Light turns particle {j} away from its orientation, which is held fixed all the same: its long axis "
                "is not along the polarization."
            )
    return result


def _is_turned(polarizability: ComplexArray, axis: FloatArray) -> bool:
    """Whether a rotation about an axis changes a polarizability: not so about an axis of symmetry."""
    turn = np.cross(np.eye(3), axis).T  # turn @ v = axis x v, up to the sign
    change = turn @ polarizability - polarizability @ turn
    return bool(np.abs(change).max() > SMALLEST_TORQUE * np.abs(polarizability).max())
