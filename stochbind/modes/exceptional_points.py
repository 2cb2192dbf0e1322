r"""Where along a parameter modes become one: exceptional points, and crossings at which they do not.

At an exceptional point of order m, m eigenvalues share one eigenvector, and near it they are m-th roots of the distance
in the parameter. Their square root (m = 2) is no function that a root finder can follow, but
:math:`\delta^2 = (\lambda_i - \lambda_j)^2`, the discriminant of a 2 x 2 block, is analytic there, and so are all
coefficients of the characteristic polynomial of the block of those that meet. At a diabolic point as many eigenvectors
are left as there are eigenvalues; :math:`\delta^2` then has a double root.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import linalg
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from stochbind import checks
from stochbind.checks import ComplexArray, FloatArray
from stochbind.errors import ScenarioError
from stochbind.modes.decomposition import EPS, Triangular, invariant_basis, jordan_order, triangular
from stochbind.modes.roots import nearest_root, parabola_roots
from stochbind.modes.spectrum import Equations, dynamics

Family = Callable[[float], Equations]
#: Uncertainty of the elements of a matrix, in units of the last place of its norm.
_PLACES = 300.0
#: How well a point is placed, relative to the interval, when it is asked whether modes meet there.
_PLACED = 1e-13
#: Two that come no closer than this share of their distance at the point of the scan do not meet.
_MET = 0.3
#: Modes may meet there within so many steps of the scan, as far as one step of Newton's method tells.
_LOOK = 2.0


class ExceptionalPoint(NamedTuple):
    """A value of a parameter at which eigenvalues are equal.

    Attributes
    ----------
    parameter : float
        Where it is.
    frequency : complex
        Of the modes that meet [rad/s].
    order : int
        How many of them share one eigenvector; 1 at a diabolic point.
    multiplicity : int
        How many meet.
    vector : (d,) complex
        The eigenvector that is left, of norm one; at a diabolic point one of several.
    """

    parameter: float
    frequency: complex
    order: int
    multiplicity: int
    vector: ComplexArray

    @property
    def kind(self) -> str:
        """Either "exceptional" or "diabolic"."""
        return "exceptional" if self.order > 1 else "diabolic"


def exceptional_points(
    family: Family, start: float, stop: float, *, n_points: int = 201
) -> tuple[ExceptionalPoint, ...]:
    r"""All exceptional points of a family of equations in an interval of its parameter.

    Parameters
    ----------
    family : callable
        Takes the parameter, a float, and returns equations as `stochbind.modes.spectrum.dynamics` takes them: all of
        one kind and size, which depend smoothly on the parameter.
    start, stop : float
        Ends of the interval; a point on an end counts.
    n_points : int, optional
        Points of the scan from which the search begins. Two points that are closer than one step are found where the
        discriminant is a parabola over a few steps; take more where it changes faster.

    Returns
    -------
    tuple of ExceptionalPoint
        In the order of the parameter; empty if there are none. Modes that are equal for every value of the parameter
        meet nowhere, and are left out. Points that real equations have at conjugate frequencies are given once.

    Raises
    ------
    ScenarioError
        If the interval is empty, or the equations change their kind or size.

    References
    ----------
    Of a pair: PRL, eq. (12), :math:`2g_a \mp 2\sqrt{g_a^2 - g_r^2}`.
    """
    return tuple(point for point in degeneracies(family, start, stop, n_points=n_points) if point.order > 1)


def degeneracies(family: Family, start: float, stop: float, *, n_points: int = 201) -> tuple[ExceptionalPoint, ...]:
    """All exceptional and diabolic points of a family of equations; see `exceptional_points`.

    A crossing of modes that a symmetry keeps apart, or that one-way couplings do not mix, is diabolic.

    Parameters
    ----------
    family, start, stop, n_points
        As for `exceptional_points`.

    Returns
    -------
    tuple of ExceptionalPoint
        In the order of the parameter.

    Raises
    ------
    ScenarioError
        As `exceptional_points` does.
    """
    low = float(checks.array("start", start, ()))
    high = float(checks.array("stop", stop, ()))
    checks.integer("n_points", n_points, minimum=5, error=ScenarioError)
    if not low < high:
        raise ScenarioError(f"`stop` must be larger than `start`, {low:.6g}, but is {high:.6g}.")
    search = _Search(family, np.linspace(low, high, n_points))
    found: list[ExceptionalPoint] = []
    for candidate in search.candidates():
        if any(search.is_known(point, candidate) for point in found):
            continue
        for point in search.points_near(candidate):
            same = [other for other in found if search.are_same(point, other)]
            if all(other.multiplicity < point.multiplicity for other in same):
                found = [other for other in found if other not in same] + [point]
    return tuple(sorted(found, key=lambda point: (point.parameter, point.frequency.real, point.frequency.imag)))


class _Candidate(NamedTuple):
    """Eigenvalues at a point of the scan that may meet: how many, where, their mean; of two also how they change."""

    at: int
    guess: float
    members: int
    mean: complex
    square: complex = 0.0
    mean_slope: complex = 0.0
    square_slope: complex = 0.0


class _Search:
    """The matrices of a family, and what is looked for in them."""

    def __init__(self, family: Family, grid: FloatArray) -> None:
        self.family, self.grid = family, grid
        self.low, self.high = float(grid[0]), float(grid[-1])
        self.step = float(grid[1] - grid[0])
        self._matrices: dict[float, npt.NDArray[Any]] = {}
        self._forms: dict[float, Triangular] = {}
        first = dynamics(family(self.low)).matrix
        self._kind = first.dtype, first.shape
        self.scale = np.ones(len(first))
        # One scale of the coordinates for all: where elements vanish along the parameter they are to count as small.
        largest = np.max([np.abs(self.matrix(float(p))) for p in grid], axis=0)
        self.scale = linalg.matrix_balance(largest, permute=False, separate=True)[1][0]
        matrices = [self.matrix(float(p)) for p in grid]
        self.size = max(float(np.linalg.norm(matrix)) for matrix in matrices) or 1.0
        self.change = max(float(np.linalg.norm(b - a)) / self.step for a, b in itertools.pairwise(matrices))
        self.is_real = not np.iscomplexobj(first)

    def matrix(self, parameter: float) -> npt.NDArray[Any]:
        """A [1/s] at a value of the parameter, in balanced coordinates."""
        if parameter in self._matrices:
            return self._matrices[parameter] / self.scale[:, None] * self.scale
        matrix = dynamics(self.family(parameter)).matrix
        if (matrix.dtype, matrix.shape) != self._kind:
            raise ScenarioError(
                f"`family` must give equations of one kind and size, but gives {self._kind[0]} {self._kind[1]} and, at "
                f"{parameter:.6g}, {matrix.dtype} {matrix.shape}."
            )
        self._matrices[parameter] = matrix
        return matrix / self.scale[:, None] * self.scale

    def form(self, parameter: float) -> Triangular:
        """Schur form at a value of the parameter."""
        if parameter not in self._forms:
            self._forms[parameter] = triangular(self.matrix(parameter).astype(np.complex128), balance=False)
        return self._forms[parameter]

    def values(self, parameter: float) -> ComplexArray:
        """Eigenvalues at a value of the parameter."""
        return np.diagonal(self.form(parameter).triangle)

    def candidates(self) -> Iterator[_Candidate]:
        """Eigenvalues that may meet, and where, as far as the slopes at the points of the scan tell."""
        values = np.array([self.values(float(p)) for p in self.grid])
        i, j = np.triu_indices(values.shape[1], 1)
        # Where they are equal, or as good as that, slopes are infinite and what is computed for them is nothing.
        equal = np.abs(values[:, i] - values[:, j]) <= 1e-2 * math.sqrt(_PLACES * EPS) * self.size
        always = int(equal.sum(axis=1).min())
        for at, (parameter, value, tiny) in enumerate(zip(map(float, self.grid), values, equal, strict=True)):
            speed = self._speed(at)
            apart, turn = value[i] - value[j], speed[i] - speed[j]
            move = np.divide(0.5 * apart, turn, out=np.full(len(i), np.inf, complex), where=~tiny & (turn != 0))
            move[tiny] = np.inf if tiny.sum() == always else 0.0  # those that are equal everywhere do not meet
            near = np.abs(move) <= _LOOK * self.step
            if self.is_real:  # of points at conjugate frequencies that with the positive one
                near &= (value[i] + value[j]).imag <= _PLACES * EPS * self.size
            guess = np.clip(parameter - move[near].real, self.low, self.high)
            for a, b, place, same in zip(i[near], j[near], map(float, guess), tiny[near], strict=True):
                mean, difference = 0.5 * complex(value[a] + value[b]), complex(value[a] - value[b])
                slopes = (0.0, 0.0) if same else (0.5 * (speed[a] + speed[b]), 2.0 * difference * (speed[a] - speed[b]))
                yield _Candidate(at, place, 2, mean, difference**2, complex(slopes[0]), complex(slopes[1]))
            linked = coo_array((np.ones(len(guess)), (i[near], j[near])), shape=(len(value), len(value)))
            part = connected_components(linked, directed=False)[1]
            for index in np.flatnonzero(np.bincount(part) > 2):
                several = part == index
                place = float(np.mean(guess[several[i[near]]]))
                yield _Candidate(at, place, int(several.sum()), complex(value[several].mean()))

    def _speed(self, at: int) -> ComplexArray:
        """Change of the eigenvalues with the parameter at a point of the scan, by perturbation theory."""
        form = self.form(float(self.grid[at]))
        _, left, right = linalg.eig(form.triangle, left=True, right=True)  # type: ignore[misc]
        overlap = np.sum(left.conj() * right, axis=0)
        overlap = np.where(np.abs(overlap) > EPS, overlap, EPS)
        slope = form.inverse @ self._slope(at) @ form.basis
        result: ComplexArray = np.sum(left.conj() * (slope @ right), axis=0) / overlap
        return result

    def _slope(self, at: int) -> npt.NDArray[Any]:
        """Change of the matrix with the parameter at a point of the scan."""
        before, after = float(self.grid[max(at - 1, 0)]), float(self.grid[min(at + 1, len(self.grid) - 1)])
        result: npt.NDArray[Any] = (self.matrix(after) - self.matrix(before)) / (after - before)
        return result

    def is_known(self, point: ExceptionalPoint, candidate: _Candidate) -> bool:
        """Whether a candidate is a point that is known already, so that it need not be looked for."""
        if point.multiplicity < candidate.members or abs(point.parameter - candidate.guess) > 1e-7 * self.step:
            return False
        return abs(-1j * point.frequency - candidate.mean) <= 1e-7 * self.size

    def are_same(self, one: ExceptionalPoint, other: ExceptionalPoint) -> bool:
        """Whether two points are one, found twice."""
        distance = abs(one.parameter - other.parameter)
        place = _PLACES * EPS * self.size / self.change if self.change > 0 else 0.0
        if distance > 1e-9 * (self.high - self.low) + place:
            return False
        # So far apart are the roots where so many meet, at a place that is as wrong as that.
        change = max(self.change * distance / self.size, _PLACES * EPS)
        margin = 10.0 * self.size * change ** (1.0 / max(one.multiplicity, other.multiplicity))
        same = abs(one.frequency - other.frequency) <= margin
        return same or (self.is_real and abs(one.frequency + other.frequency.conjugate()) <= margin)

    def points_near(self, candidate: _Candidate) -> Iterator[ExceptionalPoint]:
        """The points at which candidates meet; mostly none or one, or two close together."""
        if candidate.members > 2:
            place = self._placed(candidate.guess, candidate.mean, candidate.members, 0.1 * self.step)
            point = self._judged(place, candidate.mean, candidate.members)
            if point is not None:
                yield point
            return
        at = int(np.clip(candidate.at, 1, len(self.grid) - 2))
        nodes = self.grid[at - 1 : at + 2]
        follow = _Follower(self, candidate)
        squares = np.array([follow(float(p)) for p in nodes])
        starts = [candidate.guess]
        for root in parabola_roots(nodes, squares):
            if nodes[0] - self.step <= root.real <= nodes[-1] + self.step and abs(root.imag) <= self.step:
                starts.append(float(np.clip(root.real, self.low, self.high)))
        for begin in starts:
            follow = _Follower(self, candidate)
            point = self._point(nearest_root(follow, begin, 1e-2 * self.step, self.low, self.high), follow)
            if point is not None:
                yield point

    def _point(self, parameter: float, follow: _Follower) -> ExceptionalPoint | None:
        """The point at which a pair meets, if it does, with all others that meet there."""
        follow(parameter)
        mean = follow.mean
        value = self.values(parameter)
        spread = 0.5 * abs(follow.square) ** 0.5
        if spread > max(_MET * follow.widest, 10.0 * _PLACES * EPS * self.size):
            return self._judged(parameter, mean, 2)  # the slopes misled: no others can help those that do not meet
        reach = max(10.0 * spread, _PLACES * EPS * self.size)
        count = int((np.abs(value - mean) <= reach).sum())
        for members in range(max(count, 2), 2, -1):
            better = self._placed(parameter, mean, members, 1e-3 * self.step)
            point = self._judged(better, mean, members)
            if point is not None:
                return point
        return self._judged(parameter, mean, 2)

    def _placed(self, parameter: float, mean: complex, members: int, offset: float) -> float:
        """Where so many eigenvalues meet, by that coefficient of their polynomial which changes most."""

        def coefficients(p: float) -> ComplexArray:
            value = self.values(p)
            nearest = value[np.argsort(np.abs(value - mean))[:members]]
            result: ComplexArray = np.poly(nearest - nearest.mean())[2:].astype(np.complex128)
            return result

        beside = np.clip([parameter - offset, parameter + offset], self.low, self.high)
        power = 1.0 / np.arange(2, members + 1)
        size = np.max([np.abs(coefficients(float(p))) ** power for p in beside], axis=0)
        which = int(np.argmax(size))
        return nearest_root(lambda p: complex(coefficients(p)[which]), parameter, offset, self.low, self.high)

    def _block(self, parameter: float, chosen: npt.NDArray[np.intp]) -> tuple[ComplexArray, ComplexArray, int | None]:
        """Block of the chosen eigenvalues, its basis, and its order if they are equal, as far as the place is known."""
        form = self.form(parameter)
        block, basis = invariant_basis(form, np.isin(np.arange(len(form.triangle)), chosen))
        placed = self.change * _PLACED * max(abs(parameter), self.high - self.low)
        return block, form.basis @ basis, jordan_order(block, _PLACES * EPS * self.size + placed)

    def _persists(self, parameter: float, mean: complex, members: int) -> bool:
        """Whether as many eigenvalues are equal beside a point, too: modes that never part do not meet."""
        side = 1e-2 * self.step
        for beside in (parameter - side, parameter + side):
            if not self.low <= beside <= self.high:
                continue
            value = self.values(beside)
            chosen = np.argsort(np.abs(value - mean))[:members]
            if members == 2:  # the two that are closest to one another, though a third may be closer to the mean
                i, j = np.triu_indices(len(value), 1)
                away = np.abs(0.5 * (value[i] + value[j]) - mean) > 10.0 * self.change * side
                best = int(np.argmin(np.where(away, np.inf, np.abs(value[i] - value[j]))))
                chosen = np.array([i[best], j[best]])
            if self._block(beside, chosen)[2] is None:
                return False
        return True

    def _judged(self, parameter: float, mean: complex, members: int) -> ExceptionalPoint | None:
        """The point, if so many eigenvalues are equal there, and not beside it."""
        chosen = np.argsort(np.abs(self.values(parameter) - mean))[:members]
        block, basis, order = self._block(parameter, chosen)
        mean = complex(np.trace(block)) / members
        if order is None or self._persists(parameter, mean, members):
            return None
        # What the highest power that does not vanish leaves is an eigenvector, right where the eigenvalues' own are
        # wrong by the root of the round-off.
        nilpotent = block - mean * np.eye(members)
        image = np.linalg.svd(np.linalg.matrix_power(nilpotent, order - 1))[0][:, 0]
        vector = self.scale * (basis @ image)
        vector = vector / np.linalg.norm(vector)
        vector *= np.exp(-1j * np.angle(vector[np.argmax(np.abs(vector))]))
        return ExceptionalPoint(parameter, 1j * mean, order, members, vector.astype(np.complex128))


class _Follower:
    """The square of the difference of two eigenvalues as a function of the parameter, which is analytic."""

    def __init__(self, search: _Search, pair: _Candidate) -> None:
        self._search, self._pair = search, pair
        self._begin = float(search.grid[pair.at])
        self.mean, self.square = pair.mean, pair.square
        self._known = {self._begin: (pair.mean, pair.square)}
        if pair.mean_slope == 0:  # what is not known yet is found next to the beginning
            side = 1e-4 * search.step
            self(self._begin + (side if self._begin + side <= search.high else -side))

    @property
    def widest(self) -> float:
        """Half of the largest distance of the two from each other where it is known."""
        return 0.5 * math.sqrt(max(abs(square) for _, square in self._known.values()))

    def _expected(self, parameter: float) -> tuple[complex, complex]:
        """Mean and square, by the nearest places where they are known."""
        nearest = sorted(self._known, key=lambda p: abs(p - parameter))[:2]
        if len(nearest) < 2:
            shift = parameter - self._begin
            return (
                self._pair.mean + self._pair.mean_slope * shift,
                self._pair.square + self._pair.square_slope * shift,
            )
        p, q = nearest
        weight = (parameter - p) / (q - p)
        (mean, square), (mean_2, square_2) = self._known[p], self._known[q]
        return mean + weight * (mean_2 - mean), square + weight * (square_2 - square)

    def __call__(self, parameter: float) -> complex:
        """The square at a value of the parameter: of the two eigenvalues that continue those known."""
        if parameter not in self._known:
            mean, square = self._expected(parameter)
            value = self._search.values(parameter)
            i, j = np.triu_indices(len(value), 1)
            means, squares = 0.5 * (value[i] + value[j]), (value[i] - value[j]) ** 2
            best = int(np.argmin(np.abs(means - mean) ** 2 + np.abs(squares - square)))
            self._known[parameter] = complex(means[best]), complex(squares[best])
        self.mean, self.square = self._known[parameter]
        return self.square
