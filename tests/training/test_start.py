"""The spectral start: the leading singular vectors where there are any, the random start elsewhere."""

from __future__ import annotations

from typing import Any

import scipy.sparse as sp
import torch
from torch import nn

from damrs_dgl.factory import build_recipe_graph, prepare_training
from damrs_dgl.models.layers.filters import content_matrix
from damrs_dgl.recipe import as_system, load_recipe, with_values
from damrs_dgl.training.start import content_smoothing, start_from_spectrum
from tests.models.builders import CPU, dense_interactions, tiny_dataset


def tables(width: int) -> tuple[nn.Parameter, nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    users, items = (nn.Parameter(0.01 * torch.randn(rows, width, generator=generator)) for rows in (16, 14))
    return users, items


def test_the_products_are_those_of_the_truncated_svd() -> None:
    data = tiny_dataset()
    matrix = dense_interactions(data)
    scale = [d.clamp(min=1).rsqrt() for d in (matrix.sum(1), matrix.sum(0))]
    u, s, v = torch.linalg.svd(scale[0][:, None] * matrix * scale[1][None, :])
    users, items = tables(5)
    start_from_spectrum(users, items, data.train, spread=0.1)
    found = (users @ items.T).detach().double()[:, :13]
    expected = (u[:, :5] * s[:5] ** 2) @ v[:5, :13]
    assert torch.allclose(found / found.norm(), expected / expected.norm(), atol=1e-5)
    assert abs(float(users.detach().std()) - 0.1) < 0.005
    assert abs(float(items[:13].detach().std()) - 0.1) < 0.01


def test_an_item_without_interactions_keeps_its_random_start() -> None:
    data = tiny_dataset()
    users, items = tables(5)
    before = items.detach().clone()
    start_from_spectrum(users, items, data.train, spread=0.1)
    assert torch.equal(items[13], before[13]) and before[13].any()
    assert not (items[:13] == before[:13]).any()


def test_a_row_of_rounding_size_keeps_its_random_start() -> None:
    data = tiny_dataset()
    smoothing = sp.eye(14, format="lil")
    smoothing[0, 13] = 1e-7  # item 13, without interactions, is next to not reached
    users, items = tables(5)
    before = items.detach().clone()
    start_from_spectrum(users, items, data.train, spread=0.1, smoothing=smoothing.tocsr())
    assert torch.equal(items[13], before[13])
    assert not (items[:13] == before[:13]).any()


def test_beyond_the_rank_rows_are_still_whole() -> None:
    users, items = tables(20)  # of at most 13 singular values
    start_from_spectrum(users, items, tiny_dataset().train, spread=0.1)
    assert torch.isfinite(items).all() and items.norm(dim=1).min() > 0 and users.norm(dim=1).min() > 0


def test_the_recipe_asks_for_it() -> None:
    data = tiny_dataset()

    def item_table(name: str, **changes: object) -> torch.Tensor:
        values = {"model.name": name, "model.dim": 4, **{f"training.{key}": value for key, value in changes.items()}}
        recipe = with_values(load_recipe("demo"), values)
        trainer = prepare_training(recipe, data, build_recipe_graph(recipe, data).graph, device=CPU)
        model: Any = trainer.model
        return model.item_table.detach()

    spectral = item_table("mf", start="spectral", start_spread=0.1)
    assert torch.equal(spectral[:13], item_table("lightgcn", start="spectral", start_spread=0.1, seed=4)[:13])
    assert torch.allclose(item_table("mf", start="spectral", start_spread=0.2)[:13], 2 * spectral[:13])
    assert not torch.allclose(item_table("mf", start="random"), spectral)
    vbpr = item_table("vbpr", start="random")
    assert torch.equal(item_table("vbpr", start="spectral"), vbpr)  # it has no such tables


def test_items_begin_near_their_content_neighbours() -> None:
    """The tables against a dense N (1 + w A) / (1 + w); an item that nobody chose is reached by its neighbours."""
    data = tiny_dataset()
    recipe = with_values(load_recipe("demo"), {"graphs.k": 3})
    graph = build_recipe_graph(recipe, data).graph
    smoothing = content_smoothing(graph, 0.5)
    content = content_matrix(graph)
    assert smoothing is not None and content is not None
    matrix = dense_interactions(data)
    scale = [d.clamp(min=1).rsqrt() for d in (matrix.sum(1), matrix.sum(0))]
    smoothed = scale[0][:, None] * matrix * scale[1][None, :]
    smoothed = smoothed @ (torch.eye(14) + 0.5 * torch.from_numpy(content.toarray())).to(smoothed.dtype) / 1.5
    u, s, v = torch.linalg.svd(smoothed)
    users, items = tables(5)
    before = items.detach().clone()
    start_from_spectrum(users, items, data.train, spread=0.1, smoothing=smoothing)
    found, expected = (users @ items.T).detach().double(), (u[:, :5] * s[:5] ** 2) @ v[:5]
    assert torch.allclose(found / found.norm(), expected / expected.norm(), atol=1e-5)
    assert not (items[13] == before[13]).any()
    assert content_smoothing(graph, 0.0) is None


def test_the_recipe_asks_for_content_in_the_start() -> None:
    data = tiny_dataset()

    def item_table(weight: float, name: str = "damrs") -> torch.Tensor:
        values = {"model.dim": 4, "training.start": "spectral", "training.start_content": weight, "graphs.k": 3}
        recipe = as_system(with_values(load_recipe("demo"), values), name)
        model: Any = prepare_training(recipe, data, build_recipe_graph(recipe, data).graph, device=CPU).model
        tables = model.tables()
        assert tables is not None
        return tables[1].detach()[:13]

    assert not torch.allclose(item_table(0.0), item_table(0.5), atol=1e-3)
    assert torch.equal(item_table(0.5, "tce:damrs"), item_table(0.5))  # what is wrapped sees it
    assert torch.equal(item_table(0.5, "mf"), item_table(0.0, "mf"))  # a system of clicks alone stays one


def test_no_gradient_runs_away_from_items_without_interactions() -> None:
    data = tiny_dataset()
    recipe = with_values(load_recipe("demo"), {"model.dim": 4, "training.start": "spectral", "graphs.k": 3})
    trainer = prepare_training(recipe, data, build_recipe_graph(recipe, data).graph, device=CPU)
    terms = trainer.model.training_step(next(trainer.sampler.epoch(trainer.generator)))
    torch.stack(list(terms.values())).sum().backward()
    assert all(float(p.grad.abs().max()) < 100 for p in trainer.model.parameters() if p.grad is not None)
