"""What is wrong with a scenario, in sentences that name the line, the field, the value and the fix."""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from stochbind.checks import short

_MOST = 20
_Model = type[BaseModel]


def sentences(error: ValidationError, models: Mapping[str, _Model], text: str = "") -> list[str]:
    """All faults of a validation, one sentence each, in the order of their lines.

    Parameters
    ----------
    error : ValidationError
        What pydantic found.
    models : mapping of str to type
        What was validated: the scenario of each kind, by the kind's name; or a single part, under an empty name.
    text : str
        The file, if there is one.
    """
    text = re.sub(r'"{3}[\s\S]*?"{3}|\'{3}[\s\S]*?\'{3}', lambda match: "\n" * match[0].count("\n"), text)
    faults = error.errors(include_url=False)
    found = []
    for fault in faults[:_MOST]:
        if fault["type"] == "too_short" and fault["input"]:
            continue  # it is too short because its elements are wrong, and they have sentences of their own
        path = list(fault["loc"])
        model = models[""] if "" in models else models.get(str(path.pop(0))) if path else None
        sentence = _sentence(fault, path, model, models)
        field = _field(path, model)
        path = field.path
        if path and (own := re.match(r"`(\w+)` ", sentence)) and own[1] in field.names:
            path, sentence = [*path, own[1]], sentence[own.end() :]
        where = f"{name(path)}: " if path else ""
        line = _line(text, path or (["kind"] if fault["type"].startswith("union_tag") else _named(sentence, field)))
        found.append((line or 0, (f"line {line}: " if line else "") + f"{where}{sentence}."))
    more = [f"and {len(faults) - _MOST} more."] if len(faults) > _MOST else []
    return [sentence for _, sentence in sorted(found, key=lambda item: item[0])] + more


def placed(sentence: str, path: list[Any], text: str = "") -> str:
    """A sentence about the field at `path`, with its line, if there is a file, and its name."""
    line = _line(text, path)
    return (f"line {line}: " if line else "") + f"{name(path)}: {sentence}."


def _sentence(fault: Any, path: list[Any], model: _Model | None, models: Mapping[str, _Model]) -> str:
    value = short(fault["input"])
    limit = fault.get("ctx", {})
    field = _field(path, model)
    match fault["type"]:
        case "value_error":
            return str(limit["error"]).removesuffix(".")
        case "extra_forbidden":
            return _unknown(path, model, models)
        case "missing" if isinstance(path[-1], int):
            return "is missing from the list"
        case "missing":
            return "is missing; add " + (field.written if field.part or field.many else f"`{path[-1]} = ...`")
        case "union_tag_not_found" | "union_tag_invalid" | "model_attributes_type" if field.kinds:
            above = _field(path[:-1], model).many  # an element of a list of tables
            return _wrong_kind(fault["input"], field.kinds, "a table" if above else "a name or a table")
        case "union_tag_not_found" | "union_tag_invalid":
            kind = fault["input"].get("kind")
            wanted = " or ".join(f'kind = "{name}"' for name in models)
            return f"must say {wanted}" + ("" if kind is None else f", but says kind = {short(kind)}")
        case "tuple_type" | "list_type" if field.many and isinstance(fault["input"], Mapping):
            double = f"[[{name(field.path)}]]"
            return f"must be {field.written}, in double brackets; write {double} in place of {double[1:-1]}"
        case "model_type" | "model_attributes_type" | "dict_type" | "tuple_type" | "list_type":
            return f"must be {field.written if field.part or field.many else 'a list'}, but is {value}"
        case "too_long" if "max_length" in limit:
            return f"must have at most {limit['max_length']} elements, but has {len(fault['input'])}"
        case "too_short":
            return f"must not be empty; add {field.written if field.part or field.many else 'at least one value'}"
        case "int_type" | "int_from_float" | "int_parsing" | "int_parsing_size":
            return f"must be a whole number, without quotes, point or exponent, but is {value}"
        case "float_type" | "float_parsing":
            return f"must be a number, without quotes, but is {value}"
        case "greater_than_equal":
            return f"must be at least {limit['ge']}, but is {value}"
        case "bool_type":
            return f"must be true or false, without quotes, but is {value}"
        case "string_type":
            return f"must be text in quotes, but is {value}"
        case _:
            message = re.sub("^(Input|String) should", "must", fault["msg"])
            return f"{message[0].lower()}{message[1:]}, but is {value}"


class _Field(NamedTuple):
    """What a field holds: the tables of one part, if any, and how they are written; or of several, by their kind.

    Its path is that of the file, without the kinds that pydantic puts into it; `many` says that it is a list of tables.
    """

    part: _Model | None
    written: str
    kinds: dict[str, _Model]
    path: list[Any]
    many: bool

    @property
    def names(self) -> set[str]:
        """Names of the fields of its tables."""
        parts = [self.part] if self.part is not None else self.kinds.values()
        return {name for part in parts for name in part.model_fields}


def _field(path: list[Any], model: _Model | None) -> _Field:
    """The field at a path of a scenario."""
    written = "the file"
    names = []
    plain: list[Any] = []
    kinds: dict[str, _Model] = {}
    tables = False
    for index, key in enumerate(path):
        if isinstance(key, int):
            plain.append(key)
            tables = False
            continue
        if key in kinds:
            model, kinds = kinds[key], {}
            continue
        plain.append(key)
        info = model.model_fields.get(key) if model is not None else None
        model = _part(info.annotation) if info is not None else None
        kinds = _kinds(info.annotation) if info is not None else {}
        many = info is not None and get_origin(info.annotation) is tuple
        names.append(str(key))
        table = ".".join(names)
        written = f"a table [[{table}]]" if many else f"a table [{table}]"
        if many and index + 1 == len(path):
            written += f" for each {key}"
        tables = many and (model is not None or bool(kinds))
    return _Field(model, written, kinds, plain, tables)


def _part(annotation: Any) -> _Model | None:
    """The part that an annotation allows, also in a tuple or as an alternative to None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (tuple, Union, types.UnionType):
        return next((part for argument in get_args(annotation) if (part := _part(argument))), None)
    return None


def _kinds(annotation: Any) -> dict[str, _Model]:
    """The parts that an annotation lets choose from by their `kind`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        kind = annotation.model_fields.get("kind")
        return {} if kind is None else {str(word): annotation for word in get_args(kind.annotation)}
    if get_origin(annotation) in (tuple, Union, types.UnionType, Annotated):
        return {word: part for argument in get_args(annotation) for word, part in _kinds(argument).items()}
    return {}


def _wrong_kind(given: Any, kinds: Mapping[str, _Model], form: str) -> str:
    """What to do about a table, or a name that stands for one, that is of no known kind."""
    *words, last = (f'"{kind}"' for kind in kinds)
    known = f"{', '.join(words)} or {last}"
    if not isinstance(given, Mapping):
        return f"must be {form}, of kind {known}, but is {short(given)}"
    kind = given.get("kind")
    return f"must be of kind {known}" + (", but tells none" if kind is None else f", but is of kind {short(kind)}")


def _unknown(path: list[Any], model: _Model | None, models: Mapping[str, _Model]) -> str:
    """What to do about a field that does not belong where it stands."""
    *table, name = path
    here = _field(table, model).part
    known = list(here.model_fields) if here is not None else []
    for kind, other in models.items():
        there = _field(table, other).part
        if other is not model and there is not None and name in there.model_fields:
            return f'is not a field of this kind of scenario, but of kind = "{kind}"'
    siblings = _field(table[:-1], model).kinds
    for kind, other in siblings.items():
        if name in other.model_fields and other is not here:
            return f'is not a field of kind = "{table[-1]}", but of kind = "{kind}"'
    if close := difflib.get_close_matches(str(name), known, n=1):
        return f"is not a known field; did you mean `{close[0]}`"
    for home in model.model_fields if model is not None else ():
        field = _field([home], model)
        if name in field.names:
            return f"is not a known field here, but in {field.written}"
    return "is not a known field; known here are " + ", ".join(f"`{field}`" for field in known)


def name(path: list[Any]) -> str:
    """A path as it is written in Python; a key that is no plain name is quoted."""
    result = ""
    for key in path:
        plain = isinstance(key, str) and re.fullmatch(r"[\w-]{1,60}", key)
        result += f".{key}" if plain else f"[{short(key)}]"
    return result.lstrip(".")


def _named(sentence: str, field: _Field) -> list[Any]:
    """The path that a sentence begins with, such as ``particle[0].radius``, or a name of the fields there."""
    if (word := sentence.partition(" ")[0]) in field.names:
        return [word]
    match = re.match(r"(?:`([a-z_]+)`|([a-z_]+)(?:\[(\d+)\](?:\.([a-z_]+))?|\.([a-z_]+)))", sentence)
    return [int(key) if key.isdigit() else key for key in match.groups() if key] if match else []


def _line(text: str, path: list[Any]) -> int | None:
    """Line of a key in a TOML text, for the plain layout of one key a line; tomllib gives none."""
    if not text or not path:
        return None
    table: list[Any] = []
    count: dict[tuple[Any, ...], int] = {}  # of the last table of each list of tables
    best = None
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if header := re.fullmatch(r"\[\[\s*([\w.-]+)\s*\]\]\s*(#.*)?", stripped):
            *above, name = header[1].split(".")
            table = [*_in_lists(above, count), name]
            count[tuple(table)] = count.get(tuple(table), -1) + 1
            table.append(count[tuple(table)])
        elif header := re.fullmatch(r"\[\s*([\w.-]+)\s*\]\s*(#.*)?", stripped):
            table = _in_lists(header[1].split("."), count)
        elif key := re.match(r"""["']?([\w.-]+)["']?\s*=""", stripped):
            here = [*table, *key[1].split(".")]
            if path[: len(here)] == here:
                return number
            continue
        else:
            continue
        if path[: len(table)] == table or (best is None and table[: len(path)] == path):
            best = number
    return best


def _in_lists(names: list[str], count: Mapping[tuple[Any, ...], int]) -> list[Any]:
    """The path that a header names: where it passes through a list of tables, the last of them is meant."""
    path: list[Any] = []
    for name in names:
        path.append(name)
        if tuple(path) in count:
            path.append(count[tuple(path)])
    return path
