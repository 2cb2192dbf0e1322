r"""How light holds the orientation of particles that are no spheres: torques as they turn, and librations.

Turning a particle by a small angle :math:`d\theta_b` about an axis changes its polarizability by
:math:`d\alpha = (L_b \alpha - \alpha L_b)\,d\theta_b` with :math:`L_b v = e_b \times v`.
"""

from __future__ import annotations

import numpy as np
from scipy import constants

from stochbind import checks
from stochbind.checks import ComplexArray, FloatArray
from stochbind.optics.dipoles import Dipoles

#: ``_TURN[b] @ v`` is ``e_b x v``.
_TURN = np.array([[np.cross(axis, unit) for unit in np.eye(3)] for axis in np.eye(3)]).swapaxes(-1, -2)


def torque_derivative(dipoles: Dipoles, position: FloatArray) -> FloatArray:
    r"""Change of the torque on each particle as it turns, the field at it held fixed.

    .. math::

        \frac{dN}{d\theta_b} = \frac{\varepsilon_0}{2} \mathrm{Re}\left[
            dP_b^* \times (E + i\tfrac{k^3}{6\pi} P) + P^* \times i\tfrac{k^3}{6\pi} dP_b\right], \qquad
        dP_b = (L_b\alpha - \alpha L_b) E,

    and the same of the magnetic dipole; see `Dipoles.torque`. What the others scatter back because of the turn, an
    effect of second order in their light, is left out: exact for one particle.

    Parameters
    ----------
    dipoles : Dipoles
        The particles and their light.
    position : (N, 3) float
        Their places [m].

    Returns
    -------
    (N, 3, 3) float
        ``result[j, a, b]``: torque on j about a per rotation of j about b [N m]. Where the symmetric part has a
        positive eigenvalue, the light does not hold the orientation.

    Raises
    ------
    ScenarioError
        If particles overlap.
    """
    found = dipoles.solve(dipoles.checked_array(position))
    whole = _derivative(dipoles, found.incident + found.scattered, found.dipole)
    if dipoles.scattering == "single":
        whole = whole - _derivative(dipoles, found.scattered, np.einsum("nij,nj->ni", dipoles.alpha, found.scattered))
    return whole


def _derivative(dipoles: Dipoles, field: ComplexArray, dipole: ComplexArray) -> FloatArray:
    reaction = 1j * dipoles.reaction[:, None]
    result = np.zeros((dipoles.n_particles, 3, 3))
    tensors = (dipoles.polarizability, dipoles.magnetic)[: dipoles.size // 3]
    for part, alpha in zip((slice(0, 3), slice(3, 6)), tensors, strict=False):
        assert alpha is not None
        e, p = field[:, part], dipole[:, part]
        for b, turn in enumerate(_TURN):
            change = np.einsum("nij,nj->ni", turn @ alpha - alpha @ turn, e)
            by_dipole = np.cross(change.conj(), e + reaction * p)
            result[:, :, b] += (by_dipole + np.cross(p.conj(), reaction * change)).real
    return 0.5 * constants.epsilon_0 * result


def libration_rates(derivative: FloatArray, inertia: FloatArray) -> ComplexArray:
    r"""Angular frequencies of small rotations, :math:`\sqrt{\mathrm{eig}(-I^{-1}\,dN/d\theta)}`.

    Parameters
    ----------
    derivative : (N, 3, 3) float
        Of `torque_derivative` [N m].
    inertia : (N, 3, 3) float
        Tensors of inertia in the laboratory's frame [kg m^2].

    Returns
    -------
    (N, 3) complex
        [rad/s], in ascending order of their squares. Imaginary where the orientation is not held; zero, up to
        round-off, for turns that change nothing.

    Raises
    ------
    ScenarioError
        If a shape is wrong, or a tensor of inertia is not positive.
    """
    given = checks.array("derivative", derivative, ("N", 3, 3))
    tensor = checks.array("inertia", inertia, (len(given), 3, 3))
    checks.positive("inertia", np.asarray(np.linalg.eigvalsh(tensor), dtype=np.float64))
    square = np.linalg.eigvals(-np.linalg.solve(tensor, given)).astype(np.complex128)
    order = np.argsort(square.real, axis=-1, kind="stable")
    return np.asarray(np.sqrt(np.take_along_axis(square, order, axis=-1)))
