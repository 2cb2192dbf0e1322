r"""Chains and lattices of identical particles: couplings, correlated recoil, waves and stability.

All particles have the same mass, damping rate :math:`\gamma` and, optical binding included, frequency
:math:`\omega_0`. Rates are those of `stochbind.optics.pairs`: the force on j by k is :math:`2m\omega_0 c_{jk}` per
displacement, and the momentum diffusion is :math:`\hbar m\omega_0 D_{jk}`. Places are in units of 1/k, so that
distances are phases of light. A mode of the rates c with the eigenvalue :math:`\mu` moves as :math:`e^{\lambda t}` with

.. math:: \lambda^2 + \gamma\lambda + \omega_0^2 - 2\omega_0\mu = 0 .

Along a chain the phase step is :math:`\varphi_{j+1} - \varphi_j`. At a distance of kd = :math:`\pi/4` beside whole
turns and a step of :math:`\pi/4`, each particle acts on the next one, and not on the one before. PRA stands for Rudolph
et al., Phys. Rev. A 110, 063507 (2024).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from stochbind import checks
from stochbind.checks import ComplexArray, FloatArray
from stochbind.errors import ScenarioError
from stochbind.optics.lattices import finite_number, positive_number

#: Steps of Newton's method for equal frequencies, and the largest field, relative to that of the first.
_MOST_STEPS, _LARGEST_FIELD = 50, 10.0


def couplings(
    position: Any, phase: Any, coupling_rate: float = 1.0, *, polarization: float | None = None
) -> FloatArray:
    r"""Coupling rates of identical particles in equal tweezers, of any range.

    .. math::

        c_{jk} = \frac{C_{jk}}{2m\omega_0} = g\,\frac{d}{d_{jk}} \sin^2\vartheta_{jk}
        \cos\left[k d_{jk} - (\varphi_j - \varphi_k)\right]

    with d the distance of neighbours. Along a chain the phase is :math:`kd|j-k| - \varphi(j-k)`, with the phase step
    :math:`\varphi = \varphi_{j+1} - \varphi_j`.

    Parameters
    ----------
    position : (N, 2) float
        Places, in units of 1/k.
    phase : (N,) float
        Phases of the tweezers [rad].
    coupling_rate : float
        g, that of two neighbours whose phases bring out all of it.
    polarization : float, optional
        Angle between the light's linear polarization and the x axis [rad]; :math:`\vartheta` is that between the
        polarization and the line from j to k. By default the light couples equally in all directions, as circular
        polarization does, and all that is across the line of a chain: :math:`\sin\vartheta = 1`.

    Returns
    -------
    (N, N) float
        c, the effect on j of k; zero diagonal.

    Raises
    ------
    ScenarioError
        If a shape is wrong, a number is not finite, or two particles are in one place.

    References
    ----------
    PRA, eqs. (85) and (97). There the step is defined as :math:`\varphi_j - \varphi_{j+1}`, with which (97) would
    contradict (85) and (91); (97) and (99) hold with the step as it is here.
    """
    distance, angle, strength = _geometry(position, phase, polarization)
    return finite_number("coupling_rate", coupling_rate) * strength * np.cos(distance - angle)


def recoil(
    position: Any, phase: Any, recoil_rate: float, coupling_rate: float = 1.0, *, polarization: float | None = None
) -> ComplexArray:
    r"""Momentum diffusion by photon recoil of identical particles, in units of :math:`\hbar m\omega_0`.

    .. math::

        D_{jk} = D_{11}\delta_{jk} + g\,\frac{d}{d_{jk}} \sin^2\vartheta_{jk} \sin(k d_{jk})\,
        e^{i(\varphi_j - \varphi_k)}

    Its imaginary part makes the couplings differ, :math:`c_{jk} - c_{kj} = 2\,\mathrm{Im} D_{jk}`; the noise of
    trajectories has its real part only.

    Parameters
    ----------
    position, phase, coupling_rate, polarization
        As for `couplings`.
    recoil_rate : float
        :math:`D_{11}`.

    Returns
    -------
    (N, N) complex
        D, Hermitian.

    Raises
    ------
    ScenarioError
        As `couplings` does, or if the recoil rate is negative.
    NoiseError
        If D has a negative eigenvalue. That all pairs obey :math:`D_{jj}D_{kk} > |D_{jk}|^2` does not exclude it.

    References
    ----------
    PRA, eq. (87); Rudolph et al., Phys. Rev. Lett. 133, 233603 (2024), eq. (8).
    """
    distance, angle, strength = _geometry(position, phase, polarization)
    own = float(checks.positive("recoil_rate", checks.array("recoil_rate", recoil_rate, ()), or_zero=True))
    rate = finite_number("coupling_rate", coupling_rate)
    result: ComplexArray = rate * strength * np.sin(distance) * np.exp(1j * angle) + own * np.eye(len(distance))
    hint = " Raise `recoil_rate`, or lower `coupling_rate`."
    checks.positive_semidefinite("recoil", result, hint)
    return result


def symbol(wavenumber: Any, distance_phase: float, phase_step: float) -> ComplexArray:
    r"""Couplings of an endless chain to a wave :math:`z_j = e^{i\kappa j}`, in units of g: a sum in closed form.

    .. math::

        \mu(\kappa) = \sum_{m \ne 0} \frac{\cos(kd|m| - \varphi m)}{|m|}\,e^{-i\kappa m}
        = -\tfrac12 \sum_{\sigma = \pm} \left[\ln(1 - e^{i\sigma(kd - \varphi) - i\kappa})
        + \ln(1 - e^{i\sigma(kd + \varphi) + i\kappa})\right]

    With :math:`kd = \varphi = \pi/4` it is :math:`-\ln(1 - e^{-i\kappa}) - \tfrac12\ln(1 + e^{2i\kappa})`, with an
    imaginary part of exactly :math:`-\pi/2` for :math:`0 < \kappa < \pi/2`, :math:`\pi/2` for
    :math:`-\pi/2 < \kappa < 0`, and zero elsewhere. The sum does not converge absolutely, and diverges where an
    argument of a logarithm vanishes.

    Parameters
    ----------
    wavenumber : (...) float
        :math:`\kappa`, phase of the wave from particle to particle [rad].
    distance_phase, phase_step : float
        kd and :math:`\varphi` of neighbours [rad].

    Returns
    -------
    (...) complex
        :math:`\mu`.

    Raises
    ------
    ScenarioError
        If a number is not finite, or the sum diverges at a wavenumber.

    References
    ----------
    PRA, eq. (99), in closed form, at any distance and phase step.
    """
    kappa = checks.real_numbers("wavenumber", wavenumber)
    kd, step = finite_number("distance_phase", distance_phase), finite_number("phase_step", phase_step)
    total = np.zeros(kappa.shape, dtype=np.complex128)
    for sign in (1.0, -1.0):
        for exponent in (sign * (kd - step) - kappa, sign * (kd + step) + kappa):
            argument = 1.0 - np.exp(1j * exponent)
            lost = np.abs(argument) < 1e-12
            if lost.any():
                raise ScenarioError(
                    f"`wavenumber` must not be {float(kappa[lost][0]):.6g}, where the coupling of an endless chain "
                    "diverges; choose one beside it."
                )
            total -= 0.5 * np.log(argument)
    return total


def dispersion(
    wavenumber: Any, coupling_rate: float, frequency: float, distance_phase: float, phase_step: float
) -> ComplexArray:
    r"""Squared frequencies of waves along an endless chain without damping, :math:`\omega_0^2 - 2g\omega_0\mu`.

    Parameters
    ----------
    wavenumber, distance_phase, phase_step
        As for `symbol`, which is :math:`\mu`.
    coupling_rate, frequency : float
        g and :math:`\omega_0`, in one unit.

    Returns
    -------
    (...) complex
        :math:`\omega_\kappa^2`; waves :math:`e^{i\kappa j - i\omega t}` with a positive imaginary part of
        :math:`\omega` grow.

    Raises
    ------
    ScenarioError
        As `symbol` does, or if the frequency is not positive.

    References
    ----------
    PRA, eq. (99).
    """
    omega = positive_number("frequency", frequency)
    return omega**2 - 2.0 * finite_number("coupling_rate", coupling_rate) * omega * symbol(
        wavenumber, distance_phase, phase_step
    )


def growth_rate(coupling: Any, frequency: float, damping_rate: float) -> float:
    r"""Largest growth rate of an array, :math:`\max\mathrm{Re}\lambda`; negative if it is stable.

    From the eigenvalues :math:`\mu` of the couplings, :math:`\lambda = -\gamma/2 \pm
    \sqrt{\gamma^2/4 - \omega_0^2 + 2\omega_0\mu}`.

    Parameters
    ----------
    coupling : (N, N) float
        c, of `couplings`.
    frequency, damping_rate : float
        :math:`\omega_0` and :math:`\gamma`, in the unit of the couplings.

    Returns
    -------
    float
        Of the amplitude.

    Raises
    ------
    ScenarioError
        If a shape is wrong or a number is impossible.
    """
    matrix, omega, gamma = checked_array(coupling, frequency, damping_rate)
    root = np.sqrt(0.25 * gamma**2 - omega**2 + 2.0 * omega * np.linalg.eigvals(matrix) + 0j)
    return float(np.abs(root.real).max() - 0.5 * gamma)


def stability_limit(coupling: Any, frequency: float, damping_rate: float) -> float:
    r"""The factor by which couplings may grow before an array is unstable.

    A mode decays if and only if :math:`\gamma^2\,\mathrm{Re}K > (\mathrm{Im}K)^2`, with
    :math:`K = \omega_0^2 - 2\omega_0 s\mu`; the limit is the least positive root s over all eigenvalues :math:`\mu`.
    With couplings of unit rate it is the largest rate :math:`g_c`. Along the chain of PRA, Fig. 2(b), it tends to
    :math:`\gamma/\pi`, as :math:`|\mathrm{Im}\mu|` tends to :math:`\pi/2`; see `symbol`.

    Parameters
    ----------
    coupling, frequency, damping_rate
        As for `growth_rate`.

    Returns
    -------
    float
        Factor; infinite if no coupling makes the array unstable.

    Raises
    ------
    ScenarioError
        If a shape is wrong or a number is impossible.
    """
    matrix, omega, gamma = checked_array(coupling, frequency, damping_rate)
    value = np.linalg.eigvals(matrix)
    # 4 Im(mu)^2 s^2 + 2 gamma^2 Re(mu)/omega_0 s - gamma^2 = 0; this form of the root has no cancellation
    half = gamma**2 * value.real / omega
    below = half + np.sqrt(half**2 + 4.0 * gamma**2 * value.imag**2)
    largest = float(below.max())
    return gamma**2 / largest if largest > 0 else math.inf


def equalising_fields(relative_coupling: Any) -> FloatArray:
    r"""Field amplitudes at which all particles of an array have the frequency of the first, optical binding included.

    A trap is stiffer by the square of its field e, and a coupling by the product of two:
    :math:`e_j^2 + \sum_k r_{jk} e_j e_k` is made equal for all j, with :math:`e_1 = 1`, by Newton's method from equal
    fields.

    Parameters
    ----------
    relative_coupling : (N, N) float
        r: couplings of identical particles over the stiffness of a trap alone, all fields being equal.

    Returns
    -------
    (N,) float
        e, relative to the field of the first.

    Raises
    ------
    ScenarioError
        If there are no such fields near equal ones.

    References
    ----------
    PRA, text above eq. (96), where the renormalized spring constants are assumed to be equal.
    """
    ratio = checks.array("relative_coupling", relative_coupling, ("N", "N"))
    field = np.ones(len(ratio))
    for _ in range(_MOST_STEPS):
        bound = field * (field + ratio @ field)
        slope = np.diag(2.0 * field + ratio @ field) + field[:, None] * ratio
        matrix = slope[1:] - slope[0]
        missing = bound[1:] - bound[0]
        with np.errstate(all="ignore"):
            try:
                step = np.linalg.solve(matrix[:, 1:], missing)
            except np.linalg.LinAlgError:
                break
        field[1:] -= step
        if not ((field > 0) & (field < _LARGEST_FIELD)).all():
            break
        if np.abs(step).max(initial=0.0) < 1e-13:
            return field
    raise ScenarioError(
        "No powers of the tweezers make all frequencies equal; the particles are bound too strongly: put them farther "
        "apart."
    )


def checked_array(coupling: Any, frequency: Any, damping_rate: Any) -> tuple[FloatArray, float, float]:
    """Couplings (N, N), frequency and damping rate, or `ScenarioError` unless they can be those of an array."""
    matrix = checks.array("coupling", coupling, ("N", "N"))
    return matrix, positive_number("frequency", frequency), positive_number("damping_rate", damping_rate)


def _geometry(position: Any, phase: Any, polarization: float | None) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Distances, differences of phases, and relative strengths of all pairs, which are zero on the diagonal; (N, N)."""
    place = checks.array("position", position, ("N", 2))
    angle = checks.array("phase", phase, (len(place),))
    separation = place[:, None] - place
    distance = np.hypot(separation[..., 0], separation[..., 1])
    off = ~np.eye(len(place), dtype=bool)
    if not distance[off].all():
        j, k = np.argwhere(off & (distance == 0))[0]
        raise ScenarioError(f"`position` must hold different places, but position[{j}] and position[{k}] are one.")
    strength = np.zeros_like(distance)
    nearest = distance[off].min() if off.any() else 1.0
    strength[off] = nearest / distance[off]
    if polarization is not None:
        tilt = finite_number("polarization", polarization)
        across = separation[..., 0] * math.sin(tilt) - separation[..., 1] * math.cos(tilt)
        strength[off] *= (across[off] / distance[off]) ** 2
    return distance, angle[:, None] - angle, strength
