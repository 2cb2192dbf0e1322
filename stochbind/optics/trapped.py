"""N particles in the light of one or several lasers, and perhaps in traps of another kind: where they are at rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stochbind import checks
from stochbind.checks import ComplexArray, FloatArray
from stochbind.errors import ScenarioError
from stochbind.optics import linearised, orientation, recoil
from stochbind.optics.dipoles import Dipoles

#: Newton's method takes about ten steps where there is an equilibrium near the start.
LARGEST_NUMBER_OF_STEPS = 100
#: Longest step of the search along each axis, in wavelengths: forces of light change sign over a quarter of one.
LONGEST_STEP = 0.05
#: A step below this, in wavelengths, ends the search.
SHORTEST_STEP = 1e-11
#: And so is one of this size, relative to the distance from the origin: places are no finer.
ROUNDING_STEP = 1e-15
#: Up to so many coordinates, a place that holds is searched for if the first one does not.
LARGEST_DIAGONALISED = 300


class Equilibrium(NamedTuple):
    """A place where no force is left along the axes of motion.

    Attributes
    ----------
    position : (N, 3) float
        Where [m].
    force_matrix : (D, D) float
        Minus the Jacobian of all forces along the axes of motion [N/m], of particle 0 first.
    eigenvalue : (D,) complex
        Its eigenvalues [N/m], in ascending order of their real parts. For equal masses, a negative real part means that
        the place does not hold; complex ones, as non-reciprocal forces make them, that only friction keeps oscillations
        from growing. The verdict of the equations of motion, `Langevin.stability`, takes all into account.
    n_steps : int
        Steps of Newton's method.
    """

    position: FloatArray
    force_matrix: FloatArray
    eigenvalue: ComplexArray
    n_steps: int

    @property
    def holds(self) -> bool:
        """Whether no eigenvalue of the force matrix has a negative real part, as friction and equal masses demand.

        The verdict on particles of any masses and friction is that of their equations of motion.
        """
        return bool(self.eigenvalue[0].real > 0.0)


class Binding(NamedTuple):
    """What the particles do to each other: all forces of light, less those on each alone.

    Attributes
    ----------
    force : (N, 3) float
        F [N].
    jacobian : (3N, 3N) float
        Its derivatives [N/m]. Between different particles they are the couplings C, with the effect on j of k in row j;
        minus the blocks of each particle are the stiffness K that the others add to its trap.
    """

    force: FloatArray
    jacobian: FloatArray


@dataclass(frozen=True, eq=False, kw_only=True)
class TrappedDipoles:
    """Particles whose light forces of several lasers add up, with harmonic traps of any other kind beside.

    Parameters
    ----------
    parts : tuple of Dipoles
        The same particles in the light of each group of lasers that do not interfere on average.
    trap_position : (N, 3) float, optional
        Centres of other traps [m].
    trap_stiffness : (N, 3) float, optional
        Their stiffness along x, y, z [N/m]; none by default.

    Raises
    ------
    ScenarioError
        If a shape is wrong, or the parts differ in their particles.
    """

    parts: tuple[Dipoles, ...]
    trap_position: FloatArray = None  # type: ignore[assignment]
    trap_stiffness: FloatArray = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if not self.parts:
            raise ScenarioError("`parts` must not be empty.")
        for index, part in enumerate(self.parts):
            if not np.array_equal(part.alpha, self.parts[0].alpha):
                raise ScenarioError(f"`parts` must hold the same particles, but those of parts[{index}] differ.")
        shape = (self.n_particles, 3)
        for name in ("trap_position", "trap_stiffness"):
            given = getattr(self, name)
            object.__setattr__(self, name, checks.array(name, np.zeros(shape) if given is None else given, shape))

    @property
    def n_particles(self) -> int:
        """Number of particles N."""
        return self.parts[0].n_particles

    def force(self, position: FloatArray) -> FloatArray:
        """All forces [N], shape (..., N, 3), on particles at `position` [m] of that shape."""
        result = -self.trap_stiffness * (np.asarray(position, np.float64) - self.trap_position)
        for part in self.parts:
            result = result + part.force(position)
        return np.asarray(result)

    def torque(self, position: FloatArray) -> FloatArray:
        """Torques by the light [N m], shape (..., N, 3)."""
        return np.asarray(sum(part.torque(position) for part in self.parts))

    def torque_derivative(self, position: FloatArray) -> FloatArray:
        """Change of the torques as each particle turns, (N, 3, 3) [N m]; see `stochbind.optics.orientation`."""
        return np.asarray(sum(orientation.torque_derivative(part, position) for part in self.parts))

    def jacobian(self, position: FloatArray) -> FloatArray:
        """Exact derivatives of all forces, (3N, 3N) [N/m]; see `stochbind.optics.linearised.jacobian`."""
        result = sum(linearised.jacobian(part, position) for part in self.parts)
        return np.asarray(result - np.diag(self.trap_stiffness.ravel()))

    def binding(self, position: FloatArray) -> Binding:
        """Forces between the particles and their derivatives.

        Parameters
        ----------
        position : (N, 3) float
            Where the particles are [m].

        Returns
        -------
        Binding
            F, and C and K as one matrix.

        Raises
        ------
        ScenarioError
            If particles overlap.
        """
        n = self.n_particles
        force, jacobian = np.zeros((n, 3)), np.zeros((n, 3, n, 3))
        for part in self.parts:
            alone, derivative = linearised.isolated(part, position)
            force += part.force(position) - alone
            jacobian += linearised.jacobian(part, position).reshape(n, 3, n, 3)
            jacobian[np.arange(n), :, np.arange(n), :] -= derivative
        return Binding(force, jacobian.reshape(3 * n, 3 * n))

    def recoil(self, position: FloatArray) -> recoil.Recoil:
        """Momentum diffusion by the photons of all lasers, (3N, 3N) [N^2 s]; see `stochbind.optics.recoil`."""
        each = [recoil.recoil(part, position) for part in self.parts]
        return recoil.Recoil(*(np.asarray(sum(matrices)) for matrices in zip(*each, strict=True)))

    def equilibrium(self, start: FloatArray, moves: npt.NDArray[np.bool_] | None = None) -> Equilibrium:
        """The place near `start` where all forces balance, by Newton's method with exact derivatives.

        Where Newton's method ends at a place that does not hold, the search begins again in the sense of the forces,
        which leads away from such places; if that ends at none that holds, the first one is the result.

        Parameters
        ----------
        start : (N, 3) float
            Where the search begins [m].
        moves : (N, 3) bool, optional
            The coordinates that are free; by default all. Forces along the others are not balanced.

        Returns
        -------
        Equilibrium
            Stable or not.

        Raises
        ------
        ScenarioError
            If particles overlap, or the search does not end at such a place.
        """
        free = np.ones((self.n_particles, 3), bool) if moves is None else np.asarray(moves, bool)
        chosen = np.flatnonzero(free.ravel())
        failure = None
        try:
            found = self._search(start, chosen, _newton)
        except ScenarioError as error:
            found, failure = None, error
        if (found is None or not found.holds) and len(chosen) <= LARGEST_DIAGONALISED:
            try:
                held = self._search(start, chosen, _downhill)
            except ScenarioError:
                held = None
            if held is not None and (held.holds or found is None):
                return held
        if found is None:
            assert failure is not None
            raise failure
        return found

    def _search(
        self, start: FloatArray, chosen: npt.NDArray[np.int64], step_of: Callable[[FloatArray, FloatArray], FloatArray]
    ) -> Equilibrium:
        place = np.array(start, dtype=np.float64)
        wavelength = 2.0 * np.pi / self.parts[0].light.wavenumber
        for n_steps in range(LARGEST_NUMBER_OF_STEPS):
            force = self.force(place).ravel()[chosen]
            matrix = -self.jacobian(place)[np.ix_(chosen, chosen)]
            with np.errstate(all="ignore"):
                step = step_of(matrix, force)
            if not np.isfinite(step).all():
                j, axis = divmod(int(chosen[int(np.abs(matrix).sum(axis=1).argmin())]), 3)
                raise ScenarioError(
                    f"There is no equilibrium: nothing holds particle {j} along {'xyz'[axis]}, be it that it is in no "
                    "light or that the light is the same along that axis; move it, add traps, or leave out that axis "
                    "of motion."
                )
            longest = float(np.abs(step).max()) / wavelength
            if longest <= SHORTEST_STEP + ROUNDING_STEP * float(np.abs(place).max()) / wavelength:
                return Equilibrium(place, matrix, _sorted(np.linalg.eigvals(matrix)), n_steps)
            place.ravel()[chosen] += step * min(1.0, LONGEST_STEP / longest)
        j, axis = divmod(int(chosen[int(np.abs(force).argmax())]), 3)
        raise ScenarioError(
            f"There is no equilibrium near the given positions: after {LARGEST_NUMBER_OF_STEPS} steps the force on "
            f"particle {j} along {'xyz'[axis]} is still {np.abs(force).max():.3g} N; begin elsewhere or use stiffer "
            "traps."
        )


def _newton(matrix: FloatArray, force: FloatArray) -> FloatArray:
    try:
        return np.asarray(np.linalg.solve(matrix, force), dtype=np.float64)
    except np.linalg.LinAlgError:
        return np.full(len(force), np.nan)


def _downhill(matrix: FloatArray, force: FloatArray) -> FloatArray:
    """Newton's step with the signs of negative eigenvalues turned: along the forces, away from places that repel."""
    eigenvalue, vector = np.linalg.eig(matrix)
    turned = np.where(eigenvalue.real < 0.0, -eigenvalue, eigenvalue)
    try:
        return np.asarray((vector @ (np.linalg.solve(vector, force) / turned)).real, dtype=np.float64)
    except np.linalg.LinAlgError:
        return np.full(len(force), np.nan)


def _sorted(eigenvalue: npt.NDArray[Any]) -> ComplexArray:
    return np.asarray(eigenvalue[np.argsort(eigenvalue.real, kind="stable")], dtype=np.complex128)
