"""What pictures of the light of a scenario show: the layout, fields in a plane, patterns, forces."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from scipy import optimize

from stochbind.checks import ComplexArray, FloatArray
from stochbind.errors import ScenarioError
from stochbind.optics import kerker, patterns, reciprocity
from stochbind.optics.trapped import TrappedDipoles
from stochbind.scenario import DipoleScenario, TweezerScenario

#: Points times particles of a map of the field: it takes a few seconds at most.
LARGEST_MAP = 6_000_000
#: Points along each side of a map of the field, at least and at most.
POINTS_ALONG = (40, 220)
#: Fewer points of a map than this to a wavelength make patterns of their own.
POINTS_OF_A_WAVE = 8


class Beam(NamedTuple):
    """One wave of a layout.

    Attributes
    ----------
    direction : (3,) float
        Unit vector along which it travels.
    polarization : (3,) complex
        Unit vector along its electric field.
    phase : float
        At the focus; of a plane wave, at the origin [rad].
    detuning : float
        [Hz].
    focus : (3,) float or None
        [m]; None of a plane wave.
    waist : float or None
        [m]; None of a plane wave.
    """

    direction: FloatArray
    polarization: ComplexArray
    phase: float
    detuning: float
    focus: FloatArray | None
    waist: float | None


class Scene(NamedTuple):
    """Where things are.

    Attributes
    ----------
    position : (N, 3) float
        Of the particles [m].
    radius : (N,) float
        Of the particles; of ellipsoids, the longest semi-axis [m].
    beam : tuple of Beam
        All waves.
    motion : tuple of str
        Axes along which the particles move.
    wavelength : float
        [m].
    """

    position: FloatArray
    radius: FloatArray
    beam: tuple[Beam, ...]
    motion: tuple[str, ...]
    wavelength: float


class FieldPlane(NamedTuple):
    """Intensity in a plane through the particles.

    Attributes
    ----------
    plane : (int, int)
        Numbers of the horizontal and the vertical axis.
    horizontal : (n,) float
        [m].
    vertical : (m,) float
        [m].
    intensity : (m, n) float
        Of `stochbind.optics.patterns.intensity` [W/m^2]; not a number inside of particles.
    disc_centre : (D, 2) float
        Where the plane cuts particles [m].
    disc_radius : (D,) float
        [m].
    """

    plane: tuple[int, int]
    horizontal: FloatArray
    vertical: FloatArray
    intensity: FloatArray
    disc_centre: FloatArray
    disc_radius: FloatArray


class Pattern(NamedTuple):
    """Power scattered into the directions of a plane.

    Attributes
    ----------
    plane : (int, int)
        Numbers of the axes at 0 and at 90 degrees.
    angle : (n,) float
        Of the direction [rad].
    power : dict of str to (n,) float
        Of the particles together, and of particle 0 alone in the same light [W/sr].
    """

    plane: tuple[int, int]
    angle: FloatArray
    power: dict[str, FloatArray]


class DistanceCurves(NamedTuple):
    """What two particles do to each other along the line between them, as a function of their distance.

    Attributes
    ----------
    distance : (n,) float
        Between the centres [m]; particle 0 stays, particle 1 is moved along the line.
    force_a, force_b : (n,) float
        On particle 0 and on particle 1 along the line from 0 to 1: what each feels less what it would feel alone [N].
    zeroth : (n,) float
        Non-reciprocity factor of these forces.
    zeros : tuple of stochbind.optics.kerker.Equilibrium
        Where they are equal.
    given : float
        Distance at the origin of the motion [m].
    """

    distance: FloatArray
    force_a: FloatArray
    force_b: FloatArray
    zeroth: FloatArray
    zeros: tuple[kerker.Equilibrium, ...]
    given: float


def layout(scenario: DipoleScenario | TweezerScenario) -> Scene:
    """Where the particles and the light of a scenario are.

    Parameters
    ----------
    scenario : DipoleScenario or TweezerScenario
        Of any number of particles.

    Returns
    -------
    Scene
        Of dipoles at the origin of their motion, of spheres in tweezers at the foci.
    """
    if isinstance(scenario, DipoleScenario):
        waves = [wave for table in scenario.wave for wave in table.waves(scenario.light.wavelength)]
        beams = [_beam(wave) for wave in waves]
        radius = np.array([particle.largest_radius for particle in scenario.particle])
        return Scene(scenario.origin_position, radius, tuple(beams), scenario.axes, scenario.light.wavelength)
    position = np.column_stack([scenario.position, np.zeros(scenario.n_particles)])
    beams = [
        Beam(
            np.array([0.0, 0.0, 1.0]),
            np.array([math.cos(particle.polarization), math.sin(particle.polarization), 0.0j]),
            particle.phase,
            0.0,
            focus,
            scenario.light.waist,
        )
        for particle, focus in zip(scenario.spheres, position, strict=True)
    ]
    return Scene(position, scenario.radius, tuple(beams), scenario.axes, scenario.light.wavelength)


def _beam(wave: Any) -> Beam:
    """A plane wave, or a tweezer, which has a focus and a waist besides."""
    focus, waist = getattr(wave, "focus", None), getattr(wave, "waist", None)
    return Beam(wave.direction, wave.polarization, wave.phase, wave.detuning, focus, waist)


def telling_plane(where: Scene) -> tuple[int, int]:
    """The coordinate plane that shows most: of where the particles are, of where light goes, and of its polarization.

    Parameters
    ----------
    where : Scene
        Particles and light.

    Returns
    -------
    int, int
        Numbers of the horizontal and the vertical axis.
    """
    spread = ((where.position - where.position.mean(axis=0)) ** 2).sum(axis=0)
    along = np.mean([beam.direction**2 for beam in where.beam], axis=0)
    polarized = np.mean([np.abs(beam.polarization) ** 2 for beam in where.beam], axis=0)
    hidden = 3.0 * spread / (spread.sum() or 1.0) + along + 0.1 * polarized
    normal = int(np.argmin(np.round(hidden, 9)))
    first, second = (axis for axis in range(3) if axis != normal)
    return first, second


def frame(where: Scene, plane: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """Lower and upper corner of a picture with all particles and foci in it, (2,) each [m]."""
    focus = [beam.focus for beam in where.beam if beam.focus is not None]
    seen = np.vstack([where.position, *focus])[:, list(plane)]
    size = np.concatenate([where.radius, [beam.waist for beam in where.beam if beam.waist is not None]])[:, None]
    low, high = (seen - size).min(axis=0), (seen + size).max(axis=0)
    margin = max(0.75 * where.wavelength, 0.15 * float((high - low).max()))
    low, high = low - margin, high + margin
    # no strip, however the particles lie
    short = np.maximum(0.0, 0.5 * float((high - low).max()) - (high - low))
    return low - 0.5 * short, high + 0.5 * short


def field_plane(scenario: DipoleScenario, plane: tuple[int, int] | None = None) -> FieldPlane:
    """Light and scattered light in a plane through the middle of the particles, at the origin of their motion.

    Particles so far apart that the map would not show each wave are left out of it, except those near the first.

    Parameters
    ----------
    scenario : DipoleScenario
        Of any number of particles; more than a few hundred give a coarser map.
    plane : (int, int), optional
        Numbers of its axes; by default `telling_plane`.

    Returns
    -------
    FieldPlane
        The map.
    """
    where = layout(scenario)
    first, second = plane or telling_plane(where)
    normal = 3 - first - second
    longest = min(max(int(math.sqrt(LARGEST_MAP / len(where.position))), POINTS_ALONG[0]), POINTS_ALONG[1])
    widest = 0.5 * longest * where.wavelength / POINTS_OF_A_WAVE
    middle = where.position[0, [first, second]]
    low, high = frame(where, (first, second))
    if (high - low).max() > 2.0 * widest:
        low, high = np.maximum(low, middle - widest), np.minimum(high, middle + widest)
    step = float((high - low).max()) / (longest - 1)
    sides = [np.linspace(a, b, 1 + math.ceil((b - a) / step - 1e-9)) for a, b in zip(low, high, strict=True)]
    height = float(where.position[:, normal].mean())
    points = np.empty((len(sides[1]), len(sides[0]), 3))
    points[..., first], points[..., second], points[..., normal] = sides[0], sides[1][:, None], height
    flat = points.reshape(-1, 3)
    outside = patterns.particle_at(flat, where.position, where.radius) < 0
    value = np.full(len(flat), np.nan)
    value[outside] = patterns.intensity(scenario.array, where.position, flat[outside])
    square = where.radius**2 - (where.position[:, normal] - height) ** 2
    cut = square > 0.0
    centre = where.position[cut][:, [first, second]]
    return FieldPlane(
        (first, second), sides[0], sides[1], value.reshape(points.shape[:2]), centre, np.sqrt(square[cut])
    )


def pattern(scenario: DipoleScenario, plane: tuple[int, int] | None = None) -> Pattern:
    """Power scattered into the directions of a plane, at the origin of the motion.

    Parameters
    ----------
    scenario : DipoleScenario
        Of any number of particles.
    plane : (int, int), optional
        Numbers of its axes; by default `telling_plane`.

    Returns
    -------
    Pattern
        Of all particles together and of the first alone; a scenario of one has one curve.
    """
    where = layout(scenario)
    first, second = plane or telling_plane(where)
    angle = np.linspace(0.0, 2.0 * math.pi, 721)
    directions = np.zeros((len(angle), 3))
    directions[:, first], directions[:, second] = np.cos(angle), np.sin(angle)
    power = {"particle 0 alone": _power(patterns.alone(scenario.array, 0), where.position[:1], directions)}
    if scenario.n_particles > 1:
        name = "both particles" if scenario.n_particles == 2 else f"all {scenario.n_particles} particles"
        power[name] = _power(scenario.array, where.position, directions)
    return Pattern((first, second), angle, power)


def _power(array: TrappedDipoles, position: FloatArray, directions: FloatArray) -> FloatArray:
    return patterns.power_per_solid_angle(array, position, directions)


def distance_curves(scenario: DipoleScenario, n_points: int = 600) -> DistanceCurves:
    """Forces between two particles against their distance, in the light of the scenario.

    Parameters
    ----------
    scenario : DipoleScenario
        Of two particles.
    n_points : int
        Number of distances, from a little more than that at which they touch to two wavelengths above the given one.

    Returns
    -------
    DistanceCurves
        The curves.

    Raises
    ------
    ScenarioError
        If there are not two particles.
    """
    if scenario.n_particles != 2:
        raise ScenarioError(
            f"`scenario` must be one of two particles for curves over the distance, but has {scenario.n_particles}."
        )
    where = layout(scenario)
    start = where.position[0]
    line = where.position[1] - start
    given = float(np.linalg.norm(line))
    line = line / given
    array = scenario.array
    single = [patterns.alone(array, j) for j in range(2)]

    def forces(length: FloatArray) -> FloatArray:
        """What each adds to the other's force along the line, (n, 2); the traps cancel."""
        place = np.stack([np.broadcast_to(start, (len(length), 3)), start + length[:, None] * line], axis=1)
        own = [single[j].force(place[:, j : j + 1]) for j in range(2)]
        found: FloatArray = (array.force(place) - np.concatenate(own, axis=1)) @ line
        return found

    touching = float(where.radius.sum())
    low = min(given, max(1.1 * touching, 0.1 * where.wavelength))
    distance = np.linspace(low, given + 2.0 * where.wavelength, n_points)
    found = forces(distance)
    binding_force = found[:, 0] - found[:, 1]

    def difference(length: float) -> float:
        both = forces(np.array([length]))[0]
        return float(both[0] - both[1])

    zeros = []
    for i in np.flatnonzero(binding_force[1:] * binding_force[:-1] < 0.0):
        zero = optimize.brentq(difference, distance[i], distance[i + 1], xtol=1e-12 * float(distance[0]))
        slope = (binding_force[i + 1] - binding_force[i]) / (distance[i + 1] - distance[i])
        zeros.append(kerker.Equilibrium(float(zero), float(slope)))
    return DistanceCurves(
        distance, found[:, 0], found[:, 1], reciprocity.factor(found[:, 0], found[:, 1]), tuple(zeros), given
    )
