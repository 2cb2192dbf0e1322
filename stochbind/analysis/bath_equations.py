"""The linear equations of moments and heat with finite baths; see `stochbind.analysis.mean_field`."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import linalg

from stochbind.checks import FloatArray
from stochbind.errors import PlanError, ScenarioError, UnstableError
from stochbind.langevin import Moments
from stochbind.oscillators import Baths, Oscillators
from stochbind.propagation import propagate

#: Most unknowns: second moments of the clusters that differ, and baths.
LARGEST_SYSTEM = 2000
#: Rates this much smaller than the fastest are zero.
_ZERO_RATE = 1e-12
#: Left and right vectors of unit length that are closer to orthogonal belong to something that grows linearly.
_LEAST_OVERLAP = 1e-10


class Relaxation(NamedTuple):
    r"""Exact averages at given times.

    Attributes
    ----------
    time : (n,) float
        [s].
    bath_temperature : (n, K) float
        Of each bath [K].
    bath_heat : (n, K) float
        Given by each bath since time zero [J].
    kinetic_temperature, position_temperature : (n, N) float
        :math:`m_j \langle v_j^2 \rangle/k_B` and :math:`u_j \langle q_j^2 \rangle/k_B` [K]; NaN where overdamped.
    """

    time: FloatArray
    bath_temperature: FloatArray
    bath_heat: FloatArray
    kinetic_temperature: FloatArray
    position_temperature: FloatArray


class Conductance(NamedTuple):
    """Steady heat currents while baths keep their temperatures, ``matrix @ temperature + constant``.

    Attributes
    ----------
    matrix : (K, K) float
        Heat that bath b gives per temperature of bath k [W/K].
    constant : (K,) float
        Heat that bath b gives at zero temperature [W]; negative where recoil heats.
    """

    matrix: FloatArray
    constant: FloatArray


def shared_baths(array: Oscillators) -> Baths:
    """The baths of oscillators, or an infinite one for each."""
    n = array.n_oscillators
    return array.baths or Baths(member=np.arange(n), heat_capacity=np.full(n, np.inf))


def bath_temperatures(array: Oscillators) -> FloatArray:
    """Temperature of each bath at time zero [K], (K,)."""
    first = np.unique(shared_baths(array).member, return_index=True)[1]
    return array.bath_temperature[first]


class Cluster(NamedTuple):
    """Oscillators that interact, of which there are many copies; all in scaled units but the heat."""

    oscillators: tuple[npt.NDArray[np.intp], ...]  # of each copy
    drift: FloatArray  # (d, d)
    noise: FloatArray  # (d, d), at zero temperature
    thermal: FloatArray  # (n,): of the noise of each driven coordinate, per temperature
    heat: FloatArray  # (n, d, d): heat that flows back into the bath [J] per time unit
    given: FloatArray  # (n,): heat from the bath [J] per time unit and temperature
    constant: FloatArray  # (n,): heat at zero temperature
    member: npt.NDArray[np.intp]  # (n,): bath
    second: FloatArray  # (d, d), at time zero


@dataclass(frozen=True, eq=False)
class System:
    """The linear equations of the moments of all clusters, the heat of all baths, and one."""

    array: Oscillators
    clusters: tuple[Cluster, ...]

    @classmethod
    def of(cls, array: Oscillators, initial: str | Moments) -> System:
        """The equations, with clusters that are alike in all their numbers taken once."""
        if array.forces:
            raise PlanError("Exact averages need linear forces, but there are forces beyond the linear ones.")
        equations = array.langevin()
        moments = array.initial_moments(initial) if isinstance(initial, str) else initial
        second = moments.covariance + np.outer(moments.mean, moments.mean)
        if second.shape != equations.drift_matrix.shape:
            raise ScenarioError(
                f"`initial` must be of {equations.dimension} coordinates, but has shape {second.shape}."
            )
        found: dict[bytes, Cluster] = {}
        for number in range(int(array.cluster.max()) + 1):
            one = _cluster(array, np.flatnonzero(array.cluster == number), second)
            content = b"".join(np.ascontiguousarray(value).tobytes() for value in one[1:])
            alike = found.get(content)
            found[content] = one if alike is None else alike._replace(oscillators=alike.oscillators + one.oscillators)
        system = cls(array, tuple(found.values()))
        if system.size > LARGEST_SYSTEM:
            raise PlanError(
                f"Exact averages would need {system.size} unknowns (limit {LARGEST_SYSTEM}); take smaller clusters of "
                "interacting oscillators."
            )
        return system

    @functools.cached_property
    def starts(self) -> list[int]:
        """Where the moments of each cluster begin, and the heat of the baths."""
        return list(np.cumsum([0, *(_n_moments(len(c.drift)) for c in self.clusters)]))

    @property
    def n_baths(self) -> int:
        """Number of baths."""
        return len(shared_baths(self.array).heat_capacity)

    @property
    def size(self) -> int:
        """Number of unknowns."""
        return self.starts[-1] + self.n_baths + 1

    @functools.cached_property
    def rate(self) -> FloatArray:
        """L of the equations dy/dt = L y, per time unit; heat in units of the thermal energy."""
        baths, first = shared_baths(self.array), bath_temperatures(self.array)
        result = np.zeros((self.size, self.size))
        base = self.starts[-1]
        for cluster, start in zip(self.clusters, self.starts, strict=False):
            d, n = len(cluster.drift), len(cluster.member)
            here = slice(start, start + _n_moments(d))
            result[here, here] = _moment_map(cluster.drift)
            result[here, -1] = _packed(cluster.noise)
            for i, k in enumerate(cluster.member):
                thermal = np.zeros((d, d))
                thermal[d - n + i, d - n + i] = cluster.thermal[i]
                # The temperature, as a function of the heat given.
                result[here, base + k] -= _packed(thermal) * self.energy / baths.heat_capacity[k]
                result[here, -1] += _packed(thermal) * first[k]
                times = len(cluster.oscillators) / self.energy
                result[base + k, here] -= times * _weights(cluster.heat[i])
                result[base + k, base + k] -= times * cluster.given[i] * self.energy / baths.heat_capacity[k]
                result[base + k, -1] += times * (cluster.given[i] * first[k] + cluster.constant[i])
        return result

    @property
    def energy(self) -> float:
        """Unit of heat [J]: about the thermal energy of all oscillators."""
        return self.array.n_oscillators * (float(self.array.thermal_energy.max()) or self.array.boltzmann)

    @functools.cached_property
    def begin(self) -> FloatArray:
        """State at time zero."""
        moments = [_packed(cluster.second) for cluster in self.clusters]
        return np.concatenate([*moments, np.zeros(self.n_baths), [1.0]])

    def relaxation(self, times: FloatArray) -> Relaxation:
        """The averages at all times, by exact steps from each to the next."""
        unit, state, before = self.array.langevin().time_unit, self.begin, 0.0
        nothing = np.zeros_like(self.rate)
        step = functools.cache(lambda interval: propagate(self.rate, nothing[0], nothing, interval, unit).matrix)
        states = []
        for time in times:
            # Intervals that differ by rounding are the same, so that a grid of times takes one matrix.
            state, before = step(float(f"{time - before:.13g}")) @ state, time
            states.append(state)
        return self._told(times, np.array(states))

    def _told(self, times: FloatArray, states: FloatArray) -> Relaxation:
        """States in SI."""
        array, heat = self.array, states[:, self.starts[-1] : -1] * self.energy
        n, d = array.n_oscillators, array.langevin().dimension
        square = np.full((len(times), 2 * n), np.nan)
        for cluster, start in zip(self.clusters, self.starts, strict=False):
            size = len(cluster.drift)
            moments = states[:, start : start + _n_moments(size)]
            diagonal = moments[:, _packed(np.diag(np.ones(size))) > 0]
            for oscillators in cluster.oscillators:
                square[:, _coordinates(array, oscillators)] = diagonal
        square[:, :d] *= array.langevin().unit ** 2
        kinetic = np.nan if array.mass is None else array.mass
        temperature = bath_temperatures(array) - heat / shared_baths(array).heat_capacity
        return Relaxation(
            times, temperature, heat, kinetic * square[:, n:] / array.boltzmann,
            array.stiffness * square[:, :n] / array.boltzmann,
        )  # fmt: skip

    def final(self) -> FloatArray:
        """Projection of the initial state to the rates that are zero, without the heat of infinite baths."""
        baths, base = shared_baths(self.array), self.starts[-1]
        kept = np.ones(self.size, bool)
        kept[base:-1] = baths.finite
        rate = self.rate[np.ix_(kept, kept)]
        value, left, right = linalg.eig(rate, left=True)
        fastest = float(np.abs(value).max())
        zero = np.abs(value) <= _ZERO_RATE * fastest
        growing = value[~zero].real.max(initial=-np.inf)
        overlap = left[:, zero].conj().T @ right[:, zero]
        if growing >= 0 or np.linalg.svd(overlap, compute_uv=False).min() < _LEAST_OVERLAP:
            unit = self.array.langevin().time_unit
            raise UnstableError(
                "The final temperatures need moments and heat that settle, but some grow or go on for ever; add an "
                "infinite bath or damping, or study the transient.",
                max(float(growing), 0.0) / unit,
            )
        state = right[:, zero] @ np.linalg.solve(overlap, left[:, zero].conj().T @ self.begin[kept])
        result = bath_temperatures(self.array).copy()
        heat = state.real[np.flatnonzero(kept[:-1]).searchsorted(base) : -1] * self.energy
        result[baths.finite] -= heat / baths.heat_capacity[baths.finite]
        return result

    def conductance(self) -> Conductance:
        """Heat currents of the steady moments, for each temperature alone."""
        n_baths, unit = self.n_baths, self.array.langevin().time_unit
        currents = np.zeros((n_baths, n_baths + 1))
        for cluster in self.clusters:
            n, times = len(cluster.member), len(cluster.oscillators) / unit
            steady = np.linalg.inv(_moment_map(cluster.drift))
            for k in (*np.unique(cluster.member), n_baths):
                diagonal = cluster.thermal * (cluster.member == k)
                noise = np.diag(np.concatenate([np.zeros(len(cluster.drift) - n), diagonal]))
                second = -steady @ _packed(cluster.noise if k == n_baths else noise)
                given = cluster.constant if k == n_baths else cluster.given * (cluster.member == k)
                for i, b in enumerate(cluster.member):
                    currents[b, k] += times * (given[i] - _weights(cluster.heat[i]) @ second)
        return Conductance(currents[:, :-1], currents[:, -1])


def _coordinates(array: Oscillators, oscillators: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Positions, and velocities if there are any, of some oscillators."""
    return oscillators if array.overdamped else np.concatenate([oscillators, array.n_oscillators + oscillators])


def _cluster(array: Oscillators, index: npt.NDArray[np.intp], second: FloatArray) -> Cluster:
    """The numbers of one cluster."""
    equations, n = array.langevin(), len(index)
    both = _coordinates(array, index)
    square, d = np.ix_(both, both), len(both)
    friction, unit = array.friction[index], equations.unit[both]
    inertia = friction if array.mass is None else array.mass[index]
    impulse = inertia * unit[d - n :]
    recoil = np.asarray(array.diffusion).real[np.ix_(index, index)]
    noise = np.zeros((d, d))
    noise[d - n :, d - n :] = 2.0 * recoil * equations.time_unit / np.outer(impulse, impulse)
    lever = np.zeros((n, d))  # heat into the bath is the square of this times the state
    if array.mass is None:
        force = array.force_matrix[np.ix_(index, index)]
        lever = force * unit / np.sqrt(friction)[:, None]
        given = np.diagonal(force) / friction * array.boltzmann
        constant = (force * recoil / friction).sum(axis=1) / friction
    else:
        lever[:, n:] = np.diag(np.sqrt(friction) * unit[n:])
        given, constant = friction / inertia * array.boltzmann, np.zeros(n)
    return Cluster(
        oscillators=(index,),
        drift=equations.drift_matrix[square],
        noise=noise,
        thermal=2.0 * friction * array.boltzmann * equations.time_unit / impulse**2,
        heat=equations.time_unit * lever[:, :, None] * lever[:, None, :],
        given=given * equations.time_unit,
        constant=constant * equations.time_unit,
        member=shared_baths(array).member[index],
        second=second[square],
    )


def _n_moments(d: int) -> int:
    return d * (d + 1) // 2


def _packed(matrix: FloatArray) -> FloatArray:
    """Upper triangle of a symmetric matrix, as a vector."""
    result: FloatArray = matrix[np.triu_indices(len(matrix))]
    return result


def _weights(matrix: FloatArray) -> FloatArray:
    """Vector whose product with a packed one is the trace of the product of the matrices."""
    return _packed(2.0 * matrix - np.diag(np.diagonal(matrix)))


def _moment_map(drift: FloatArray) -> FloatArray:
    """Matrix of ``A S + S A^T`` on packed moments."""
    d = len(drift)
    rows = np.column_stack(np.triu_indices(d))
    result = np.zeros((len(rows), len(rows)))
    for number, (i, j) in enumerate(rows):
        basis = np.zeros((d, d))
        basis[i, j] = basis[j, i] = 1.0
        change = drift @ basis
        result[:, number] = _packed(change + change.T)
    return result
