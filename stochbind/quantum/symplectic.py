r"""Covariances of Gaussian states: what does not depend on the choice of quadratures.

Covariances are those of `stochbind.quantum.quadratures`: all z, then all p, with the variance 1/2 in the vacuum. The
commutators of the quadratures are :math:`[R_i, R_j] = iJ_{ij}`, with :math:`J = (0, 1; -1, 0)`. Every function takes
stacks of covariances, (..., 2N, 2N).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from stochbind import checks
from stochbind.checks import FloatArray
from stochbind.errors import ScenarioError

BoolArray = npt.NDArray[np.bool_]

#: Symplectic eigenvalues of a quantum state may be below 1/2 by this part of it, from rounding.
PHYSICAL_TOLERANCE = 1e-9
#: Where rounding may do more than this to a symplectic eigenvalue, it is no excuse.
_LARGEST_ROUNDING = 0.01
#: A covariance whose elements [i, j] and [j, i] differ by more than this part of the deviations is not symmetric.
_SYMMETRY_TOLERANCE = 1e-8


def symplectic_form(n_modes: int) -> FloatArray:
    """J of N modes, (2N, 2N): the commutators of the quadratures over i."""
    n = checks.integer("n_modes", n_modes, minimum=1, error=ScenarioError)
    return np.kron(np.array([[0.0, 1.0], [-1.0, 0.0]]), np.eye(n))


def covariance_stack(name: str, value: Any) -> FloatArray:
    """Return `value` as covariances (..., 2N, 2N) that are finite and symmetric, or raise `ScenarioError`.

    Parameters
    ----------
    name : str
        What messages call it.
    value : (..., 2N, 2N) float
        Covariances.

    Returns
    -------
    (..., 2N, 2N) float
        The same, symmetric to the last place.

    Raises
    ------
    ScenarioError
        If the shape is wrong, a number is not finite, or a covariance is not symmetric.
    """
    given = checks.real_numbers(name, value)
    if given.ndim < 2 or given.shape[-1] != given.shape[-2] or given.shape[-1] % 2:
        raise ScenarioError(
            f"`{name}` must hold covariances of all z and then all p, (..., 2N, 2N), but has shape {given.shape}."
        )
    other = np.swapaxes(given, -1, -2)
    size = np.sqrt(np.abs(np.diagonal(given, axis1=-2, axis2=-1)))
    allowed = _SYMMETRY_TOLERANCE * size[..., :, None] * size[..., None, :]
    if (bad := np.abs(given - other) > allowed).any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ScenarioError(
            f"`{name}` must be symmetric, but {name}{list(where)} is {given[where]:.6g} and its mirror image "
            f"{other[where]:.6g}."
        )
    return 0.5 * (given + other)


def mode_indices(name: str, modes: Any, n_modes: int) -> npt.NDArray[np.intp]:
    """Return numbers of different modes, in the order given, or raise `ScenarioError`.

    Parameters
    ----------
    name : str
        What messages call them.
    modes : int or sequence of int
        Numbers from 0 to N - 1.
    n_modes : int
        N.

    Returns
    -------
    (M,) int
        The numbers.

    Raises
    ------
    ScenarioError
        If there are none, one is no mode, or one is there twice.
    """
    several = list(modes) if isinstance(modes, Iterable) else [modes]
    result = [checks.integer(name, one, minimum=0, maximum=n_modes - 1, error=ScenarioError) for one in several]
    if not result or len(set(result)) != len(result):
        raise ScenarioError(f"`{name}` must name one or more different modes, but is {checks.short(modes)}.")
    return np.array(result, dtype=np.intp)


def reduced(covariance: Any, modes: Any) -> FloatArray:
    """Covariance of some of the modes: that of the state in which nothing is asked of the others.

    Parameters
    ----------
    covariance : (..., 2N, 2N) float
        Of all modes.
    modes : int or sequence of int
        Numbers of M of them, in any order.

    Returns
    -------
    (..., 2M, 2M) float
        Of these modes, in this order.

    Raises
    ------
    ScenarioError
        As `covariance_stack` and `mode_indices` do.
    """
    whole = covariance_stack("covariance", covariance)
    n = whole.shape[-1] // 2
    kept = mode_indices("modes", modes, n)
    both = np.concatenate([kept, kept + n])
    return np.asarray(whole[..., both[:, None], both])


def mixed(covariance: Any, unitary: Any) -> FloatArray:
    r"""Covariance of the modes :math:`b = Ua`, such as normal modes; what beam splitters and phase shifts do.

    With :math:`a = (z + ip)/\sqrt2` the quadratures of b are :math:`O R`,
    :math:`O = (\mathrm{Re}U, -\mathrm{Im}U; \mathrm{Im}U, \mathrm{Re}U)`.

    Parameters
    ----------
    covariance : (..., 2N, 2N) float
        Of the modes a.
    unitary : (M, N) complex
        U, with orthonormal rows. The mode :math:`\sum_jv_j^*a_j` is the row :math:`v^\dagger`.

    Returns
    -------
    (..., 2M, 2M) float
        Of the modes b.

    Raises
    ------
    ScenarioError
        If the rows are not orthonormal, or as `covariance_stack` does.
    """
    whole = covariance_stack("covariance", covariance)
    u = checks.complex_array("unitary", np.atleast_2d(unitary), ("M", whole.shape[-1] // 2))
    if (error := float(np.abs(u @ u.conj().T - np.eye(len(u))).max())) > 1e-8:
        raise ScenarioError(
            f"`unitary` must have orthonormal rows, but their products differ from one and zero by {error:.3g}."
        )
    turn = np.block([[u.real, -u.imag], [u.imag, u.real]])
    return np.asarray(turn @ whole @ turn.T)


def symplectic_eigenvalues(covariance: Any) -> FloatArray:
    r"""Symplectic eigenvalues, ascending: 1/2 and the occupation of each of the modes in which the state is thermal.

    They are the moduli of the eigenvalues of :math:`iJV`, which come in pairs. With :math:`V = LL^T` they are those of
    the Hermitian :math:`iL^TJL`, whose errors are of the size of the largest, and the inverses of those of
    :math:`iL^{-1}JL^{-T}`, whose errors are of the size of the smallest. Each is taken from where it is more precise,
    so that a mode in its ground state is seen beside one of :math:`10^9` quanta with which it is weakly correlated;
    where beam splitters mix both, that gains little. Relative errors are then below
    :math:`\epsilon\sqrt{\nu_\mathrm{max}/\nu_\mathrm{min}}` times the condition number of the matrix of correlations,
    which for a squeezed pair in a pure state is the ratio of its variances.

    Parameters
    ----------
    covariance : (..., 2N, 2N) float
        Positive definite.

    Returns
    -------
    (..., N) float
        :math:`\nu`; not less than 1/2 in a quantum state.

    Raises
    ------
    ScenarioError
        If a covariance is not positive definite, or as `covariance_stack` does.
    """
    return _symplectic_eigenvalues(_balanced(covariance_stack("covariance", covariance)))


def smallest_pair(covariance: Any) -> FloatArray:
    r"""Weights W of the pair of quadratures to which the smallest symplectic eigenvalue belongs.

    With quadratures c and d that obey :math:`c^TJd = 1` it is :math:`W = \tfrac12(cc^T + dd^T)`. Then
    :math:`\mathrm{tr}\,WV = \nu_\mathrm{min}`, and of any other covariance it is no less than its smallest eigenvalue:
    a linear function where the eigenvalue itself bends down.

    Parameters
    ----------
    covariance : (2N, 2N) float
        Positive definite.

    Returns
    -------
    (2N, 2N) float
        W.

    Raises
    ------
    ScenarioError
        If there is a stack of covariances, or as `symplectic_eigenvalues` does.

    References
    ----------
    The minimum over such pairs is that of Williamson's theorem; see Hiroshima, Phys. Rev. A 73, 012330 (2006).
    """
    whole = covariance_stack("covariance", covariance)
    if whole.ndim != 2:
        raise ScenarioError(f"`covariance` must be one covariance, (2N, 2N), but has shape {whole.shape}.")
    inverse = np.linalg.inv(_cholesky(whole))
    # V w = -i nu J w for w = c + id: the largest of the inverses 1 / nu belongs to the smallest nu.
    vector = inverse.T @ np.linalg.eigh(-1j * inverse @ symplectic_form(len(whole) // 2) @ inverse.T)[1][:, -1]
    pair = np.real(np.outer(vector, vector.conj()))
    commutator = float(np.imag(vector.conj() @ (symplectic_form(len(whole) // 2) @ vector)))
    return np.asarray(pair / commutator)


def is_physical(covariance: Any, *, tolerance: float = PHYSICAL_TOLERANCE) -> BoolArray:
    r"""Whether a state of quantum mechanics has this covariance: whether :math:`V + \tfrac i2J \ge 0`.

    Parameters
    ----------
    covariance : (..., 2N, 2N) float
        Covariances.
    tolerance : float
        By which part of 1/2 a symplectic eigenvalue may be too small. Beside it stands what rounding of the covariance
        itself does, four times the round-off times the condition number of the correlations, up to one percent.

    Returns
    -------
    (...) bool
        Whether the uncertainty principle holds for every combination of quadratures.

    Raises
    ------
    ScenarioError
        As `covariance_stack` does.
    """
    given = covariance_stack("covariance", covariance)
    balanced = _balanced(given)
    # Where a variance vanishes there is no symplectic eigenvalue to compute, and no quantum state.
    correlation = np.linalg.eigvalsh(_correlations(balanced))
    definite = correlation[..., 0] > given.shape[-1] * np.finfo(float).eps
    condition = correlation[..., -1] / np.where(definite, correlation[..., 0], np.inf)
    rounding = np.minimum(4.0 * np.finfo(float).eps * condition, _LARGEST_ROUNDING)
    safe = np.where(definite[..., None, None], balanced, np.eye(given.shape[-1]))
    return np.asarray(definite & (_symplectic_eigenvalues(safe)[..., 0] >= 0.5 * (1.0 - tolerance - rounding)))


def purity(covariance: Any) -> FloatArray:
    r"""Purity :math:`\mathrm{tr}\rho^2 = 1/\sqrt{\det 2V}`: one of a pure state.

    Parameters
    ----------
    covariance : (..., 2N, 2N) float
        Positive definite.

    Returns
    -------
    (...) float
        Purity.

    Raises
    ------
    ScenarioError
        As `symplectic_eigenvalues` does.
    """
    root = _cholesky(2.0 * _balanced(covariance_stack("covariance", covariance)))
    result: FloatArray = np.exp(-np.log(np.diagonal(root, axis1=-2, axis2=-1)).sum(axis=-1))
    return result


def entropy(covariance: Any) -> FloatArray:
    r"""Von Neumann entropy, :math:`\sum_k (n_k + 1)\ln(n_k + 1) - n_k\ln n_k` with :math:`n_k = \nu_k - \tfrac12`.

    Parameters
    ----------
    covariance : (..., 2N, 2N) float
        Positive definite.

    Returns
    -------
    (...) float
        [nats].

    Raises
    ------
    ScenarioError
        As `symplectic_eigenvalues` does.
    """
    quanta = np.maximum(symplectic_eigenvalues(covariance) - 0.5, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        # In this form nothing cancels, however many quanta there are.
        spread = np.where(quanta > 0.0, quanta * np.log1p(1.0 / quanta), 0.0)
    result: FloatArray = (np.log1p(quanta) + spread).sum(axis=-1)
    return result


def partial_transpose(covariance: Any, party: Any) -> FloatArray:
    r"""Covariance of the partial transpose: the momenta of one party with the opposite sign.

    Parameters
    ----------
    covariance : (..., 2N, 2N) float
        Covariances.
    party : int or sequence of int
        Numbers of the modes of one party; the others are the other's.

    Returns
    -------
    (..., 2N, 2N) float
        :math:`TVT`.

    Raises
    ------
    ScenarioError
        As `covariance_stack` and `mode_indices` do.
    """
    whole = covariance_stack("covariance", covariance)
    sign = transposition(party, whole.shape[-1] // 2)
    return np.asarray(whole * sign[:, None] * sign)


def transposition(party: Any, n_modes: int) -> FloatArray:
    """Diagonal of T, (2N,): minus one for the momenta of one party, which leaves some modes to the other."""
    n = checks.integer("n_modes", n_modes, minimum=1, error=ScenarioError)
    chosen = mode_indices("party", party, n)
    if len(chosen) == n:
        raise ScenarioError(f"`party` must leave one or more of the {n} modes to the other party; name fewer.")
    sign = np.ones(2 * n)
    sign[n + chosen] = -1.0
    return sign


def _balanced(covariance: FloatArray) -> FloatArray:
    """The covariance with z and p of each mode scaled to alike variances, by powers of two that leave z times p."""
    n = covariance.shape[-1] // 2
    variance = np.diagonal(covariance, axis1=-2, axis2=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        power = np.round(0.25 * np.log2(variance[..., n:] / variance[..., :n]))
    power = np.where(np.isfinite(power), power, 0.0)
    scale = np.exp2(np.concatenate([power, -power], axis=-1))
    return np.asarray(covariance * scale[..., :, None] * scale[..., None, :])


def _deviation(covariance: FloatArray) -> FloatArray:
    variance = np.diagonal(covariance, axis1=-2, axis2=-1)
    return np.sqrt(np.where(variance > 0, variance, 1.0))


def _correlations(covariance: FloatArray) -> FloatArray:
    deviation = _deviation(covariance)
    return covariance / deviation[..., :, None] / deviation[..., None, :]


def _cholesky(covariance: FloatArray) -> FloatArray:
    """Lower triangular roots; `ScenarioError` if one is not positive definite."""
    correlation = _correlations(covariance)
    try:
        root = np.asarray(np.linalg.cholesky(correlation), dtype=np.float64)
        return _deviation(covariance)[..., :, None] * root
    except np.linalg.LinAlgError:
        smallest = float(np.linalg.eigvalsh(correlation)[..., 0].min())
        raise ScenarioError(
            "`covariance` must be positive definite, but scaled to unit diagonal its smallest eigenvalue is "
            f"{smallest:.3g}; a quantum state has no quadrature without noise."
        ) from None


def _symplectic_eigenvalues(covariance: FloatArray) -> FloatArray:
    root = _cholesky(covariance)
    n = covariance.shape[-1] // 2
    form = symplectic_form(n)
    value = _positive_half(np.swapaxes(root, -1, -2) @ form @ root)
    if n == 1 or not (value[..., -1] > 16.0 * value[..., 0]).any():
        return value
    deviation = _deviation(covariance)
    inverse = np.linalg.inv(root / deviation[..., :, None]) / deviation[..., None, :]
    precise = 1.0 / _positive_half(inverse @ form @ np.swapaxes(inverse, -1, -2))[..., ::-1]
    middle = np.sqrt(value[..., -1:] * precise[..., :1])
    return np.where(value > middle, value, precise)


def _positive_half(antisymmetric: FloatArray) -> FloatArray:
    """The positive ones of the eigenvalues of i times an antisymmetric matrix, ascending."""
    matrix = 0.5j * (antisymmetric - np.swapaxes(antisymmetric, -1, -2))
    half = np.linalg.eigvalsh(matrix)[..., antisymmetric.shape[-1] // 2 :]
    return np.asarray(np.maximum(half, np.finfo(float).tiny), dtype=np.float64)
