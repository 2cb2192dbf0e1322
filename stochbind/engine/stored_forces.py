"""A user's own forces in the plan of a run: told by name, source and parameters; never read back as code."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from stochbind.errors import PlanError
from stochbind.forces import Force


class Remembered:
    """Stands for a function that a run was started with, and that its store only knows by name."""

    def __init__(self, name: str, digest: str) -> None:
        self.__name__, self.digest = name, digest

    def __call__(self, *arguments: Any) -> Any:
        """Raise `PlanError`: the function is not here."""
        del arguments
        raise PlanError(
            f"This run has a force of its own, `{self.__name__}`, which a store does not hold; continue it from "
            "Python, with the plan that it was started with."
        )


def described(force: Force) -> dict[str, Any]:
    """A force as plain data: the name of its function, a digest of its source, and its parameters."""
    assert force.active is not None
    name, digest = identity(force.function)
    return {
        "function": name,
        "source": digest,
        "vectorized": force.vectorized,
        "active": force.active.tolist(),
        "parameters": force.parameters.tolist(),
    }


def remembered(data: dict[str, Any]) -> Force:
    """The force that `described` described, without its function."""
    return Force(
        function=Remembered(data["function"], data["source"]),
        parameters=np.array(data["parameters"], dtype=float),
        active=np.array(data["active"], dtype=bool),
        vectorized=bool(data["vectorized"]),
    )


def identity(function: Callable[..., Any]) -> tuple[str, str]:
    """Name of a function, and a digest of its source, or of its code where there is no source."""
    plain: Any = getattr(function, "py_func", function)
    name = str(getattr(plain, "__name__", type(plain).__name__))
    if isinstance(plain, Remembered):
        return name, plain.digest
    try:
        text = inspect.getsource(plain).encode()
    except (OSError, TypeError):
        code = getattr(plain, "__code__", None)
        if code is None:
            raise PlanError(f"The force `{name}` has neither source nor code; give a plain function.") from None
        text = code.co_code + repr(code.co_consts).encode()
    return name, hashlib.blake2b(text, digest_size=16).hexdigest()
