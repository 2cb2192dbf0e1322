r"""Refractive indices of materials that are levitated, each with its source and the range that was measured.

Time dependence :math:`e^{-i\omega t}`: a positive imaginary part absorbs. Where a source gives no absorption, the
imaginary part is zero: that says nothing about how fast such a particle heats.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stochbind import checks
from stochbind.errors import ScenarioError


@dataclass(frozen=True)
class Material:
    """A material and where its refractive index comes from.

    Attributes
    ----------
    name : str
        As one writes it.
    source : str
        Who measured it, under which conditions.
    shortest, longest : float
        Range of vacuum wavelengths [m].
    index : callable
        Refractive index (complex) at a vacuum wavelength [µm] in the range.
    """

    name: str
    source: str
    shortest: float
    longest: float
    index: Callable[[float], complex]


def refractive_index(material: str, wavelength: float) -> complex:
    """Refractive index of a material.

    Parameters
    ----------
    material : str
        A key of `MATERIALS`.
    wavelength : float
        Vacuum wavelength [m].

    Returns
    -------
    complex
        n + i kappa.

    Raises
    ------
    ScenarioError
        If the material is unknown, or the wavelength outside the range of its source.
    """
    if material not in MATERIALS:
        raise ScenarioError(
            f"`material` must be one of {', '.join(sorted(MATERIALS))}, but is {checks.short(material)}; give the "
            "refractive index itself for any other."
        )
    known, length = MATERIALS[material], float(checks.array("wavelength", wavelength, ()))
    # A wavelength that came from other units may miss the end of the range by round-off.
    if not known.shortest * (1.0 - 1e-9) <= length <= known.longest * (1.0 + 1e-9):
        raise ScenarioError(
            f"`wavelength` must be from {known.shortest * 1e9:.6g} nm to {known.longest * 1e9:.6g} nm for {known.name} "
            f"({known.source}), but is {length * 1e9:.6g} nm; give the refractive index itself."
        )
    return known.index(length * 1e6)


def _sellmeier(*terms: tuple[float, float]) -> Callable[[float], complex]:
    r"""Index with :math:`n^2 = 1 + \sum_i B_i \lambda^2/(\lambda^2 - C_i)`, from pairs (B, C [µm^2])."""

    def index(wavelength: float) -> complex:
        square = wavelength**2
        return complex(math.sqrt(1.0 + sum(b * square / (square - c) for b, c in terms)))

    return index


def _silicon(wavelength: float) -> complex:
    """Index between the entries of the table: linear in n and in the logarithm of kappa.

    Half way between two entries it is off by up to 0.02 in n from 400 nm and 0.001 from 500 nm on, and by 2 % in kappa
    (9 % beyond 1100 nm); at the peaks in the ultraviolet by 0.15 in n.
    """
    n, kappa = np.array(_SILICON.split(), dtype=np.float64).reshape(-1, 2).T
    grid = 0.25 + 0.01 * np.arange(len(n))
    absorption = math.exp(float(np.interp(wavelength, grid, np.log(kappa))))
    return complex(float(np.interp(wavelength, grid, n)), absorption)


#: n and kappa of silicon at 250, 260, ... 1450 nm.
_SILICON = """
1.665 3.665  1.757 4.084  2.068 4.680  2.959 5.287  4.356 5.286  4.976 4.234  5.121 3.598  5.112 3.303
5.195 3.100  5.301 2.977  5.494 2.938  6.026 2.966  6.891 2.171  6.616 0.946  6.039 0.445  5.613 0.296
5.330 0.227  5.119 0.176  4.949 0.138  4.812 0.107  4.691 8.6302e-2  4.587 7.1381e-2  4.497 6.2086e-2
4.419 5.5004e-2  4.350 4.9131e-2  4.294 4.4165e-2  4.241 3.9367e-2  4.193 3.6415e-2  4.151 3.3108e-2
4.112 3.0295e-2  4.077 2.7968e-2  4.045 2.5758e-2  4.015 2.4131e-2  3.988 2.2524e-2  3.963 2.1081e-2
3.940 1.9934e-2  3.918 1.8446e-2  3.898 1.7367e-2  3.879 1.6444e-2  3.861 1.5432e-2  3.844 1.4431e-2
3.828 1.3498e-2  3.813 1.2743e-2  3.798 1.1905e-2  3.784 1.1201e-2  3.772 1.0528e-2  3.759 1.0057e-2
3.748 9.6257e-3  3.737 8.9461e-3  3.727 8.3620e-3  3.717 7.8185e-3  3.708 7.1970e-3  3.699 6.7402e-3
3.691 6.3933e-3  3.683 5.8340e-3  3.675 5.4113e-3  3.668 4.9955e-3  3.661 4.6134e-3  3.654 4.2734e-3
3.647 3.9439e-3  3.641 3.6120e-3  3.635 3.2781e-3  3.630 2.9839e-3  3.624 2.6821e-3  3.619 2.4293e-3
3.614 2.1701e-3  3.609 1.9625e-3  3.604 1.7571e-3  3.600 1.5467e-3  3.595 1.3689e-3  3.591 1.1793e-3
3.587 1.0237e-3  3.583 8.7225e-4  3.579 7.4866e-4  3.575 6.2238e-4  3.572 5.0930e-4  3.568 4.1071e-4
3.565 3.2386e-4  3.562 2.4753e-4  3.559 1.8704e-4  3.556 1.3620e-4  3.553 9.3631e-5  3.550 6.8118e-5
3.547 5.3285e-5  3.545 4.0768e-5  3.542 3.0637e-5  3.540 2.3849e-5  3.537 1.7825e-5  3.535 1.3488e-5
3.532 9.0718e-6  3.530 6.2230e-6  3.528 3.8770e-6  3.526 2.0483e-6  3.524 6.1036e-7  3.522 3.4091e-7
3.520 2.1008e-7  3.518 1.2518e-7  3.517 7.9609e-8  3.515 4.6004e-8  3.513 2.3682e-8  3.511 9.9472e-9
3.509 3.6096e-9  3.508 2.0213e-9  3.506 1.2223e-9  3.505 7.2885e-10  3.503 4.6553e-10  3.502 2.8147e-10
3.500 1.6807e-10  3.499 8.4670e-11  3.497 3.7322e-11  3.496 1.8263e-11  3.495 1.0281e-11  3.494 6.5413e-12
3.492 4.1730e-12  3.491 2.5441e-12  3.490 1.5597e-12  3.489 9.5374e-13  3.488 5.6500e-13  3.487 2.8449e-13
3.486 2.0626e-13  3.485 1.3846e-13
"""

#: The materials, by the name that scenario files use. The indices of the transparent ones were measured against air;
#: against vacuum they are larger by a factor of 1.0003, less than one batch of particles differs from the next.
MATERIALS: dict[str, Material] = {
    "diamond": Material(
        "diamond",
        "Peter, Z. Phys. 15, 358 (1923), room temperature; absorption not given",
        226e-9,
        644e-9,
        _sellmeier((0.3306, 0.1750**2), (4.3356, 0.1060**2)),
    ),
    "fused_silica": Material(
        "fused silica",
        "Malitson, J. Opt. Soc. Am. 55, 1205 (1965), 20 °C; absorption not given",
        210e-9,
        3.71e-6,
        _sellmeier((0.6961663, 0.0684043**2), (0.4079426, 0.1162414**2), (0.8974794, 9.896161**2)),
    ),
    "polystyrene": Material(
        "polystyrene",
        "Sultanova, Kasarova and Nikolov, Acta Phys. Pol. A 116, 585 (2009), 20 °C, as a Sellmeier term; absorption "
        "not given",
        436.8e-9,
        1052e-9,
        _sellmeier((1.4435, 0.020216)),
    ),
    "silicon": Material(
        "silicon",
        "Green, Sol. Energy Mater. Sol. Cells 92, 1305 (2008), table 1: intrinsic, 300 K",
        250e-9,
        1450e-9,
        _silicon,
    ),
}
