r"""Gaussian quantum states: what they are made of, and what can be told of them.

Quadratures, their order and the vacuum variance 1/2 are those of `stochbind.quantum.quadratures`. States are made as
`stochbind.Moments`; `stochbind.quantum.quadratures.to_scaled` takes them to the units of simulations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from stochbind import amplitudes, checks
from stochbind.checks import FloatArray
from stochbind.errors import ScenarioError
from stochbind.langevin import Moments
from stochbind.oscillators import Oscillators
from stochbind.quantum import entanglement, squeezing, symplectic
from stochbind.quantum.quadratures import to_quadratures
from stochbind.quantum.symplectic import BoolArray


@dataclass(frozen=True, eq=False)
class GaussianState:
    """A Gaussian state of N modes, or a stack of them; what is asked of it is computed once.

    Parameters
    ----------
    mean : (..., 2N) float
        Mean of the quadratures.
    covariance : (..., 2N, 2N) float
        Symmetrised covariance of the quadratures; the vacuum has 1/2.

    Raises
    ------
    ScenarioError
        If a shape is wrong, a number is not finite, or a covariance is not symmetric.
    """

    mean: FloatArray
    covariance: FloatArray

    def __post_init__(self) -> None:
        covariance = symplectic.covariance_stack("covariance", self.covariance)
        mean = checks.real_numbers("mean", self.mean)
        if mean.shape[-1:] != covariance.shape[-1:]:
            raise ScenarioError(f"`mean` must have shape (..., {covariance.shape[-1]}), but has shape {mean.shape}.")
        covariance.setflags(write=False)
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "covariance", covariance)

    @property
    def n_modes(self) -> int:
        """Number of modes N."""
        return int(self.covariance.shape[-1]) // 2

    @property
    def moments(self) -> Moments:
        """Mean and covariance."""
        return Moments(self.mean, self.covariance)

    @cached_property
    def symplectic_eigenvalues(self) -> FloatArray:
        """Ascending, (..., N); see `stochbind.quantum.symplectic.symplectic_eigenvalues`."""
        return symplectic.symplectic_eigenvalues(self.covariance)

    @cached_property
    def physical(self) -> BoolArray:
        """Whether quantum mechanics allows it, (...)."""
        return symplectic.is_physical(self.covariance)

    @cached_property
    def purity(self) -> FloatArray:
        """Purity, (...)."""
        return symplectic.purity(self.covariance)

    @cached_property
    def entropy(self) -> FloatArray:
        """Von Neumann entropy [nats], (...)."""
        return symplectic.entropy(self.covariance)

    @cached_property
    def occupation(self) -> FloatArray:
        """Mean number of quanta of each mode, that of a displacement included, (..., N)."""
        half = math.sqrt(0.5)
        return amplitudes.occupation(0.5 * self.covariance, half * self.mean, ordering="symmetric")

    @cached_property
    def mode_variance(self) -> FloatArray:
        """Smallest variance of a quadrature of each mode, (..., N)."""
        return squeezing.mode_variance(self.covariance)

    @cached_property
    def smallest_variance(self) -> FloatArray:
        """Smallest variance of a quadrature of any mode or mixture of modes, (...)."""
        return squeezing.smallest_variance(self.covariance)

    def logarithmic_negativity(self, party: Any = 0) -> FloatArray:
        """Entanglement of some modes with the others [nats], (...)."""
        return entanglement.logarithmic_negativity(self.covariance, party)

    def mutual_information(self, party: Any = 0) -> FloatArray:
        """Quantum mutual information of some modes and the others [nats], (...)."""
        return entanglement.mutual_information(self.covariance, party)

    def reduced(self, modes: Any) -> GaussianState:
        """The state of some of the modes."""
        covariance = symplectic.reduced(self.covariance, modes)
        kept = symplectic.mode_indices("modes", modes, self.n_modes)
        return GaussianState(self.mean[..., np.concatenate([kept, kept + self.n_modes])], covariance)

    def wigner(self, z: Any, p: Any, mode: int = 0) -> FloatArray:
        r"""Wigner function of one mode, :math:`e^{-\frac12 (R-\mu)^TV^{-1}(R-\mu)} / 2\pi\sqrt{\det V}`.

        Parameters
        ----------
        z, p : (...) float
            Where; shapes that fit each other.
        mode : int
            Number of the mode.

        Returns
        -------
        (...) float
            Its values; the integral over z and p is one.

        Raises
        ------
        ScenarioError
            If there is no such mode, its variance vanishes, or this is a stack of states.
        """
        if self.covariance.ndim != 2:
            raise ScenarioError(f"A Wigner function is of one state, not of a stack {self.covariance.shape[:-2]}.")
        one = self.reduced(mode)
        away = np.stack(np.broadcast_arrays(checks.real_numbers("z", z), checks.real_numbers("p", p)), axis=-1)
        away = away - one.mean
        nu = one.symplectic_eigenvalues[0]  # its square is the determinant
        exponent = -0.5 * (away * np.linalg.solve(one.covariance, away[..., None])[..., 0]).sum(axis=-1)
        result: FloatArray = np.exp(exponent) / (2.0 * math.pi * nu)
        return result


def state(array: Oscillators, moments: Moments, frequency: Any = None) -> GaussianState:
    """The quantum state that moments of oscillators are.

    Parameters
    ----------
    array : Oscillators
        N oscillators, underdamped.
    moments : Moments
        Mean (..., 2N) and covariance (..., 2N, 2N) in the scaled units of ``array.langevin()``.
    frequency : float or (N,) float, optional
        Of the vacuum [rad/s]; by default that of each particle with the others held fixed.

    Returns
    -------
    GaussianState
        In quadratures.

    Raises
    ------
    ScenarioError
        If the array is overdamped, a trap does not hold, or a shape is wrong.
    """
    return GaussianState(*to_quadratures(array, moments, frequency))


def thermal(occupation: Any) -> Moments:
    """Thermal state of N modes, with n quanta in each.

    Parameters
    ----------
    occupation : (N,) float
        n of each mode.

    Returns
    -------
    Moments
        In quadratures.

    Raises
    ------
    ScenarioError
        If an occupation is negative.
    """
    quanta = np.atleast_1d(checks.real_numbers("occupation", occupation))
    quanta = checks.positive("occupation", checks.array("occupation", quanta, ("N",)), or_zero=True)
    return Moments(np.zeros(2 * len(quanta)), np.diag(np.tile(quanta + 0.5, 2)))


def vacuum(n_modes: int) -> Moments:
    """Ground state of N modes."""
    return thermal(np.zeros(checks.integer("n_modes", n_modes, minimum=1, error=ScenarioError)))


def squeezed(squeezing: Any, angle: Any = 0.0, occupation: Any = 0.0) -> Moments:
    r"""Product of squeezed states of N modes, pure or thermal.

    The variances are :math:`(n + \tfrac12)e^{-2r}` along
    :math:`z\cos\theta + p\sin\theta` and :math:`(n + \tfrac12)e^{2r}` across.

    Parameters
    ----------
    squeezing : float or (N,) float
        r of each mode.
    angle : float or (N,) float
        :math:`\theta` [rad].
    occupation : float or (N,) float
        n before squeezing.

    Returns
    -------
    Moments
        In quadratures.

    Raises
    ------
    ScenarioError
        If a shape does not fit or an occupation is negative.
    """
    given = {"squeezing": squeezing, "angle": angle, "occupation": occupation}
    try:
        arrays = np.broadcast_arrays(*(np.atleast_1d(checks.real_numbers(*item)) for item in given.items()))
    except ValueError as error:
        if isinstance(error, ScenarioError):
            raise
        shapes = ", ".join(f"{name} {np.shape(value)}" for name, value in given.items())
        raise ScenarioError(f"Each mode needs one value of each, but the shapes are {shapes}.") from None
    r, theta, quanta = (checks.array(name, value, ("N",)) for name, value in zip(given, arrays, strict=True))
    noise = checks.positive("occupation", quanta, or_zero=True) + 0.5
    with checks.in_range():
        low, high = noise * np.exp(-2.0 * r), noise * np.exp(2.0 * r)
    cosine, sine = np.cos(theta), np.sin(theta)
    zz, pp = low * cosine**2 + high * sine**2, low * sine**2 + high * cosine**2
    zp = np.diag((low - high) * cosine * sine)
    return Moments(np.zeros(2 * len(r)), np.block([[np.diag(zz), zp], [zp, np.diag(pp)]]))


def two_mode_squeezed(squeezing: float, occupation: float = 0.0) -> Moments:
    r"""Two modes squeezed together, pure or thermal: :math:`z_1 - z_2` and :math:`p_1 + p_2` are quiet.

    The logarithmic negativity is :math:`\max(0, 2|r| - \ln(2n + 1))`.

    Parameters
    ----------
    squeezing : float
        r; of negative r the other two are quiet.
    occupation : float
        n of both before squeezing.

    Returns
    -------
    Moments
        In quadratures.

    Raises
    ------
    ScenarioError
        If the occupation is negative or a number is not finite.
    """
    r = float(checks.array("squeezing", squeezing, ()))
    noise = float(checks.positive("occupation", checks.array("occupation", occupation, ()), or_zero=True)) + 0.5
    own, common = noise * np.cosh(2.0 * r) * np.eye(2), noise * np.sinh(2.0 * r) * np.array([[0.0, 1.0], [1.0, 0.0]])
    none = np.zeros((2, 2))
    return Moments(np.zeros(4), np.block([[own + common, none], [none, own - common]]))
