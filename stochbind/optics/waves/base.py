"""What every wave is, and coherent sums of waves."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from stochbind.checks import ComplexArray, FloatArray
from stochbind.errors import ScenarioError


class Values(NamedTuple):
    r"""A light field at N points.

    Attributes
    ----------
    value : (N, 6) complex
        :math:`\Phi = (E, \eta H)` [V/m].
    gradient : (N, 3, 6) complex
        ``gradient[n, a, i]`` is :math:`\partial_a \Phi_i` [V/m^2].
    curvature : (N, 3, 3, 6) complex
        ``curvature[n, a, b, i]`` is :math:`\partial_a \partial_b \Phi_i` [V/m^3].
    """

    value: ComplexArray
    gradient: ComplexArray
    curvature: ComplexArray


class Wave(ABC):
    """Light of one frequency."""

    @property
    @abstractmethod
    def wavenumber(self) -> float:
        r"""Wavenumber [1/m], :math:`2\pi` over the wavelength.

        A detuning does not change it: it is 1e-9 of an optical frequency or less.
        """

    @property
    @abstractmethod
    def detuning(self) -> float:
        """Shift of the frequency [Hz]. Waves of different detuning do not interfere on average."""

    @abstractmethod
    def at(self, points: FloatArray) -> Values:
        """Field, gradient and curvature.

        Parameters
        ----------
        points : (N, 3) float
            Positions [m].

        Returns
        -------
        Values
            At each point.

        Raises
        ------
        ScenarioError
            If the points are not an array of finite numbers of that shape.
        """


@dataclass(frozen=True, eq=False)
class Superposition(Wave):
    """Coherent sum of waves.

    Parameters
    ----------
    waves : tuple of Wave
        Of one wavelength and one detuning; at least one.

    Raises
    ------
    ScenarioError
        If there is none, or their frequencies differ.
    """

    waves: tuple[Wave, ...]

    def __post_init__(self) -> None:
        waves = tuple(self.waves)
        if not waves:
            raise ScenarioError("`waves` must not be empty: a superposition needs one wave at least.")
        for number, wave in enumerate(waves):
            if not _interfere(wave, waves[0]):
                raise ScenarioError(
                    f"`waves` must be of one frequency, but waves[0] has wavelength {_wavelength(waves[0]):.10g} m and "
                    f"detuning {waves[0].detuning:.10g} Hz, and waves[{number}] has {_wavelength(wave):.10g} m and "
                    f"{wave.detuning:.10g} Hz: use `coherent_groups`."
                )
        object.__setattr__(self, "waves", waves)

    @property
    def wavenumber(self) -> float:
        """Wavenumber of all [1/m]."""
        return self.waves[0].wavenumber

    @property
    def detuning(self) -> float:
        """Detuning of all [Hz]."""
        return self.waves[0].detuning

    def at(self, points: FloatArray) -> Values:
        """Field, gradient and curvature: the sums of those of all, see `Wave.at`."""
        total = Values(*(part.copy() for part in self.waves[0].at(points)))
        for wave in self.waves[1:]:
            for part, more in zip(total, wave.at(points), strict=True):
                part += more
        return total


def coherent_groups(waves: Sequence[Wave]) -> tuple[Superposition, ...]:
    """Waves by frequency: those of one group interfere, those of different groups do not on average.

    Parameters
    ----------
    waves : sequence of Wave
        In any order.

    Returns
    -------
    tuple of Superposition
        One for each wavelength and detuning, in the order in which they first occur.
    """
    groups: list[list[Wave]] = []
    for wave in waves:
        group = next((group for group in groups if _interfere(wave, group[0])), None)
        if group is None:
            groups.append([wave])
        else:
            group.append(wave)
    return tuple(Superposition(tuple(group)) for group in groups)


def _wavelength(wave: Wave) -> float:
    return 2.0 * math.pi / wave.wavenumber


def _interfere(one: Wave, other: Wave) -> bool:
    """Whether two waves have the same frequency; wavenumbers are compared within rounding."""
    return one.detuning == other.detuning and math.isclose(one.wavenumber, other.wavenumber, rel_tol=1e-12)
