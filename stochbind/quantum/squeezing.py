r"""Squeezing of Gaussian states: quadratures that are quieter than in the vacuum, where their variance is 1/2."""

from __future__ import annotations

from typing import Any

import numpy as np

from stochbind import checks
from stochbind.checks import FloatArray
from stochbind.errors import ScenarioError
from stochbind.quantum.symplectic import covariance_stack

#: Variance of a quadrature in the vacuum.
VACUUM = 0.5


def mode_variance(covariance: Any) -> FloatArray:
    r"""Smallest variance of a quadrature of each mode, :math:`\min_\theta \mathrm{Var}(z\cos\theta + p\sin\theta)`.

    Parameters
    ----------
    covariance : (..., 2N, 2N) float
        Covariances.

    Returns
    -------
    (..., N) float
        Variances; below 1/2 the mode is squeezed.

    Raises
    ------
    ScenarioError
        If the shape is wrong, a number is not finite, or a covariance is not symmetric.
    """
    whole = covariance_stack("covariance", covariance)
    n = whole.shape[-1] // 2
    zz, zp, pp = (
        np.diagonal(whole[..., rows, columns], axis1=-2, axis2=-1)
        for rows, columns in (
            (slice(n), slice(n)),
            (slice(n), slice(n, None)),
            (slice(n, None), slice(n, None)),
        )
    )
    larger = 0.5 * (zz + pp) + np.hypot(0.5 * (zz - pp), zp)
    # The product of both is the determinant: their difference would lose a small variance beside a large one.
    determinant = zz * pp - zp**2
    return np.asarray(np.divide(determinant, larger, out=np.zeros_like(larger), where=larger > 0))


def smallest_variance(covariance: Any) -> FloatArray:
    """Smallest variance of any normalised quadrature: of a mode, or of modes mixed by beam splitters.

    It is the smallest eigenvalue of the covariance. Two modes that are squeezed together need not be squeezed alone.

    Parameters
    ----------
    covariance : (..., 2N, 2N) float
        Covariances.

    Returns
    -------
    (...) float
        Variance; where it is not below 1/2 the state is a mixture of coherent states.

    Raises
    ------
    ScenarioError
        As `mode_variance` does.
    """
    return np.asarray(np.linalg.eigvalsh(covariance_stack("covariance", covariance))[..., 0], dtype=np.float64)


def mode_witness(covariance: Any) -> FloatArray:
    r"""Weights of the quietest quadrature u of each mode, :math:`W = uu^T`: its variance is :math:`\mathrm{tr}\,WV`.

    Of any other covariance :math:`\mathrm{tr}\,WV` is no less than its `mode_variance`.

    Parameters
    ----------
    covariance : (2N, 2N) float
        One covariance.

    Returns
    -------
    (N, 2N, 2N) float
        W of each mode.

    Raises
    ------
    ScenarioError
        If there is a stack of covariances, or as `mode_variance` does.
    """
    whole = _one(covariance)
    n = len(whole) // 2
    result = np.zeros((n, 2 * n, 2 * n))
    for mode in range(n):
        own = np.array([mode, n + mode])
        result[mode, own[:, None], own] = _projector(whole[own[:, None], own])
    return result


def witness(covariance: Any) -> FloatArray:
    r"""Weights of the quietest quadrature u of all, :math:`W = uu^T`; see `mode_witness`.

    Parameters
    ----------
    covariance : (2N, 2N) float
        One covariance.

    Returns
    -------
    (2N, 2N) float
        W; of any other covariance :math:`\mathrm{tr}\,WV` is no less than its `smallest_variance`.

    Raises
    ------
    ScenarioError
        If there is a stack of covariances, or as `mode_variance` does.
    """
    return _projector(_one(covariance))


def decibel(variance: Any) -> FloatArray:
    r"""Noise relative to the vacuum, :math:`10\log_{10} 2v`; negative if squeezed.

    Parameters
    ----------
    variance : (...) float
        v, positive.

    Returns
    -------
    (...) float
        [dB].

    Raises
    ------
    ScenarioError
        If a variance is not positive.
    """
    given = checks.positive("variance", checks.real_numbers("variance", variance))
    result: FloatArray = np.asarray(10.0 * np.log10(given / VACUUM))
    return result


def _one(covariance: Any) -> FloatArray:
    given = covariance_stack("covariance", covariance)
    if given.ndim != 2:
        raise ScenarioError(f"`covariance` must be one covariance, (2N, 2N), but has shape {given.shape}.")
    return given


def _projector(covariance: FloatArray) -> FloatArray:
    """On the eigenvector of the smallest eigenvalue."""
    vector = np.linalg.eigh(covariance)[1][:, 0]
    return np.asarray(np.outer(vector, vector))
