"""Blend: scores of several fitted systems, standardised per user and weighted; weights are chosen on validation."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar, cast

import torch
from pydantic import BeforeValidator, Field, SerializeAsAny, ValidationError, model_validator
from torch import Tensor, nn

from damrs_dgl.models.base import ClosedFormModel, Embeddings, ModelConfig, ModelInputs, RankingModel
from damrs_dgl.models.core.ranges import LEARNING_RATES, Space
from damrs_dgl.models.registry import find_model, register
from damrs_dgl.models.specification.tables import canonical_model, make_config, preset_values
from damrs_dgl.progress import OnProgress, silent
from damrs_dgl.scoring import DotProduct, Scorer

DEFAULT_MEMBERS: Mapping[str, Mapping[str, Any]] = {"damrs": {"name": "damrs"}, "filter": {"name": "graph_filter"}}

MOST_TRIES = 10_000  # weights, each judged by a validation of its own


def _member(value: Any) -> Any:
    """A member's keys from its table, as [model] has them; a bare name is short for `{name = NAME}`."""
    if isinstance(value, ModelConfig):
        return value
    table = {"name": value} if isinstance(value, str) else value
    if not isinstance(table, dict) or not isinstance(table.get("name"), str):
        raise ValueError("a member is a system's name or a table with one, such as {name = ...}")
    try:
        if find_model(table["name"]) is Blend:
            raise ValueError("a blend cannot be a member of a blend: name its members here")
        return make_config(table)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] != "extra_forbidden":
            raise ValueError(f"{table['name']}: {key}: {first['msg']}") from None
        near = get_close_matches(key, find_model(table["name"]).Config.model_fields, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f'"{table["name"]}" has no key {key}{hint}') from None


Member = Annotated[SerializeAsAny[ModelConfig], BeforeValidator(_member)]


def _member_name(name: Any) -> Any:
    """The name itself, which is that of a folder, too."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise ValueError("a member's name holds letters, digits, _ and - only, and starts with a letter or a digit")
    return name


MemberName = Annotated[str, BeforeValidator(_member_name)]


def _default_members() -> dict[str, ModelConfig]:
    return {name: make_config(table) for name, table in DEFAULT_MEMBERS.items()}


class BlendConfig(ModelConfig):
    """The keys of a blend."""

    members: dict[MemberName, Member] = Field(
        default_factory=_default_members, min_length=1, description="Name of a member = its keys, as in [model]"
    )
    grid: int = Field(
        default=10, ge=1, le=100, description="Weights tried on validation are multiples of 1 / grid that sum to 1"
    )

    @model_validator(mode="after")
    def _can_be_tried(self) -> BlendConfig:
        members = len(self.members)
        tries = math.comb(self.grid + members - 1, members - 1)
        if tries > MOST_TRIES:
            raise ValueError(f"grid = {self.grid} makes {tries:,} weights of {members} members, above {MOST_TRIES:,}")
        return self

    @classmethod
    def preset_values(cls, table: Mapping[str, Any]) -> dict[str, object]:
        """What the members' presets say of other sections, the first member's word first."""
        found: dict[str, object] = {}
        members = table.get("members", DEFAULT_MEMBERS)
        for member in members.values() if isinstance(members, Mapping) else ():
            named = {"name": member} if isinstance(member, str) else member
            if isinstance(named, Mapping) and isinstance(named.get("name"), str):
                try:
                    values = preset_values(canonical_model(named))
                except ValueError:  # a name that is no system, which the validation tells
                    continue
                found |= {key: value for key, value in values.items() if key not in found and key[:6] != "model."}
        return found

    def inside(self) -> dict[tuple[str, ...], ModelConfig]:
        return {("members", name): member for name, member in self.members.items()}

    @classmethod
    def taken_over(cls, table: Mapping[str, Any]) -> dict[str, object]:
        """The default members, with the keys of one that the recipe trained alone."""
        own = {name: table for name, member in DEFAULT_MEMBERS.items() if member["name"] == table["name"]}
        return {"members": {**DEFAULT_MEMBERS, **own}} if own else {}

    @classmethod
    def given_back(cls, table: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
        """The first member of that system."""
        members = table.get("members", DEFAULT_MEMBERS)
        tables = members.values() if isinstance(members, Mapping) else ()
        return next((found for found in tables if isinstance(found, Mapping) and found.get("name") == name), None)


@register
class Blend(ClosedFormModel):
    """Scores of several systems, standardised for each user and weighted, the weights chosen on validation.

    score = sum_m w_m (s_ui^m - mean_i s_ui^m) / std_i s_ui^m over the members m; w >= 0 sums to 1. Members are trained
    one after the other, each with early stopping of its own; then all weights on a grid are judged on validation.
    Where every member ranks by dot products so does the blend, whose vectors stand side by side.
    """

    name = "blend"
    Config: ClassVar[type[ModelConfig]] = BlendConfig
    search_space: ClassVar[Space] = LEARNING_RATES
    grid: ClassVar[Space] = {"training.learning_rate": (5e-4, 1e-3, 2e-3, 5e-3)}
    is_random = True
    reads_content = False  # its members may
    weights: Tensor

    def __init__(self, inputs: ModelInputs, config: BlendConfig) -> None:
        super().__init__()
        self.config = config
        self.parts = nn.ModuleList(
            # each from the seed's beginning: its tables are those that it would have alone
            find_model(member.name)(inputs.from_the_seed(), member)
            for member in config.members.values()
        )
        self.register_buffer("weights", torch.full((len(self.parts),), 1 / len(self.parts)))
        self._scorers: list[Scorer] = []

    def members(self) -> dict[str, RankingModel]:
        parts = (cast(RankingModel, part) for part in self.parts)
        return dict(zip(self.config.members, parts, strict=True))

    def fit_closed_form(self, progress: OnProgress = silent) -> None:
        """Take up the members as they are now."""
        self.parts.eval()
        with torch.no_grad():
            self._scorers = [member.scorer() for member in self.members().values()]

    def tune(self, judge: Callable[[], float], progress: OnProgress = silent) -> dict[str, float]:
        """Keep the weights of the grid that `judge` likes best; of equals the one nearest to even weights."""
        tried: list[tuple[float, float, Tensor]] = []
        for weights in simplex(len(self.parts), self.config.grid):
            self.weights.copy_(weights)
            unevenness = float((weights - 1 / len(weights)).square().sum())
            tried.append((judge(), -unevenness, weights))
        best = max(tried, key=lambda found: found[:2])
        self.weights.copy_(best[2])
        return {f"weight_{name}": weight for name, weight in zip(self.config.members, best[2].tolist(), strict=True)}

    def scorer(self) -> Scorer:
        if not self._scorers:
            self.fit_closed_form()
        if all(isinstance(scorer, DotProduct) for scorer in self._scorers):
            return DotProduct(*self.embeddings())
        return BlendedScores(self._scorers, self.weights)

    def embeddings(self) -> Embeddings:
        """Vectors side by side that rank as the blend does, users' divided by their scores' spread.

        A member's part of the item vectors has its weight as mean square, so that their cosine heeds the weights too.
        """
        if not self._scorers:
            self.fit_closed_form()
        users, items = [], []
        for weight, scorer in zip(self.weights.tolist(), self._scorers, strict=True):
            if not isinstance(scorer, DotProduct):
                return super().embeddings()
            if weight == 0:
                continue
            size = scorer.item_emb.square().sum(dim=1).mean().sqrt().clamp(min=1e-12)
            scale = weight**0.5 / size
            users.append(scorer.user_emb * (weight / (scale * spread_of_dot_products(scorer)))[:, None])
            items.append(scorer.item_emb * scale)
        return Embeddings(torch.cat(users, dim=1), torch.cat(items, dim=1))

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        for position, member in enumerate(self.members().values()):
            prefix = f"parts.{position}."
            own = {key.removeprefix(prefix): value for key, value in state_dict.items() if key.startswith(prefix)}
            member.load_state_dict(own, strict=strict)
        self._scorers = []
        return super().load_state_dict({"weights": state_dict["weights"]})


class BlendedScores:
    """Scores of several scorers, standardised for each user, weighted and added."""

    def __init__(self, scorers: list[Scorer], weights: Tensor) -> None:
        self.scorers, self.weights = scorers, weights.tolist()
        self.num_users, self.num_items = scorers[0].num_users, scorers[0].num_items
        self.device = scorers[0].device

    def scores(self, users: Tensor, out: Tensor | None = None) -> Tensor:
        total = None
        for weight, scorer in zip(self.weights, self.scorers, strict=True):
            if weight == 0 and total is not None:
                continue
            part = standardised(scorer.scores(users)).mul_(weight)
            total = part if total is None else total.add_(part)
        assert total is not None
        return total if out is None else out.copy_(total)


def standardised(scores: Tensor) -> Tensor:
    """Each row [I] minus its mean, over its standard deviation; a constant row becomes 0. In place."""
    scores -= scores.mean(dim=1, keepdim=True)
    spread = scores.square().mean(dim=1, keepdim=True).sqrt_()
    return scores.div_(torch.where(spread > 0, spread, torch.ones_like(spread)))


def spread_of_dot_products(scorer: DotProduct) -> Tensor:
    """The standard deviation [U] of each user's scores over all items, from the items' covariance."""
    centred = scorer.item_emb - scorer.item_emb.mean(dim=0)
    covariance = centred.T @ centred / len(centred)
    variance = ((scorer.user_emb @ covariance) * scorer.user_emb).sum(dim=1)
    spread = variance.clamp(min=0).sqrt()
    return torch.where(spread > 0, spread, torch.ones_like(spread))


def simplex(size: int, grid: int) -> Iterator[Tensor]:
    """All weights [size] that are multiples of 1 / grid, not negative, and sum to 1."""
    for cuts in itertools.combinations(range(grid + size - 1), size - 1):
        ends = [-1, *cuts, grid + size - 1]
        yield torch.tensor([(b - a - 1) / grid for a, b in itertools.pairwise(ends)])
