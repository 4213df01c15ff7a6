"""What other packages offer by an entry point, and why some of it cannot be used."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from importlib.metadata import EntryPoint

from damrs_dgl.errors import DamrsError


def use_plugins(group: str, kind: str, use: Callable[[EntryPoint], object]) -> list[tuple[str, DamrsError]]:
    """Load and use what packages offer in a group; the name of each that fails, and why, with the cure.

    kind: what such a thing is called, such as "metric".
    """
    unusable = []
    for entry in sorted(importlib.metadata.entry_points(group=group), key=lambda entry: entry.name):
        try:
            use(entry)
        except Exception as error:  # noqa: PERF203 (whatever their import does)
            unusable.append((entry.name, _left_out(entry, kind, error)))
    return unusable


def _left_out(entry: EntryPoint, kind: str, error: Exception) -> DamrsError:
    return DamrsError(
        f"the {kind} {entry.name!r} of another package is left out ({type(error).__name__}: {error})",
        where=entry.value,
        fix="mend or uninstall that package",
    )
