r"""Complex amplitudes, such as those of modes in a rotating frame, as real coordinates.

:math:`\dot a = -iHa + c + \xi` for M amplitudes :math:`a = (z + ip)/\sqrt2`, with H not necessarily Hermitian and
:math:`\langle\xi_j(t)\xi_k^*(t')\rangle = \Gamma_{jk}\,\delta(t-t')`,
:math:`\langle\xi_j(t)\xi_k(t')\rangle = C_{jk}\,\delta(t-t')`. As coordinates they are the M real parts first, then
the M imaginary parts. `stochbind.Langevin.from_complex` makes the equations of motion.

With normally ordered noise, :math:`\Gamma_{jk} = \langle\xi_k^\dagger\xi_j\rangle`, averages of amplitudes are
normally ordered too; with symmetrically ordered noise (that of the Wigner function) they are larger by half a quantum
for each mode. C is the same in both orderings.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from stochbind import checks
from stochbind.checks import PSD_TOLERANCE, ComplexArray, FloatArray
from stochbind.errors import NoiseError, PlanError, ScenarioError


def real_form(H: Any, Gamma: Any, C: Any = None) -> tuple[FloatArray, FloatArray]:
    r"""The equations :math:`\dot a = -iHa + \xi` in real coordinates.

    .. math:: A = \begin{pmatrix} \mathrm{Im}H & \mathrm{Re}H \\ -\mathrm{Re}H & \mathrm{Im}H \end{pmatrix}

    and :math:`B B^T` as in `real_covariance`.

    Parameters
    ----------
    H : (M, M) complex
        Dynamical matrix [1/s]; its eigenvalues have negative imaginary parts where modes decay.
    Gamma : (M, M) complex
        :math:`\Gamma_{jk}` [1/s], Hermitian, positive semidefinite.
    C : (M, M) complex, optional
        :math:`C_{jk}` [1/s], symmetric; zero by default.

    Returns
    -------
    tuple of (2M, 2M) float
        A and :math:`B B^T` [1/s].

    Raises
    ------
    ScenarioError
        If a shape is wrong or a number is not finite.
    NoiseError
        If no noise has these covariances: the matrix :math:`(\Gamma, C; C^*, \Gamma^*)` has a negative eigenvalue.
    """
    matrix = checks.complex_array("H", H, ("M", "M"))
    m = len(matrix)
    noise = checks.complex_array("Gamma", Gamma, (m, m))
    anomalous = checks.complex_array("C", np.zeros((m, m)) if C is None else C, (m, m))
    drift = np.block([[matrix.imag, matrix.real], [-matrix.real, matrix.imag]])
    return drift, _possible_covariance("Gamma", noise, "C", anomalous)


def real_covariance(correlation: Any, anomalous: Any = None) -> FloatArray:
    r"""Covariance, (2M, 2M), of the real and imaginary parts of amplitudes with given correlations.

    .. math::

        \langle xx^T\rangle = \tfrac12\mathrm{Re}(N + M), \quad \langle yy^T\rangle = \tfrac12\mathrm{Re}(N - M), \quad
        \langle yx^T\rangle = \tfrac12\mathrm{Im}(M + N), \quad \langle xy^T\rangle = \tfrac12\mathrm{Im}(M - N)

    For initial states: the vacuum is ``real_covariance(0 * identity)`` in normal order, and
    ``real_covariance(identity / 2)`` in symmetric order.

    Parameters
    ----------
    correlation : (M, M) complex
        :math:`N_{jk} = \langle a_ja_k^*\rangle`, without the mean. Hermitian.
    anomalous : (M, M) complex, optional
        :math:`M_{jk} = \langle a_ja_k\rangle`, without the mean. Symmetric; zero by default.

    Raises
    ------
    ScenarioError
        If a shape is wrong or a number is not finite.
    NoiseError
        If no amplitudes have these correlations.
    """
    normal = checks.complex_array("correlation", correlation, ("M", "M"))
    m = len(normal)
    pair = checks.complex_array("anomalous", np.zeros((m, m)) if anomalous is None else anomalous, (m, m))
    return _possible_covariance("correlation", normal, "anomalous", pair)


def correlation(covariance: Any, mean: Any = None) -> ComplexArray:
    r"""Correlations :math:`N_{jk} = \langle a_ja_k^*\rangle` of amplitudes.

    With normally ordered noise this is :math:`\langle a_k^\dagger a_j\rangle`, with symmetrically ordered noise
    :math:`\langle a_k^\dagger a_j\rangle + \delta_{jk}/2`. The occupation of the mode :math:`\sum_j v_j^*a_j` is
    :math:`v^\dagger Nv`.

    Parameters
    ----------
    covariance : (..., 2M, 2M) float
        Covariance of the real and imaginary parts, or their second moments.
    mean : (..., 2M) float, optional
        Mean to be added to a covariance, as :math:`\langle a_j\rangle\langle a_k\rangle^*`.

    Returns
    -------
    (..., M, M) complex
        N, Hermitian.

    Raises
    ------
    ScenarioError
        If a shape is wrong.
    """
    xx, xy, yx, yy = _blocks(covariance, mean)
    result: ComplexArray = xx + yy + 1j * (yx - xy)
    return result


def anomalous_correlation(covariance: Any, mean: Any = None) -> ComplexArray:
    r"""Correlations :math:`M_{jk} = \langle a_ja_k\rangle` of amplitudes: what squeezing makes, in either ordering.

    Parameters
    ----------
    covariance : (..., 2M, 2M) float
        Covariance of the real and imaginary parts, or their second moments.
    mean : (..., 2M) float, optional
        Mean to be added to a covariance, as :math:`\langle a_j\rangle\langle a_k\rangle`.

    Returns
    -------
    (..., M, M) complex
        M, symmetric.

    Raises
    ------
    ScenarioError
        If a shape is wrong.
    """
    xx, xy, yx, yy = _blocks(covariance, mean)
    result: ComplexArray = xx - yy + 1j * (xy + yx)
    return result


def occupation(covariance: Any, mean: Any = None, *, ordering: str = "normal") -> FloatArray:
    r"""Occupations :math:`\langle a_j^\dagger a_j\rangle`.

    Parameters
    ----------
    covariance : (..., 2M, 2M) float
        Covariance of the real and imaginary parts, or their second moments.
    mean : (..., 2M) float, optional
        Mean to be added to a covariance.
    ordering : {"normal", "symmetric"}
        Ordering of the noise. For "symmetric", half a quantum is taken away.

    Returns
    -------
    (..., M) float
        Occupations [quanta].

    Raises
    ------
    PlanError
        If the ordering is unknown.
    ScenarioError
        If a shape is wrong.
    """
    if ordering not in ("normal", "symmetric"):
        raise PlanError(f'`ordering` must be "normal" or "symmetric", but is {checks.short(ordering)}.')
    number = np.diagonal(correlation(covariance, mean), axis1=-2, axis2=-1).real
    result: FloatArray = number - (0.5 if ordering == "symmetric" else 0.0)
    return result


def amplitude(record: Any) -> ComplexArray:
    """Complex amplitudes, (..., M), of a record of states.

    Parameters
    ----------
    record : (..., 2M) float
        States, real parts first.

    Raises
    ------
    ScenarioError
        If the number of coordinates is odd.
    """
    state = np.asarray(record, dtype=np.float64)
    if state.ndim == 0 or state.shape[-1] % 2:
        raise ScenarioError(
            f"`record` must hold real and then imaginary parts, (..., 2M), but has shape {state.shape}."
        )
    m = state.shape[-1] // 2
    return state[..., :m] + 1j * state[..., m:]


def real_parts(amplitude: Any) -> FloatArray:
    """States, (..., 2M), of complex amplitudes: the inverse of `amplitude`.

    Parameters
    ----------
    amplitude : (..., M) complex
        Amplitudes.
    """
    value = np.atleast_1d(np.asarray(amplitude, dtype=np.complex128))
    return np.concatenate([value.real, value.imag], axis=-1)


def to_symmetric(H: Any, Gamma: Any) -> ComplexArray:
    r"""Symmetrically ordered noise, from normally ordered noise.

    Commutators are kept in time only if :math:`[\xi_j, \xi_k^\dagger] = i(H - H^\dagger)_{jk}\,\delta(t-t')`. With
    :math:`\Gamma_{jk} = \langle\xi_k^\dagger\xi_j\rangle`, half of the anticommutator is therefore

    .. math:: \Gamma^\mathrm{sym} = \Gamma + \tfrac i2(H - H^\dagger)

    Parameters
    ----------
    H : (M, M) complex
        Dynamical matrix [1/s].
    Gamma : (M, M) complex
        Normally ordered :math:`\Gamma` [1/s].

    Returns
    -------
    (M, M) complex
        :math:`\Gamma^\mathrm{sym}` [1/s].

    Raises
    ------
    ScenarioError
        If a shape is wrong or a number is not finite.
    NoiseError
        If no quantum noise has this covariance: :math:`\Gamma` or the antinormally ordered
        :math:`\Gamma + i(H - H^\dagger)` has a negative eigenvalue.
    """
    matrix = checks.complex_array("H", H, ("M", "M"))
    normal = checks.complex_array("Gamma", Gamma, matrix.shape)
    commutator = 1j * (matrix - matrix.conj().T)
    _require_quantum(normal, _sum(normal, commutator))
    return _sum(normal, 0.5 * commutator)


def to_normal(H: Any, Gamma: Any) -> ComplexArray:
    r"""Normally ordered noise, :math:`\Gamma^\mathrm{sym} - \tfrac i2(H - H^\dagger)`; the inverse of `to_symmetric`.

    Parameters
    ----------
    H : (M, M) complex
        Dynamical matrix [1/s].
    Gamma : (M, M) complex
        Symmetrically ordered :math:`\Gamma^\mathrm{sym}` [1/s].

    Returns
    -------
    (M, M) complex
        Normally ordered :math:`\Gamma` [1/s].

    Raises
    ------
    ScenarioError, NoiseError
        As `to_symmetric` does.
    """
    matrix = checks.complex_array("H", H, ("M", "M"))
    symmetric = checks.complex_array("Gamma", Gamma, matrix.shape)
    commutator = 1j * (matrix - matrix.conj().T)
    normal = _sum(symmetric, -0.5 * commutator)
    _require_quantum(normal, _sum(symmetric, 0.5 * commutator))
    return normal


def optical_binding_pair(
    reciprocal_coupling: float, antireciprocal_coupling: float, detuning: float, diffusion: Any
) -> tuple[ComplexArray, ComplexArray]:
    r"""Two optically bound particles in the rotating frame.

    Rudolph et al., Phys. Rev. Lett. 133, 233603 (2024), eqs. (8), (10), (11), in the frame that rotates at the mean
    frequency, binding included:

    .. math::

        H = \begin{pmatrix} -\delta\omega/2 + g_a & -g_r - g_a \\ -g_r + g_a & \delta\omega/2 - g_a \end{pmatrix},
        \qquad \Gamma_{jk} = D_{jk}

    Particle 1 has the frequency :math:`\omega - \delta\omega/2`. The paper prints :math:`2D` for the noise of the
    amplitudes; that is the noise of a momentum, and of :math:`a = (z + ip)/\sqrt2` it is half.

    Parameters
    ----------
    reciprocal_coupling, antireciprocal_coupling : float
        :math:`g_r` and :math:`g_a` [rad/s]; :math:`g_r + g_a` is the effect on particle 1 of particle 2.
    detuning : float
        :math:`\delta\omega` [rad/s].
    diffusion : (2, 2) complex
        :math:`D` of the dimensionless momenta [1/s]; Hermitian, with :math:`\mathrm{Im}D_{12} = g_a`.

    Returns
    -------
    tuple of (2, 2) complex
        H and the normally ordered :math:`\Gamma` [1/s]; the symmetrically ordered one is the real part of D.

    Raises
    ------
    ScenarioError
        If a shape is wrong, a number is not finite, or the imaginary part of :math:`D_{12}` is not :math:`g_a`.
    NoiseError
        If the diffusion is not positive semidefinite.
    """
    g_r = float(checks.array("reciprocal_coupling", reciprocal_coupling, ()))
    g_a = float(checks.array("antireciprocal_coupling", antireciprocal_coupling, ()))
    delta = float(checks.array("detuning", detuning, ()))
    noise = checks.complex_array("diffusion", diffusion, (2, 2))
    checks.positive_semidefinite("diffusion", noise)
    if not abs(noise[0, 1].imag - g_a) <= 1e-6 * abs(noise[0, 0]):
        raise ScenarioError(
            f"The imaginary part of `diffusion[0, 1]` must be `antireciprocal_coupling`, {g_a:.6g}, but is "
            f"{noise[0, 1].imag:.6g}: the same scattered light makes both."
        )
    matrix = np.array([[g_a - delta / 2, -g_r - g_a], [g_a - g_r, delta / 2 - g_a]], dtype=np.complex128)
    return matrix, noise


def _possible_covariance(name: str, hermitian: ComplexArray, other: str, symmetric: ComplexArray) -> FloatArray:
    """Covariance of real and imaginary parts, of noise or of amplitudes; raise `NoiseError` where there is none."""
    checks.positive_semidefinite(name, hermitian)
    if not np.allclose(symmetric, symmetric.T, rtol=1e-10, atol=1e-14 * float(np.abs(symmetric).max())):
        j, k = np.unravel_index(np.argmax(np.abs(symmetric - symmetric.T)), symmetric.shape)
        raise NoiseError(
            f"`{other}` must be symmetric, but element [{j}, {k}] is {symmetric[j, k]:.6g} and [{k}, {j}] is "
            f"{symmetric[k, j]:.6g}.",
            float("nan"),
        )
    n, m = 0.5 * (hermitian + hermitian.conj().T), 0.5 * (symmetric + symmetric.T)
    checks.positive_semidefinite(
        f"[[{name}, {other}], [{other}*, {name}*]]",
        np.block([[n, m], [m.conj(), n.conj()]]),
        f" Make `{other}` smaller or `{name}` larger; squeezed quantum noise needs symmetric ordering.",
    )
    covariance = 0.5 * np.block([[(n + m).real, (m - n).imag], [(m + n).imag, (n - m).real]])
    scale = np.tile(np.sqrt(np.diagonal(n).real), 2)
    inverse = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
    value, vector = np.linalg.eigh(covariance * inverse[:, None] * inverse)
    if value[0] < PSD_TOLERANCE * value[-1]:
        # Noise of fewer quadratures than there are: round-off of the differences above could leave a variance of
        # zero beside a covariance. The square of a root cannot.
        root = scale[:, None] * vector * np.sqrt(np.clip(value, 0.0, None))
        covariance = root @ root.T
    return covariance


def _sum(noise: ComplexArray, commutator: ComplexArray) -> ComplexArray:
    """Return the sum, with zero where it is round-off: at the limit of the vacuum the two cancel."""
    total = noise + commutator
    size = np.sqrt(np.diagonal(np.abs(noise) + np.abs(commutator)))
    return np.where(np.abs(total) <= 1e-14 * np.outer(size, size), 0.0, total)


def _require_quantum(normal: ComplexArray, antinormal: ComplexArray) -> None:
    """Raise `NoiseError` unless both orderings of the noise are positive semidefinite."""
    checks.positive_semidefinite(
        "normally ordered Gamma", normal, " No quantum noise is weaker than that of the vacuum."
    )
    checks.positive_semidefinite(
        "antinormally ordered Gamma", antinormal, " Modes that grow need at least the noise of their gain."
    )


def _blocks(covariance: Any, mean: Any) -> tuple[npt.NDArray[np.float64], ...]:
    """Second moments of real and imaginary parts: those of xx, xy, yx and yy."""
    if np.iscomplexobj(covariance) or np.iscomplexobj(mean):
        raise ScenarioError(
            "`covariance` and `mean` must be those of the real and imaginary parts, but are complex; for a matrix of "
            "amplitudes the occupations are its diagonal."
        )
    second = np.asarray(covariance, dtype=np.float64)
    if second.ndim < 2 or second.shape[-1] != second.shape[-2] or second.shape[-1] % 2:
        raise ScenarioError(f"`covariance` must have the shape (..., 2M, 2M), but has {second.shape}.")
    if mean is not None:
        centre = np.asarray(mean, dtype=np.float64)
        if centre.shape[-1:] != second.shape[-1:]:
            raise ScenarioError(f"`mean` must have the shape (..., {second.shape[-1]}), but has {centre.shape}.")
        second = second + centre[..., :, None] * centre[..., None, :]
    m = second.shape[-1] // 2
    return second[..., :m, :m], second[..., :m, m:], second[..., m:, :m], second[..., m:, m:]
