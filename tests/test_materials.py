"""Refractive indices against values of other measurements, and their ranges."""

import math

import pytest

from stochbind.errors import ScenarioError
from stochbind.optics.materials import MATERIALS, refractive_index


@pytest.mark.parametrize(
    ("material", "nanometre", "index", "within"),
    [
        # sodium and helium lines, laser lines, as catalogues and handbooks give them
        ("fused_silica", 587.56, 1.45846, 1e-5),
        ("fused_silica", 1064.0, 1.44963, 1e-5),
        ("fused_silica", 1550.0, 1.44402, 1e-5),
        ("diamond", 589.3, 2.4173, 2e-4),
        # the measured values, to three decimals
        ("polystyrene", 486.1, 1.606, 1.5e-3),
        ("polystyrene", 587.6, 1.592, 1.5e-3),
        ("polystyrene", 632.8, 1.587, 1.5e-3),
        ("polystyrene", 1052.0, 1.572, 1.5e-3),
    ],
)
def test_transparent_materials(material, nanometre, index, within):
    found = refractive_index(material, nanometre * 1e-9)
    assert found.real == pytest.approx(index, abs=within)
    assert found.imag == 0.0


@pytest.mark.parametrize(
    ("nanometre", "n", "kappa"),
    # Schinke et al., AIP Advances 5, 067168 (2015): another measurement, at 295 K
    [
        (300, 5.049, 4.2900),
        (360, 5.914, 2.9135),
        (420, 5.110, 0.17694),
        (530, 4.145, 3.4804e-2),
        (633, 3.8633, 1.5722e-2),
        (780, 3.684, 6.1338e-3),
        (1000, 3.575, 4.9020e-4),
        (1060, 3.556, 9.2450e-5),
        (1150, 3.533, 5.6876e-6),
    ],
)
def test_silicon_is_as_others_measured_it(nanometre, n, kappa):
    found = refractive_index("silicon", nanometre * 1e-9)
    assert found.real == pytest.approx(n, rel=0.02)
    assert found.imag == pytest.approx(kappa, rel=0.12)


def test_silicon_of_the_kerker_pair():
    """Jazayeri et al. take 5.1 + 0.2i at 420 nm."""
    found = refractive_index("silicon", 420e-9)
    assert (round(found.real, 1), round(found.imag, 1)) == (5.1, 0.2)


def test_absorption_of_silicon_is_interpolated_in_its_logarithm():
    below, between, above = (refractive_index("silicon", x * 1e-9).imag for x in (1170, 1175, 1180))
    assert between == pytest.approx(math.sqrt(below * above), rel=1e-9)
    assert between < 0.9 * (below + above) / 2  # the twin: a straight line is seen


@pytest.mark.parametrize("name", sorted(MATERIALS))
def test_every_material_has_a_source_and_works_in_its_range(name):
    material = MATERIALS[name]
    assert any(str(year) in material.source for year in range(1900, 2030))
    for share in (0.0, 0.2, 0.5, 1.0):
        wavelength = material.shortest + share * (material.longest - material.shortest)
        index = refractive_index(name, wavelength)
        assert 1.0 < index.real < 7.0
        assert index.imag >= 0.0  # absorbs, with exp(-i omega t)
    assert refractive_index(name, material.shortest * (1 - 1e-12)).real > 1.0  # round-off of units
    for wavelength in (0.99 * material.shortest, 1.01 * material.longest):
        with pytest.raises(ScenarioError, match=f"for {material.name} .*; give the refractive index itself"):
            refractive_index(name, wavelength)


def test_unknown_materials_and_wavelengths():
    with pytest.raises(ScenarioError, match="`material` must be one of diamond, fused_silica, polystyrene, silicon"):
        refractive_index("glas", 1e-6)
    with pytest.raises(ScenarioError, match="`wavelength` must be finite"):
        refractive_index("silicon", math.nan)
    with pytest.raises(ScenarioError, match=r"but is 1.064e\+12 nm"):
        refractive_index("silicon", 1064)
