"""What all figures share: colours that everybody can tell apart, and prefixes of units."""

from __future__ import annotations

import numpy as np

from stochbind.checks import FloatArray

#: Of Okabe and Ito.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_PREFIX = {-24: "y", -21: "z", -18: "a", -15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G"}


def scale(value: FloatArray, reduced: bool) -> tuple[float, str]:
    """Power of a thousand that suits the values, and its prefix."""
    top = float(np.abs(value[np.isfinite(value)]).max(initial=0.0))
    if reduced or top == 0.0:
        return 1.0, ""
    power = min(max(3 * int(np.floor(np.log10(top) / 3)), -24), 9)
    return 10.0**power, _PREFIX[power]
