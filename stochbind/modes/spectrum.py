r"""Modes of linear equations: complex frequencies, left and right eigenvectors, Petermann factors and the PT phase.

A mode goes as :math:`r_n e^{-i\omega_nt}`: :math:`\mathrm{Im}\,\omega_n < 0` decays. With
:math:`\dot x = Ax`, :math:`A r_n = -i\omega_n r_n` and :math:`l_n^\dagger A = -i\omega_n l_n^\dagger`; of amplitudes,
:math:`\dot a = -iHa`, they are the eigenvalues and eigenvectors of H. Equations that are not reciprocal have
:math:`l_n \ne r_n`, and where two modes become one, at an exceptional point, :math:`l_n^\dagger r_n = 0`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import linalg

from stochbind import amplitudes, checks
from stochbind.checks import ComplexArray, FloatArray
from stochbind.errors import NoiseError, ScenarioError
from stochbind.langevin import Langevin
from stochbind.modes.decomposition import decompose
from stochbind.oscillators import Oscillators
from stochbind.stability import Coordinate, Stability, stability

#: What modes are found of: equations, the drift matrix of real coordinates, or, if complex, the H of amplitudes.
Equations = Langevin | Oscillators | npt.NDArray[Any]
#: Quantities of coordinates in which particles take part in a mode.
_SHARED = ("position", "real", "imaginary")


class Dynamics(NamedTuple):
    r"""What modes need to know of equations, :math:`\dot x = Ax`.

    Attributes
    ----------
    matrix : (d, d) float or complex
        A [1/s]; for complex amplitudes :math:`-iH`, of as many coordinates as there are amplitudes.
    coordinate : tuple of Coordinate
        What each coordinate is.
    reduced : bool
        Whether times are in reduced units.
    """

    matrix: npt.NDArray[Any]
    coordinate: tuple[Coordinate, ...]
    reduced: bool


def dynamics(equations: Equations) -> Dynamics:
    r"""The matrix of linear equations, in which complex amplitudes are counted once.

    Parameters
    ----------
    equations : Langevin, Oscillators or (d, d) array
        Equations in scaled coordinates. A real matrix is the drift A of real coordinates [1/s]; a complex one is H of
        amplitudes, :math:`\dot a = -iHa` [rad/s], as `Langevin.from_complex` takes it.

    Returns
    -------
    Dynamics
        The matrix in 1/s, and its coordinates. Amplitudes whose equations hold their conjugates (parametric driving)
        stay real and imaginary parts.

    Raises
    ------
    ScenarioError
        If a matrix is not square, or a number is not finite.
    """
    if isinstance(equations, Oscillators):
        equations = equations.langevin()
    if not isinstance(equations, Langevin):
        if np.iscomplexobj(equations):
            matrix: npt.NDArray[Any] = -1j * checks.complex_array("H", equations, ("d", "d"))
            return Dynamics(matrix, tuple(Coordinate("amplitude", j, "a") for j in range(len(matrix))), False)
        matrix = checks.array("drift_matrix", equations, ("d", "d"))
        return Dynamics(matrix, tuple(Coordinate("position", j, "x") for j in range(len(matrix))), False)
    drift, label = equations.drift_matrix / equations.time_unit, equations.coordinate
    m = len(drift) // 2
    if all(c.quantity == ("real" if i < m else "imaginary") for i, c in enumerate(label)):
        real, imaginary = drift[:m, :m], drift[:m, m:]
        if np.array_equal(real, drift[m:, m:]) and np.array_equal(imaginary, -drift[m:, :m]):
            once = tuple(Coordinate("amplitude", c.particle, c.axis) for c in label[:m])
            return Dynamics(real - 1j * imaginary, once, equations.reduced)
    return Dynamics(drift, label, equations.reduced)


@dataclass(frozen=True, eq=False, kw_only=True)
class Modes:
    r"""Modes of linear equations, each once: of a conjugate pair that with :math:`\mathrm{Re}\,\omega > 0`.

    They are in the order of their frequencies, and at one frequency that which grows most, or decays slowest, comes
    first.

    Attributes
    ----------
    frequency : (n,) complex
        :math:`\omega_n` [rad/s]; its imaginary part is the rate at which the amplitude grows. Those that double
        precision cannot tell apart are equal.
    right : (d, n) complex
        Columns :math:`r_n`, in the scaled coordinates of the equations, of norm one in the metric.
    left : (d, n) complex
        Columns :math:`l_n`, with :math:`l_m^\dagger r_n = \delta_{mn}`; at an exceptional point
        :math:`l_n^\dagger r_n = 0`, and they have norm one.
    petermann : (n,) float
        :math:`K_n = (l_n^\dagger G^{-1}l_n)(r_n^\dagger Gr_n) / |l_n^\dagger r_n|^2 \ge 1`, with the metric G; infinite
        at an exceptional point. Where modes of one frequency have as many eigenvectors, K is that of the basis in which
        it is largest and smallest.
    order : (n,) int
        How many eigenvalues share one eigenvector; 1 except at an exceptional point.
    participation : (n, n_particles) float
        Share of each particle in the squared positions, or amplitudes, of the mode.
    round_off : (n,) float
        Uncertainty of the frequency in double precision [rad/s].
    coordinate : tuple of Coordinate
        What each of the d coordinates is.
    matrix : (d, d) float or complex
        A [1/s].
    reduced : bool
        Whether times are in reduced units.
    """

    frequency: ComplexArray
    right: ComplexArray
    left: ComplexArray
    petermann: FloatArray
    order: npt.NDArray[np.intp]
    participation: FloatArray
    round_off: FloatArray
    coordinate: tuple[Coordinate, ...]
    matrix: npt.NDArray[Any]
    reduced: bool

    def __len__(self) -> int:
        """Number of modes."""
        return len(self.frequency)

    @property
    def damping(self) -> FloatArray:
        r"""Rate at which the amplitude of each mode decays, :math:`-\mathrm{Im}\,\omega_n` [1/s], shape (n,)."""
        result: FloatArray = -self.frequency.imag
        return result

    @property
    def oscillating(self) -> npt.NDArray[np.bool_]:
        """Which modes oscillate, shape (n,); in a rotating frame all do."""
        if np.iscomplexobj(self.matrix):
            return np.ones(len(self), bool)
        return np.asarray(self.frequency.real > self.round_off)

    @cached_property
    def stability(self) -> Stability:
        """Whether there is a steady state, and which mode decides; as `stochbind.Langevin.stability` does."""
        drift, label = self.matrix, self.coordinate
        if np.iscomplexobj(drift):
            drift = amplitudes.real_form(1j * drift, np.zeros_like(drift))[0]
            label = tuple(Coordinate(part, c.particle, c.axis) for part in ("real", "imaginary") for c in label)
        return stability(drift, label, reduced=self.reduced)

    @property
    def phase(self) -> str:
        """The phase as far as double precision tells it; see `pt_phase`."""
        return self.pt_phase()

    def pt_phase(self, tolerance: float = 0.0) -> str:
        r"""Phase of the parity-time symmetry of the modes that oscillate.

        In the frame of the mean damping a PT-symmetric spectrum is real, or holds complex pairs. Here that is a
        statement on any array: "exceptional" if two or more modes have one eigenvector; else "unbroken" if all modes
        are equally damped; else "broken" if two modes of equal frequency are not equally damped; else "none". With
        fewer than two modes that oscillate it is "none".

        Parameters
        ----------
        tolerance : float, optional
            Difference below which frequencies, and damping rates, count as equal [rad/s], beside their round-off. In
            the full equations unequal damping rates, unlike unequal couplings, change frequencies in second order.

        Returns
        -------
        {"unbroken", "broken", "exceptional", "none"}
            The phase.

        Raises
        ------
        ScenarioError
            If the tolerance is negative or not finite.
        """
        margin = float(checks.positive("tolerance", checks.array("tolerance", tolerance, ()), or_zero=True))
        value, error = self.frequency[self.oscillating], self.round_off[self.oscillating] + 0.5 * margin
        if (self.order[self.oscillating] > 1).any():
            return "exceptional"
        if len(value) < 2:
            return "none"
        within = error[:, None] + error
        same_damping = np.abs(value.imag[:, None] - value.imag) <= within
        same_frequency = np.abs(value.real[:, None] - value.real) <= within
        if same_damping.all():
            return "unbroken"
        return "broken" if (same_frequency & ~same_damping).any() else "none"


def modes(equations: Equations, *, metric: Any = None) -> Modes:
    r"""Modes of linear equations; see `Modes`.

    Eigenvalues of one-way arrays are those of their strongly connected parts. Eigenvalues that differ by less than the
    round-off of a matrix that is nearly defective are taken together, and the mean is given. All others are refined in
    extended precision: damping rates of 1e-9 of the frequency come out right to 1e-9 of themselves.

    Parameters
    ----------
    equations : Langevin, Oscillators or (d, d) array
        As for `dynamics`; forces beyond the linear ones play no part.
    metric : (d,) or (d, d) float, optional
        G, the metric of the norms: weights of the coordinates or a positive definite matrix; by default one, of the
        scaled coordinates. See `energy_metric` and `quanta_metric`.

    Returns
    -------
    Modes
        All modes, each once.

    Raises
    ------
    ScenarioError
        If a shape is wrong, a number is not finite, or the metric is not positive definite.
    """
    given = dynamics(equations)
    root = _metric_root(metric, len(given.matrix))
    found = decompose(given.matrix)
    right = (root @ found.right).astype(np.complex128)
    left = np.linalg.solve(root.T, found.left).astype(np.complex128)
    petermann = _normalise(right, left, found.cluster, found.order)
    frequency = 1j * found.value
    # Frequencies of a broken pair differ by round-off: rounded, so that the order of the modes does not depend on it.
    unit = float(np.abs(frequency).max()) or 1.0
    sequence = np.lexsort((-frequency.imag, np.round(frequency.real / unit, 10)))
    chosen = sequence[found.once[sequence]]
    right = np.linalg.solve(root, right[:, chosen]).astype(np.complex128)
    top = np.argmax(np.abs(right), axis=0)
    turn = np.exp(-1j * np.angle(right[top, np.arange(len(chosen))]))
    return Modes(
        frequency=frequency[chosen],
        right=right * turn,
        left=root.T @ left[:, chosen] * turn,
        petermann=petermann[chosen],
        order=found.order[chosen],
        participation=_participation(right, given.coordinate),
        round_off=found.round_off[chosen],
        coordinate=given.coordinate,
        matrix=given.matrix,
        reduced=given.reduced,
    )


def _metric_root(metric: Any, d: int) -> FloatArray:
    """Upper triangular root S of the metric, S^T S."""
    if metric is None:
        return np.eye(d)
    if np.ndim(metric) == 1:
        return np.diag(np.sqrt(checks.positive("metric", checks.array("metric", metric, (d,)))))
    whole = checks.array("metric", metric, (d, d))
    try:
        checks.positive_semidefinite("metric", whole)
        result: FloatArray = np.asarray(linalg.cholesky(whole), dtype=np.float64)
    except (NoiseError, np.linalg.LinAlgError):
        raise ScenarioError(
            "`metric` must be a symmetric, positive definite matrix, but is not; give weights, one for each coordinate."
        ) from None
    return result


def _normalise(
    right: ComplexArray, left: ComplexArray, cluster: npt.NDArray[np.intp], order: npt.NDArray[np.intp]
) -> FloatArray:
    """Petermann factors of vectors in the metric; the vectors are changed in place, right ones to norm one."""
    for index in np.flatnonzero(np.bincount(cluster) > 1):
        member = np.flatnonzero(cluster == index)
        if order[member[0]] > 1:
            continue
        basis, change = linalg.qr(right[:, member], mode="economic")
        dual = left[:, member] @ change.conj().T
        # The basis in which both have orthogonal columns: it does not depend on that of the eigensolver.
        best = np.linalg.eigh(dual.conj().T @ dual)[1]
        right[:, member], left[:, member] = basis @ best, dual @ best
    norm = np.linalg.norm(right, axis=0)
    right /= norm
    left *= norm
    defective = order > 1
    left[:, defective] /= np.linalg.norm(left[:, defective], axis=0)
    square = np.sum(np.abs(left) ** 2, axis=0)
    result: FloatArray = np.where(defective, math.inf, np.maximum(square, 1.0))
    return result


def _participation(right: ComplexArray, coordinates: tuple[Coordinate, ...]) -> FloatArray:
    """Share of each particle in the squares of the columns, (n, n_particles)."""
    count = 1 + max(c.particle for c in coordinates)
    weight = np.zeros((right.shape[1], count))
    for row, coordinate in zip(np.abs(right) ** 2, coordinates, strict=True):
        if coordinate.quantity in (*_SHARED, "amplitude"):
            weight[:, coordinate.particle] += row
    total = weight.sum(axis=1, keepdims=True)
    result: FloatArray = np.divide(weight, total, out=weight, where=total > 0)
    return result


def energy_metric(array: Oscillators) -> FloatArray:
    r"""Weights with which the norm of a state is its energy, :math:`\tfrac12 u_jq_j^2 + \tfrac12 m_j\dot q_j^2`.

    Up to one factor for all. One underdamped particle then has :math:`K = 1 / (1 - \gamma^2/4\Omega^2)`.

    Parameters
    ----------
    array : Oscillators
        N oscillators, in traps that hold.

    Returns
    -------
    (2N,) float
        For the scaled coordinates of ``array.langevin()``; (N,) if overdamped.

    Raises
    ------
    ScenarioError
        If a trap does not hold.
    """
    checks.positive("stiffness", array.stiffness)
    weight = array.stiffness if array.mass is None else np.concatenate([array.stiffness, array.mass])
    weight = weight * array.langevin().unit ** 2
    result: FloatArray = weight / weight.max()
    return result


def quanta_metric(array: Oscillators) -> FloatArray:
    r"""Weights with which the norm of a state counts its quanta, :math:`\sum_j (\text{energy of }j)/\hbar\Omega_j`.

    It is the metric of quadratures, and of amplitudes in a rotating frame. Up to one factor for all.

    Parameters
    ----------
    array : Oscillators
        N oscillators, underdamped, in traps that hold.

    Returns
    -------
    (2N,) float
        For the scaled coordinates of ``array.langevin()``.

    Raises
    ------
    ScenarioError
        If a trap does not hold, or the array is overdamped.
    """
    if array.mass is None:
        raise ScenarioError("Quanta need velocities, but the array is overdamped; give it masses, or use energies.")
    energy = energy_metric(array)
    weight = energy / np.tile(np.sqrt(array.stiffness / array.mass), 2)
    result: FloatArray = weight / weight.max()
    return result
