"""The systems at a glance, from their own files: what README, `recipes ls` and the documentation show."""

from __future__ import annotations

import re

from damrs_dgl.models.base import ClosedFormModel, ModelConfig, RankingModel, WrapperConfig
from damrs_dgl.models.registry import models

COLUMNS = ("system", "what it is", "content", "trained", "published")


def systems_table() -> list[list[str]]:
    """A row per registered system, with `COLUMNS`: general systems first, by name within each kind."""
    return [
        [name, _summary(model), _content(model), _training(model), model.citation or "-"]
        for name, model in sorted(models().items(), key=lambda entry: (_training(entry[1]), entry[0]))
    ]


def systems_markdown() -> str:
    """The same as a Markdown table."""
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{' --- |' * len(COLUMNS)}"]
    lines += [
        f"| `{row[0]}` | {' | '.join(cell.replace('|', chr(92) + '|') for cell in row[1:])} |"
        for row in systems_table()
    ]
    return "\n".join(lines)


def _summary(model: type[RankingModel]) -> str:
    """The first sentence of its docstring."""
    text = " ".join((model.__doc__ or "").partition("\n\n")[0].split())
    return re.split(r"(?<=\S{2})\. ", text.removesuffix("."))[0]  # a dot between two letters multiplies


def _content(model: type[RankingModel]) -> str:
    if model.needs_content:
        return "needed"
    if model.reads_content:
        return "if there is any"
    inner = "as what it wraps" if issubclass(model.Config, WrapperConfig) else "as its members"
    return inner if model.Config.inside is not ModelConfig.inside else "not used"


def _training(model: type[RankingModel]) -> str:
    if issubclass(model.Config, WrapperConfig):
        return "round another"
    if issubclass(model, ClosedFormModel):
        return "closed form"
    return "by gradient" if model.num_negatives else "by gradient, pairs only"
