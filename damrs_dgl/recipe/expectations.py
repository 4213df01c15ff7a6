"""What a setting may be, in words, read off its declaration: shown beside the setting and in the mistakes about it."""

from __future__ import annotations

import types
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo


def expectation(field: FieldInfo, *, inside: bool = False) -> str:
    """Such as "an integer from 1 to 1000"; ``inside``: of a free table's values, not of the table."""
    if inside:
        return _words(get_args(field.annotation)[1], ())
    return _words(field.annotation, field.metadata)


def as_model(annotation: Any) -> type[BaseModel] | None:
    """The annotation itself where it is a model, else None."""
    # On Python 3.10 dict[str, str] passes for a class until issubclass refuses it, hence get_origin first.
    plain = get_origin(annotation) is None and isinstance(annotation, type)
    return annotation if plain and issubclass(annotation, BaseModel) else None


def value_model(annotation: Any) -> type[BaseModel] | None:
    """The model of a free table's values, None where they are plain."""
    return as_model(get_args(annotation)[1]) if get_origin(annotation) is dict else None


def _words(annotation: Any, metadata: Iterable[Any]) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _words(arguments[0], [*metadata, *_flat(arguments[1:])])
    if origin is Literal:
        shown = [f'"{value}"' for value in arguments]
        return shown[0] if len(shown) == 1 else f"one of {', '.join(shown)}"
    if origin in (Union, types.UnionType):
        return " or ".join(_words(member, metadata) for member in arguments if member is not type(None))
    if origin is tuple:
        few = "a list" if _minimum_length(metadata) == 0 else "a list of one or more"
        return f"{few}, each {_words(arguments[0], ())}"
    return _plain_words(annotation, _flat(metadata))


def _minimum_length(metadata: Iterable[Any]) -> int:
    return next((item.min_length for item in _flat(metadata) if isinstance(item, annotated_types.MinLen)), 0)


def _plain_words(annotation: Any, metadata: list[Any]) -> str:
    if get_origin(annotation) is dict:
        return "a table"
    if model := as_model(annotation):
        short = "a file name or " if any(field.is_required() for field in model.model_fields.values()) else ""
        return f"{short}a table of {', '.join(model.model_fields)}"
    if annotation is bool:
        return "true or false"
    if annotation is str:
        return "a non-empty string" if _minimum_length(metadata) else "a string"
    return f"{'an integer' if annotation is int else 'a number'}{_bounds(metadata)}"


def _bounds(metadata: list[Any]) -> str:
    low = next((item.ge for item in metadata if isinstance(item, annotated_types.Ge)), None)
    above = next((item.gt for item in metadata if isinstance(item, annotated_types.Gt)), None)
    high = next((item.le for item in metadata if isinstance(item, annotated_types.Le)), None)
    below = next((item.lt for item in metadata if isinstance(item, annotated_types.Lt)), None)
    if low is not None and high is not None:
        return f" from {low} to {high}"
    start = f" of at least {low}" if low is not None else f" above {above}" if above is not None else ""
    end = f" at most {high}" if high is not None else f" below {below}" if below is not None else ""
    return start + (f" and{end}" if start and end else f" of{end}" if high is not None else end)


def _flat(metadata: Iterable[Any]) -> list[Any]:
    """Constraints as a field has them: those of a ``Field(...)`` inside an ``Annotated`` taken out of it."""
    flat: list[Any] = []
    for item in metadata:
        flat.extend(item.metadata if isinstance(item, FieldInfo) else [item])
    return flat
