"""Item-item semantic relations, one per content modality, pruned for consistency across modalities (Eq. 1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from damrs_dgl.data.parts import ModalityFeatures
from damrs_dgl.errors import RecipeError
from damrs_dgl.graphs.approximate.candidates import candidate_neighbors
from damrs_dgl.graphs.exact import Pruned, exact_neighbors
from damrs_dgl.graphs.keys import GraphKeys
from damrs_dgl.graphs.similarity import CosineTable
from damrs_dgl.progress import OnProgress, silent

_LABEL = "content graphs"
CANDIDATES = ("auto", "exact", "projected", "faiss")


@dataclass(frozen=True)
class SemanticNeighbors:
    """Neighbours by modality and what was pruned on the way.

    Attributes
    ----------
    pairs: {modality: (items, neighbors)} int64, ordered by item and then neighbour; item i keeps neighbour j.
    mean_similarity: {modality: mean cosine over all pairs of items that have it}.
    below_mean: {modality: ordered pairs of items that have it, the diagonal included, below its mean}.
    inconsistent: {modality: ordered pairs of items that have it, which reach its mean and fall below that of another
        one that both have}. Both counts are empty where candidates were searched: not all pairs were looked at.
    items_without_content: {modality: items with no usable vector}, and "any": in at least one modality.
    """

    pairs: dict[str, tuple[Tensor, Tensor]]
    mean_similarity: dict[str, float]
    below_mean: dict[str, int]
    inconsistent: dict[str, int]
    items_without_content: dict[str, int]


def semantic_neighbors(
    features: Mapping[str, ModalityFeatures],
    *,
    k: int = 10,
    consistency: bool = True,
    candidates: str = "auto",
    approximate_above: int = 200_000,
    block_size: int = 2048,
    device: torch.device | str = "cpu",
    progress: OnProgress = silent,
) -> SemanticNeighbors:
    """The k most similar items of every item, in every modality, with cosine above 0 (Eq. 1).

    Parameters
    ----------
    features: {modality: features [I, D_m]}.
    k: neighbours kept per item; the item itself (similarity 1) is a candidate like any other.
    consistency: first drop a pair everywhere if its similarity is below the mean in any modality that both items have.
        False: the plain top-k of the paper's ablation (IIG).
    candidates: "exact" compares all pairs. "projected" and "faiss" choose candidates by estimated similarities and
        compare those exactly, which can miss edges (graphs/approximate/). "auto": "exact" up to `approximate_above`
        items, "faiss" beyond.
    block_size: items that "exact" compares with as many at a time; a bound on memory, without influence on the result.
        More than 4,096 count as 4,096.
    device: where the matrix products and the choice of the k best run.

    A modality that one item of a pair lacks has no say on that pair, neither a veto nor an edge: in that modality the
    item keeps itself only and is nobody else's neighbour, and in the others it keeps its edges.
    Raises RecipeError for k or block_size below 1, for an unknown way to find candidates, and for "faiss" without it.
    """
    for name, value in (("k", k), ("block_size", block_size)):
        if value < 1:
            raise RecipeError(f"{name} must be at least 1 (got {value})", where=_LABEL)
    if candidates not in CANDIDATES:
        raise RecipeError(f'candidates is "{candidates}"', where=_LABEL, fix=f"choose one of {', '.join(CANDIDATES)}")
    tables = {name: CosineTable(content, device=device) for name, content in features.items()}
    missing = {name: ~table.present.cpu() for name, table in tables.items()}
    in_any = torch.stack(list(missing.values())).any(0) if missing else torch.zeros(0, dtype=torch.bool)
    num_items = len(in_any)

    def on_part(done: int, total: int) -> None:
        progress(done, total, _LABEL)

    method = search_method(candidates, num_items, approximate_above)
    if method == "exact":
        found, pruned = exact_neighbors(tables, k=k, consistency=consistency, block_size=block_size, on_tile=on_part)
    else:
        pruned = Pruned()
        found = candidate_neighbors(tables, method=method, k=k, consistency=consistency, on_rows=on_part)
    return SemanticNeighbors(
        pairs={name: _ordered(missing[name], pairs) for name, pairs in found.items()},
        mean_similarity={name: table.mean for name, table in tables.items()},
        below_mean=pruned.below_mean,
        inconsistent=pruned.inconsistent,
        items_without_content={**{name: int(rows.sum()) for name, rows in missing.items()}, "any": int(in_any.sum())},
    )


def plain_neighbors(
    features: Mapping[str, ModalityFeatures], keys: GraphKeys, *, k: int, progress: OnProgress = silent
) -> dict[str, tuple[Tensor, Tensor]]:
    """The k most similar items of every item by each modality alone, searched as [graphs] has it (`pairs` above)."""
    return semantic_neighbors(
        features,
        k=k,
        consistency=False,
        candidates=keys.candidates,
        approximate_above=keys.approximate_above,
        progress=progress,
    ).pairs


def search_method(candidates: str, num_items: int, approximate_above: int) -> str:
    """The method that "auto" means for so many items; any other as it is."""
    if candidates != "auto":
        return candidates
    return "faiss" if num_items > approximate_above else "exact"


def _ordered(missing: Tensor, pairs: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """The pairs and a loop for each `missing` item (bool [I]), by item and then neighbour, on the CPU."""
    num_items, alone = len(missing), torch.nonzero(missing).squeeze(1)
    items, neighbors = (torch.cat([alone, part.cpu()]) for part in pairs)
    keys = (items * num_items + neighbors).sort().values
    return keys // max(num_items, 1), keys % max(num_items, 1)
