"""Products of states and of those kept before: what linear forecasts, and so transfer entropies, are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stochbind import checks
from stochbind.analysis import information
from stochbind.analysis.second_moments import products
from stochbind.checks import FloatArray
from stochbind.errors import PlanError, TooFewSamplesError
from stochbind.oscillators import Oscillators

Group = Sequence[int]
#: Smallest eigenvalue of a matrix of correlations of states and past that still tells them apart.
_COLLINEAR = 1e-12
#: Memory for states and past that are laid out side by side [byte].
_STACK_BYTES = 2**22
#: Surrogates take a party from another trajectory of at least so many, or else shift it by so many parts of a piece.
_STRETCHES = 32
#: Surrogates are made of so many states, and of this share of the further ones.
_SHUFFLED, _SHARE = 2 * 10**6, 1 / 16


class Design(NamedTuple):
    """What is forecast from what.

    Attributes
    ----------
    parties : tuple of (m,) int
        Coordinates of each party.
    n_history : int
        Number p of earlier states that count as the past.
    conditional : bool
        Whether the pasts of all other parties are known as well.
    """

    parties: tuple[npt.NDArray[np.intp], ...]
    n_history: int
    conditional: bool

    @classmethod
    def of(
        cls, array: Oscillators, parties: Sequence[Group] | None, n_history: int, *, conditional: bool = False
    ) -> Design:
        """The design for groups of oscillators: by default those of each particle.

        Raises
        ------
        PlanError
            If there are fewer than two parties, they overlap, an oscillator does not exist, or the history is not 1 to
            64 states.
        """
        given = information.particles(array) if parties is None else [list(party) for party in parties]
        members = [i for party in given for i in party]
        if len(given) < 2 or len(set(members)) < len(members):
            raise PlanError(
                f"`parties` must be two or more groups without common members, but is {checks.short(given)}."
            )
        p = checks.integer("n_history", n_history, minimum=1, maximum=64, error=PlanError)
        return cls(tuple(information.coordinates(array, party, "parties") for party in given), p, conditional)

    @property
    def size(self) -> int:
        """Number of parties."""
        return len(self.parties)

    def known(self, receiver: int, sender: int) -> list[int]:
        """Parties whose past is known besides those of receiver and sender."""
        others = [i for i in range(self.size) if i not in (receiver, sender)]
        return others if self.conditional else []


class Embedding:
    """Sums of the products of states and their past, for transfer entropies; a `stochbind.analysis.passes.Pass`.

    Surrogates keep the law of each party and lose what is between them: each party is taken from another trajectory,
    with its own past. Trajectories are exchangeable, also out of the steady state. Where there are fewer than 32 of
    them, parties are shifted in time instead, which is right in the steady state only. In a record of more than two
    million states, surrogates are made of these and of one of sixteen of the others: what they are for is their spread,
    which follows from fewer states as well.

    Parameters
    ----------
    design : Design
        What is forecast from what.
    n_groups : int
        Number of cells.
    n_surrogates : int
        Number of surrogates; the smallest p-value is one over this plus one.
    seed : int
        Of the choice of surrogates.

    Attributes
    ----------
    sums : (n_groups, m, m) float
        Sums of the products of (1, state, one before, two before, ...), whose coordinates are in the order of parties.
    """

    def __init__(self, design: Design, n_groups: int, *, n_surrogates: int = 0, seed: int = 0) -> None:
        self.design = design
        self.n_surrogates = checks.integer("n_surrogates", n_surrogates, minimum=0, maximum=10_000, error=PlanError)
        self._seed = checks.integer("seed", seed, minimum=0, error=PlanError)
        d = sum(len(party) for party in design.parties)
        self._order = np.concatenate(design.parties)
        self.width = 1 + d * (design.n_history + 1)
        self.sums = np.zeros((n_groups, self.width, self.width))
        # Given all others, only the sender may be taken from elsewhere, so that each has surrogates of its own.
        self.per_surrogate = design.size if design.conditional else 1
        self._shuffled = np.zeros((self.n_surrogates * self.per_surrogate, self.width, self.width))
        self._n_shuffled, self._rng = 0, np.random.default_rng(self._seed)
        end = np.cumsum([len(party) for party in design.parties])
        lag = 1 + d * np.arange(design.n_history + 1)[:, None]
        self._columns = [lag + np.arange(e - len(party), e) for e, party in zip(end, design.parties, strict=True)]
        self._enough = max(_STRETCHES, 2 * design.size)
        self._tail: FloatArray | None = None

    def add(self, state: FloatArray, *, cells: npt.NDArray[np.intp], first: int, last: bool) -> None:
        """Take the next piece; see `stochbind.analysis.passes.Pass`."""
        p, n = self.design.n_history, len(state)
        if self._tail is None or first == 0:
            self._tail = np.empty((n, len(self._order), 0))
        tail, lead = self._tail, self._tail.shape[2]
        rows = max(0, lead + state.shape[1] - p)
        # So many trajectories and states at once that all fits the cache, and surrogates have a choice.
        many = max(self._enough if self.n_surrogates else 1, _STACK_BYTES // (8 * self.width * max(1, min(rows, 4096))))
        long = max(1, _STACK_BYTES // (8 * self.width * min(n, many)))
        for part in np.array_split(np.arange(n), max(1, n // many)):
            here = slice(part[0], part[-1] + 1)
            for column in range(0, rows, long):
                inside = slice(max(0, column - lead), min(column + long, rows) + p - lead)
                joined = np.concatenate([tail[here, :, column:], self._ordered(state[here, inside])], axis=2)
                self._add(joined, cells[here])
        recent = np.concatenate([tail, self._ordered(state[:, -p:])], axis=2)
        self._tail = None if last else recent[..., -p:].copy()

    def _ordered(self, state: FloatArray) -> FloatArray:
        """Coordinates in the order of parties, (n, d, t): one after the other, so that sums over time are fast."""
        return np.asarray(state.transpose(0, 2, 1)[:, self._order])

    def _add(self, joined: FloatArray, cells: npt.NDArray[np.intp]) -> None:
        p = self.design.n_history
        n, d, rows = joined.shape[0], joined.shape[1], joined.shape[2] - p
        stack = np.empty((n, self.width, rows))
        stack[:, 0] = 1.0
        for lag in range(p + 1):
            stack[:, 1 + d * lag : 1 + d * (lag + 1)] = joined[..., p - lag : p - lag + rows]
        sums = products(stack.transpose(0, 2, 1), stack.transpose(0, 2, 1))
        np.add.at(self.sums, cells, sums)
        if self.n_surrogates and (self._n_shuffled < _SHUFFLED or self._rng.random() < _SHARE):
            self._n_shuffled += n * rows
            self._add_surrogates(stack, sums.sum(axis=0))

    def _add_surrogates(self, stack: FloatArray, together: FloatArray) -> None:
        """Products of parties of which each is taken from another trajectory, or else another time.

        What is within a party stays as it is, so that only products between parties are made anew.
        """
        n, _, rows = stack.shape
        size = self.design.size
        columns = [columns.ravel() for columns in self._columns]
        part = [stack[:, column].transpose(0, 2, 1) for column in columns]
        axis, slots, slot = (0, n, 1) if n >= self._enough else (1, self._enough, max(1, rows // self._enough))
        for index, surrogate in enumerate(self._shuffled):
            number, sender = divmod(index, self.per_surrogate)
            # The same choice in all pieces: a surrogate has the memory that a record has.
            rng = np.random.default_rng([self._seed, number, sender])
            shift = slot * (1 + rng.choice(slots - 1, size=size, replace=False))
            if self.design.conditional:
                shift[np.arange(size) != sender] = 0
            product = together.copy()
            for a in range(size):
                for b in range(a):
                    if shift[a] != shift[b]:
                        between = _shifted_product(part[a], part[b], int(shift[a] - shift[b]), axis)
                        product[np.ix_(columns[a], columns[b])] = between
                        product[np.ix_(columns[b], columns[a])] = between.T
            surrogate += product

    @property
    def surrogates(self) -> FloatArray:
        """Sums of the products of surrogates over all cells, (n, m, m), as if they were of all states.

        Covariances of what was taken from different places are noise. They are divided by the root of how many times
        fewer states they are of, and so are as small as those of all states, as are the transfer entropies.
        """
        n_states = float(self.sums[:, 0, 0].sum())
        if self._n_shuffled == n_states:
            return self._shuffled.copy()
        mean = self._shuffled[:, :1] / self._n_shuffled
        product = mean.transpose(0, 2, 1) * mean
        covariance = self._shuffled / self._n_shuffled - product
        noise = np.where(self._taken_apart(), math.sqrt(self._n_shuffled / n_states), 1.0)
        result: FloatArray = n_states * (product + noise * covariance)
        return result

    def _taken_apart(self) -> npt.NDArray[np.bool_]:
        """Which two columns of each surrogate are taken from different places, (n, m, m)."""
        party = np.full(self.width, -1)
        for number, columns in enumerate(self._columns):
            party[columns] = number
        if self.design.conditional:
            moved = party == np.arange(len(self._shuffled))[:, None] % self.per_surrogate
            return np.asarray(moved[:, :, None] != moved[:, None, :])
        apart = party[:, None] != party
        return np.broadcast_to(apart, self._shuffled.shape)

    def entropies(self, sums: FloatArray) -> FloatArray:
        """Transfer entropies of sums of products.

        Parameters
        ----------
        sums : (..., m, m) float
            Some of `sums` or `surrogates`, or sums of these.

        Returns
        -------
        (..., n, n) float
            Plain estimates [nats per kept state]: those of normal laws with these covariances.

        Raises
        ------
        TooFewSamplesError
            If states and past are collinear.
        """
        count = sums[..., :1, :1]
        mean = sums[..., 1:, :1] / count
        covariance = sums[..., 1:, 1:] / count - mean @ np.swapaxes(mean, -1, -2)
        variance = np.diagonal(covariance, axis1=-2, axis2=-1)
        if not (variance > 0).all():
            raise TooFewSamplesError(
                "The record does not move in every direction, so that no forecast can be made; leave out what rests."
            )
        deviation = np.sqrt(variance)
        correlation = covariance / (deviation[..., :, None] * deviation[..., None, :])
        if np.linalg.eigvalsh(correlation)[..., 0].min() < _COLLINEAR:
            raise TooFewSamplesError(
                "Successive states are so alike that rounding hides what is new in them; keep fewer states, or use a "
                "shorter history."
            )
        columns = [column - 1 for column in self._columns]

        def logarithm(index: npt.NDArray[np.intp]) -> FloatArray:
            return np.asarray(np.linalg.slogdet(correlation[..., index[:, None], index])[1])

        result = np.zeros((*correlation.shape[:-2], self.design.size, self.design.size))
        for j, now in enumerate(columns):
            for k in range(len(columns)):
                if j == k:
                    continue
                known = np.concatenate([columns[i][1:].ravel() for i in (j, *self.design.known(j, k))])
                more = np.concatenate([known, columns[k][1:].ravel()])
                parts = [logarithm(np.concatenate([now[0], past])) - logarithm(past) for past in (known, more)]
                result[..., j, k] = 0.5 * (parts[0] - parts[1])
        return result


def _shifted_product(first: FloatArray, second: FloatArray, shift: int, axis: int) -> FloatArray:
    """Sum of products of states of one with those of the other that are further along an axis, round in a circle."""
    length = first.shape[axis]
    shift %= length
    result = np.zeros((first.shape[2], second.shape[2]))
    for here, there in (
        (slice(0, length - shift), slice(shift, length)),
        (slice(length - shift, length), slice(shift)),
    ):
        a, b = (first[here], second[there]) if axis == 0 else (first[:, here], second[:, there])
        result += products(a, b).sum(axis=0)
    return result
