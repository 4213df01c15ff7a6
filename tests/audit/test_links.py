"""Cut links: each is one of the plain neighbours, and the rule that is told is the one that holds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from damrs_dgl.audit.links import MIN_COUNT, OTHER_MEAN, OWN_MEAN, CutLinks, cut_links
from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.synthetic import synthetic_shop
from damrs_dgl.graphs.build import build_graph
from damrs_dgl.graphs.keys import GraphKeys
from damrs_dgl.graphs.similarity import CosineTable
from tests.models.builders import tiny_dataset

SHOP = synthetic_shop(users=120, items=90, styles=6, seed=3).dataset
K = 6


def found_in(data: MultimodalDataset, *, consistency: bool = True, min_count: int = 2) -> CutLinks:
    settings = {"behavior_k": K, "behavior_min_count": min_count, "behavior_similarity": "cosine"}
    graph = build_graph(data, k=K, consistency=consistency, **settings).graph  # type: ignore[arg-type]
    return cut_links(data, graph, GraphKeys(k=K, **settings))  # type: ignore[arg-type]


@pytest.mark.parametrize("data", [SHOP, tiny_dataset()], ids=["shop", "missing content"])
def test_content_links_are_the_plain_neighbours_that_a_mean_forbids(data: MultimodalDataset) -> None:
    links = found_in(data)
    tables = {name: CosineTable(features) for name, features in data.features.items()}
    cosine = {name: (table.unit @ table.unit.T).double() for name, table in tables.items()}
    wanted = set()
    for name, table in tables.items():
        for item in torch.nonzero(table.present).flatten().tolist():
            row = cosine[name][item].masked_fill(~table.present, -2)
            nearest = sorted(range(data.num_items), key=lambda j: (-round(float(row[j]), 9), j))[:K]
            for j in nearest:
                both = {m: bool(tables[m].present[item] and tables[m].present[j]) for m in tables}
                vetoes = [m for m in tables if both[m] and float(cosine[m][item, j]) < tables[m].mean]
                if row[j] > 0 and j != item and vetoes:
                    wanted.add((name, item, j))
    content = links.relation != "behavior"
    columns = (links.relation[content], links.item[content], links.neighbor[content])
    assert set(zip(*columns, strict=True)) == wanted and wanted
    for place in np.flatnonzero(content):
        item, neighbor, by = links.item[place], links.neighbor[place], links.vetoed_by[place]
        assert links.rule[place] == (OWN_MEAN if by == links.relation[place] else OTHER_MEAN)
        assert links.value[place] < links.threshold[place] == pytest.approx(tables[by].mean, rel=1e-6)
        assert links.value[place] == pytest.approx(float(cosine[by][item, neighbor]), abs=1e-5)
        assert links.similarity[place] == pytest.approx(float(cosine[links.relation[place]][item, neighbor]), abs=1e-5)


def test_behaviour_links_had_too_few_users() -> None:
    links = found_in(SHOP, min_count=3)
    matrix = np.zeros((SHOP.num_users, SHOP.num_items))
    matrix[SHOP.train.users, SHOP.train.items] = 1
    counts = matrix.T @ matrix
    own = links.relation == "behavior"
    assert own.any() and set(links.rule[own]) == {MIN_COUNT}
    assert (counts[links.item[own], links.neighbor[own]] < 3).all()
    assert (links.threshold[own] == 3).all()


def test_without_rules_nothing_is_cut() -> None:
    assert len(found_in(SHOP, consistency=False, min_count=1)) == 0
    assert len(found_in(SHOP.replace(features={}), min_count=1)) == 0
