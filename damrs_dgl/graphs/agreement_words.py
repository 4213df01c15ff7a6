"""What the facts of `agreement.ContentAgreement`, as `dataset.json` keeps them, say in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

_SATURATED = 0.5  # of pairs by chance; above it shares of pairs leave no room for a lift
_LITTLE, _MUCH = 1.2, 2.0  # lifts; between them content is a weak witness. A rule of thumb, not a test


def is_saturated(chance: object) -> bool:
    """Whether so many pairs of items have a user in common that the share of those that do tells little."""
    return isinstance(chance, float) and chance > _SATURATED


def telling_measure(values: Mapping[str, Any]) -> tuple[str, str, str]:
    """Which facts tell: `co_consumed` with its chance and spread, or `shared` where nearly all pairs share a user."""
    if is_saturated(values.get("co_consumed_by_chance")):
        return "shared", "shared_by_chance", "shared_spread"
    return "co_consumed", "co_consumed_by_chance", "chance_spread"


def measure_texts(values: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """What tells and its chance, as shares, or as cosines: "24.8%" or "cosine 0.062"; None where it is not known."""
    name, by_chance, _ = telling_measure(values)
    pair = values.get(name), values.get(by_chance)
    form = "{:.1%}" if name == "co_consumed" else "cosine {:.3f}"
    first, second = (form.format(value) if isinstance(value, float) else None for value in pair)
    return first, second


def tells(values: Mapping[str, Any]) -> Literal["nothing known", "hardly", "a little", "much"]:
    """How much a modality tells of what people choose together, by `ContentAgreement`'s facts and a rule of thumb."""
    value, chance, spread = (values.get(name) for name in telling_measure(values))
    if not (isinstance(value, float) and isinstance(chance, float) and isinstance(spread, float)):
        return "nothing known"
    lift: float = values["lift"] if isinstance(values.get("lift"), float) else math.inf
    if value <= chance + 3 * spread or lift < _LITTLE:
        return "hardly"
    return "a little" if lift < _MUCH else "much"


def verdict(modality: str, values: Mapping[str, Any]) -> str:
    """What `ContentAgreement`'s facts mean, in one plain sentence."""
    told = tells(values)
    if told == "nothing known":
        return f"{modality}: too few items have content, and neighbours with training users, to say whether it can help"
    found_text, chance_text = measure_texts(values)
    if telling_measure(values)[0] == "shared":
        fact = f"users of items with similar {modality} content are alike by {found_text}, {chance_text} by"
    else:
        fact = f"items with similar {modality} content share a user in {found_text} of cases, {chance_text} by"
    times = f", {values['lift']:.1f} times" if isinstance(values.get("lift"), float) and told != "hardly" else ""
    says, advice = {
        "hardly": ("hardly tells", "do not expect it to help"),
        "a little": ("tells a little of", "it may help"),
        "much": ("tells much of", "it can help"),
    }[told]
    return f"{modality}: {says} what people choose together ({fact} chance{times}); {advice}"
