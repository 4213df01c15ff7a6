"""The audit's tables, in the user's own ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa
from torch import Tensor

from damrs_dgl.audit.content import ContentView
from damrs_dgl.audit.links import CutLinks
from damrs_dgl.audit.model_view import ModelView
from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.graphs.schema import BEHAVIOR
from damrs_dgl.models.base import ClickEvidence


def interaction_table(
    dataset: MultimodalDataset, view: ModelView, suspicion: np.ndarray, voices: Mapping[str, np.ndarray] | None = None
) -> pa.Table:
    """A row for each training click, the most suspect first; f, g and posterior are null for systems without them.

    voices: what the suspicion is the mean of, each a column `suspicion_by_NAME`.
    """
    order, evidence = np.argsort(-suspicion, kind="stable"), view.evidence
    most_for, most_against = _speaks(evidence, len(order))
    users, items = dataset.train.users.numpy(), dataset.train.items.numpy()

    def own(term: Callable[[ClickEvidence], Tensor]) -> pa.Array:
        return pa.nulls(len(order), pa.float32()) if evidence is None else pa.array(term(evidence).numpy()[order])

    return pa.table(
        {
            "user": _ids(users[order], dataset.user_ids),
            "item": _ids(items[order], dataset.item_ids),
            "suspicion": pa.array(suspicion[order], pa.float64()),
            "posterior": own(lambda evidence: evidence.posterior),
            "f": own(lambda evidence: evidence.reliability),
            "g": own(lambda evidence: evidence.contradiction),
            "speaks_for": pa.array(most_for[order], pa.string()).dictionary_encode(),
            "speaks_against": pa.array(most_against[order], pa.string()).dictionary_encode(),
            "percentile": pa.array(view.percentile[order], pa.float32()),
            **{f"suspicion_by_{name}": pa.array(ranks[order], pa.float64()) for name, ranks in (voices or {}).items()},
        }
    )


def _speaks(evidence: ClickEvidence | None, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The relations that speak most for and most against each click, object [n] each.

    None where no relation gives the pair more (or less) than an item that the user has not met, and for systems without
    relations.
    """
    if evidence is None:
        nothing = np.full(count, None, dtype=object)
        return nothing, nothing
    names, support = np.array(evidence.relations, dtype=object), evidence.support.numpy()
    found_for, found_against = names[support.argmax(0)], names[support.argmin(0)]
    found_for[support.max(0) <= 0] = None
    found_against[support.min(0) >= 0] = None
    return found_for, found_against


def content_table(dataset: MultimodalDataset, view: ContentView) -> pa.Table:
    """A row for each item and modality that it has, the most suspect first; null where nothing could be compared.

    agrees_with_content, agrees_with_behavior: in standard deviations above the mean over items; the first is the mean
    over the other modalities.
    """
    parts = []
    for modality, suspicion in view.suspicion.items():
        rows = np.flatnonzero(~dataset.features[modality].missing)
        others = [values for relation, values in view.agreement[modality].items() if relation != BEHAVIOR]
        table = {
            "item": _ids(rows, dataset.item_ids),
            "modality": pa.array([modality] * len(rows), pa.string()),
            "suspicion": _or_null(suspicion[rows]),
            "agrees_with_content": _or_null(_mean_known(others, dataset.num_items)[rows]),
            "agrees_with_behavior": _or_null(view.agreement[modality][BEHAVIOR][rows]),
            "odd_modality": pa.array([name or None for name in view.odd[rows]], pa.string()),
        }
        parts.append(pa.table(table))
    if not parts:
        numbers = dict.fromkeys(("suspicion", "agrees_with_content", "agrees_with_behavior"), pa.float64())
        ids = pa.dictionary(pa.int32(), dataset.item_ids.type)
        schema = {"item": ids, "modality": pa.string(), **numbers, "odd_modality": pa.string()}
        return pa.schema(list(schema.items())).empty_table()
    return pa.concat_tables(parts).sort_by([("suspicion", "descending")])


def link_table(dataset: MultimodalDataset, links: CutLinks) -> pa.Table:
    """A row for each link that a rule cut."""
    text = {name: pa.array(getattr(links, name), pa.string()).dictionary_encode() for name in ("relation", "rule")}
    return pa.table(
        {
            "item": _ids(links.item, dataset.item_ids),
            "neighbor": _ids(links.neighbor, dataset.item_ids),
            "modality": text["relation"],  # shown as "relation", for it may be behavior; the name is users' scripts'
            "rule": text["rule"],
            "similarity": pa.array(links.similarity, pa.float64()),
            "vetoed_by": pa.array([name or None for name in links.vetoed_by], pa.string()).dictionary_encode(),
            "value": _or_null(links.value),
            "threshold": _or_null(links.threshold),
        }
    )


def _ids(places: np.ndarray, ids: pa.Array) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(places, pa.int32()), ids)


def _or_null(values: np.ndarray) -> pa.Array:
    return pa.array(values, pa.float64(), from_pandas=True)


def _mean_known(parts: list[np.ndarray], size: int) -> np.ndarray:
    if not parts:
        return np.full(size, np.nan)
    values = np.stack(parts)
    known = np.isfinite(values).sum(0)
    return np.where(known > 0, np.where(np.isfinite(values), values, 0).sum(0) / np.maximum(known, 1), np.nan)
