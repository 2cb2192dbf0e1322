"""The Gaussian quantum state that trajectories from the ground state sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from stochbind.analysis.findings.base import Finding, Subject
from stochbind.analysis.gaussian_states import recorded_state
from stochbind.checks import FloatArray
from stochbind.errors import ScenarioError, TooFewSamplesError
from stochbind.quantum import entanglement, squeezing, symplectic
from stochbind.quantum.quadratures import quadratures, to_quadratures

QUANTUM = "quantum state"
#: Arrays of more oscillators have too many parties for a table.
MOST_OSCILLATORS = 12


def quantum_findings(subject: Subject) -> Iterator[Finding]:
    """The state at the last kept time, of a record that began in the ground state.

    Where forces are linear, exact values are those of the moments at that time. Entanglement is told by the smallest
    symplectic eigenvalue of the partial transpose, below 1/2 if there is any. It and the smallest variances are
    estimated along the direction that they have in the exact state (`RecordedState.witnessed`): in a product of vacua
    the sample's own would be too small.

    Parameters
    ----------
    subject : Subject
        The run.

    Yields
    ------
    Finding
        None for a record that began otherwise.
    """
    array = subject.array
    if subject.initial != "ground" or "position" not in subject.dataset or array.n_oscillators > MOST_OSCILLATORS:
        return
    try:
        found = recorded_state(subject.dataset, quadratures(array))
        exact: FloatArray | None = None
        if subject.linear:
            system = subject.scenario.driven(subject.equations)
            moments = system.moments(found.time, subject.scenario.initial_moments(subject.initial))
            exact = to_quadratures(array, moments).covariance
        unit = "" if subject.scenario.reduced else " s"
        subject.notes.append(
            f"The quantum state is that at {found.time:.6g}{unit}, the last kept time, not an average."
        )
        for quantity, function, witness, names in _quantities(subject):
            truth = None if exact is None else function(exact)
            estimate = found.estimate(function) if witness is None else found.witnessed(witness, exact)
            yield from subject.findings(QUANTUM, quantity, "", estimate, truth, names=names)
    except (ScenarioError, TooFewSamplesError) as error:
        subject.notes.append(f"The quantum state is left out: {error}")


class _Quantity(NamedTuple):
    """Name, function of covariances, the weights by which it is estimated if not by itself, and whose it is."""

    name: str
    function: Callable[[FloatArray], Any]
    witness: Callable[[FloatArray], FloatArray] | None
    names: list[str]


def _quantities(subject: Subject) -> list[_Quantity]:
    """All that a table tells of the state."""
    names, n = list(subject.array.names), subject.array.n_oscillators
    parties = range(1 if n == 2 else n)

    def quanta(v: FloatArray) -> Any:
        variance = np.diagonal(v, axis1=-2, axis2=-1)
        return 0.5 * (variance[..., :n] + variance[..., n:]) - 0.5

    def transposed(v: FloatArray) -> Any:
        return np.stack([entanglement.transposed_eigenvalue(v, j) for j in parties], axis=-1)

    def pairs(v: FloatArray) -> FloatArray:
        return np.stack([entanglement.entanglement_witness(v, j) for j in parties])

    rows = [
        _Quantity("final occupation number", quanta, None, names),
        _Quantity("purity", lambda v: symplectic.purity(v)[..., None], None, ["all"]),
        _Quantity("smallest variance", squeezing.mode_variance, squeezing.mode_witness, names),
    ]
    if n == 1:
        return rows
    between = ["0 and 1"] if n == 2 else [f"{name} and the others" for name in names]
    return [
        *rows,
        _Quantity(
            "smallest variance of any quadrature",
            lambda v: squeezing.smallest_variance(v)[..., None],
            lambda v: squeezing.witness(v)[None],
            ["all"],
        ),
        _Quantity("eigenvalue of the partial transpose", transposed, pairs, between),
    ]
