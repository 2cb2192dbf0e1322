"""What acts on the particles besides their equations: kicks and drives."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from stochbind import checks
from stochbind.checks import FloatArray
from stochbind.errors import ScenarioError
from stochbind.langevin import Langevin

#: Of this many digits, so that phases after any number of steps are those of the frequency that was given.
TWO_PI = 2 * Fraction("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534")


@dataclass(frozen=True, eq=False)
class Kick:
    r"""A sudden change of the state, :math:`x \to M x + s`.

    Parameters
    ----------
    time : float
        When [s], not negative. A state at exactly this time is the one before the kick.
    shift : (d,) float, optional
        s, in scaled units; zero by default.
    matrix : (d, d) float, optional
        M, in scaled units; the identity by default.
    """

    time: float
    shift: FloatArray | None = None
    matrix: FloatArray | None = None

    def __post_init__(self) -> None:
        time = checks.positive("time", checks.array("time", self.time, ()), or_zero=True)
        object.__setattr__(self, "time", float(time))
        for name, shape in (("shift", ("d",)), ("matrix", ("d", "d"))):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, checks.array(name, getattr(self, name), shape))

    @classmethod
    def momentum(
        cls, equations: Langevin, time: float, particle: int, momentum: float, axis: str | None = None
    ) -> Kick:
        """The kick by an impulse [kg m/s] on one particle; overdamped, it displaces by impulse over friction.

        Where particles move along several axes, `axis` is the name of one.
        """
        shift = Drive(particle, momentum, 0.0, axis=axis).drift(equations) / equations.time_unit
        return cls(time, shift=shift)


@dataclass(frozen=True)
class Drive:
    r"""A harmonic force, :math:`F \cos(\omega t + \phi)`, from time zero on.

    Parameters
    ----------
    particle : int or None
        Which particle the force acts on.
    force : float
        F [N].
    angular_frequency : float
        :math:`\omega` [rad/s], not negative.
    phase : float
        :math:`\phi` [rad], at time zero.
    coordinate : int, optional
        Index of the coordinate that is driven, if `particle` is None; `force` is then the amplitude of its scaled
        drift [1/time_unit].
    axis : str, optional
        Name of the axis along which the force acts; needed where particles move along several.
    """

    particle: int | None
    force: float
    angular_frequency: float
    phase: float = 0.0
    coordinate: int | None = None
    axis: str | None = None

    def __post_init__(self) -> None:
        for name in ("force", "angular_frequency", "phase"):
            object.__setattr__(self, name, float(checks.array(name, getattr(self, name), ())))
        if self.angular_frequency < 0:
            raise ScenarioError(f"`angular_frequency` must be zero or positive, but is {self.angular_frequency:.6g}.")
        if (self.particle is None) == (self.coordinate is None):
            raise ScenarioError(
                "A drive acts on one `particle`, or with `particle` None on one `coordinate`; give one."
            )

    def drift(self, equations: Langevin) -> FloatArray:
        """Amplitude of the scaled drift [1/time_unit], shape (d,)."""
        result = np.zeros(equations.dimension)
        if self.coordinate is not None:
            last = equations.dimension - 1
            index = checks.integer("coordinate", self.coordinate, minimum=0, maximum=last, error=ScenarioError)
            result[index] = self.force
        else:
            index = self.oscillator(equations)
            result[equations.driven[index]] = self.force * equations.force_scale[index]
        return result

    def oscillator(self, equations: Langevin) -> int:
        """Which position is driven, in their order: of a particle that moves along several axes, that along `axis`.

        Raises
        ------
        ScenarioError
            If there is no such particle or axis, or the axis is not told.
        """
        places = [c for c in equations.coordinate if c.quantity == "position"]
        if not places or self.particle is None:
            raise ScenarioError("Equations without positions are driven by `coordinate`, not by `particle`.")
        axes = tuple(dict.fromkeys(c.axis for c in places))
        if self.axis not in axes and not (self.axis is None and len(axes) == 1):
            raise ScenarioError(
                f"`axis` of a drive must be one of {', '.join(axes)}, along which particles move, but is {self.axis!r}."
            )
        along = [i for i, c in enumerate(places) if self.axis in (None, c.axis)]
        return along[checks.integer("particle", self.particle, minimum=0, maximum=len(along) - 1, error=ScenarioError)]

    def turns(self, time: Fraction) -> Fraction:
        """Phase gained in `time` [s], as a fraction of a turn in [0, 1)."""
        return Fraction(self.angular_frequency) * time / TWO_PI % 1
