"""The stages that make the studies' tables again, with their options, told from what the tables hold."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from damrs_dgl.evaluation.labels import span_text
from damrs_dgl.report.inputs import Row, is_number

_SEARCH = re.compile(r"(?P<kind>optuna|grid), seed (?P<seed>\d+), (?P<space>.+)", re.DOTALL)  # as `tune` tells it
_OWN_SPACE = re.compile(r"the (search space|grid) of ")


def study_commands(tables: Mapping[str, Sequence[Row]], floor: Collection[str]) -> list[str]:
    """A stage with its options for each study whose table there is, such as "compare --models mf --seeds 3".

    floor: the systems that every comparison shows, asked for or not. A file that was given is named without its folder.
    """
    found: list[str] = []
    if rows := tables.get("groups"):
        found.append(_command("groups", *_cuts("--cuts", "users", rows), *_cuts("--item-cuts", "items", rows)))
    if rows := tables.get("compare"):
        found.append(_command("compare", *_models(_distinct(rows, "system"), floor), *_seeds(rows)))
    if rows := tables.get("ablate"):
        found.append(_command("ablate", *_seeds(rows)))
    if rows := tables.get("stress"):
        noises = [part for noise in _distinct(rows, "noise") for part in ("--noise", noise)]
        ratios = [ratio for ratio in _distinct(rows, "ratio") if float(ratio)] or ["0"]
        shares = [part for ratio in ratios for part in ("--ratio", ratio)]
        found.append(_command("stress", *noises, *shares, *_models(_distinct(rows, "model"), ()), *_seeds(rows)))
    if rows := tables.get("tune"):
        found += _searches(rows)
    return found


def audit_command(scorer: str, folds: int) -> str:
    """The audit's stage."""
    return _command("audit", "--scorer", scorer, *(["--folds", str(folds)] if folds else []))


def _command(*words: str) -> str:
    return shlex.join(words)


def _distinct(rows: Sequence[Row], column: str) -> list[str]:
    return list(dict.fromkeys(str(row[column]) for row in rows if row.get(column) is not None))


def _seeds(rows: Sequence[Row]) -> list[str]:
    return ["--seeds", str(max(1, len(_distinct(rows, "seed"))))]


def _models(systems: list[str], floor: Collection[str]) -> list[str]:
    """The systems to ask for: those of the floor that come last are there anyway."""
    asked = list(systems)
    while asked and asked[-1] in floor:
        asked.pop()
    names = ",".join(asked or systems)
    return ["--models", names] if names else []


def _cuts(option: str, by: str, rows: Sequence[Row]) -> list[str]:
    """Where groups were cut, if their names are the spans between cuts; without the option they have other names."""
    groups = {row.get("group"): row for row in rows if row.get("by") == by and is_number(row.get("low"))}
    if any(name != span_text(row["low"], row.get("high")) for name, row in groups.items()):
        return []
    cuts = sorted({row["low"] for row in groups.values() if row["low"]})
    return [option, ",".join(map(str, cuts))] if cuts else []


def _searches(rows: Sequence[Row]) -> list[str]:
    """A command for each search in the table of trials; the latest, whose table it is, stands first there."""
    searches: dict[str, list[Row]] = {}
    for row in rows:
        searches.setdefault(str(row.get("search") or ""), []).append(row)
    latest, *others = [_command("tune", *_search_options(how, own)) for how, own in searches.items()]
    return [*others, latest]


def _search_options(how: str, rows: Sequence[Row]) -> list[str]:
    """How many trials, and the kind, seed and space of their search; the budget stands beside the latest search's."""
    numbers = [row["trial"] for row in rows if is_number(row.get("trial"))]
    options = ["--trials", str(rows[0].get("budget_trials") or max([1, *numbers]))]
    told = _SEARCH.fullmatch(how)
    if told is None:
        return options
    space = [] if _OWN_SPACE.match(told["space"]) else ["--space", Path(told["space"]).name]
    return [*options, "--search", told["kind"], "--seed", told["seed"], *space]
