"""Arrays of electric and magnetic dipoles, and what textbooks say of dipoles, in formulas of their own."""

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import constants

from stochbind.optics import waves
from stochbind.optics.dipoles import Dipoles

WAVELENGTH = 1e-6
K = 2 * math.pi / WAVELENGTH
REACTION = K**3 / (6 * math.pi)
SCATTERING = ("single", "one_event", "multiple")
OBLIQUE = np.array([0.48, -0.6, 0.64])


def plane(direction=(0, 0, 1), *, angle=0.3, ellipticity=0.4, amplitude=1e6, phase=0.0, wavelength=WAVELENGTH):
    polarization = waves.elliptical(angle, ellipticity, direction)
    return waves.PlaneWave(wavelength, direction, polarization, amplitude, phase)


def crossed():
    """Two plane waves and a tweezer: light without any symmetry."""
    focused = waves.GaussianTweezer(
        WAVELENGTH, 0.9e-6, (0.2e-6, -0.1e-6, 0.3e-6), (0.6, 0, 0.8), waves.elliptical(1.1, -0.2, (0.6, 0, 0.8)), 8e5
    )
    return waves.Superposition((plane(), plane(OBLIQUE, angle=0.9, amplitude=7e5, phase=1.3), focused))


def places(n, seed=1, *, spacing=0.35e-6, extent=0.6e-6):
    """Random places, none closer to another than the spacing."""
    rng = np.random.default_rng(seed)
    found = []
    while len(found) < n:
        point = rng.uniform(-extent, extent, 3)
        if all(np.linalg.norm(point - other) > spacing for other in found):
            found.append(point)
    return np.array(found)


def tensors(n, seed=2, size=4e-21):
    """Random complex (n, 3, 3) matrices, neither symmetric nor passive."""
    rng = np.random.default_rng(seed)
    return size * (rng.normal(size=(n, 3, 3)) + 1j * rng.normal(size=(n, 3, 3)))


def real_tensors(n, seed=3, size=4e-21):
    """Random real symmetric ones."""
    found = tensors(n, seed, size).real
    return 0.5 * (found + np.swapaxes(found, -1, -2))


def reacting(static, k=K):
    """The polarizability of particles that their own radiation drives too."""
    return np.linalg.solve(np.eye(3) - 1j * k**3 / (6 * math.pi) * static, static.astype(complex))


def array(n=3, *, light=None, magnetic=True, scattering="multiple", size=4e-21, **more):
    """Random anisotropic particles in light without symmetry."""
    return Dipoles(
        light=crossed() if light is None else light,
        polarizability=tensors(n, 5, size),
        magnetic=tensors(n, 6, size) if magnetic else None,
        scattering=scattering,
        **more,
    )


class Field(NamedTuple):
    """Electric and magnetic field (..., 3), the magnetic one times the impedance."""

    electric: np.ndarray
    magnetic: np.ndarray


def radiated(separation, dipole, k=K):
    """Field of a dipole (P, M) as in Jackson's Classical Electrodynamics, sections 9.2 and 9.3."""
    r = np.linalg.norm(separation, axis=-1)[..., None]
    n = separation / r
    wave = np.exp(1j * k * r) / (4 * math.pi)

    def near_and_far(p):
        along = n * np.sum(n * p, axis=-1, keepdims=True)
        return wave * (k**2 * np.cross(np.cross(n, p), n) / r + (3 * along - p) * (1 / r**3 - 1j * k / r**2))

    def turned(p):
        return wave * k**2 * np.cross(n, p) * (1 - 1 / (1j * k * r)) / r

    p, m = dipole[..., :3], dipole[..., 3:] if dipole.shape[-1] == 6 else np.zeros(3)
    return Field(near_and_far(p) - turned(m), near_and_far(m) + turned(p))


def directions(order):
    """Unit vectors and their weights, the sum of which is 4 pi."""
    cosine, weight = np.polynomial.legendre.leggauss(order)
    azimuth = np.pi * np.arange(2 * order) / order
    sine = np.sqrt(1 - cosine**2)
    n = np.stack(
        [np.outer(sine, np.cos(azimuth)), np.outer(sine, np.sin(azimuth)), np.outer(cosine, np.ones(2 * order))], -1
    )
    return n.reshape(-1, 3), np.repeat(weight * np.pi / order, 2 * order)


def on_sphere(light, sources, centre, radius, order):
    """Force and torque on all that is inside a sphere, from the Maxwell stress tensor on it.

    `sources` are pairs of a place and a dipole.
    """
    normal, weight = directions(order)
    point = centre + radius * normal
    field = light.at(point).value
    e, h = field[:, :3].copy(), field[:, 3:].copy()
    for place, dipole in sources:
        more = radiated(point - place, dipole)
        e += more.electric
        h += more.magnetic
    density = 0.5 * (np.sum(np.abs(e) ** 2, axis=-1) + np.sum(np.abs(h) ** 2, axis=-1))
    pull = sum((f * np.sum(f.conj() * normal, axis=-1, keepdims=True)).real for f in (e, h))
    traction = 0.5 * constants.epsilon_0 * (pull - density[:, None] * normal)
    force = radius**2 * weight @ traction
    torque = radius**3 * weight @ np.cross(normal, traction)
    return force, torque


def differences(function, position, step):
    """Jacobian of a function of places, (outputs, 3N), by central differences of fourth order."""
    columns = []
    for i in range(position.size):
        shift = np.zeros(position.size)
        shift[i] = step
        shift = shift.reshape(position.shape)
        f = [np.ravel(function(position + c * shift)) for c in (-2, -1, 1, 2)]
        columns.append((f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * step))
    return np.stack(columns, axis=-1)


def travelling(direction, electric, k=K):
    """A plane wave as a function of places (..., 3): its field (..., 6), with the electric one given at the origin."""
    unit = np.asarray(direction) / np.linalg.norm(direction)
    at_origin = np.concatenate([electric, np.cross(unit, electric)])
    return lambda place: np.exp(1j * k * place @ unit)[..., None] * at_origin


class Lit(NamedTuple):
    """Dipoles in light that they scatter to each other, with Jackson's fields and differences only.

    `light` is a function of places as of `travelling`; the polarizabilities are (N, 6, 6).
    """

    light: Callable
    polarizability: np.ndarray
    k: float = K

    def others(self, j, at, place, dipole):
        """Field at a place of all particles but j."""
        rest = [i for i in range(len(place)) if i != j]
        return sum((np.concatenate(radiated(at - place[i], dipole[i], self.k)) for i in rest), np.zeros(6))

    def driving(self, place):
        """Field at each particle, (N, 6), by elimination."""
        n = len(place)
        system = np.eye(6 * n, dtype=complex).reshape(n, 6, n, 6)
        for j, i in itertools.permutations(range(n), 2):
            of_units = np.concatenate(radiated(place[j] - place[i], np.eye(6), self.k), axis=-1).T
            system[j, :, i] -= of_units @ self.polarizability[i]
        return np.linalg.solve(system.reshape(6 * n, 6 * n), self.light(place).ravel()).reshape(n, 6)

    def dipoles(self, place):
        """Those of all particles, (N, 6)."""
        return np.einsum("nij,nj->ni", self.polarizability, self.driving(place))

    def force(self, place):
        """Forces, (N, 3), from the slopes of the fields."""
        dipole = self.dipoles(place)
        result = []
        for j, own in enumerate(dipole):
            slope = differences(lambda at, j=j: self.light(at) + self.others(j, at, place, dipole), place[j], 0.004 / K)
            recoil = self.k**4 / (6 * math.pi) * np.cross(own[:3].conj(), own[3:]).real
            result.append(0.5 * constants.epsilon_0 * ((own.conj() @ slope).real - recoil))
        return np.array(result)

    def recoil(self, place, order=16):
        """Diffusion by scattered photons, summed over their directions, and by absorbed ones, each (3N, 3N)."""
        n, weight = directions(order)

        def amplitude(at):
            electric, magnetic = np.split(np.exp(-1j * self.k * n @ at.T) @ self.dipoles(at), 2, axis=-1)
            across = electric - n * np.sum(n * electric, axis=-1, keepdims=True) - np.cross(n, magnetic)
            return np.sqrt(weight)[:, None] * across

        slope, moved = (differences(f, place, 0.004 / K) for f in (amplitude, self.driving))
        unit = 0.25 * constants.hbar * constants.epsilon_0
        absorbed = np.zeros((place.size, place.size), dtype=complex)
        for alpha, field in zip(self.polarizability, moved.reshape(len(place), 6, -1), strict=True):
            lost = (alpha - alpha.conj().T) / 2j - self.k**3 / (6 * math.pi) * alpha.conj().T @ alpha
            absorbed += unit * (field.conj().T @ lost @ field).T
        return unit * self.k**3 / (4 * math.pi) ** 2 * slope.T @ slope.conj(), absorbed


def largest_difference(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()
