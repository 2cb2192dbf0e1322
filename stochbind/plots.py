"""Figures. One function per panel, which draws what it is given and computes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stochbind.checks import ComplexArray, FloatArray

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from stochbind.analysis.validation import Validation

_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_PREFIX = {
    -24: "y",
    -21: "z",
    -18: "a",
    -15: "f",
    -12: "p",
    -9: "n",
    -6: "µ",
    -3: "m",
    0: "",
    3: "k",
    6: "M",
    9: "G",
}


def overview(
    dataset: xr.Dataset,
    validation: Validation,
    angular_frequency: FloatArray,
    susceptibility: ComplexArray,
    *,
    reduced: bool = False,
) -> Figure:
    """The figure of a run: paths, temperatures, energy currents and susceptibilities, simulated and exact.

    Parameters
    ----------
    dataset : xarray.Dataset
        The run.
    validation : Validation
        Its table.
    angular_frequency : (n,) float
        Frequencies [rad/s].
    susceptibility : (n, N, N) complex
        Displacement of j per force on k at each frequency [m/N].
    reduced : bool
        Whether the numbers are in reduced units.

    Returns
    -------
    matplotlib.figure.Figure
        Four panels.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7), layout="constrained")
    axes = figure.subplots(2, 2)
    paths(axes[0, 0], dataset, reduced=reduced)
    temperatures(axes[0, 1], validation, reduced=reduced)
    currents(axes[1, 0], validation, reduced=reduced)
    susceptibilities(axes[1, 1], angular_frequency, susceptibility, reduced=reduced)
    worst = validation.worst
    figure.suptitle(
        f"{dataset.attrs.get('title', '')}: {validation.n_trajectories} trajectories, largest deviation from the exact "
        f"value {abs(worst.z):.1f} standard errors",
        fontsize="medium",
    )
    return figure


def paths(ax: Axes, dataset: xr.Dataset, *, reduced: bool = False, n_saves: int = 120) -> Axes:
    """Position of the particles in trajectory 0, over the last states of the record."""
    part = dataset["position"].isel(trajectory=0, axis=0, time=slice(-n_saves, None))
    position, time = part.to_numpy(), part["time"].to_numpy()
    factor, prefix = _scale(position, reduced)
    time_factor, time_prefix = _scale(time, reduced)
    for j in range(min(position.shape[1], len(_COLORS))):
        ax.plot(time / time_factor, position[:, j] / factor, color=_COLORS[j], lw=1, label=f"particle {j}")
    ax.set(
        xlabel="time" + ("" if reduced else f" ({time_prefix}s)"),
        ylabel="position" + ("" if reduced else f" ({prefix}m)"),
        title="one trajectory",
    )
    ax.legend(frameon=False, fontsize="small")
    return ax


def temperatures(ax: Axes, validation: Validation, *, reduced: bool = False) -> Axes:
    """Kinetic and position temperature of each particle."""
    _estimates(ax, validation, ("kinetic temperature", "position temperature"), 1.0)
    ax.set(ylabel="temperature" + ("" if reduced else " (K)"), title="temperatures", ylim=(0, None))
    return ax


def currents(ax: Axes, validation: Validation, *, reduced: bool = False) -> Axes:
    """Heat from the gas, and the power of the coupling on each particle."""
    names = ("heat current", "power")
    values = np.array([abs(row.exact) for row in validation.rows if row.quantity in names])
    factor, prefix = _scale(values, reduced)
    _estimates(ax, validation, names, factor)
    ax.axhline(0, color="0.7", lw=0.8, zorder=0)
    ax.set(ylabel="to the particle" + ("" if reduced else f" ({prefix}W)"), title="energy currents")
    return ax


def susceptibilities(
    ax: Axes, angular_frequency: FloatArray, susceptibility: ComplexArray, *, reduced: bool = False
) -> Axes:
    """Exact response of each particle to a force on its neighbour, both ways."""
    n = susceptibility.shape[-1]
    size = np.abs(susceptibility)
    factor, prefix = _scale(angular_frequency / (2 * np.pi), reduced)
    x = angular_frequency / (1.0 if reduced else 2 * np.pi * factor)
    top = float(size.max()) or 1.0
    pairs = [(0, 1), (1, 0)] if n > 1 else [(0, 0)]
    for color, (j, k) in zip(_COLORS, pairs, strict=False):
        silent = size[:, j, k].max() < 1e-4 * top
        label = f"{j} to a force on {k}" + (" (below the frame)" if silent else "")
        ax.semilogy(x, np.maximum(size[:, j, k], 1e-9 * top), color=color, label=label)
    ax.semilogy(x, size[:, 0, 0], color="0.6", lw=1, ls="--", label="0 to a force on 0")
    ax.set(
        xlabel="angular frequency" if reduced else f"frequency ({prefix}Hz)",
        ylabel="response" + ("" if reduced else " (m/N)"),
        title="susceptibility (exact)",
        ylim=(1e-4 * top, 2 * top),
    )
    ax.legend(frameon=False, fontsize="small")
    return ax


def _estimates(ax: Axes, validation: Validation, names: tuple[str, ...], factor: float) -> None:
    """Points with error bars for the simulation, bars for the exact values."""
    rows = [row for row in validation.rows if row.quantity in names]
    for color, name in zip(_COLORS, names, strict=False):
        at = [i for i, row in enumerate(rows) if row.quantity == name]
        value, error, exact = (
            np.array([getattr(rows[i], field) for i in at]) / factor for field in ("value", "stderr", "exact")
        )
        ax.hlines(exact, np.array(at) - 0.3, np.array(at) + 0.3, color=color, lw=5, alpha=0.35)
        ax.errorbar(at, value, error, fmt="o", ms=4, capsize=3, color=color, label=f"{name} (bar: exact)")
    ax.set_xticks(range(len(rows)), [row.where.replace(" <- ", "←") for row in rows])
    ax.set_xlabel("particle, or receiver←sender")
    ax.legend(frameon=False, fontsize="small")


def _scale(value: FloatArray, reduced: bool) -> tuple[float, str]:
    """Power of a thousand that suits the values, and its prefix."""
    top = float(np.abs(value[np.isfinite(value)]).max(initial=0.0))
    if reduced or top == 0.0:
        return 1.0, ""
    power = min(max(3 * int(np.floor(np.log10(top) / 3)), -24), 9)
    return 10.0**power, _PREFIX[power]
