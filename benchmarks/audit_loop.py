"""Does it pay to act on the audit? Clean-test change of dropping suspects, beside random drops and denoising systems.

    python -m benchmarks.audit_loop tiktok --noise feedback --ratio 0.1 --methods none,random,consensus --seeds 5
    python -m benchmarks.audit_loop dbbook --noise real --methods none,random,truth,consensus,tce,rce,deca,d-bpr

A method is a training of LightGCN: on all clicks (`none`), without as many random ones (`random`), without the known
noise (`truth`, a bound), without the most suspect ones by a scorer of the audit, on all clicks weighed by
1 - suspicion (`reweighted`, by `consensus`); or a system that denoises as it trains (`tce`, `rce`, `deca` round
LightGCN; `d-bpr`: LightGCN's vectors with DA-MRS's graphs and loss, `diig`: the same with plain BPR). --drop is the
share that goes, by default the true share of noise. What is dropped stays known: it is no candidate of any ranking.
One process per row, appended to benchmarks/results/audit_loop.csv, never measured again.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.audit import SMALLER, likes_over_dislikes, noisy_data, recipe_of
from benchmarks.rows import RESULTS, append, in_a_process, known_commands, settings_of

COLUMNS = (
    *("data", "noise", "ratio", "seed", "method", "dropped", "noise_among_dropped", "validation_recall@20"),
    *("test_recall@20", "test_ndcg@20", "likes_over_dislikes", "epochs", "seconds", "settings", "command"),
)
SYSTEMS = {"tce": "tce", "rce": "rce", "deca": "deca", "d-bpr": "diig+d-bpr", "diig": "diig"}
SHARED = {"training.epochs": 25, "training.start": "spectral", "training.learning_rate": 2e-3}
# Where those settings begin in a dip that lasts longer (the best of plain training's epochs would be its first), or
# the shorter ones of `SMALLER` end long before the best.
LONGER: dict[str, dict[str, object]] = {
    "dbbook": {
        **{"training.start": "random", "training.learning_rate": 5e-3},
        **{"training.epochs": 100, "training.patience": 100},
    },
    "ml-1m-noise": {"training.epochs": 40},
}


def loop_row(options: dict[str, Any]) -> dict[str, Any]:
    """Train what the method asks for and judge it on the clean test part."""
    import torch

    from damrs_dgl.audit.interaction_scores import Clicks, suspicion_of
    from damrs_dgl.audit.model_view import view_clicks
    from damrs_dgl.data.left_out import without_clicks
    from damrs_dgl.data.parts import Interactions
    from damrs_dgl.factory import SplitEvaluator, build_recipe_graph, prepare_training, scorer_of
    from damrs_dgl.recipe import as_system, with_values

    seed, method = options["seed"], options["method"]
    changes = {**LONGER.get(options["data"], {}), **options["extra"]}
    plain = recipe_of(options["data"], "lightgcn", seed, changes)
    dataset, noise, _ = noisy_data(plain, options["noise"], options["ratio"], seed)
    assert noise is not None
    started = time.perf_counter()

    def trained(recipe: Any, data: Any) -> Any:
        graph = build_recipe_graph(recipe, data).graph
        trainer = prepare_training(recipe, data, graph, device=torch.device("cpu"))
        trainer.fit()
        return trainer

    def suspicion_by(scorer: str) -> Any:
        every, generator = torch.arange(len(noise)), torch.Generator().manual_seed(seed)
        view = view_clicks(trained(plain, dataset).model, dataset, every, generator=generator)
        return suspicion_of(scorer, Clicks(dataset, view, seed))

    recipe, dropped = plain, np.zeros(len(noise), dtype=bool)
    data = dataset
    count = round((options["drop"] or noise.mean()) * len(noise))
    if method in SYSTEMS:
        shorter = SMALLER.get(options["data"], {}).get("lightgcn", {})
        values = {**SHARED, **shorter, "training.seed": seed, **changes}
        recipe = with_values(as_system(plain, SYSTEMS[method]), values)
    elif method == "truth":
        dropped = noise
    elif method == "random":
        dropped[np.random.default_rng(seed).permutation(len(noise))[:count]] = True
    elif method == "reweighted":
        weights = torch.from_numpy(1 - suspicion_by("consensus")).float()
        data = dataset.replace(train=Interactions(dataset.train.users, dataset.train.items, weights))
    elif method != "none":
        dropped[np.argsort(-suspicion_by(method), kind="stable")[:count]] = True
    if dropped.any():
        data = without_clicks(dataset, torch.from_numpy(dropped))
    trainer = trained(recipe, data)
    scorer = scorer_of(trainer.model)
    test = SplitEvaluator(recipe, data, "test")(scorer)
    return {
        "dropped": int(dropped.sum()),
        "noise_among_dropped": round(float(noise[dropped].mean()), 4) if dropped.any() else "",
        "validation_recall@20": round(trainer.progress.best["recall@20"], 5),
        **{f"test_{name}": round(test[name], 5) for name in ("recall@20", "ndcg@20")},
        "likes_over_dislikes": likes_over_dislikes(recipe, data, scorer),
        "epochs": trainer.progress.epoch,
        "seconds": round(time.perf_counter() - started, 1),
        "settings": settings_of(recipe),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="a shipped recipe")
    parser.add_argument("--noise", default="feedback", help='"feedback" or "real" [%(default)s]')
    parser.add_argument("--ratio", type=float, default=0.1, help="share of added clicks [%(default)s]")
    parser.add_argument("--drop", type=float, help="share of the training clicks to drop [the true share of noise]")
    parser.add_argument("--methods", default="none,random,truth,consensus", help="by commas [%(default)s]")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS / "audit_loop.csv")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for seed in range(given.first_seed, given.first_seed + given.seeds):
        for method in given.methods.split(","):
            options = {**vars(given), "method": method, "seed": seed, "extra": {}}
            command = f"python -m benchmarks.audit_loop {given.data} --noise {given.noise}"
            command += "" if given.noise == "real" and given.data != "demo" else f" --ratio {given.ratio:g}"
            command += f" --drop {given.drop:g}" if given.drop else ""
            command += f" --methods {method} --first-seed {seed}"
            if command in known_commands(given.out):
                continue
            row = in_a_process(loop_row, options)
            if row is None:
                continue
            same = {key: options[key] for key in ("data", "noise", "ratio", "seed", "method")}
            append(given.out, [{**same, **row, "command": command}], COLUMNS)
            print(f"{given.data} {method} {seed}: {row['test_recall@20']} {row['seconds']} s", file=sys.stderr)


if __name__ == "__main__":
    main()
