r"""Gaussian quantum states of recorded trajectories: covariances and what follows from them, with error bars.

Trajectories whose noise is symmetrised sample the Wigner function. Their covariance over trajectories is the quantum
mechanical one, in which `stochbind.quantum` reads purity, squeezing and entanglement.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr

from stochbind import checks
from stochbind.analysis.passes import N_GROUPS
from stochbind.analysis.statistics import Estimate, jackknife
from stochbind.checks import FloatArray
from stochbind.errors import IncompleteError, PlanError, TooFewSamplesError
from stochbind.langevin import Langevin


@dataclass(frozen=True, eq=False)
class RecordedState:
    """Moments over trajectories at one time, group by group.

    Attributes
    ----------
    mean : (n_groups, d) float
        Average state of each group, in the scaled units of the equations.
    second : (n_groups, d, d) float
        Average of :math:`x x^T`.
    weight : (n_groups,) float
        Share of the trajectories in each group.
    time : float
        When [s].
    """

    mean: FloatArray
    second: FloatArray
    weight: FloatArray
    time: float

    def estimate(self, function: Callable[[FloatArray], FloatArray]) -> Estimate:
        r"""Estimate of a smooth function of the covariance, by leaving out each group in turn.

        Functions with an edge, such as the logarithmic negativity at zero, have no error bar there; take
        `stochbind.quantum.entanglement.transposed_eigenvalue` in its place. That, and other smallest eigenvalues, bend
        where eigenvalues come close, and are then estimated too low: near the vacuum, and of many modes, take
        `witnessed`.

        Parameters
        ----------
        function : callable
            Of a stack of covariances, (..., d, d), to a result of shape ``(..., *shape)``.

        Returns
        -------
        Estimate
            Without the bias of the order of the inverse number of groups.

        Raises
        ------
        TooFewSamplesError
            If there are fewer than eight groups.
        """

        def of_moments(mean: FloatArray, second: FloatArray) -> FloatArray:
            return function(second - mean[..., :, None] * mean[..., None, :])

        return jackknife(of_moments, self.mean, self.second, weight=self.weight)

    def witnessed(self, witness: Callable[[FloatArray], FloatArray], exact: FloatArray | None = None) -> Estimate:
        r"""Estimate of a smallest eigenvalue along a fixed direction, :math:`\mathrm{tr}\,WV`.

        The smallest eigenvalue of a sampled covariance is too small on average, by more than its error bar where
        eigenvalues are alike: the vacuum would look squeezed and entangled. Along a direction that was chosen without
        the sample there is no such bias; and as :math:`\mathrm{tr}\,WV` is never below the eigenvalue of V, another
        direction than that of the state reads too large, never too small.

        Parameters
        ----------
        witness : callable
            Of one covariance (d, d) to its weights W, (..., d, d): those of `stochbind.quantum.squeezing` and
            `stochbind.quantum.entanglement`.
        exact : (d, d) float, optional
            The covariance whose direction is taken. By default each half of the groups is looked at along the direction
            of the other half, which reads too large by a part of the error bar. Both are low together where both
            directions happen to agree, so that their errors count as fully correlated.

        Returns
        -------
        Estimate
            Of shape (...).

        Raises
        ------
        TooFewSamplesError
            If there are fewer than eight groups, or, without `exact`, in a half.
        """
        if exact is not None:
            weight = witness(exact)
            return self.estimate(lambda v: np.einsum("...jk,njk->n...", weight, v))
        halves = [self._part(slice(first, None, 2)) for first in (0, 1)]
        both = [
            one.witnessed(witness, other.covariance().value) for one, other in zip(halves, halves[::-1], strict=True)
        ]
        return Estimate(
            0.5 * (both[0].value + both[1].value),
            0.5 * (both[0].stderr + both[1].stderr),
            both[0].n_eff + both[1].n_eff,
        )

    def _part(self, groups: slice) -> RecordedState:
        share = self.weight[groups]
        return RecordedState(self.mean[groups], self.second[groups], share / share.sum(), self.time)

    def covariance(self) -> Estimate:
        """Estimate of the covariance, (d, d)."""
        return self.estimate(np.asarray)


def recorded_state(dataset: xr.Dataset, equations: Langevin, *, index: int = -1) -> RecordedState:
    """Moments over the trajectories of a record, at one time.

    Parameters
    ----------
    dataset : xarray.Dataset
        With `position` and `velocity`, of dims (trajectory, time, particle), in SI, such as `stochbind.simulate` gives.
    equations : Langevin
        In whose units the state is: those of `stochbind.quantum.quadratures.quadratures` for quantum states.
    index : int
        Number of the time, by default the last.

    Returns
    -------
    RecordedState
        Moments of at most 256 groups.

    Raises
    ------
    PlanError
        If there is no such time.
    IncompleteError
        If a state is missing or not finite.
    TooFewSamplesError
        If a group would have fewer than two trajectories.
    """
    n_times = dataset.sizes["time"]
    index = checks.integer("index", index, minimum=-n_times, maximum=n_times - 1, error=PlanError)
    names = [name for name in ("position", "velocity") if len(equations.select(name))]
    parts = [dataset[name].isel(time=index).to_numpy() for name in names]
    state = np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1) / equations.unit
    if not np.isfinite(state).all():
        raise IncompleteError(
            f"The states at index {index} of the time must all be there, but some are missing or diverged; finish the "
            "run, or choose an earlier time."
        )
    n = len(state)
    if n < 16:
        raise TooFewSamplesError(f"A covariance needs at least 16 trajectories, but the record has {n}; run more.")
    begin = np.linspace(0, n, min(N_GROUPS, n // 2) + 1).astype(int)[:-1]
    count = np.diff([*begin, n])
    products = state[:, :, None] * state[:, None, :]
    return RecordedState(
        mean=np.add.reduceat(state, begin) / count[:, None],
        second=np.add.reduceat(products, begin) / count[:, None, None],
        weight=count / n,
        time=float(dataset["time"][index]),
    )
