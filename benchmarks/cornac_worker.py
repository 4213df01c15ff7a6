"""Cornac's LightGCN or VBPR, an epoch for each line on standard input: the other process of the cornac_*.py.

Runs in Cornac's environment and imports nothing of this project. After each epoch it prints the seconds from the first
batch's sampling to the last batch's optimiser step.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("DGLBACKEND", "pytorch")

import numpy as np
import torch
from cornac.data import Dataset, ImageModality
from cornac.models import VBPR, LightGCN, Recommender

ENDLESS = 1_000_000


def in_turn(train: Dataset) -> Dataset:
    """The same data set, but for each epoch it waits for a line, and it times the epoch that follows."""
    batches = train.uij_iter

    def uij_iter(*arguments: Any, **options: Any) -> Iterator[tuple[np.ndarray, ...]]:
        if not sys.stdin.readline():
            raise SystemExit
        started = time.perf_counter()
        yield from batches(*arguments, **options)
        print(time.perf_counter() - started, flush=True)

    train.uij_iter = uij_iter
    return train


def model_of(options: argparse.Namespace) -> Recommender:
    """The recommender that the options describe, endless."""
    shared = {"batch_size": options.batch_size, "seed": 0, "verbose": False}
    if options.name == "lightgcn":
        return LightGCN(emb_size=options.dim, num_epochs=ENDLESS, num_layers=options.num_layers, **shared)
    return VBPR(k=options.dim, k2=options.dim, n_epochs=ENDLESS, **shared)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", help=".npy file of (user, item) rows")
    parser.add_argument("--name", choices=("lightgcn", "vbpr"), required=True)
    parser.add_argument("--num_layers", type=int)
    parser.add_argument("--dim", type=int, required=True)
    parser.add_argument("--batch_size", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--features", help=".npy file of the items' content, for VBPR")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pairs = np.load(options.pairs, allow_pickle=False)
    train = Dataset.from_uir([(user, item, 1.0) for user, item in pairs.tolist()], seed=0)
    if options.features:
        features = np.load(options.features, allow_pickle=False)
        images = ImageModality(features=features, ids=list(range(len(features)))).build(id_map=train.iid_map)
        train.add_modalities(item_image=images)
    model_of(options).fit(in_turn(train))


if __name__ == "__main__":
    main()
