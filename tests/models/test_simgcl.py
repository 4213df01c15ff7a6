"""SimGCL against its formulas with matrices and noise written out, every pass through autograd."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from damrs_dgl.models.simgcl import SimGCL
from damrs_dgl.models.specification.tables import make_config
from tests.models.builders import build, dense_interactions, make_batch, tiny_dataset
from tests.models.dense import sym_normalized
from tests.models.graph_checks import (
    assert_step_equals,
    check_determinism,
    check_edge_cases,
    check_learns,
    dense_nce,
    double_copies,
    softplus_bpr,
    step,
)


def written_out(model: SimGCL, e: Tensor, generator: torch.Generator | None) -> Tensor:
    """The readout [U + I, d] of a pass from layer 0 `e`, with noise from `generator`."""
    near = sym_normalized(dense_interactions(tiny_dataset()))
    users, items = near.shape
    parts = [e]
    for _ in range(model.config.num_layers):
        e = torch.cat([near @ e[users:], near.T @ e[:users]])
        if generator is not None:
            noise = [torch.rand(n, e.shape[1], generator=generator, dtype=torch.float64) for n in (users, items)]
            rows = torch.cat(noise)
            e = e + model.config.noise * torch.sign(e) * rows / rows.norm(dim=1, keepdim=True)
        parts.append(e)
    return torch.stack(parts if model.config.readout == "all" else parts[1:]).mean(0)


@pytest.mark.parametrize("preset", ["original", "authors"])
@pytest.mark.parametrize("num_layers", [1, 3])
def test_step_equals_the_written_out_form(preset: str, num_layers: int) -> None:
    dataset = tiny_dataset()
    keys = {"preset": preset, "num_layers": num_layers, "noise": 0.3, "contrast_weight": 0.7}
    model = build("simgcl", dataset, dim=5, **keys).double()
    assert isinstance(model, SimGCL)
    copies = double_copies(model)
    batch = make_batch(dataset)
    assert batch.negative_items is not None
    batch.generator.manual_seed(7)
    generator = torch.Generator().manual_seed(7)
    e = torch.cat([copies["user_table"], copies["item_table"]])
    clean, one, two = (written_out(model, e, source) for source in (None, generator, generator))
    users = clean[batch.users]
    positive, negative = (clean[dataset.num_users + ids] for ids in (batch.positive_items, batch.negative_items))
    told_apart = torch.cat([batch.positive_items, batch.negative_items][: 1 if preset == "original" else 2])
    nodes = (torch.tensor(sorted(set(batch.users.tolist()))), torch.tensor(sorted(set(told_apart.tolist()))))
    nodes = (nodes[0], nodes[1] + dataset.num_users)
    expected = {"feedback": softplus_bpr(users, positive, negative)}
    for side, ids in zip(("user", "item"), nodes, strict=True):
        expected[f"{side}_contrast"] = 0.7 * dense_nce(one[ids], two[ids], torch.arange(len(ids)), 0.2)
    if preset == "original":
        expected["regularization"] = 1e-4 * (users.norm() + positive.norm()) / len(users)
    assert_step_equals(model, batch, expected, copies)


@pytest.mark.parametrize("readout", ["propagated", "all"])
def test_without_noise_the_views_are_the_clean_pass(readout: str) -> None:
    model = build("simgcl", dim=5, noise=0.0, readout=readout).double()
    assert isinstance(model, SimGCL)
    clean = model.embeddings()
    for view in model.noisy_passes(torch.Generator()):
        assert torch.allclose(view.users, clean.users) and torch.allclose(view.items, clean.items)


def test_all_layers_are_lightgcn() -> None:
    mine, theirs = build("simgcl", dim=5, readout="all").embeddings(), build("lightgcn", dim=5).embeddings()
    assert torch.allclose(mine.users, theirs.users) and torch.allclose(mine.items, theirs.items)


def test_squared_norms_are_of_layer_0() -> None:
    dataset = tiny_dataset()
    keys = {"dim": 5, "regularization": 0.1, "norm": "squared"}
    terms = [step(build(name, dataset, **keys), make_batch(dataset)) for name in ("simgcl", "lightgcn")]
    assert torch.allclose(terms[0]["regularization"], terms[1]["regularization"])


def test_without_weight_there_is_no_contrast() -> None:
    dataset = tiny_dataset()
    model = build("simgcl", dataset, contrast_weight=0.0)
    assert list(step(model, make_batch(dataset))) == ["feedback", "regularization"]


def test_edge_cases() -> None:
    for preset in ("original", "authors"):
        check_edge_cases("simgcl", preset=preset)
    check_edge_cases("simgcl", contrasted_items="pairs")  # negatives without an edge: rows of zeros
    check_determinism("simgcl")
    check_learns("simgcl", contrast_weight=0.05)


def test_presets() -> None:
    original, authors = (make_config({"name": "simgcl", "preset": preset}) for preset in ("original", "authors"))
    chosen = ("readout", "contrasted_items", "norm", "regularization", "contrast_weight", "noise")
    assert [getattr(original, key) for key in chosen] == ["propagated", "positives", "unsquared", 1e-4, 0.5, 0.1]
    assert [getattr(authors, key) for key in chosen] == ["all", "pairs", "squared", 0.0, 0.01, 0.1]
