"""Forces and torques on spheres by MiePy, against which `test_dipoles.py` checks coupled dipoles.

    pip install miepy==1.1.0
    python tests/data/miepy_clusters.py > tests/data/miepy_clusters.json

MiePy expands the light around each sphere in spherical waves. ``"dipoles"`` are forces with every wave above the
electric and magnetic dipole left out of what the spheres scatter, ``"whole"`` with all that are kept. It is no part of
the package and no dependency: its license is the GPL. Its factors of SI are those of its own release of SciPy.
"""

import importlib.metadata
import json

#: Arrays of spheres: SI units; the light is a plane wave of 1 V/m along z, with the polarization given.
CLUSTERS = {
    "silicon pair along the wave": {
        "position": [[[0.0, 0.0, 0.0], [0.0, 0.0, d]] for d in (120e-9, 150e-9, 200e-9, 300e-9, 500e-9, 1000e-9)],
        "radius": [45e-9, 45e-9],
        "index": [[5.1, 0.2], [5.1, 0.2]],
        "wavelength": 420e-9,
        "polarization": [[1.0, 0.0], [0.0, 0.0]],
        "orders": 5,
    },
    "silica pair across the wave": {
        "position": [[[0.0, 0.0, 0.0], [d, 0.0, 0.0]] for d in (400e-9, 800e-9, 1064e-9, 1600e-9)],
        "radius": [75e-9, 75e-9],
        "index": [[1.45, 0.0], [1.45, 0.0]],
        "wavelength": 1064e-9,
        "polarization": [[0.0, 0.0], [1.0, 0.0]],
        "orders": 4,
    },
    "three unequal spheres": {
        "position": [[[0.0, 0.0, 0.0], [210e-9, -60e-9, 90e-9], [-70e-9, 180e-9, 240e-9]]],
        "radius": [45e-9, 40e-9, 55e-9],
        "index": [[5.1, 0.2], [4.0, 0.0], [2.5, 0.6]],
        "wavelength": 420e-9,
        "polarization": [[0.8, 0.0], [0.36, 0.48]],
        "orders": 4,
    },
}


def solved(case, position, orders, dipoles_only):
    """Forces [N] and torques [N m], both (N, 3)."""
    import miepy

    cluster = miepy.sphere_cluster(
        position=position,
        radius=case["radius"],
        material=[miepy.constant_material(index=complex(*index)) for index in case["index"]],
        source=miepy.sources.plane_wave([complex(*part) for part in case["polarization"]]),
        wavelength=case["wavelength"],
        lmax=orders,
        method=miepy.solver.exact,
    )
    if dipoles_only:
        cluster.mie_scat[:, :, 1:] = 0.0
        cluster.solve()
    return {"force": cluster.force().tolist(), "torque": cluster.torque().tolist()}


def main():
    versions = {name: importlib.metadata.version(name) for name in ("miepy", "scipy", "numpy")}
    clusters = {
        name: {
            **case,
            "dipoles": [solved(case, position, 2, True) for position in case["position"]],
            "whole": [solved(case, position, case["orders"], False) for position in case["position"]],
        }
        for name, case in CLUSTERS.items()
    }
    made = "python tests/data/miepy_clusters.py"
    print(json.dumps({"made_by": made, "versions": versions, "clusters": clusters}).replace(', "', ',\n"'))


if __name__ == "__main__":
    main()
