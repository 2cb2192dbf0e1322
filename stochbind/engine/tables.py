"""Everything that defines the steps of a run, as tables of numbers: what solvers make, and loops read."""

from __future__ import annotations

from typing import Any, NamedTuple

EXACT, STRANG, EULER, HEUN = range(4)


class Linear(NamedTuple):
    """The linear part of every step, as sets of coefficients that are shared by equal steps.

    Step n takes the set ``which[i]`` with the largest i such that ``start[i] <= n``, or n modulo `period` if that is
    not zero. Its shift is ``shift + sum_f cos(2 pi t_f) drive[f, 0] + sin(2 pi t_f) drive[f, 1]`` with the phase
    ``t_f = (phase[f] + n turn[f]) / 2^64`` of a turn.
    """

    matrix: Any  # (K, d, d)
    shift: Any  # (K, d)
    root: Any  # (K, d, m)
    start: Any  # (S,) int64
    which: Any  # (S,) int64
    period: Any  # () int64
    drive: Any  # (K, F, 2, d)
    turn: Any  # (F,) uint64
    phase: Any  # (F,) uint64
    corrector: Any  # (d, d) of the solver of Heun
    corrector_shift: Any  # (d,)
    corrector_root: Any  # (d, m)


class Forces(NamedTuple):
    """All directed forces, one after another, and how they enter the equations."""

    kind: Any  # (M,) int64
    particle: Any  # (M, 2) int64: j, k; of one body j, j
    parameter: Any  # (M, P)
    scale: Any  # (N,): change of the driven coordinate in a step, per force
    unit: Any  # (N,): value of a scaled position
    position: Any  # (N,) int64: coordinate of each position
    driven: Any  # (N,) int64: coordinate that a force on each particle drives
    same: Any  # () int64: whether positions themselves are driven


class Account(NamedTuple):
    """What is added up along each trajectory: quadratic forms of every step, then the work of every force."""

    form: Any  # (W, z, z), upper triangular; z = (1, cos, sin, ..., state, normals)
    lever: Any  # (N,) or (0,): displacement in a step per scaled velocity; none if the work is not wanted
