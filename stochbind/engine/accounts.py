r"""The ledger of each trajectory: work, heat, and the first law, added up step by step.

Of every step the loops add up what can be told from its ends: the area :math:`\int q_k \circ dq_j` of each coupled
pair and the work of each drive, as expectations given both ends (`stochbind.bridge`), and the work of each force
beyond the linear ones, force times mean velocity, which is what its kicks change in the kinetic energy. All else
follows from the states that are kept.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stochbind import bridge
from stochbind.checks import FloatArray
from stochbind.engine.programs import Coefficients
from stochbind.errors import PlanError
from stochbind.langevin import Langevin
from stochbind.oscillators import Oscillators
from stochbind.protocols import Protocol

#: Largest tables of forms [byte].
LARGEST_FORMS = 256 * 2**20


class Ledger(NamedTuple):
    """Work and heat of N oscillators since time zero, of shape (..., n_saves, ..., B); all in joules.

    Attributes
    ----------
    work : (n_saves, N, N, B) float
        On j by k: linear coupling, and pair forces beyond it. On the diagonal: the work on j of its own trap beyond
        the harmonic one.
    heat : (n_saves, N, B) float
        From the bath, and from recoil, to the particle.
    drive_work : (n_saves, N, B) float
        By the drives.
    """

    work: FloatArray
    heat: FloatArray
    drive_work: FloatArray


def coupled_pairs(array: Oscillators) -> list[tuple[int, int]]:
    """All pairs j < k with a coupling in either direction."""
    coupled = (array.coupling != 0) | (array.coupling.T != 0)
    return [(int(j), int(k)) for j, k in np.argwhere(np.triu(coupled))]


def ledger_tables(array: Oscillators, system: Langevin | Protocol, step: float) -> Coefficients:
    """Tables of the forms that the loops add up, and the levers of the forces.

    Parameters
    ----------
    array : Oscillators
        The oscillators whose equations these are.
    system : Langevin or Protocol
        Their equations; a protocol may have drives only.
    step : float
        Length of a step [s].

    Raises
    ------
    PlanError
        If the coefficients change with time, overdamped particles have forces beyond the linear ones, or the tables
        would be too large.
    """
    drives: list[bridge.Drive] = []
    driven: list[tuple[int, int]] = []
    equations = system
    if isinstance(system, Protocol):
        equations = system.equations
        if len(system.pieces) > 1 or system.kicks:
            raise PlanError("The ledger needs coefficients that do not change with time; leave it out, or use drives.")
        for f, drive in enumerate(system.drives):
            if drive.particle is None:
                raise PlanError(f"The ledger needs drives of particles, but drives[{f}] drives a coordinate.")
            drives.append(bridge.Drive(drive.drift(equations), drive.angular_frequency * equations.time_unit))
            driven.append((int(equations.select("position")[drive.oscillator(equations)]), f))
    assert isinstance(equations, Langevin)
    if equations.forces and array.overdamped:
        raise PlanError(
            "The ledger of overdamped particles needs linear forces, as their velocity is not a state; leave it out, "
            "or give the particles a mass."
        )
    pairs = coupled_pairs(array)
    size = (1 + 2 * len(drives) + 2 * equations.dimension) ** 2 * 8 * (len(pairs) + len(driven))
    if size > LARGEST_FORMS:
        raise PlanError(
            f"The ledger of {len(pairs)} coupled pairs needs tables of {size / 2**20:.0f} MiB (limit "
            f"{LARGEST_FORMS // 2**20} MiB); it is for small arrays and sparse couplings."
        )
    forms = []
    if pairs:
        forms.append(bridge.area_forms(equations, step, pairs, drives))
    if driven:
        forms.append(bridge.drive_forms(equations, step, driven, drives))
    result: Coefficients = {}
    if forms:
        whole = np.concatenate(forms)
        # z^T Q z with the upper triangle only.
        result["account_form"] = np.triu(whole) + np.triu(np.swapaxes(whole, 1, 2), 1)
    if equations.forces:
        result["account_lever"] = step * equations.unit[equations.driven]
    return result


def settle(
    array: Oscillators, system: Langevin | Protocol, start: FloatArray, states: FloatArray, totals: FloatArray
) -> Ledger:
    r"""The ledger of a block, from what the loops added up.

    Heat is what the first law leaves: the energy gained, :math:`\tfrac12 m v^2 + \tfrac12 u q^2`, less all work.

    Parameters
    ----------
    array : Oscillators
        The oscillators.
    system : Langevin or Protocol
        Their equations.
    start : (d, B) float
        Scaled states at time zero.
    states : (n_saves, d, B) float
        Kept states.
    totals : (n_saves, R, B) float
        Kept totals.

    Returns
    -------
    Ledger
        Since time zero.
    """
    equations = system.equations if isinstance(system, Protocol) else system
    n, block = array.n_oscillators, states.shape[-1]
    unit = equations.unit
    work = np.zeros((len(states), n, n, block))
    drive_work = np.zeros((len(states), n, block))
    pairs = coupled_pairs(array)
    for row, (j, k) in enumerate(pairs):
        scale = unit[j] * unit[k]
        area = totals[:, row]
        product = states[:, j] * states[:, k] - start[j] * start[k]
        work[:, j, k] = array.coupling[j, k] * scale * area
        work[:, k, j] = array.coupling[k, j] * scale * (product - area)
    row = len(pairs)
    if isinstance(system, Protocol):
        for drive in system.drives:
            j = drive.oscillator(equations)
            drive_work[:, j] += drive.force * unit[j] * totals[:, row]
            row += 1
    for force in equations.forces:
        assert force.active is not None
        for index in np.argwhere(force.active):
            work[:, index[0], index[-1]] += totals[:, row]
            row += 1
    gain = _energy(array, equations, states) - _energy(array, equations, start[None])
    return Ledger(work, gain - work.sum(axis=2) - drive_work, drive_work)


def _energy(array: Oscillators, equations: Langevin, states: FloatArray) -> FloatArray:
    """Energy of each oscillator, without interaction, (n_saves, N, B)."""
    n = array.n_oscillators
    wide = (slice(None), None)
    result: FloatArray = 0.5 * (array.stiffness * equations.unit[:n] ** 2)[wide] * states[:, :n] ** 2
    if array.mass is not None:
        result = result + 0.5 * (array.mass * equations.unit[n:] ** 2)[wide] * states[:, n:] ** 2
    return result
