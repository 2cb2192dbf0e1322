"""Parts of a scenario: tables that are frozen, strict about names, and checked when they are made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from stochbind.errors import ScenarioError
from stochbind.scenario import faults

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)  # its only public name


class _RaisesScenarioError(ModelMetaclass):
    """Turns pydantic's error into ours when a part is made in Python (`__init__` would also catch nested parts)."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        try:
            if args:
                return super().__call__(*args, **kwargs)  # a TypeError, in the words of pydantic
            context = {"reduced": kwargs.get("units") == "reduced"}
            return cls.model_validate(kwargs, context=context)  # type: ignore[attr-defined]
        except ValidationError as error:
            lines = faults.sentences(error, {"": cls})  # type: ignore[dict-item]
            raise ScenarioError("\n".join(f"{cls.__name__}: {line}" for line in lines)) from None


class Part(BaseModel, metaclass=_RaisesScenarioError):
    """A table of a scenario: frozen, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with some fields replaced, checked like any other (pydantic's own copy is not)."""
        fields = {name: getattr(self, name) for name in self.model_fields_set}
        return type(self)(**{**fields, **(update or {})})
