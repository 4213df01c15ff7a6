"""How well each scorer of the audit finds noise that is known, one process per row.

    python -m benchmarks.audit tiktok --noise feedback --ratio 0.1
    python -m benchmarks.audit baby --noise visual --ratio 0.2
    python -m benchmarks.audit dbbook --noise real --system lightgcn --folds 3

--noise: "feedback" adds that many random clicks to clean training data, a modality's name swaps its rows, "real" takes
the column is_noise of the data set's own file (of the shop `demo`: what was planted). The truth is used for judging
alone. A row of clicks is one scorer against one truth; a row of items one modality. Rows are appended to
benchmarks/results/audit.csv as soon as they are there, and are not measured again.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rows import RESULTS, append, in_a_process, known_commands, overrides_of, read, settings_of

COLUMNS = (
    *("data", "noise", "ratio", "seed", "system", "folds", "target", "scorer", "count", "share", "auc"),
    *("average_precision", "precision", "auc_within_users", "users_judged", "auc_within_items", "items_judged"),
    *("likes_over_dislikes", "test_recall@20", "epochs", "seconds", "settings", "command"),
)
# Short of what a run needs at its best: a row is to take minutes.
SETTINGS: dict[str, dict[str, object]] = {
    "damrs": {"model.backbone.dim": 64, "training.epochs": 12},
    "lightgcn": {"model.dim": 64, "training.epochs": 25, "training.start": "spectral", "training.learning_rate": 2e-3},
}
SMALLER: dict[str, dict[str, dict[str, object]]] = {
    "ml-1m-noise": {"damrs": {"training.epochs": 4}, "lightgcn": {"training.epochs": 8}}
}


def recipe_of(data: str, system: str, seed: int, extra: dict[str, object]) -> Any:
    """The recipe of a row: the shipped one's data and graphs, the system, short settings."""
    from damrs_dgl.recipe import as_system, load_recipe, with_values

    source = load_recipe(data)
    recipe = source if source.model.name == system else as_system(source, system)
    changes = {**SETTINGS.get(system, {}), **SMALLER.get(data, {}).get(system, {}), "training.seed": seed, **extra}
    return with_values(recipe, changes)


def noisy_data(recipe: Any, noise: str, ratio: float, seed: int) -> tuple[Any, np.ndarray | None, np.ndarray | None]:
    """The data set to audit, and the truth: which of its training clicks are noise, or which of its items are."""
    from damrs_dgl.data.noise import corrupt
    from damrs_dgl.factory import load_dataset

    if recipe.data.is_synthetic and noise == "real":
        shop = _shop(recipe, seed=seed, noisy_click_share=ratio)
        return shop.dataset, shop.noisy_clicks.numpy(), None
    clean = _shop(recipe, seed=seed).dataset if recipe.data.is_synthetic else load_dataset(recipe)
    if noise == "real":
        return clean, real_noise(recipe.data.folder(), clean), None
    noisy = corrupt(clean, noise, ratio, seed=seed)
    if noise == "feedback":
        return noisy, np.arange(len(noisy.train)) >= len(clean.train), None
    return noisy, None, _other_rows(noisy, clean, noise)


def _shop(recipe: Any, **noise: Any) -> Any:
    """The recipe's synthetic shop without noise but for what is asked for."""
    from damrs_dgl.data.synthetic import synthetic_shop

    own = recipe.data.model_dump(exclude={"format", "modalities", "left_out", "click_weights"})
    dims = {name: modality.dim for name, modality in recipe.data.modalities.items()}
    return synthetic_shop(**{**own, "swapped_share": 0.0, "noisy_click_share": 0.0, **noise}, dims=dims)


def _other_rows(noisy: Any, clean: Any, modality: str) -> np.ndarray:
    """The items whose row is not what it was."""
    before, after = (data.features[modality].block(0, data.num_items) for data in (clean, noisy))
    return (before != after).any(1).numpy()


def real_noise(folder: Path, dataset: Any) -> np.ndarray:
    """The column is_noise of the training clicks, in the data set's order."""
    (file,) = folder.glob("*.inter")
    table = np.loadtxt(file, dtype=np.int64, skiprows=1, delimiter="\t", usecols=(0, 1, 3))
    noise = {(user, item) for user, item, is_noise in table.tolist() if is_noise}
    pairs = zip(dataset.train.users.tolist(), dataset.train.items.tolist(), strict=True)
    return np.array([pair in noise for pair in pairs])


def likes_over_dislikes(recipe: Any, dataset: Any, scorer: Any) -> float | str:
    """The share of (like, dislike) pairs of a user in the test part that the model ranks right; "" without dislikes."""
    import torch

    file = None if recipe.data.is_synthetic else recipe.data.folder() / "test_dislikes.tsv"
    if file is None or not file.exists():
        return ""
    dislikes = np.loadtxt(file, dtype=np.int64, skiprows=1, delimiter="\t")
    right = pairs = 0.0
    for user in np.intersect1d(dislikes[:, 0], dataset.test.users.numpy()).tolist():
        scores = scorer.scores(torch.tensor([user]))[0].cpu().numpy()
        liked = scores[dataset.test.items[dataset.test.users == user].numpy()]
        disliked = scores[dislikes[dislikes[:, 0] == user, 1]]
        difference = liked[:, None] - disliked
        right += (difference > 0).sum() + 0.5 * (difference == 0).sum()
        pairs += difference.size
    return round(right / pairs, 4)


def click_rows(options: dict[str, Any]) -> list[dict[str, Any]]:
    """Train, cross-fit where asked, and judge every scorer of a click."""
    import torch

    from damrs_dgl.audit.detection import detection
    from damrs_dgl.audit.folds import cross_fitted, fold_of_clicks
    from damrs_dgl.audit.interaction_scores import Clicks, suspicion_of, usable_scorers
    from damrs_dgl.audit.model_view import view_clicks
    from damrs_dgl.factory import SplitEvaluator, build_recipe_graph, prepare_training, scorer_of

    recipe = recipe_of(options["data"], options["system"], options["seed"], options["extra"])
    dataset, noise, swapped = noisy_data(recipe, options["noise"], options["ratio"], options["seed"])
    if noise is None:
        return item_rows(options, dataset, swapped)
    started, seed = time.perf_counter(), options["seed"]

    def trained(data: Any) -> Any:
        graph = build_recipe_graph(recipe, data).graph
        trainer = prepare_training(recipe, data, graph, device=torch.device("cpu"))
        trainer.fit()
        return trainer

    shared: dict[str, Any] = {}
    if options["folds"]:
        fold = fold_of_clicks(dataset.train, options["folds"], generator=torch.Generator().manual_seed(seed))
        view = cross_fitted(
            dataset,
            fold,
            lambda number, data, clicks: view_clicks(
                trained(data).model, dataset, clicks, generator=torch.Generator().manual_seed(seed)
            ),
        )
    else:
        trainer = trained(dataset)
        every = torch.arange(len(dataset.train))
        view = view_clicks(trainer.model, dataset, every, generator=torch.Generator().manual_seed(seed))
        scorer = scorer_of(trainer.model)
        test = SplitEvaluator(recipe, dataset, "test")(scorer)
        shared = {
            "likes_over_dislikes": likes_over_dislikes(recipe, dataset, scorer),
            "test_recall@20": round(test["recall@20"], 5),
            "epochs": trainer.progress.epoch,
        }
    users, items = dataset.train.users.numpy(), dataset.train.items.numpy()
    clicks = Clicks(dataset, view, seed)
    rows = []
    for name in usable_scorers(view, dataset):
        found = detection(noise, suspicion_of(name, clicks), users, items)
        rows.append({"target": "click", "scorer": name, "count": len(noise), **_rounded(found), **shared})
    for row in rows:
        row |= {"settings": settings_of(recipe), "seconds": round(time.perf_counter() - started, 1)}
    return rows


def item_rows(options: dict[str, Any], dataset: Any, swapped: np.ndarray | None) -> list[dict[str, Any]]:
    """Judge the content view: all that is known, and each relation alone; an item that none knows counts 0.5."""
    from damrs_dgl.audit.content import view_content
    from damrs_dgl.audit.detection import detection
    from damrs_dgl.audit.interaction_scores import rank_share

    assert swapped is not None
    started, modality = time.perf_counter(), options["noise"]
    view = view_content(dataset)
    scores = {"all": view.suspicion[modality]}
    for relation, values in view.agreement[modality].items():
        known = np.isfinite(values)
        scores[f"by {relation}"] = np.where(known, 0.0, np.nan)
        scores[f"by {relation}"][known] = rank_share(-values[known])
    rows = []
    for name, values in scores.items():
        found = detection(swapped, np.where(np.isfinite(values), values, 0.5))
        rows.append({"target": "item", "scorer": name, "count": len(swapped), **_rounded(found)})
    here = view.odd == modality
    odd = {"target": "item", "scorer": "named the odd one", "count": int(swapped.sum()), "share": round(here.mean(), 4)}
    rows.append({**odd, "precision": round(float(here[swapped].mean()), 4)})
    return [{**row, "seconds": round(time.perf_counter() - started, 1)} for row in rows]


def _rounded(found: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in found.items()}


def command_of(options: dict[str, Any]) -> str:
    """The command of one row, without what does not matter to it."""
    parts = [f"python -m benchmarks.audit {options['data']} --noise {options['noise']}"]
    if options["noise"] != "real" or options["data"] == "demo":
        parts.append(f"--ratio {options['ratio']:g}")
    if options["noise"] in ("feedback", "real"):
        parts.append(f"--system {options['system']} --folds {options['folds']}")
    parts.append(f"--first-seed {options['seed']}")
    return " ".join(parts + [f"-o {key}={value}" for key, value in options["extra"].items()])


def markdown(path: Path, target: str) -> str:
    """The figures as a Markdown table, a row for each measurement and scorer, the best AUC of a measurement first."""
    rows = [row for row in read(path) if row["target"] == target and row["auc"]]
    names = ("data", "noise", "ratio", "system", "folds", "epochs", "scorer", "share", "auc", "average_precision")
    names += ("precision", *(("auc_within_users", "auc_within_items") if target == "click" else ()))
    order = {command: number for number, command in enumerate(dict.fromkeys(row["command"] for row in rows))}
    rows.sort(key=lambda row: (order[row["command"]], -float(row["auc"])))
    head = [name.replace("_", " ") for name in names]
    lines_out = [head, ["---"] * len(names), *([row[name] for name in names] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines_out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", default="demo", help="a shipped recipe [%(default)s]")
    parser.add_argument(
        "--table", choices=["click", "item"], help="print what is there as Markdown, and measure nothing"
    )
    parser.add_argument("--noise", default="feedback", help='"feedback", a modality, or "real" [%(default)s]')
    parser.add_argument("--ratio", type=float, action="append", help="share of noise; repeatable [0.1]")
    parser.add_argument("--system", default="damrs", help="[%(default)s]")
    parser.add_argument("--folds", type=int, default=0, help="judge clicks out of sample, over K folds [%(default)s]")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("-o", dest="overrides", action="append", default=[], help="section.key=value")
    parser.add_argument("--out", type=Path, default=RESULTS / "audit.csv")
    given = parser.parse_args()
    if given.table:
        print(markdown(given.out, given.table))
        return
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    extra = overrides_of(given.overrides)
    for seed in range(given.first_seed, given.first_seed + given.seeds):
        for ratio in given.ratio or [0.1]:
            options = {**vars(given), "ratio": ratio, "seed": seed, "extra": extra}
            command = command_of(options)
            if command in known_commands(given.out):
                continue
            rows = in_a_process(click_rows, options) or []
            same = {key: options[key] for key in ("data", "noise", "ratio", "seed")} | {"command": command}
            if given.noise in ("feedback", "real"):
                same |= {"system": given.system, "folds": given.folds}
            if given.noise == "real" and given.data != "demo":
                same["ratio"] = ""
            append(given.out, [{**same, **row} for row in rows], COLUMNS)
            for row in rows:
                auc = f"AUC {row['auc']}" if "auc" in row else ""
                print(f"{given.data} {given.noise} {ratio:g}: {row['scorer']} {auc}", file=sys.stderr)


if __name__ == "__main__":
    main()
