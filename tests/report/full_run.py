"""Fills a run's folder with what studies and the audit leave there, small and by hand, ids as hostile as they come."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from damrs_dgl.storage.files import write_csv

HOSTILE = "<script>alert(1)</script>"
HOSTILE_MARK = '"><img src="https://example.org/x.png" onerror="alert(2)">'


def fill(run: Path) -> None:
    """Tables of every study, and an audit beside the finished run in `run`."""
    test = json.loads((run / "metrics.json").read_text())["test"]
    random = np.random.default_rng(0)
    systems = {"damrs": 1.0, "lightgcn": 0.86, "itemknn": 0.8, "popularity": 0.3}
    names = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")

    def scores(factor: float) -> dict[str, float]:
        return {name: float(test[name] * factor * random.normal(1, 0.02)) for name in names}

    seeds = range(3)
    compare = [{"system": name, "seed": seed, **scores(worth)} for name, worth in systems.items() for seed in seeds]
    write_csv(run / "compare.csv", compare)
    rows = {"iig": 0.8, "diig": 0.85, "diig+d-bpr": 0.9, "diig+aui": 0.93, "da-mrs": 1.0, HOSTILE: 0.5}
    write_csv(
        run / "ablate.csv",
        [{"system": name, "seed": seed, **scores(worth)} for name, worth in rows.items() for seed in seeds],
    )
    stress = []
    for noise in ("feedback", "visual"):
        for ratio in (0.0, 0.05, 0.1, 0.2):
            for name, worth in systems.items():
                for seed in seeds:
                    drop = ratio * (0.6 if name == "damrs" else 1.2)
                    row = {"system": name, "noise": noise, "ratio": ratio, "seed": seed, **scores(worth * (1 - drop))}
                    stress.append({**row, "drop_recall@20": drop})
    write_csv(run / "stress.csv", stress)
    write_csv(run / "groups.csv", list(_groups(test)))
    write_csv(run / "tune.csv", list(_trials(random)))
    _audit(run / "audit", random)


def _groups(test: dict[str, float]) -> Iterator[dict[str, Any]]:
    spans = {
        ("users", "new"): (0, 5), ("users", "active"): (50, None),
        ("items", "rare"): (0, 4), ("items", "popular"): (20, None),
    }  # fmt: skip
    for system, worth in (("damrs", 1.0), ("popularity", 0.3)):
        for (by, group), (low, high) in spans.items():
            for metric in ("recall@20", "ndcg@20") if by == "users" else ("recall@20",):
                row = {"by": by, "group": group, "low": low, "high": high, "counted": "training", "system": system}
                yield {**row, "metric": metric, "value": worth * test[metric], "standard_error": 0.01, "users": 30}


def _trials(random: np.random.Generator) -> Iterator[dict[str, Any]]:
    """A search over six keys, some 30 columns wide, with a trial that failed."""
    scores = [f"validation_{name}@{k}" for name in ("recall", "ndcg", "map", "precision") for k in (5, 10, 20, 50)]
    settings = {
        "training.learning_rate": 0.0001239184, "model.backbone.num_layers": 3, "model.preference_weight": 0.011107432,
        "model.relation_weight": 0.5483932331668321, "model.temperature": 0.69206190, "model.relation_k": 20,
    }  # fmt: skip
    for number in range(4):
        row = {"trial": number, "search": "optuna, seed 0, the search space of damrs", "state": "finished"}
        row |= {key: number * value for key, value in settings.items()} if number else {}
        found = {name: float(random.random()) for name in scores}
        done = {**found, "best_epoch": 2, "epochs": 6, "seconds": 1234.5}
        row |= done if number < 3 else {"state": "failed", "error": "no room"}
        yield {**row, "budget_trials": 3, "budget_epochs": 6}


def _audit(folder: Path, random: np.random.Generator) -> None:
    folder.mkdir(exist_ok=True)
    suspicion = random.random(300) ** 2
    users = [f"user-{n:05}" for n in range(298)] + [HOSTILE, HOSTILE_MARK]
    suspicion[-2:] = (0.999, 0.998)
    clicks = {
        "user": users,
        "item": [f"item-{n % 80:05}" for n in range(300)],
        "suspicion": suspicion,
        "posterior": 1 - suspicion,
        "f": 1 - suspicion,
        "g": suspicion,
        "speaks_for": ["behavior"] * 300,
        "speaks_against": ["visual"] * 300,
        "percentile": 1 - suspicion,
    }
    pq.write_table(pa.table(clicks), folder / "interactions.parquet")
    content = {
        "item": [f"item-{n:05}" for n in range(80)],
        "modality": ["visual", "textual"] * 40,
        "suspicion": random.random(80),
        "agrees_with_content": random.normal(size=80),
        "agrees_with_behavior": random.normal(size=80),
        "odd_modality": ["visual", None] * 40,
    }
    pq.write_table(pa.table(content), folder / "content.parquet")
    links = {"item": ["item-00001"], "neighbor": ["item-00002"], "modality": ["visual"], "rule": ["inconsistent"]}
    pq.write_table(pa.table(links), folder / "links.parquet")


def draw_pictures(folder: Path, items: int) -> None:
    """A small picture for most items, and a file that only says it is one."""
    folder.mkdir()
    random = np.random.default_rng(1)
    for item in range(0, items, 2):
        pixels = np.full((90, 120, 3), random.integers(60, 220, 3), dtype=np.uint8)
        pixels[20:70, 30:90] = random.integers(0, 255, 3)
        Image.fromarray(pixels).save(folder / f"item-{item:05}.png")
    (folder / "item-00001.jpg").write_bytes(b"no picture")
