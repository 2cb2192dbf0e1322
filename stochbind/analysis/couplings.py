"""Couplings of two particles in tweezers over their distance and the phase between their tweezers."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from stochbind import checks
from stochbind.checks import ComplexArray, FloatArray
from stochbind.errors import ScenarioError
from stochbind.optics import binding, particles, regimes
from stochbind.scenario import TweezerScenario


class CouplingPlane(NamedTuple):
    """Couplings of two particles in tweezers over their distance and the phase between their tweezers.

    Attributes
    ----------
    phase : (p,) float
        Of the first tweezer less that of the second [rad].
    distance : (d,) float
        [m].
    coupling : (2, d, p) float
        Force on the first per displacement of the second, and the other way round, at the foci [N/m].
    given : (float, float)
        Phase and distance of the scenario.
    one_way : tuple of two (n, 2) float
        Phases and distances at which, far away, only the first feels the other, and only the second does.
    """

    phase: FloatArray
    distance: FloatArray
    coupling: FloatArray
    given: tuple[float, float]
    one_way: tuple[FloatArray, FloatArray]


def couplings(scenario: TweezerScenario, distance: Any, phase: Any) -> FloatArray:
    r"""Couplings of the first two particles at other distances and phases, with the light of the others left out.

    Both are sinusoids of the phase: a phase :math:`\varphi` more of the first tweezer turns :math:`C_{12} =
    \mathrm{Re}\,z` into :math:`\mathrm{Re}\,z e^{-i\varphi}`, so that two phases give all.

    Parameters
    ----------
    scenario : TweezerScenario
        Of at least two particles.
    distance : (d,) float
        Along the line between them [m].
    phase : (p,) float
        Of the first tweezer less that of the second [rad].

    Returns
    -------
    (2, d, p) float
        Force on the first per displacement of the second, and the other way round, at the foci [N/m].

    Raises
    ------
    ScenarioError
        If there is one particle only, or a distance is not positive.
    """
    if scenario.n_particles < 2:
        raise ScenarioError("`scenario` must have two particles at least for their couplings, but has 1.")
    lengths = checks.positive("distance", checks.array("distance", distance, ("d",)))
    angle = checks.array("phase", phase, ("p",))
    line = scenario.position[1] - scenario.position[0]
    line = line / np.linalg.norm(line)
    given = np.array([particle.phase for particle in scenario.spheres[:2]])
    in_phase = scenario.field[:2] * np.exp(-1j * given)[:, None]
    ahead = in_phase * np.array([[1j], [1.0]])
    alpha = (scenario.susceptibility * particles.sphere_volume(scenario.radius))[:2]
    far_field = scenario.light.binding == "far_field"

    def both(field: ComplexArray, length: float) -> FloatArray:
        place = np.stack([np.zeros(2), length * line])
        found = binding.binding(
            place, field, alpha, scenario.wavenumber, scenario.rayleigh_range, far_field=far_field
        ).coupling
        return np.array([found[0, 1], found[1, 0]])

    cosine, sine = (np.array([both(field, length) for length in lengths]) for field in (in_phase, ahead))
    return np.asarray(cosine.T[..., None] * np.cos(angle) + sine.T[..., None] * np.sin(angle))


def coupling_plane(scenario: TweezerScenario, n_points: int = 181) -> CouplingPlane:
    """Couplings of the first two particles over phase and distance, around those of the scenario.

    Parameters
    ----------
    scenario : TweezerScenario
        Of at least two particles.
    n_points : int
        Number of phases and of distances; these reach a wavelength to both sides of the given one, or as far as the
        particles do not touch.

    Returns
    -------
    CouplingPlane
        The map.

    Raises
    ------
    ScenarioError
        If there is one particle only.
    """
    given = float(np.linalg.norm(scenario.position[min(1, scenario.n_particles - 1)] - scenario.position[0]))
    k, wavelength = scenario.wavenumber, scenario.light.wavelength
    low = max(given - wavelength, min(given, 1.1 * float(scenario.radius[:2].sum())))
    distance, phase = np.linspace(low, given + wavelength, n_points), np.linspace(0.0, 2.0 * math.pi, n_points)
    found = couplings(scenario, distance, phase)
    one_way = []
    for driven in (1, 2):
        points = regimes.unidirectional_points(max(k * float(distance[-1]), 1.0), driven=driven)
        length = points.distance_phase / k
        shown = length >= distance[0]
        one_way.append(np.column_stack([points.phase[shown], length[shown]]))
    turned = (scenario.spheres[0].phase - scenario.spheres[1].phase) % (2.0 * math.pi)
    return CouplingPlane(phase, distance, found, (turned, given), (one_way[0], one_way[1]))
