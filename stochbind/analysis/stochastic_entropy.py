r"""Entropy produced along single paths, of the states that a record keeps.

States of a linear system that are kept every h form a Gaussian Markov chain, :math:`x' = E x + e + \eta` with
:math:`\eta \sim N(0, S)`; see `stochbind.Langevin.propagator`. So the probability density of a path
:math:`x_0, \ldots, x_n` of the steady state is known exactly, and so is that of the path backwards, in which the signs
of velocities are flipped by :math:`\varepsilon`. Their ratio is the entropy produced along the path, in units of
:math:`k_B` (Seifert, Rep. Prog. Phys. 75, 126001 (2012)):

.. math:: \Delta s = \ln\frac{p(x_0) \prod_k p(x_{k+1} | x_k)}
                             {p(\varepsilon x_n) \prod_k p(\varepsilon x_k | \varepsilon x_{k+1})}.

It obeys :math:`\langle e^{-\Delta s} \rangle = 1` and :math:`p(\Delta s) = e^{\Delta s} p(-\Delta s)` for any h. What
happens between kept states is not seen, so that its mean is below the entropy production of the continuous motion,
which it reaches as h becomes short.
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from stochbind import checks
from stochbind.analysis.loops import half_products
from stochbind.checks import FloatArray
from stochbind.errors import NoiseError, PlanError, ScenarioError
from stochbind.langevin import Langevin
from stochbind.propagation import covariance_root
from stochbind.stability import Coordinate

#: Quantities that change sign when time runs backwards.
_ODD = ("velocity", "imaginary")
#: Noise counts as degenerate if the smallest eigenvalue of its correlation matrix is below this.
_DEGENERATE = 1e-9


def parity(equations: Langevin) -> FloatArray:
    """Sign of each coordinate when time runs backwards: minus one for velocities; shape (d,)."""
    return np.array([-1.0 if c.quantity in _ODD else 1.0 for c in equations.coordinate])


class SampledChain:
    r"""The steady state as its states every h show it: probabilities of paths, forwards and backwards.

    Parameters
    ----------
    equations : Langevin
        Linear, with a steady state and with noise along every driven coordinate.
    interval : float
        Time between states h [s].

    Raises
    ------
    ScenarioError
        If there are forces beyond the linear ones, or a steady velocity.
    NoiseError
        If there is a direction without noise of its own.
    UnstableError
        If there is no steady state.
    PlanError
        If the interval is not positive.
    """

    def __init__(self, equations: Langevin, interval: float) -> None:
        if equations.forces:
            raise ScenarioError(
                "The entropy produced along a path is known for linear equations, but there are "
                f"{len(equations.forces)} forces beyond the linear ones; leave them out, or linearise them."
            )
        if not (math.isfinite(interval) and interval > 0):
            raise PlanError(f"`interval` must be positive, but is {interval}.")
        _require_noise(equations)
        equations.require_stable("The entropy produced along a path")
        self.equations = equations
        self.interval = float(interval)
        self.parity = parity(equations)
        self.center, covariance = equations.stationary
        moving = np.flatnonzero((self.parity < 0) & (np.abs(self.center) > 1e-12 * np.sqrt(np.diagonal(covariance))))
        if len(moving):
            i = int(moving[0])
            raise ScenarioError(
                f"The steady state must be at rest on average, but the mean of {_name(equations.coordinate[i])} is "
                f"{self.center[i] * equations.unit[i]:.6g}; take out the constant drift."
            )
        step = equations.propagator(self.interval)
        self._matrix = step.matrix
        self._noise_root = covariance_root(step.covariance)
        self._steady_root = covariance_root(covariance)
        # Residuals are divided by the standard deviations of the noise, so that nothing small is lost beside large.
        self._whiten = _inverse_root(step.covariance, equations, "the noise of one interval")
        self._whiten_steady = _inverse_root(covariance, equations, "the steady state")

    def medium(self, before: FloatArray, after: FloatArray) -> FloatArray:
        r"""Entropy given to the surroundings in one step, :math:`\ln p(x'|x)/p(\varepsilon x|\varepsilon x')`.

        Half the difference of two squares, of the residuals :math:`x' - Ex - e` and
        :math:`\varepsilon x - E\varepsilon x' - e` in units of the noise. In thermal baths it tends to minus the heat
        over :math:`k_B T` of each bath as h becomes short.

        Parameters
        ----------
        before, after : (..., d) float
            Successive scaled states, of the same shape.

        Returns
        -------
        (...) float
            In units of :math:`k_B`.
        """
        return self._half_products(before, after, *self._step_residuals)

    def _half_products(self, before: FloatArray, after: FloatArray, late: FloatArray, early: FloatArray) -> FloatArray:
        shape = (1, 1, *after.shape)[-max(3, after.ndim) :]
        x, y = (state.reshape(math.prod(shape[:-2]), *shape[-2:]) for state in (before, after))
        result = np.empty(y.shape[:2])
        half_products(x, y, self.center, late, early, result)
        return result.reshape(after.shape[:-1])

    @cached_property
    def _step_residuals(self) -> tuple[FloatArray, FloatArray]:
        """Matrices from the later and the earlier state to sum and difference of the two whitened residuals."""
        sign = self.parity[None, :]
        now, then = self._whiten, self._whiten @ self._matrix
        late = np.concatenate([now - then * sign, -now - then * sign])
        early = np.concatenate([now * sign - then, now * sign + then])
        return late, early

    @cached_property
    def _end_residuals(self) -> tuple[FloatArray, FloatArray]:
        """The same for the ends of a path, which are whitened as the steady state."""
        flipped = self._whiten_steady * self.parity[None, :]
        late, early = np.concatenate([flipped, flipped]), np.concatenate([self._whiten_steady, -self._whiten_steady])
        return late, early

    def system(self, first: FloatArray, last: FloatArray) -> FloatArray:
        r"""Entropy that the system itself gains along a path, :math:`\ln p(x_0)/p(\varepsilon x_n)`.

        The path backwards begins in the steady state too, as the detailed theorem needs. Where that state is not the
        same when all velocities are flipped, this is on average not zero but `reversal`, once for each path.

        Parameters
        ----------
        first, last : (..., d) float
            First and last scaled state of each path.

        Returns
        -------
        (...) float
            In units of :math:`k_B`.
        """
        return self._half_products(first, last, *self._end_residuals)

    def total(self, path: FloatArray) -> FloatArray:
        """Entropy produced along whole paths.

        Parameters
        ----------
        path : (..., n + 1, d) float
            Successive scaled states.

        Returns
        -------
        (...) float
            In units of :math:`k_B`.
        """
        medium = self.medium(path[..., :-1, :], path[..., 1:, :]).sum(axis=-1)
        result: FloatArray = medium + self.system(path[..., 0, :], path[..., -1, :])
        return result

    @cached_property
    def _backward(self) -> tuple[FloatArray, FloatArray]:
        r"""The whitened residual of the step backwards is :math:`K x - Y \nu` if that of the step is :math:`\nu`."""
        flip = self.parity[:, None]
        return_trip = np.diag(self.parity) - self._matrix @ (flip * self._matrix)
        state: FloatArray = self._whiten @ return_trip
        noise: FloatArray = self._whiten @ self._matrix @ (flip * self._noise_root)
        return state, noise @ self._orthogonal

    @cached_property
    def _orthogonal(self) -> FloatArray:
        """From whitened noise to the noise that the symmetric root takes; orthogonal."""
        result: FloatArray = np.linalg.inv(self._whiten @ self._noise_root).astype(np.float64)
        return result

    @cached_property
    def per_step(self) -> float:
        r"""Exact mean entropy production per step, in units of :math:`k_B`.

        .. math:: \tfrac12\left(\mathrm{tr}\,S^{-1} K \Sigma K^T +
                  \mathrm{tr}\,S^{-1} E \varepsilon S \varepsilon E^T - d\right),
                  \qquad K = \varepsilon - E \varepsilon E.
        """
        state, noise = self._backward
        spread = state @ self._steady_root
        return 0.5 * float((spread**2).sum() + ((noise**2).sum() - len(noise)))

    @property
    def rate(self) -> float:
        r"""Exact mean entropy production per time [1/s], in units of :math:`k_B`: the least that the motion produces.

        It tends to the entropy production rate of the continuous motion, from below, as the interval becomes short.
        """
        return self.per_step / self.interval

    @cached_property
    def reversal(self) -> float:
        r"""Divergence of the steady state from itself with all velocities flipped, in units of :math:`k_B`.

        .. math:: \tfrac12\left(\mathrm{tr}\,\Sigma^{-1}\varepsilon\Sigma\varepsilon - d\right)
        """
        spread = self._whiten_steady @ (self.parity[:, None] * self._steady_root)
        return 0.5 * (float((spread**2).sum()) - len(spread))

    def mean(self, n_steps: int) -> float:
        """Exact mean entropy produced along paths of so many steps, in units of :math:`k_B`."""
        return n_steps * self.per_step + self.reversal

    def generating_function(self, exponent: float, n_steps: int) -> FloatArray:
        r"""Exact mean of :math:`e^{-\lambda \Delta s}` along paths of 1, 2, ... steps.

        One Gaussian integral after the other, from the end of the path to its beginning: with
        :math:`\ln\langle e^{-\lambda\Delta s} | x_k\rangle = -\tfrac12 x_k^T P_k x_k - c_k`, noise in whitened form and
        Y, K those of the step backwards,

        .. math:: N = (1-\lambda) + \lambda Y^T Y + L^T P_{k+1} L, \quad J = \lambda Y^T K - L^T P_{k+1} E, \quad
                  P_k = \lambda K^T K + E^T P_{k+1} E - J^T N^{-1} J, \quad c_k = c_{k+1} + \tfrac12\ln\det N.

        It is one at exponents zero and one, and the same at :math:`\lambda` and :math:`1 - \lambda`: the theorems.

        Parameters
        ----------
        exponent : float
            :math:`\lambda`; its cumulants are the derivatives at zero.
        n_steps : int
            Largest number of steps.

        Returns
        -------
        (n_steps,) float
            The mean for each number of steps; infinite where rare paths make it diverge.
        """
        checks.integer("n_steps", n_steps, minimum=1, error=PlanError)
        state, noise = self._backward
        root = self._noise_root @ self._orthogonal
        d = len(root)
        steady = self._steady_root
        inverse = self._whiten_steady.T @ self._whiten_steady
        form = exponent * (self.parity[:, None] * inverse * self.parity[None, :])
        constant = 0.0
        result = np.full(n_steps, np.inf)
        fixed = (1.0 - exponent) * np.eye(d) + exponent * (noise.T @ noise)
        for count in range(n_steps):
            pushed = root.T @ form
            curvature = np.linalg.eigvalsh(fixed + pushed @ root)
            if curvature[0] <= 0.0:
                break  # and longer paths only add to what diverges
            mixed = exponent * (noise.T @ state) - pushed @ self._matrix
            form = exponent * (state.T @ state) + self._matrix.T @ form @ self._matrix
            form = form - mixed.T @ np.linalg.solve(fixed + pushed @ root, mixed)
            form = 0.5 * (form + form.T)
            constant += 0.5 * float(np.log(curvature).sum())
            final = np.linalg.eigvalsh((1.0 - exponent) * np.eye(d) + steady.T @ form @ steady)
            if final[0] > 0.0:
                result[count] = math.exp(-constant - 0.5 * float(np.log(final).sum()))
        return result


def _require_noise(equations: Langevin) -> None:
    """Raise `NoiseError` unless noise drives every driven coordinate, or all where none is told to be driven."""
    driven = equations.driven if len(equations.driven) else np.arange(equations.dimension)
    noise = equations.noise_covariance[np.ix_(driven, driven)]
    silent = np.flatnonzero(np.diagonal(noise) <= 0)
    if len(silent):
        raise NoiseError(
            "The entropy produced along a path needs noise along every coordinate that forces drive, but there is none "
            f"along {_name(equations.coordinate[driven[silent[0]]])}; give it a bath above zero temperature.",
            0.0,
        )
    deviation = np.sqrt(np.diagonal(noise))
    value, vector = np.linalg.eigh(noise / np.outer(deviation, deviation))
    if value[0] < _DEGENERATE:
        who = equations.coordinate[driven[int(np.abs(vector[:, 0]).argmax())]]
        raise NoiseError(
            "The entropy produced along a path needs noise in every direction, but the noise along "
            f"{_name(who)} follows from that along others; give each a bath of its own.",
            float(value[0]),
        )


def _inverse_root(covariance: FloatArray, equations: Langevin, what: str) -> FloatArray:
    """Matrix that makes the covariance the identity, by way of the correlation matrix."""
    deviation = np.sqrt(np.diagonal(covariance))
    scale = np.where(deviation > 0, deviation, 1.0)
    value, vector = np.linalg.eigh(covariance / np.outer(scale, scale))
    if not (deviation > 0).all() or value[0] < _DEGENERATE * value[-1]:
        who = int(np.abs(vector[:, 0]).argmax())
        raise NoiseError(
            f"The entropy produced along a path cannot be resolved: {what} leaves a direction, mostly along "
            f"{_name(equations.coordinate[who])}, without noise of its own; use another interval, or give it a bath.",
            float(value[0] / value[-1]),
        )
    result: FloatArray = (vector / np.sqrt(value)).T / deviation
    return result


def _name(coordinate: Coordinate) -> str:
    return f"the {coordinate.quantity} of particle {coordinate.particle} along {coordinate.axis}"
