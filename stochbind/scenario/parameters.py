"""Parameters of a scenario by their paths, such as ``particle[0].radius``: found, checked and set."""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from pydantic import BeforeValidator, ConfigDict, TypeAdapter, ValidationError

from stochbind.checks import short
from stochbind.scenario import faults
from stochbind.scenario.base import Scenario
from stochbind.scenario.parts import Part

#: A value of a parameter.
Value = float | int | str | bool
Place = tuple[str | int, ...]

_FIELD = re.compile(r"([A-Za-z_]\w{0,59})((?:\[(?:\d{1,9}|\*)\])*)", re.ASCII)
_ALL = -1
#: What a sweep cannot change, and why.
_FIXED = {
    "kind": "makes another kind of scenario",
    "units": "changes the meaning of all other numbers",
    **dict.fromkeys(("name", "source", "description"), "changes no number"),
}


class Parameter(NamedTuple):
    """A parameter: where it is in the data of a scenario, and what checks its values."""

    path: str
    places: tuple[Place, ...]
    adapter: TypeAdapter[Any]
    depth: int  # number of lists around a value that the adapter takes

    def value(self, raw: Any, *, in_file: bool, reduced: bool) -> Value:
        """`raw` in SI, checked as it would be in its place; `ValueError` with one sentence if it is wrong there."""
        context = {"file": in_file, "reduced": reduced}
        if isinstance(raw, (list, tuple, dict)) or raw is None:
            raise ValueError(f"must be one number, text, true or false, but is {short(raw)}")
        for _ in range(self.depth):
            raw = [raw]
        try:
            value = self.adapter.validate_python(raw, context=context)
        except ValidationError as error:
            sentence = faults.sentences(error, {"": Part})[0].removesuffix(".")
            raise ValueError(re.sub(r"^element (\[0\])+ ", "", sentence)) from None
        for _ in range(self.depth):
            value = value[0]
        if isinstance(value, int) and abs(value) >= 2**63:
            raise ValueError(f"must be less than 2**63, but is {short(value)}")
        result: Value = value
        return result

    def unit(self, value: Value, *, reduced: bool) -> str:
        """SI unit of a value; empty if it has none."""
        wrapped: Any = value
        for _ in range(self.depth):
            wrapped = [wrapped]
        written = self.adapter.dump_python(wrapped, context={"units": not reduced})
        for _ in range(self.depth):
            written = written[0]
        return written.partition(" ")[2] if isinstance(value, float) and isinstance(written, str) else ""

    def set(self, data: dict[str, Any], value: Value) -> None:
        """Set it, wherever it is, in data such as `Scenario.to_dict` gives."""
        for *way, last in self.places:
            table: Any = data
            for key in way:
                table = table[key]
            table[last] = value


class _Leaf(NamedTuple):
    place: Place
    annotation: Any
    depth: int


def find(scenario: Scenario, path: str) -> Parameter:
    """The parameter at a path; ``[*]`` stands for every index.

    Raises
    ------
    ValueError
        If there is none, with one sentence that tells what there is.
    """
    steps = _steps(path)
    if steps and steps[0] in _FIXED:
        raise ValueError(f"`{steps[0]}` cannot be swept, as it {_FIXED[str(steps[0])]}")
    if steps is None:
        raise ValueError(f"must be a path, such as `particle[0].radius` or `run.seed`, but is {short(path)}")
    leaves = list(_leaves(scenario, type(scenario), 0, steps, (), (scenario, path)))
    first = leaves[0]
    adapter = TypeAdapter[Any](first.annotation, config=ConfigDict(allow_inf_nan=False))
    return Parameter(path, tuple(leaf.place for leaf in leaves), adapter, first.depth)


def _steps(path: str) -> list[str | int] | None:
    steps: list[str | int] = []
    for field in path.split("."):
        match = _FIELD.fullmatch(field)
        if match is None:
            return None
        steps.append(match[1])
        steps += [_ALL if index == "*" else int(index) for index in re.findall(r"[\d*]+", match[2])]
    return steps


def names(path: str) -> list[str]:
    """Names of the fields along a path, without indices."""
    return re.sub(r"\[[^\]]*\]", "", path).split(".")


def _leaves(
    node: Any, annotation: Any, depth: int, steps: list[str | int], place: Place, asked: tuple[Scenario, str]
) -> Iterator[_Leaf]:
    """Every number, text or flag that the steps lead to from a node."""
    here, core = faults.name(list(place)), _core(annotation)
    if isinstance(node, Part):
        if not steps or steps[0] not in type(node).model_fields:
            raise ValueError(_no_field(node, steps, here, *asked))
        key, *rest = steps
        field = type(node).model_fields[str(key)]
        inner = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
        yield from _leaves(getattr(node, str(key)), inner, 0, rest, (*place, key), asked)
    elif steps:
        step, *rest = steps
        if node is None:
            raise ValueError(f"`{here}` is not given in the scenario; give it, so that a part of it can be swept")
        if not isinstance(node, tuple):
            raise ValueError(f"`{here}` has no parts, so `{asked[1]}` leads nowhere")
        if isinstance(step, str):
            raise ValueError(f"`{here}` is a list; write `{here}[0].{step}`, or `{here}[*].{step}` for all")
        if not node:
            raise ValueError(f"`{here}` is empty in the scenario; give one, so that it can be swept")
        if step >= len(node):
            raise ValueError(f"there is no `{here}[{step}]`; the last one is `{here}[{len(node) - 1}]`")
        for index in range(len(node)) if step == _ALL else [step]:
            whole = depth > 0 or _is_checked_whole(annotation)
            inner = annotation if whole else _element(core, index)
            yield from _leaves(node[index], inner, depth + 1 if whole else 0, rest, (*place, index), asked)
    elif isinstance(node, tuple) or (depth == 0 and get_origin(core) is tuple):
        raise ValueError(f"`{here}` is a list; sweep one element, such as `{here}[0]`, or all, `{here}[*]`")
    elif isinstance(core, type) and issubclass(core, Part):
        raise ValueError(f"`{here}` is a table that is not given; give it, so that a field of it can be swept")
    else:
        yield _Leaf(place, annotation, depth)


def _core(annotation: Any) -> Any:
    """An annotation without its checks and without None."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif get_origin(annotation) in (Union, types.UnionType) and type(None) in get_args(annotation):
            annotation = next(each for each in get_args(annotation) if each is not type(None))
        else:
            return annotation


def _is_checked_whole(annotation: Any) -> bool:
    """Whether a list is checked as one, as matrices are, and not element by element."""
    if get_origin(annotation) in (Union, types.UnionType):
        return any(_is_checked_whole(each) for each in get_args(annotation))
    return get_origin(annotation) is Annotated and any(
        isinstance(each, BeforeValidator) for each in get_args(annotation)[1:]
    )


def _element(core: Any, index: int) -> Any:
    """Annotation of one element of a tuple."""
    arguments = get_args(core)
    return arguments[0] if arguments[-1] is Ellipsis else arguments[index]


def _no_field(node: Part, steps: list[str | int], here: str, scenario: Scenario, path: str) -> str:
    fields = [field for field in type(node).model_fields if here or field not in _FIXED]
    known = f"{'' if not here else f'in `{here}` '}there are " + ", ".join(f"`{field}`" for field in fields)
    if not steps:
        return f"`{here}` is a table; sweep one of its fields: {known}"
    if isinstance(steps[0], int):
        return f"`{here}` is one table and no list; leave out the index"
    near = _near(scenario, re.sub(r"\[\d+\]", "[*]", path))
    return f"there is no `{path}`; " + (f"did you mean `{near}`" if near else known)


def _near(scenario: Scenario, path: str) -> str | None:
    """The parameter that a wrong path may have meant: one with the same last name, or one of a similar path."""
    known = list(_known(scenario, ()))
    *_, last = path.split(".")
    same = [each for each in known if each.split(".")[-1] == last]
    return next(iter(same or difflib.get_close_matches(path, known, n=1)), None)


def _known(node: Any, place: Place) -> Iterator[str]:
    """Paths of everything in a scenario that can be swept, with ``[*]`` for lists."""
    if isinstance(node, Part):
        for key in type(node).model_fields:
            if place or key not in _FIXED:
                yield from _known(getattr(node, key), (*place, key))
    elif isinstance(node, tuple):
        for path in _known(node[0], place) if node else ():
            head = faults.name(list(place))
            yield f"{head}[*]{path.removeprefix(head)}"
    else:
        yield faults.name(list(place))
