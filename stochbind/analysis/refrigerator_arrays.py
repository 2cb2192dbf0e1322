"""Arrays that refrigerate: many pairs side by side, and chains between two baths."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from stochbind import checks
from stochbind.checks import FloatArray
from stochbind.errors import ScenarioError
from stochbind.oscillators import Oscillators

#: How the particles of a chain are put into two baths.
Arrangement = Literal["alternating", "halves", "ends"]


def copies(array: Oscillators, number: int) -> Oscillators:
    """An array many times over, without interaction between the copies: N pairs that share two baths.

    Parameters
    ----------
    array : Oscillators
        Linear.
    number : int
        How many, at least 1.

    Returns
    -------
    Oscillators
        Copy i of oscillator j is oscillator ``i * N + j``, and baths are infinite. It moves N times the heat of one,
        for N times the work.

    Raises
    ------
    ScenarioError
        If the number is not one, or forces are not linear.
    """
    n = checks.integer("number", number, minimum=1, error=ScenarioError)
    if array.forces:
        raise ScenarioError("Copies are of linear arrays, but this one has forces beyond the linear ones.")
    identity: FloatArray = np.eye(n)
    return replace(
        array,
        stiffness=np.tile(array.stiffness, n),
        friction=np.tile(array.friction, n),
        bath_temperature=np.tile(array.bath_temperature, n),
        mass=None if array.mass is None else np.tile(array.mass, n),
        coupling=np.asarray(np.kron(identity, array.coupling), dtype=np.float64),
        baths=None,
        diffusion=np.kron(identity, np.asarray(array.diffusion)),
    )


def chain(
    n: int,
    *,
    coupling: float,
    ratio: float,
    temperature: tuple[float, float],
    arrangement: Arrangement = "alternating",
    stiffness: float = 1.0,
    friction: float = 1.0,
    mass: float | None = None,
) -> Oscillators:
    r"""A chain of equal oscillators with non-reciprocal couplings between neighbours, in reduced units.

    In an alternating chain and in one of two halves, couplings between the baths have the given ratio, so that the
    coefficient of performance is that of one pair, :math:`r/(1-r)`. With a bath at each end alone, every coupling has
    it, and each undamped particle in between hands on what it gets: the ratios multiply, the coefficient of
    performance is :math:`r^{N-1}/(1 - r^{N-1})`, and the chain cools as long as
    :math:`r^{N-1} < T_\mathrm{cold}/T_\mathrm{hot}`.

    Parameters
    ----------
    n : int
        Number of particles, at least 2.
    coupling : float
        Force on a particle per displacement of its neighbour on the colder side, and inside a bath on both.
    ratio : float
        Of the coupling the other way round to this.
    temperature : (float, float)
        Of the hot and the cold bath.
    arrangement : {"alternating", "halves", "ends"}
        Hot, cold, hot, cold and so on; the first half hot and the rest cold; or the first particle hot, the last one
        cold, and no bath for those between, which takes masses.
    stiffness, friction, mass : float
        Of each particle; without mass the chain is overdamped.

    Returns
    -------
    Oscillators
        The chain; it may be unstable.

    Raises
    ------
    ScenarioError
        If a number is impossible, or the arrangement is unknown.
    """
    n = checks.integer("n", n, minimum=2, error=ScenarioError)
    if arrangement not in ("alternating", "halves", "ends"):
        raise ScenarioError(f'`arrangement` must be "alternating", "halves" or "ends", but is {arrangement!r}.')
    if arrangement == "ends" and mass is None:
        raise ScenarioError('A chain with baths at its "ends" needs `mass`, as particles without friction move by it.')
    place, drag = np.arange(n), np.full(n, friction)
    cold = place % 2 == 1 if arrangement == "alternating" else place >= (n + 1) // 2
    if arrangement == "ends":
        cold = place == n - 1
        drag[1:-1] = 0.0
    matrix = np.zeros((n, n))
    for j in range(n - 1):
        onto_first, onto_second = coupling, coupling
        if arrangement == "ends" or cold[j + 1] > cold[j]:
            onto_second = ratio * coupling
        elif cold[j] > cold[j + 1]:
            onto_first = ratio * coupling
        matrix[j, j + 1], matrix[j + 1, j] = onto_first, onto_second
    return Oscillators(
        stiffness=np.full(n, stiffness),
        friction=drag,
        bath_temperature=np.where(cold, temperature[1], temperature[0]),
        coupling=matrix,
        mass=None if mass is None else np.full(n, mass),
        reduced=True,
    )
