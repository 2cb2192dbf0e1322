"""A user's own forces in the plan of a run: told by name, source and parameters; never read back as code."""

from __future__ import annotations

import dataclasses
import dis
import hashlib
import inspect
import types
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from stochbind import checks
from stochbind.errors import PlanError
from stochbind.forces import Force, function_name, plain_function

#: Modules whose content does not change.
_KNOWN_MODULES = ("math", "cmath", "numpy", "scipy", "numba", "stochbind", "builtins", "operator")

#: Methods that make, copy, compare and print an object: what it computes depends on its fields, and not on these.
_WITHOUT_NUMBERS = frozenset(
    f"__{name}__"
    for name in (
        *("new", "init", "post_init", "setattr", "delattr", "replace", "copy", "deepcopy"),
        *("getstate", "setstate", "reduce", "reduce_ex", "getnewargs", "getnewargs_ex"),
        *("eq", "ne", "lt", "le", "gt", "ge", "hash", "repr", "str", "format", "init_subclass"),
    )
)


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


def require_known(forces: Iterable[Force]) -> None:
    """Raise `PlanError` if the function of a force is not here, but only its name."""
    for force in forces:
        if isinstance(force.function, Remembered):
            force.function()


def described(force: Force) -> dict[str, Any]:
    """A force as plain data: the name of its function, a digest of its source, and its parameters."""
    assert force.active is not None
    name, digest = identity(force.function)
    return {
        "function": name,
        "source": digest,
        "vectorized": force.vectorized,
        **({"collective": True} if force.collective else {}),
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
        collective=bool(data.get("collective", False)),
    )


def identity(function: Callable[..., Any]) -> tuple[str, str]:
    """Name of a function, and a digest of its source and of all that it uses beside its arguments.

    Of an object with ``__call__``, or of a method, that is the source of its class, which must be a dataclass, and the
    values of its fields.

    Raises
    ------
    PlanError
        If it uses something that cannot be described.
    """
    plain: Any = plain_function(function)
    name = function_name(plain)
    if isinstance(plain, Remembered):
        return name, plain.digest
    return name, hashlib.blake2b(_text(plain, name, ()).encode(), digest_size=16).hexdigest()


def _text(function: Any, name: str, callers: tuple[Any, ...]) -> str:
    """Source of a function, with the values of its defaults and of the names that it takes from elsewhere."""
    if inspect.ismethod(function):
        owner = function.__self__
        if not _is_described(owner):
            raise PlanError(
                f"The force `{name}` is a method, and what its object holds a plan cannot know unless its class is a "
                "dataclass; give a plain function, or make it one."
            )
        return f"{name} of {_object_text(owner, name, callers)}"
    if _is_described(function):
        return _object_text(function, name, callers)
    code = getattr(function, "__code__", None)
    if code is None:
        raise PlanError(f"The force `{name}` has neither source nor code; give a plain function.")
    try:
        # The source of a lambda is the line that it stands in, others and all.
        source = _instructions(code) if code.co_name == "<lambda>" else inspect.getsource(code)
    except (OSError, TypeError):
        source = _instructions(code)
    used = {key: function.__globals__[key] for key in _globals(code) if key in function.__globals__}
    used |= {key: cell.cell_contents for key, cell in zip(code.co_freevars, function.__closure__ or (), strict=True)}
    used["defaults of"] = function.__defaults__
    used["keyword defaults of"] = tuple(
        item for pair in sorted((function.__kwdefaults__ or {}).items()) for item in pair
    )
    parts = [source]
    for key, value in sorted(used.items()):
        plain = plain_function(value)
        if inspect.isfunction(plain):
            content = "" if plain in (*callers, function) else _text(plain, name, (*callers, function))
        else:
            content = _value(value, key, name)
        parts.append(f"{key}: {content}")
    return "\n".join(parts)


def _is_described(value: Any) -> bool:
    """Whether something is an object of a dataclass."""
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _object_text(owner: Any, name: str, callers: tuple[Any, ...]) -> str:
    """Sources of all functions of the class of an object, and the values of its fields."""
    kind = type(owner)
    parts = [kind.__qualname__]
    for base in kind.__mro__[:-1]:
        for key, member in sorted(vars(base).items()):
            plain = (
                getattr(member, "fget", None) or getattr(member, "func", None) or getattr(member, "__func__", member)
            )
            if inspect.isfunction(plain) and key not in _WITHOUT_NUMBERS and plain not in callers:
                parts.append(f"{key}: {_text(plain, name, (*callers, plain))}")
    parts += [
        f"{field.name}: {_value(getattr(owner, field.name), field.name, name)}" for field in dataclasses.fields(owner)
    ]
    return "\n".join(parts)


def _value(value: Any, key: str, name: str) -> str:
    """A constant, or the name of what comes with a package."""
    if value is None or isinstance(value, bool | int | float | complex | str | np.number | np.bool_):
        return repr(value)
    if isinstance(value, tuple):
        return f"({', '.join(_value(part, key, name) for part in value)})"
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        return f"{value.dtype} {value.shape} {value.tobytes().hex()}"
    if _is_described(value):
        return _object_text(value, name, ())
    if inspect.ismodule(value) and value.__name__.partition(".")[0] not in _KNOWN_MODULES:
        raise PlanError(
            f"The force `{name}` uses the module `{key}`, whose numbers a plan does not see; import the numbers "
            "that it needs by name, or hand them in as parameters."
        )
    if isinstance(value, type) and value.__module__.partition(".")[0] not in _KNOWN_MODULES:
        raise PlanError(
            f"The force `{name}` uses the class `{key}`, whose content a plan does not see; use numbers, or hand them "
            "in as parameters."
        )
    if inspect.ismodule(value) or inspect.isbuiltin(value) or isinstance(value, type | np.ufunc):
        return f"{getattr(value, '__module__', '')}.{value.__name__}"
    raise PlanError(
        f"The force `{name}` uses `{key}`, {checks.short(value)}, which a plan cannot hold; use numbers, arrays and "
        "functions, or hand it in as a parameter."
    )


def _instructions(code: types.CodeType) -> str:
    """The compiled form of a function, as text."""
    constants = [_instructions(part) if isinstance(part, types.CodeType) else repr(part) for part in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {code.co_varnames} {code.co_freevars} {constants}"


def _globals(code: types.CodeType) -> set[str]:
    """Names that a function looks up outside of itself."""
    found = {str(line.argval) for line in dis.get_instructions(code) if line.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    for part in code.co_consts:
        if isinstance(part, types.CodeType):
            found |= _globals(part)
    return found
