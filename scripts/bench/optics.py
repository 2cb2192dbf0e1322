"""Forces, couplings and recoil of many dipoles: times and memory, and ratios to what one would write in NumPy."""

import math
import subprocess
import sys
import time

import numpy as np
from scipy import constants

from bench import ROOT, line
from stochbind.fields import trapped_dipoles
from stochbind.fields.dipoles import Remainder
from stochbind.optics import linearised, waves
from stochbind.optics.dipoles import Dipoles
from stochbind.optics.trapped import TrappedDipoles

WAVELENGTH = 1064e-9
K = 2 * math.pi / WAVELENGTH
SPACING = 1.5e-6
#: Silica spheres of 105 nm; weakly magnetic, which they are not, for the six-vectors to have work.
ELECTRIC, MAGNETIC = 1.45e-21 + 1.4e-23j, 1.5e-22
AMPLITUDE = 1e7
#: Largest relative difference of forces by differences with this step, of second order.
STEP, LARGEST_DIFFERENCE = 1e-9, 1e-3
#: Columns that are measured of a Jacobian by differences; each costs the same.
COLUMNS = 3
#: Threads of the linear algebra are those of the process, which is why this is one of its own.
THOUSAND = """
import os, resource, sys, time
for name in ("OMP", "OPENBLAS", "MKL"):
    os.environ[name + "_NUM_THREADS"] = "1"
sys.path.insert(0, "scripts")
from bench import optics
from stochbind.optics import linearised, recoil
dipoles, place = optics.array({n}, "single"), optics.grid({n})
start = time.process_time()
linearised.jacobian(dipoles, place)
middle = time.process_time()
recoil.recoil(dipoles, place)
end = time.process_time()
print(middle - start, end - middle, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)
"""


def grid(n):
    """Places of n particles on a square grid, (n, 3) [m]."""
    index = np.arange(n)
    side = math.ceil(math.sqrt(n))
    return SPACING * np.stack([index % side, index // side, np.zeros(n)], axis=-1)


def array(n, scattering, magnetic=False):
    """Equal particles in a plane wave."""
    eye = np.eye(3) * np.ones((n, 1, 1))
    light = waves.PlaneWave(WAVELENGTH, (0, 0, 1), (1, 0, 0), AMPLITUDE)
    return Dipoles(
        light=light, polarizability=ELECTRIC * eye, magnetic=MAGNETIC * eye if magnetic else None, scattering=scattering
    )


class Plain:
    """The same forces by whole arrays, `np.einsum`, `np.linalg.solve`, and differences for derivatives.

    With `anew`, the dipoles are solved for at each of the points that a derivative needs, as where the field is a
    function of its own; without it, they are solved for once.
    """

    def __init__(self, n, magnetic, anew):
        self.anew = anew
        self.alpha = np.array([ELECTRIC] * 3 + [MAGNETIC] * 3)[: 6 if magnetic else 3]
        self.other = 1.0 - np.eye(n)

    def light(self, points):
        wave = AMPLITUDE * np.exp(1j * K * points[..., 2])
        zero = np.zeros_like(wave)
        return np.stack([wave, zero, zero, zero, wave, zero], axis=-1)[..., : len(self.alpha)]

    def green(self, points, place):
        """Field matrices of all pairs, (points, particles, s, s); zero for a point and the particle of its number."""
        separation = points[:, None, :] - place[None, :, :]
        r = np.linalg.norm(separation, axis=-1) + (1.0 - self.other)
        n = separation / r[..., None]
        x = K * r
        wave = self.other * K**3 * np.exp(1j * x) / (4 * np.pi * x)
        near = (1 + 1j / x - 1 / x**2)[..., None, None] * np.eye(3)
        along = (-1 - 3j / x + 3 / x**2)[..., None, None] * n[..., :, None] * n[..., None, :]
        own = wave[..., None, None] * (near + along)
        if len(self.alpha) == 3:
            return own
        cross = np.zeros((*r.shape, 3, 3), dtype=complex)
        for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
            cross[..., i, k], cross[..., k, i] = n[..., j], -n[..., j]
        cross *= (-wave * (1 + 1j / x))[..., None, None]
        return np.concatenate([np.concatenate([own, cross], -1), np.concatenate([-cross, own], -1)], -2)

    def dipoles(self, place):
        n, s = len(place), len(self.alpha)
        matrix = self.green(place, place).transpose(0, 2, 1, 3).reshape(n * s, n * s)
        system = np.eye(n * s) - matrix * np.tile(self.alpha, n)
        return np.linalg.solve(system, self.light(place).ravel()).reshape(n, s) * self.alpha

    def field(self, points, place, dipole):
        if self.anew:
            dipole = self.dipoles(place)
        return self.light(points) + np.einsum("njab,jb->na", self.green(points, place), dipole)

    def force(self, place):
        dipole = self.dipoles(place)
        result = np.empty((len(place), 3))
        for a, axis in enumerate(STEP * np.eye(3)):
            slope = self.field(place + axis, place, dipole) - self.field(place - axis, place, dipole)
            result[:, a] = (dipole.conj() * slope).sum(axis=-1).real / (2 * STEP)
        if len(self.alpha) == 6:
            result -= K**4 / (6 * np.pi) * np.cross(dipole[:, :3].conj(), dipole[:, 3:]).real
        return 0.5 * constants.epsilon_0 * result

    def columns(self, place, number):
        """Some columns of the Jacobian."""
        for i in range(number):
            shift = np.zeros(place.size)
            shift[i] = STEP
            yield (self.force(place + shift.reshape(-1, 3)) - self.force(place - shift.reshape(-1, 3))) / (2 * STEP)


def many_dipoles(n=1000):
    """Couplings and recoil of many particles, to first order in the scattered light."""
    code = THOUSAND.format(n=n)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    couplings, diffusion, memory = map(float, done.stdout.split())
    line(f"{n} dipoles in three dimensions: all couplings, one core", f"{couplings:.2f} s")
    line("their recoil", f"{diffusion:.2f} s")
    line("largest memory of the process", f"{memory:.0f} MB")


def spent(run):
    start = time.process_time()
    run()
    return time.process_time() - start


def coupled_dipoles(n=200, repeats=5):
    """Self-consistent forces and Jacobian beside plain NumPy: processor time, in turns, the best of each."""
    place = grid(n)
    for magnetic in (False, True):
        dipoles = array(n, "multiple", magnetic)
        once, anew = (Plain(n, magnetic, anew) for anew in (False, True))
        expected = dipoles.force(place)
        error = np.abs(once.force(place) - expected).max() / np.abs(expected).max()
        if not error < LARGEST_DIFFERENCE:
            raise RuntimeError(f"the two differ by {error:.1e}")
        runs = {
            "force": lambda d=dipoles: d.force(place),
            "force and Jacobian": lambda d=dipoles: (d.force(place), linearised.jacobian(d, place)),
            "plain": lambda p=once: p.force(place),
            "anew": lambda p=anew: p.force(place),
        }
        times = {name: [] for name in (*runs, "columns")}
        for _ in range(repeats):
            for name, run in runs.items():
                times[name].append(spent(run))
        times["columns"] = [spent(lambda p=once: list(p.columns(place, COLUMNS))) * 3 * n / COLUMNS]
        best = {name: min(found) for name, found in times.items()}
        kind = f"{n} {'electric and magnetic' if magnetic else 'electric'} dipoles"
        for label, above, below in (
            ("forces: NumPy, dipoles solved once / stochbind", best["plain"], best["force"]),
            ("forces: NumPy, dipoles solved at each point / stochbind", best["anew"], best["force"]),
            ("with Jacobian: NumPy / stochbind", best["plain"] + best["columns"], best["force and Jacobian"]),
        ):
            line(f"{kind}, {label}", f"{above / below:8.1f}   ({above * 1e3:.4g} / {below * 1e3:.4g} ms)")
    trajectories()


def trajectories(batch=256, repeats=5, calls=50):
    """Forces on pairs in many trajectories: compiled, and through NumPy; processor time, in turns, the best of each."""
    place = np.array([[0.0, 0.0, 0.0], [SPACING, 0.0, 0.0]])
    foci = np.array([[0.0, 0.0], [SPACING, 0.0]])
    tweezers = waves.parallel_tweezers(foci, WAVELENGTH, 0.8e-6, [AMPLITUDE] * 2, [0.0, 0.7], [1.0] * 2)
    row = {"polarizability": ELECTRIC * np.eye(3) * np.ones((2, 1, 1))}
    for kind, dipoles, free in (
        ("electric and magnetic pair, self-consistent", array(2, "multiple", True), np.array([0, 3])),
        ("electric pair in two tweezers, first order", Dipoles(light=tweezers, scattering="single", **row), [2, 5]),
    ):
        free, trapped = np.asarray(free), TrappedDipoles(parts=(dipoles,))
        value, jacobian = trapped.force(place).ravel()[free], trapped.jacobian(place)[np.ix_(free, free)]
        compiled = trapped_dipoles(trapped, place, free, jacobian)
        numpy = Remainder(trapped, place, free, value, jacobian)
        x = 5e-8 * np.random.default_rng(1).normal(size=(2, batch))
        found, expected = compiled.function(x, compiled.parameters), numpy(x, compiled.parameters)
        error = np.abs(found - expected).max() / np.abs(value[:, None] + jacobian @ x + expected).max()
        if not error < 1e-12:
            raise RuntimeError(f"the two differ by {error:.1e}")
        times = []
        for _ in range(repeats):
            fast = spent(lambda f=compiled, x=x: [f.function(x, f.parameters) for _ in range(calls)]) / calls
            times.append((fast, spent(lambda f=numpy, x=x: f(x, np.zeros((2, 1))))))
        below, above = (1e6 * min(each) / batch for each in zip(*times, strict=True))
        line(f"{kind}: NumPy / compiled", f"{above / below:8.1f}   ({above:.3g} / {below:.3g} us a step)")
