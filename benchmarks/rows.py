"""Results as rows of a CSV file: each made in a process of its own, appended as soon as it is there, never made twice.

No torch at import: who imports this may still say how many threads it is to take.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, stdev
from typing import Any, TypeVar

RESULTS = Path(__file__).parent / "results"
Made = TypeVar("Made")


def append(path: Path, rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Add rows to a file, with the header where it is new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(rows)


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a file, none where it is not there."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def known_commands(path: Path) -> set[str]:
    """The commands whose rows are there already."""
    return {row["command"] for row in read(path)}


def in_a_process(work: Callable[..., Made], *arguments: Any) -> Made | None:
    """What `work` gives in a process of its own; None where it fails, which stops no other row."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(work, *arguments).result()
        except Exception as error:
            print(f"{arguments}: {error}", file=sys.stderr)
            return None


def settings_of(recipe: Any) -> str:
    """The keys of [model] and [training] that a recipe sets, as JSON."""
    chosen = recipe.model.model_dump(exclude_unset=True), recipe.training.model_dump(exclude_unset=True)
    return json.dumps({**chosen[0], "training": chosen[1]})


def overrides_of(texts: Iterable[str]) -> dict[str, object]:
    """The values given as section.key=value: JSON, else the text itself."""
    found: dict[str, object] = {}
    for text in texts:
        key, _, value = text.partition("=")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation in words: "0.1057 ± 0.0006"; one value stands alone."""
    return f"{mean(values):.4f} ± {stdev(values):.4f}" if len(values) > 1 else f"{values[0]:.4f}"
