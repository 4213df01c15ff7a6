"""ItemKNN against loops over pairs in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.errors import RecipeError
from tests.models.builders import build, dense_interactions, tiny_dataset


def similarity(data: MultimodalDataset, source: str, shrink: float, damping: float) -> np.ndarray:
    """S, pair by pair; the diagonal is 0."""
    r = dense_interactions(data).double().numpy()
    weight = np.array([row.sum() ** -damping if row.any() else 0 for row in r])
    weight *= r.sum() / (weight @ r.sum(axis=1))
    contents = [np.nan_to_num(part.block(0, data.num_items).double().numpy()) for part in data.features.values()]
    found = np.zeros((data.num_items, data.num_items))
    for i, j in np.ndindex(found.shape):
        if i == j:
            continue
        if source != "content":
            below = np.sqrt((weight @ r[:, i]) * (weight @ r[:, j])) + shrink
            found[i, j] += weight @ (r[:, i] * r[:, j]) / below if below else 0
        if source != "behavior":
            for content in contents:
                lengths = np.linalg.norm(content[i]) * np.linalg.norm(content[j])
                found[i, j] += content[i] @ content[j] / lengths / len(contents) if lengths else 0
    return found


def expected_scores(data: MultimodalDataset, source: str, k: int, shrink: float, damping: float) -> np.ndarray:
    r, s = dense_interactions(data).numpy(), similarity(data, source, shrink, damping)
    scores = np.zeros(r.shape)
    for i in range(data.num_items):
        for j in np.argsort(-s[i], kind="stable")[:k]:  # of equal ones the lower index
            scores[:, i] += r[:, j] * max(s[i, j], 0)
    return scores


@pytest.mark.parametrize("modalities", [("visual",), ("visual", "textual", "acoustic")], ids=len)
@pytest.mark.parametrize("source", ["behavior", "content", "both"])
@pytest.mark.parametrize(("k", "shrink"), [(3, 0.0), (3, 7.0), (100, 2.0)])
@pytest.mark.parametrize("damping", [0.0, 0.5, 1.0])
def test_scores_are_sums_over_the_nearest(
    modalities: tuple[str, ...], source: str, k: int, shrink: float, damping: float
) -> None:
    data = tiny_dataset(modalities)
    model = build("itemknn", data, k=k, shrink=shrink, source=source, user_damping=damping)
    steps: list[tuple[int, int, str]] = []
    model.fit_closed_form(lambda *step: steps.append(step))
    scores = model.scorer().scores(torch.arange(data.num_users))
    assert np.allclose(scores, expected_scores(data, source, k, shrink, damping), atol=1e-5)
    assert steps[-1] == (data.num_items, data.num_items, "itemknn")


@pytest.mark.parametrize("source", ["content", "both"])
def test_content_is_asked_for_where_it_is_used(source: str) -> None:
    with pytest.raises(RecipeError, match="needs content, and there is no modality in the data"):
        build("itemknn", tiny_dataset(()), source=source)
    build("itemknn", tiny_dataset(()))


@pytest.mark.parametrize("source", ["behavior", "both"])
def test_blocks_of_rows_change_nothing(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def scores() -> torch.Tensor:
        model = build("itemknn", k=4, source=source)
        model.fit_closed_form()
        return model.scorer().scores(torch.arange(16))

    whole = scores()
    monkeypatch.setattr("damrs_dgl.models.layers.item_item._BLOCK", 3 * 14)
    assert torch.allclose(scores(), whole, atol=1e-6)
