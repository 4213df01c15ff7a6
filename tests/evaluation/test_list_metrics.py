"""Metrics of other packages, found through the entry point group `damrs_dgl.metrics`."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from typing import Any

import pytest
import torch

from damrs_dgl.errors import DamrsError
from damrs_dgl.evaluation import list_metrics as module
from damrs_dgl.evaluation.list_metrics import list_metrics, metric_names, unusable_metrics
from damrs_dgl.evaluation.lists import Catalogue, RankedLists

LISTS = RankedLists(
    users=torch.tensor([0, 3, 4]),
    items=torch.tensor([[1, 0], [2, 1], [0, 2]]),
    hits=torch.tensor([[False, True], [True, False], [False, False]]),
    num_relevant=torch.tensor([1, 1, 2]),
)
CATALOGUE = Catalogue(torch.tensor([3, 1, 2]))


class Offered(EntryPoint):
    """An entry point that is loaded without a module."""

    what: Any = None

    def load(self) -> Any:
        if isinstance(self.what, Exception):
            raise self.what
        return self.what


Offer = Callable[..., None]


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Offer]:
    """Let installed packages offer these metrics, `name=function`."""
    real = importlib.metadata.entry_points

    def offer(**metrics: Any) -> None:
        entries = []
        for name, what in metrics.items():
            entry = Offered(name, f"shop:{name}", module.ENTRY_POINTS)
            vars(entry)["what"] = what
            entries.append(entry)
        monkeypatch.setattr(
            importlib.metadata,
            "entry_points",
            lambda **chosen: entries if chosen.get("group") == module.ENTRY_POINTS else real(**chosen),
        )
        module._load.cache_clear()

    yield offer
    module._load.cache_clear()


def first_hit(lists: RankedLists, catalogue: Catalogue, k: int) -> torch.Tensor:
    """The rank of the first relevant item."""
    hits = lists.hits[:, :k]
    return torch.where(hits.any(1), hits.double().argmax(1) + 1.0, torch.nan)


def test_a_number_for_every_user_is_averaged_over_those_who_have_one(offer: Offer) -> None:
    offer(first_hit=first_hit)
    found = list_metrics(LISTS, CATALOGUE, [1, 2])
    assert found.means["first_hit@1"] == 1.0
    assert found.means["first_hit@2"] == 1.5
    assert found.per_user["first_hit@2"].tolist()[:2] == [2.0, 1.0]
    assert metric_names()[-1] == "first_hit"


def test_one_number_for_the_whole_and_none(offer: Offer) -> None:
    offer(share=lambda lists, catalogue, k: torch.tensor(0.25), nothing=lambda lists, catalogue, k: None)
    found = list_metrics(LISTS, CATALOGUE, [2])
    assert found.means["share@2"] == 0.25
    assert found.means["nothing@2"] is None
    assert not {"share@2", "nothing@2"} & set(found.per_user)


def test_this_package_s_are_there_without_others(offer: Offer) -> None:
    offer()
    found = list_metrics(LISTS, CATALOGUE, [2])
    assert list(found.means) == ["coverage@2", "gini@2", "novelty@2", "average_popularity@2", "diversity@2"]
    assert found.means["coverage@2"] == 1.0
    assert found.means["average_popularity@2"] == pytest.approx((4 + 3 + 5) / 6)
    assert found.means["diversity@2"] is None
    assert list(found.per_user) == ["novelty@2", "average_popularity@2"]


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (torch.ones(2), "shape [2] for 3 users"),
        (torch.full((3,), torch.inf), "infinity"),
        (float("nan"), "nan"),
        ("much", "'much'"),
        (ZeroDivisionError("by zero"), "ZeroDivisionError: by zero"),
    ],
)
def test_a_metric_that_fails_is_named(offer: Offer, returned: Any, said: str) -> None:
    def metric(*_: Any) -> Any:
        if isinstance(returned, Exception):
            raise returned
        return returned

    offer(profit=metric)
    with pytest.raises(DamrsError) as caught:
        list_metrics(LISTS, CATALOGUE, [2])
    line = str(caught.value)
    assert line.startswith("profit@2: the metric 'profit' of another package failed (") and said in line
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("name", "what", "said"),
    [
        ("recall", first_hit, "another metric of that name"),
        ("gini", first_hit, "another metric of that name"),
        ("hit@5", first_hit, "holds an @"),
        ("broken", ImportError("no module"), "ImportError: no module"),
        ("number", 3, "no function"),
    ],
)
def test_what_cannot_be_used_is_left_out_and_named(offer: Offer, name: str, what: Any, said: str) -> None:
    offer(**{name: what, "fine": first_hit})
    (error,) = unusable_metrics()
    assert str(error).startswith(f"shop:{name}: the metric {name!r} of another package is left out (")
    assert said in str(error)
    assert metric_names()[5:] == ["fine"]
