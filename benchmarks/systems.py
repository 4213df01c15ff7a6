"""Every system on a recipe's data, one row per seed: validation and test metrics, seconds, memory, the paper's figure.

    python -m benchmarks.systems tiktok-paper --systems all
    python -m benchmarks.systems baby --systems lightgcn,sgl,damrs --seeds 3

A system is a registered name, with `:backbone` behind a wrapper's (`damrs:mf`), or a name of `RECOMMENDED`. Settings
are those of the DA-MRS authors' logs where there are any (`LOGGED`), with the system's preset `authors`; else the
system's defaults. Every run stops early on validation Recall@20, and the test split is read once, at its best epoch.
Each run is a process of its own, so that its peak memory is its own. Rows are appended to
benchmarks/results/systems.csv as soon as they are there, and are not run again.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.rows import RESULTS, append, in_a_process, known_commands, overrides_of, read, settings_of, spread

COLUMNS = (
    *("data", "system", "seed", "settings_from", "epochs", "best_epoch", "validation_recall@20", "validation_ndcg@20"),
    *("test_recall@20", "test_precision@20", "test_ndcg@20", "paper_recall@20", "paper_ndcg@20", "seconds"),
    *("seconds_per_epoch", "peak_memory_gib", "threads", "content", "settings", "command"),
)
CONTENT = {
    "tiktok-paper": "real; visual and acoustic only, the paper has textual too",
    "baby": "reconstructed from real neighbour graphs",
    "sports": "reconstructed from real neighbour graphs",
    "clothing": "none",
    "lfm2k": "real",
    "ml-1m": "real",
    "dbbook": "real; explicit dislikes among the clicks",
    "microlens": "textual real, visual reconstructed",
}
PAPER_DATA = {"tiktok-paper": "tiktok", "baby": "baby", "sports": "sports", "clothing": "clothing"}
_AUTHORS = {"model.preset": "authors"}
_DAMRS = {"model.variant": "authors"}
# What the DA-MRS authors' logs chose, by data set; `*`: the same everywhere. A batch of 256 or 128 there is 1,024 here,
# which takes a fifth of the time; the learning rate stays. VBPR's 256 on Baby is 4,096: see docs/results.md.
LOGGED: dict[str, dict[str, dict[str, object]]] = {
    "mf": {
        "*": {**_AUTHORS, "model.regularization": 0.1},
        "tiktok-paper": {**_AUTHORS, "model.regularization": 1.0},
    },
    "ngcf": {
        "*": {**_AUTHORS, "model.regularization": 0.01},
        "baby": {**_AUTHORS, "model.regularization": 0.1},
        "tiktok-paper": {**_AUTHORS, "model.regularization": 0.0},
    },
    "lightgcn": {"*": _AUTHORS},
    "sgl": {
        "*": {**_AUTHORS, "model.contrast_weight": 0.1},
        "baby": {**_AUTHORS, "model.contrast_weight": 0.01},
        "tiktok-paper": {**_AUTHORS, "model.contrast_weight": 0.001},
    },
    "simgcl": {
        "*": {**_AUTHORS, "model.contrast_weight": 0.01, "model.noise": 0.05},
        "baby": {**_AUTHORS, "model.contrast_weight": 0.01, "model.noise": 0.1},
        "clothing": {**_AUTHORS, "model.contrast_weight": 0.001, "model.noise": 0.05},
        "tiktok-paper": {**_AUTHORS, "model.contrast_weight": 0.001, "model.noise": 0.01},
    },
    "vbpr": {
        "*": {**_AUTHORS, "model.regularization": 1.0},
        "clothing": {**_AUTHORS, "model.regularization": 0.1},
    },
    "mmgcn": {
        "*": {**_AUTHORS, "model.regularization": 1e-3, "training.learning_rate": 1e-3},
        "tiktok-paper": {**_AUTHORS, "model.regularization": 0.0, "training.learning_rate": 1e-4},
    },
    "grcn": {
        "*": {**_AUTHORS, "training.learning_rate": 1e-4, "training.batch_size": 1024},
        "tiktok-paper": {**_AUTHORS, "training.learning_rate": 1e-2, "model.num_routings": 2},
    },
    "slmrec": {
        "*": {**_AUTHORS, "model.alignment_temperature": 0.2, "training.batch_size": 1024},
        "clothing": {
            **_AUTHORS,
            **{"model.alignment_temperature": 1.0, "model.alignment_weight": 0.05, "training.batch_size": 1024},
        },
        "tiktok-paper": {**_AUTHORS, "model.alignment_temperature": 0.1},
    },
    "bm3": {
        "*": {**_AUTHORS, "training.batch_size": 1024},
        "sports": {
            **_AUTHORS,
            **{"model.num_layers": 1, "model.dropout": 0.5, "model.regularization": 0.0, "training.batch_size": 1024},
        },
        "clothing": {
            **_AUTHORS,
            **{"model.num_layers": 1, "model.regularization": 0.0, "training.batch_size": 1024},
        },
        "tiktok-paper": {**_AUTHORS, "model.regularization": 0.0},
    },
    "lattice": {
        "*": {**_AUTHORS, "training.batch_size": 1024, "training.learning_rate": 5e-4},
        "tiktok-paper": {**_AUTHORS, "training.batch_size": 1024},
    },
    "mmssl": {"*": _AUTHORS},
    "damrs:lightgcn": {
        "*": {**_DAMRS, "model.preference_weight": 1.0, "model.relation_weight": 1e-3},
        "tiktok-paper": {
            **_DAMRS,
            **{"model.preference_weight": 0.1, "model.relation_weight": 0.01, "model.backbone.num_layers": 3},
            **{"graphs.k": 5, "model.relation_k": 5},
        },
    },
    "damrs:mf": {"*": {**_DAMRS, "model.preference_weight": 1.0, "model.relation_weight": 1e-3}},
    "damrs:vbpr": {"*": {**_DAMRS, "model.preference_weight": 1.0, "model.relation_weight": 1e-3}},
}
# As in the logs: stop at the 21st evaluation without gain, one an epoch.
_TRAINING: dict[str, object] = {"learning_rate": 1e-3, "batch_size": 4096, "epochs": 500, "patience": 21}
# The recipe as a newcomer runs it, its best, and DA-MRS's backbone as it is inside.
RECOMMENDED: dict[str, dict[str, object]] = {
    "damrs-recommended": {"model.name": "damrs"},
    "blend-recommended": {"model.name": "blend"},
    # With a second DA-MRS beside it, whose clicks are ranked above many items at once.
    "blend-softmax": {
        "model.name": "blend",
        "model.members": {
            "damrs": {"name": "damrs"},
            "softmax": {"name": "damrs", "feedback": "softmax"},
            "filter": {"name": "graph_filter"},
        },
        "model.grid": 5,
    },
    "lightgcn-recommended": {
        **{"model.name": "lightgcn", "model.dim": 256, "training.start": "spectral", "training.learning_rate": 2e-3},
        "model.regularization": 0.0,
    },
}


def all_systems() -> list[str]:
    """Every system of the registry, wrappers round LightGCN, DA-MRS round MF and VBPR too, and the recommended ones."""
    from damrs_dgl.models.base import WrapperConfig
    from damrs_dgl.models.registry import models

    names = [
        f"{name}:lightgcn" if issubclass(model.Config, WrapperConfig) else name
        for name, model in models().items()
        if name != "blend"
    ]
    return [*names, "damrs:mf", "damrs:vbpr", *RECOMMENDED]


def recipe_of(data: str, system: str, seed: int, extra: dict[str, object]) -> tuple[Any, str]:
    """The recipe of a run, and where its settings are from: data and protocol of a recipe, the system's own keys."""
    from damrs_dgl.recipe import load_recipe, recipe_from, with_values

    source = load_recipe(data)
    if system in RECOMMENDED:
        return with_values(source, {**RECOMMENDED[system], "training.seed": seed, **extra}), "the recipe as it is"
    name, _, backbone = system.partition(":")
    values: dict[str, Any] = {
        "name": source.name,
        "data": source.data.model_dump(exclude_unset=True),
        "evaluation": source.evaluation.model_dump(exclude_unset=True),
        "model": {"name": name, **({"backbone": backbone} if backbone else {})},
        "training": {"seed": seed},
    }
    if system in LOGGED:
        changes, origin = LOGGED[system].get(data, LOGGED[system]["*"]), "authors' logs"
        values["training"] |= _TRAINING
    else:
        changes, origin = {}, "system's own defaults"
        values["training"] |= {"epochs": 500, "patience": 21}
    for path, value in {**changes, **extra}.items():
        *way, last = path.split(".")
        table = values
        for part in way:
            if isinstance(table.get(part), str):
                table[part] = {"name": table[part]}
            table = table.setdefault(part, {})
        table[last] = value
    return recipe_from(values), origin


def run(data: str, system: str, seed: int, extra: dict[str, object], threads: int) -> list[dict[str, Any]]:
    """Train one system with one seed and judge it; a blend's DA-MRS, trained as it is alone, makes a row of its own."""
    import torch

    from benchmarks.measuring import peak_gib
    from damrs_dgl.factory import SplitEvaluator, build_recipe_graph, load_dataset, prepare_training, scorer_of

    torch.set_num_threads(threads)
    recipe, origin = recipe_of(data, system, seed, extra)
    dataset = load_dataset(recipe)
    started = time.perf_counter()
    trainer = prepare_training(recipe, dataset, build_recipe_graph(recipe, dataset).graph, device=torch.device("cpu"))
    progress = trainer.fit()
    seconds = time.perf_counter() - started
    judge = SplitEvaluator(recipe, dataset, "test")
    shared = {
        "data": data,
        "seed": seed,
        "settings_from": origin,
        "peak_memory_gib": round(peak_gib(), 2),
        "threads": threads,
        "content": CONTENT.get(data, ""),
        "settings": settings_of(recipe),
        "command": command_of(data, system, seed, extra),
    }
    rows = [{**shared, **_figures(data, system, progress, judge(scorer_of(trainer.model)), seconds)}]
    if system == "blend-recommended":
        member = trainer.members["damrs"]
        found, trained = judge(scorer_of(member.model)), member.progress
        seconds = sum(row["seconds"] for row in trained.history)
        rows.append({**shared, **_figures(data, "damrs-recommended", trained, found, seconds)})
    return rows


def command_of(data: str, system: str, seed: int, extra: dict[str, object]) -> str:
    """The command that makes one row."""
    command = f"python -m benchmarks.systems {data} --systems {system} --first-seed {seed} --seeds 1"
    return command + "".join(f" -o {key}={value}" for key, value in extra.items())


def _figures(data: str, system: str, progress: Any, test: dict[str, float], seconds: float) -> dict[str, Any]:
    """What a training came to, beside the paper's figures."""
    paper = _paper(data, system)
    return {
        "system": system,
        "epochs": progress.epoch,
        "best_epoch": progress.best_epoch,
        **{f"validation_{name}": round(progress.best[name], 5) for name in ("recall@20", "ndcg@20")},
        **{f"test_{name}": round(test[name], 5) for name in ("recall@20", "precision@20", "ndcg@20")},
        **{f"paper_{name}": paper.get(name, "") for name in ("recall@20", "ndcg@20")},
        "seconds": round(seconds, 1),
        "seconds_per_epoch": round(sum(row["train_seconds"] for row in progress.history) / progress.epoch, 2),
    }


def _paper(data: str, system: str) -> dict[str, str]:
    """The paper's row (Table 2), where it has one."""
    from damrs_dgl.studies.published import paper_comparison

    row = paper_comparison(PAPER_DATA.get(data)).get(system, {})
    return {name: f"{value:.4f}" for name, value in row.items()}


def markdown(path: Path, data: str) -> str:
    """The results on a data set as a Markdown table, best validation first: means over seeds, with their spread."""
    groups: dict[str, list[dict[str, str]]] = {}
    for row in read(path):
        if row["data"] == data:
            groups.setdefault(row["system"], []).append(row)

    def values(system: str, column: str) -> list[float]:
        return [float(row[column]) for row in groups[system]]

    lines_out = [
        "| system | seeds | validation Recall@20 | test Recall@20 | test NDCG@20 | paper: Recall, NDCG | best epoch |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for system in sorted(groups, key=lambda system: -mean(values(system, "validation_recall@20"))):
        runs = groups[system]
        cells = [
            spread(values(system, column)) for column in ("validation_recall@20", "test_recall@20", "test_ndcg@20")
        ]
        paper = f"{runs[0]['paper_recall@20']}, {runs[0]['paper_ndcg@20']}" if runs[0]["paper_recall@20"] else ""
        epochs = ", ".join(row["best_epoch"] for row in runs)
        lines_out.append(f"| `{system}` | {len(runs)} | {' | '.join(cells)} | {paper} | {epochs} |")
    return "\n".join(lines_out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="a shipped recipe whose data and protocol are taken")
    parser.add_argument("--systems", default="all", help="by commas")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("-o", dest="overrides", action="append", default=[], help="section.key=value, for every system")
    parser.add_argument("--out", type=Path, default=RESULTS / "systems.csv")
    parser.add_argument("--table", action="store_true", help="print what is there as a Markdown table, and run nothing")
    options = parser.parse_args()
    if options.table:
        print(markdown(options.out, options.data))
        return
    extra = overrides_of(options.overrides)
    systems = all_systems() if options.systems == "all" else options.systems.split(",")
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for system in systems:
            if command_of(options.data, system, seed, extra) in known_commands(options.out):
                continue
            rows = in_a_process(run, options.data, system, seed, extra, options.threads) or []
            append(options.out, rows, COLUMNS)
            for row in rows:
                print(
                    f"{row['data']} {row['system']} seed {seed}: validation {row['validation_recall@20']}, test "
                    f"{row['test_recall@20']} / {row['test_ndcg@20']}, epoch {row['best_epoch']} of {row['epochs']}, "
                    f"{row['seconds']} s",
                    file=sys.stderr,
                )


if __name__ == "__main__":
    main()
