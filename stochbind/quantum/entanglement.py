r"""Entanglement of Gaussian states, and which optical binding can make it.

A Gaussian state of one mode and any number of others is entangled if and only if its partial transpose is no quantum
state. So a master equation makes no entanglement out of none if the generator that partial transposes obey is itself
completely positive. For optical binding that is a closed form, `never_entangles`. PRL stands for Phys. Rev. Lett. 133,
233603 (2024).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stochbind.checks import FloatArray
from stochbind.errors import ScenarioError
from stochbind.optics.pairs import Rates
from stochbind.quantum.master_equation import (
    POSITIVE_TOLERANCE,
    Generator,
    completely_positive,
    least_dissipation,
    partially_transposed,
)
from stochbind.quantum.symplectic import (
    BoolArray,
    covariance_stack,
    entropy,
    mode_indices,
    partial_transpose,
    reduced,
    smallest_pair,
    symplectic_eigenvalues,
    transposition,
)


def transposed_eigenvalue(covariance: Any, party: Any = 0) -> FloatArray:
    r"""Smallest symplectic eigenvalue of the partial transpose, :math:`\tilde\nu`: below 1/2 the parties are entangled.

    Unlike the negativity it is smooth where entanglement begins, so that it can be estimated with error bars.

    Parameters
    ----------
    covariance : (..., 2N, 2N) float
        Covariances.
    party : int or sequence of int
        Modes of one party.

    Returns
    -------
    (...) float
        :math:`\tilde\nu`.

    Raises
    ------
    ScenarioError
        If the party is impossible, or a covariance is not symmetric and positive definite.
    """
    result: FloatArray = symplectic_eigenvalues(partial_transpose(covariance, party))[..., 0]
    return result


def entanglement_witness(covariance: Any, party: Any = 0) -> FloatArray:
    r"""Weights W of the variances that tell entanglement best: if :math:`\mathrm{tr}\,WV < 1/2`, V is entangled.

    Of the covariance that is given :math:`\mathrm{tr}\,WV` is `transposed_eigenvalue`; of any other it is no less than
    that, so that estimates of it see no entanglement that is not there.

    Parameters
    ----------
    covariance : (2N, 2N) float
        One covariance.
    party : int or sequence of int
        Modes of one party.

    Returns
    -------
    (2N, 2N) float
        W.

    Raises
    ------
    ScenarioError
        If the party is impossible, there is a stack of covariances, or one that is not symmetric and positive definite.

    References
    ----------
    Hyllus and Eisert, New J. Phys. 8, 51 (2006).
    """
    sign = transposition(party, covariance_stack("covariance", covariance).shape[-1] // 2)
    result: FloatArray = sign[:, None] * smallest_pair(partial_transpose(covariance, party)) * sign
    return result


def logarithmic_negativity(covariance: Any, party: Any = 0) -> FloatArray:
    r"""Logarithmic negativity, :math:`\sum_k\max(0, -\ln 2\tilde\nu_k)`.

    Parameters
    ----------
    covariance : (..., 2N, 2N) float
        Covariances.
    party : int or sequence of int
        Modes of one party; the others are the other's.

    Returns
    -------
    (...) float
        [nats]; divide by ln 2 for ebits.

    Raises
    ------
    ScenarioError
        As `transposed_eigenvalue` does.

    References
    ----------
    Vidal and Werner, Phys. Rev. A 65, 032314 (2002).
    """
    value = symplectic_eigenvalues(partial_transpose(covariance, party))
    result: FloatArray = np.maximum(0.0, -np.log(2.0 * value)).sum(axis=-1)
    return result


def mutual_information(covariance: Any, party: Any = 0) -> FloatArray:
    """Quantum mutual information of two parties, S(A) + S(B) - S(AB): of all their correlations, also classical ones.

    Parameters
    ----------
    covariance : (..., 2N, 2N) float
        Covariances.
    party : int or sequence of int
        Modes of one party.

    Returns
    -------
    (...) float
        [nats].

    Raises
    ------
    ScenarioError
        As `transposed_eigenvalue` does.
    """
    whole = covariance_stack("covariance", covariance)
    n = whole.shape[-1] // 2
    transposition(party, n)
    own = mode_indices("party", party, n)
    other = np.setdiff1d(np.arange(n), own)
    result: FloatArray = entropy(reduced(whole, own)) + entropy(reduced(whole, other)) - entropy(whole)
    return result


def duan(covariance: Any) -> FloatArray:
    r"""Criterion of Duan et al. for two modes, :math:`\sqrt{n_1n_2} - |\langle a_1a_2\rangle|`: negative if entangled.

    The best that the variances of :math:`c z_1 + z_2/c` and :math:`c p_1 - p_2/c` tell, over c and the phases of both
    modes. It is sufficient for entanglement, and necessary in the standard form of Duan et al. only, to which squeezers
    of each mode bring a state: also where no mode is squeezed by itself it may miss entanglement, which `simon` does
    not.

    Parameters
    ----------
    covariance : (..., 4, 4) float
        Of two modes.

    Returns
    -------
    (...) float
        [quanta].

    Raises
    ------
    ScenarioError
        If there are not two modes, or a covariance is not symmetric.

    References
    ----------
    Duan, Giedke, Cirac and Zoller, Phys. Rev. Lett. 84, 2722 (2000).
    """
    v = _two_modes(covariance)
    first, second = (np.maximum(0.5 * (v[..., j, j] + v[..., 2 + j, 2 + j]) - 0.5, 0.0) for j in (0, 1))
    pair = 0.5 * np.hypot(v[..., 0, 1] - v[..., 2, 3], v[..., 0, 3] + v[..., 1, 2])
    result: FloatArray = np.sqrt(first * second) - pair
    return result


def simon(covariance: Any) -> FloatArray:
    r"""Criterion of Simon for two modes: negative if and only if they are entangled.

    .. math::

        \det V - \tfrac14(\det V_1 + \det V_2 - 2\det C) + \tfrac1{16}
        = \left(\tilde\nu_-^2 - \tfrac14\right)\left(\tilde\nu_+^2 - \tfrac14\right)

    with the blocks :math:`V_1` and :math:`V_2` of the modes and C between them. A polynomial of the covariance; where
    variances are large, `transposed_eigenvalue` loses less to rounding.

    Parameters
    ----------
    covariance : (..., 4, 4) float
        Of two modes, in a state of quantum mechanics.

    Returns
    -------
    (...) float
        Value of the polynomial.

    Raises
    ------
    ScenarioError
        As `duan` does.

    References
    ----------
    Simon, Phys. Rev. Lett. 84, 2726 (2000).
    """
    v = _two_modes(covariance)
    own, other = np.array([0, 2]), np.array([1, 3])
    blocks = [v[..., rows[:, None], columns] for rows, columns in ((own, own), (other, other), (own, other))]
    first, second, between = (np.linalg.det(block) for block in blocks)
    result: FloatArray = np.linalg.det(v) - 0.25 * (first + second - 2.0 * between) + 0.0625
    return result


def never_entangles(rates: Rates) -> BoolArray:
    r"""Whether two optically bound particles stay without entanglement, from every state without it.

    They do if and only if

    .. math:: D_{11}D_{22} \ge (\mathrm{Re}D_{12})^2 + g_r^2,

    which in the far field is :math:`\sqrt{D_{11}D_{22}} \ge (G/kd)|\cos\varphi|`. Nothing else enters: neither trap
    frequencies nor :math:`g_a`. Where it fails, the ground state becomes entangled at once; where it holds at every
    moment, no change of the rates with time helps, and entanglement that is there cannot grow.

    Parameters
    ----------
    rates : Rates
        Of the pair.

    Returns
    -------
    (...) bool
        Whether it holds.

    References
    ----------
    The statement is that of PRL, text at eq. (13). There it follows from a feedback that makes the same master
    equation; here from the partial transpose, which gives the limit as well.
    """
    allowed = entanglement_threshold(rates)
    return np.asarray(np.sqrt(np.asarray(rates.recoil).prod(axis=-1)) >= allowed * (1.0 - POSITIVE_TOLERANCE))


def entanglement_threshold(rates: Rates) -> FloatArray:
    r"""Recoil below which optical binding entangles two particles, :math:`\sqrt{(\mathrm{Re}D_{12})^2 + g_r^2}`.

    Parameters
    ----------
    rates : Rates
        Of the pair; the recoil does not count.

    Returns
    -------
    (...) float
        Of :math:`\sqrt{D_{11}D_{22}}`, in the unit of the rates.
    """
    result: FloatArray = np.hypot(np.real(rates.recoil_correlation), rates.reciprocal)
    return result


def entangling_rate(equation: Generator, party: Any = 0) -> FloatArray:
    r"""How fast a master equation makes partial transposes unphysical.

    Minus the `least_dissipation` of the generator that they obey. Positive if two parties of any numbers of modes can
    become entangled; where the dissipator is of positions alone, :math:`\tilde\nu` of the ground state then falls below
    1/2 at once.

    Parameters
    ----------
    equation : Generator
        Drift and noise.
    party : int or sequence of int
        Modes of one party.

    Returns
    -------
    (...) float
        In the unit of the generator.

    Raises
    ------
    ScenarioError
        If the party is impossible.
    """
    result: FloatArray = -least_dissipation(partially_transposed(equation, party))
    return result


def creates_no_negativity(equation: Generator, party: Any = 0, *, tolerance: float = POSITIVE_TOLERANCE) -> BoolArray:
    r"""Whether a master equation never makes the negativity of two parties grow.

    Sufficient always: a generator whose partial transpose is completely positive keeps positive partial transposes
    positive. Necessary for optical binding, where all dissipation is in the momenta.

    Parameters
    ----------
    equation : Generator
        Drift and noise.
    party : int or sequence of int
        Modes of one party.
    tolerance : float
        As for `stochbind.quantum.master_equation.completely_positive`.

    Returns
    -------
    (...) bool
        Whether it holds.

    Raises
    ------
    ScenarioError
        If the party is impossible.
    """
    return completely_positive(partially_transposed(equation, party), tolerance=tolerance)


def _two_modes(covariance: Any) -> FloatArray:
    given = covariance_stack("covariance", covariance)
    if given.shape[-1] != 4:
        raise ScenarioError(f"`covariance` must be of two modes, (..., 4, 4), but has shape {given.shape}.")
    return given
