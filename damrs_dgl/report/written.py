"""A recipe as its user wrote it, for a page from which the run is to be repeated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from damrs_dgl.toml import toml_value


def written_text(table: Mapping[str, Any]) -> str:
    """A recipe's table as TOML: its own keys, then its sections; what is None is left out.

    Written keys hold for every system of a study, and keys left out take each system's own values: a recipe with all
    keys written out would train the others differently.
    """
    sections = {name: keys for name, keys in table.items() if isinstance(keys, Mapping)}
    parts = [_lines({name: value for name, value in table.items() if name not in sections})]
    parts += [[f"[{name}]", *_lines(keys)] for name, keys in sections.items() if keys]
    return "\n\n".join("\n".join(lines) for lines in parts) + "\n"


def _lines(keys: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {toml_value(value)}" for key, value in keys.items() if value is not None]
