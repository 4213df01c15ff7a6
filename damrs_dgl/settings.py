"""What every table of settings, a recipe's section or a model's keys, is made of; and what a key may be, in words."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from damrs_dgl.toml import toml_value

Name = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Weight = Annotated[float, Field(ge=0)]
# A TOML array arrives as a list, which strict mode would not take for a tuple; what is inside stays strict.
ARRAY = Field(strict=False, min_length=1)

_KINDS = {
    "boolean": "true or false", "integer": "an integer", "number": "a number",
    "string": "a string", "non-empty string": "a non-empty string",
    "object": "a table", "non-empty object": "a table of one or more keys",
}  # fmt: skip
_BOUNDS = {"minimum": "of at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
Schema = dict[str, Any]  # what declares a key or a table: its JSON schema


class Section(BaseModel):
    """A table of settings: unknown keys refused, no silent conversion of types, immutable.

    A field's description is the documentation that `recipes show` prints.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, protected_namespaces=())

    @field_validator("*")
    @classmethod
    def _of_64_bits(cls, value: Any) -> Any:
        """Refuse integers that TOML and the machine have no room for, in keys that have no greatest value."""
        values = value if isinstance(value, tuple) else (value,)
        if any(isinstance(number, int) and not -(2**63) <= number < 2**63 for number in values):
            raise ValueError("expected an integer of at most 64 bits")
        return value


@functools.cache
def schema_of(kind: type[Section]) -> Schema:
    """The JSON schema of a table's keys, each reference in it replaced by what it refers to; not to be changed."""
    schema = kind.model_json_schema()
    definitions = schema.pop("$defs", {})

    def resolved(node: Any) -> Any:
        if isinstance(node, list):
            return [resolved(item) for item in node]
        if not isinstance(node, dict):
            return node
        target = definitions.get(node.get("$ref", "").rpartition("/")[2], {})
        return {key: resolved(item) for key, item in {**target, **node}.items()}

    return resolved(schema)


def expectation(schema: Schema) -> str:
    """What a value may be, such as "an integer from 1 to 1000"."""
    if "anyOf" in schema:
        return " or ".join(expectation(choice) for choice in schema["anyOf"] if choice.get("type") != "null")
    if "const" in schema:
        return toml_value(schema["const"])
    if "enum" in schema:
        return f"one of {', '.join(map(toml_value, schema['enum']))}"
    if "items" in schema:
        return f"a list{' of one or more' if schema.get('minItems') else ''}, each {expectation(schema['items'])}"
    if "properties" in schema:
        short = "a file name or " if "required" in schema else ""
        return f"{short}a table of {', '.join(schema['properties'])}"
    non_empty = "non-empty " if schema.get("minLength") or schema.get("minProperties") else ""
    kind = _KINDS.get(f"{non_empty}{schema.get('type')}", "a value of another kind")
    return f"{kind}{_bounds(schema)}"


def _bounds(schema: Schema) -> str:
    if "minimum" in schema and "maximum" in schema:
        return f" from {schema['minimum']} to {schema['maximum']}"
    bounds = [f"{words} {schema[bound]}" for bound, words in _BOUNDS.items() if bound in schema]
    return f" {' and '.join(bounds)}" if bounds else ""


def nearest(name: str, known: Iterable[str], place: str = "") -> str | None:
    """The cure for a name that is none: the nearest one, said with the `place` that it stands in."""
    near = get_close_matches(name.lower(), known, n=1)
    return f"did you mean {place}{near[0]}?" if near else None


def expand_home(path: str | Path) -> Path:
    """The path with a leading ``~/`` filled in; other users' homes are left alone, for they may not be known."""
    return Path(path).expanduser() if str(path).startswith("~/") else Path(path)
