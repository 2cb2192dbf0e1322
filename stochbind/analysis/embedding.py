"""Products of states and of those kept before: what linear forecasts, and so transfer entropies, are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stochbind import checks
from stochbind.analysis import information
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
        """The design for groups of oscillators: each alone by default.

        Raises
        ------
        PlanError
            If there are fewer than two parties, they overlap, an oscillator does not exist, or the history is not 1 to
            64 states.
        """
        given = [[i] for i in range(array.n_oscillators)] if parties is None else [list(party) for party in parties]
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
    them, parties are shifted in time instead, which is right in the steady state only.

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
    surrogates : (n, m, m) float
        The same for surrogates, over all cells.
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
        self.surrogates = np.zeros((self.n_surrogates * self.per_surrogate, self.width, self.width))
        end = np.cumsum([len(party) for party in design.parties])
        lag = 1 + d * np.arange(design.n_history + 1)[:, None]
        self._columns = [lag + np.arange(e - len(party), e) for e, party in zip(end, design.parties, strict=True)]
        self._enough = max(_STRETCHES, 2 * design.size)
        self._tail: FloatArray | None = None

    def add(self, state: FloatArray, *, cells: npt.NDArray[np.intp], first: int, last: bool) -> None:
        """Take the next piece; see `stochbind.analysis.passes.Pass`."""
        p = self.design.n_history
        taken = state[:, :, self._order]
        joined = taken if self._tail is None or first == 0 else np.concatenate([self._tail, taken], axis=1)
        self._tail = None if last else joined[:, -p:].copy()
        n, rows = joined.shape[0], joined.shape[1] - p
        if rows < 1:
            return
        # So many trajectories and states at once that all fits the cache, and surrogates have a choice.
        many = max(self._enough if self.n_surrogates else 1, _STACK_BYTES // (8 * self.width * min(rows, 4096)))
        long = max(1, _STACK_BYTES // (8 * self.width * min(n, many)))
        for part in np.array_split(np.arange(n), max(1, n // many)):
            for column in range(0, rows, long):
                self._add(joined[part, column : min(column + long, rows) + p], cells[part])

    def _add(self, joined: FloatArray, cells: npt.NDArray[np.intp]) -> None:
        p = self.design.n_history
        rows = joined.shape[1] - p
        past = [joined[:, p - lag : p - lag + rows] for lag in range(p + 1)]
        stack = np.concatenate([np.ones((len(joined), rows, 1)), *past], axis=2)
        products = stack.transpose(0, 2, 1) @ stack
        np.add.at(self.sums, cells, products)
        if len(self.surrogates):
            self._add_surrogates(stack, products.sum(axis=0))

    def _add_surrogates(self, stack: FloatArray, together: FloatArray) -> None:
        """Products of parties of which each is taken from another trajectory, or else another time.

        What is within a party stays as it is, so that only products between parties are made anew.
        """
        n, rows, _ = stack.shape
        size = self.design.size
        columns = [columns.ravel() for columns in self._columns]
        part = [np.ascontiguousarray(stack[:, :, column]) for column in columns]
        axis, slots, slot = (0, n, 1) if n >= self._enough else (1, self._enough, max(1, rows // self._enough))
        for index, surrogate in enumerate(self.surrogates):
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
    """Sum of the products of rows of one with those of the other that are further along an axis, round in a circle."""
    length = first.shape[axis]
    shift %= length
    result = np.zeros((first.shape[2], second.shape[2]))
    for here, there in (
        (slice(0, length - shift), slice(shift, length)),
        (slice(length - shift, length), slice(shift)),
    ):
        if axis == 0:
            a, b = (part[where].reshape(-1, part.shape[2]) for part, where in ((first, here), (second, there)))
            result += a.T @ b
        else:
            result += (first[:, here].transpose(0, 2, 1) @ second[:, there]).sum(axis=0)
    return result
