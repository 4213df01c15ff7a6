"""Why a click or an item's content is suspect, in words, from the rows of the audit's tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

_VOICE = "suspicion_by_"
_WHOSE = {
    "model": "the model's score",
    "ease": "EASE without the click",
    "itemknn": "item neighbours without the click",
}
_LEARNED: Final = 0.95  # a click above this percentile is one that the model has learned
Record = Mapping[str, Any]


def links_by_rule(links: pa.Table) -> list[tuple[str, str, int]]:
    """(relation, rule, how many links of it the rule cut), in the order in which they first come."""
    counts = links.group_by(["modality", "rule"], use_threads=False).aggregate([([], "count_all")])
    return [(str(row["modality"]), str(row["rule"]), row["count_all"]) for row in counts.to_pylist()]


def click_reason(row: Record) -> str:
    """Why a click is suspicious: who suspects it, where the model ranks it, which relations speak against or for it."""
    voices = {key.removeprefix(_VOICE): value for key, value in row.items() if key.startswith(_VOICE)}
    parts = [f"suspicion {value:.2f} by {_WHOSE.get(name, name)}" for name, value in voices.items()]
    if isinstance(row.get("percentile"), float):
        learned = "" if row["percentile"] < _LEARNED else ", which has learned it, still"
        parts.append(f"the model{learned} ranks it above {row['percentile']:.0%} of what is new to the user")
    against, favour = row.get("speaks_against"), row.get("speaks_for")
    if against:
        parts.append(f"{against} speaks most against it")
    if favour:
        parts.append(f"{favour} speaks most for it")
    elif against:
        parts.append("no relation speaks for it")
    return _sentence(parts)


def content_reason(row: Record) -> str:
    """Why an item's content is suspicious: what it is unlike, in standard deviations from the mean over items."""
    parts = []
    for key, whose in (
        ("agrees_with_behavior", "what the same users chose"),
        ("agrees_with_content", "the items near it in its other content"),
    ):
        if isinstance(row.get(key), float) and math.isfinite(row[key]):
            parts.append(f"{'like' if row[key] >= 0 else 'unlike'} {whose} ({row[key]:+.1f} sd)")
    odd = row.get("odd_modality")
    if odd and odd == row.get("modality"):
        parts.append("the odd one of its modalities")
    return _sentence(parts)


def _sentence(parts: Sequence[str]) -> str:
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else "-"
