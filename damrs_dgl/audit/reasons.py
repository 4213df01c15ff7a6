"""Why a click or a picture is suspect, in words."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from damrs_dgl.audit.content import ContentView
from damrs_dgl.audit.interaction_scores import VOICES
from damrs_dgl.audit.model_view import ModelView
from damrs_dgl.graphs.schema import BEHAVIOR


def speaks(view: ModelView) -> tuple[np.ndarray, np.ndarray]:
    """The relations that speak most for and most against each click, object [n] each.

    None where no relation gives the pair more (or less) than an item that the user has not met, and for systems without
    relations.
    """
    nothing = np.full(len(view.score), None, dtype=object)
    if view.support is None:
        return nothing, nothing.copy()
    names = np.array(view.relations, dtype=object)
    most_for, most_against = view.support.argmax(0), view.support.argmin(0)
    found_for, found_against = names[most_for], names[most_against]
    found_for[view.support.max(0) <= 0] = None
    found_against[view.support.min(0) >= 0] = None
    return found_for, found_against


def click_reason(view: ModelView, click: int, voices: Mapping[str, np.ndarray] | None = None) -> str:
    """One line for a click, e.g. "the model ranks it above 12% of ...; visual speaks most against it (-1.3 sd)"."""
    parts = [
        f"{VOICES[name]} is lower than {ranks[click]:.0%} of all clicks'" for name, ranks in (voices or {}).items()
    ]
    learned = "" if view.percentile[click] < 0.95 else ", which has learned it, still"
    parts += [f"the model{learned} ranks it above {view.percentile[click]:.0%} of what is new to the user"]
    if view.support is not None:
        support = view.support[:, click]
        low, high = int(support.argmin()), int(support.argmax())
        if support[low] < 0:
            parts.append(f"{view.relations[low]} speaks most against it ({support[low]:+.1f} sd)")
        if support[high] > 0:
            parts.append(f"{view.relations[high]} most for it ({support[high]:+.1f} sd)")
        else:
            parts.append("no relation speaks for it")
    return "; ".join(parts)


def content_reason(view: ContentView, modality: str, item: int) -> str:
    """One line for an item's content: what it is unlike."""
    parts = []
    for relation, values in view.agreement[modality].items():
        if np.isfinite(values[item]):
            whose = "what the same users chose" if relation == BEHAVIOR else f"items of similar {relation}"
            parts.append(f"{'like' if values[item] >= 0 else 'unlike'} {whose} ({values[item]:+.1f} sd)")
    odd = "the odd one of its modalities" if view.odd[item] == modality else ""
    return "; ".join([*parts, *([odd] if odd else [])])
