"""The Gaussian quantum state that trajectories from the ground state sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

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
    symplectic eigenvalue of the partial transpose, below 1/2 if there is any: unlike the negativity it is smooth, and
    has an error bar.

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
        for quantity, function, names in _quantities(subject):
            truth = None if exact is None else function(exact)
            yield from subject.findings(QUANTUM, quantity, "", found.estimate(function), truth, names=names)
    except (ScenarioError, TooFewSamplesError) as error:
        subject.notes.append(f"The quantum state is left out: {error}")


def _quantities(subject: Subject) -> list[tuple[str, Callable[[FloatArray], Any], list[str]]]:
    """Name, function of a stack of covariances, and whose it is, of each quantity."""
    names, n = list(subject.array.names), subject.array.n_oscillators

    def quanta(v: FloatArray) -> Any:
        variance = np.diagonal(v, axis1=-2, axis2=-1)
        return 0.5 * (variance[..., :n] + variance[..., n:]) - 0.5

    rows: list[tuple[str, Callable[[FloatArray], Any], list[str]]] = [
        ("quanta", quanta, names),
        ("purity", lambda v: symplectic.purity(v)[..., None], ["all"]),
        ("smallest variance", squeezing.mode_variance, names),
    ]
    if n > 1:

        def least(v: FloatArray) -> Any:
            return squeezing.smallest_variance(v)[..., None]

        def transposed(v: FloatArray) -> Any:
            return np.stack([entanglement.transposed_eigenvalue(v, j) for j in range(1 if n == 2 else n)], axis=-1)

        parties = ["0 and 1"] if n == 2 else [f"{name} and the others" for name in names]
        rows.append(("smallest variance of any quadrature", least, ["all"]))
        rows.append(("eigenvalue of the partial transpose", transposed, parties))
    return rows
