"""Noise of a known kind and amount, for stress tests (Section 4.3): from clean data, seeded, training split only."""

from __future__ import annotations

import numpy as np
import torch

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.modality_names import FEEDBACK_ADDED, FEEDBACK_REMOVED
from damrs_dgl.data.parts import Interactions, ModalityFeatures
from damrs_dgl.errors import DataError


def corrupt(dataset: MultimodalDataset, noise: str, ratio: float, *, seed: int) -> MultimodalDataset:
    """A copy of the data set with one kind of noise; ``ratio`` 0 is the data set itself.

    ``noise``: "feedback" adds training pairs, "feedback-removed" drops some, a modality's name swaps its feature rows.
    Raises DataError for any other name, naming the choices, and for a ratio outside [0, 1].
    """
    choices = (FEEDBACK_ADDED, FEEDBACK_REMOVED, *dataset.modalities)
    if noise not in choices:
        raise DataError(f"no noise named {noise!r}", where=dataset.name, fix=f"choose from {', '.join(choices)}")
    _check_ratio(ratio)
    if ratio == 0:
        return dataset
    if noise == FEEDBACK_ADDED:
        return add_feedback(dataset, ratio, seed=seed)
    if noise == FEEDBACK_REMOVED:
        return remove_feedback(dataset, ratio, seed=seed)
    return swap_content(dataset, noise, ratio, seed=seed)


def add_feedback(dataset: MultimodalDataset, ratio: float, *, seed: int) -> MultimodalDataset:
    """round(ratio * |train|) new distinct training pairs, drawn uniformly from those that no user is known to know.

    Raises DataError where fewer free pairs exist than are asked for.
    """
    _check_ratio(ratio)
    count = round(ratio * len(dataset.train))
    cells = dataset.num_users * dataset.num_items
    known = (dataset.train, dataset.validation, dataset.test, dataset.left_out)
    taken = np.sort(np.concatenate([part.keys(dataset.num_items).numpy() for part in known]))
    free = cells - len(taken)
    if count > free:
        raise DataError(
            f"{count:,} new pairs are asked for and {free:,} are free", where=dataset.name, fix="lower the ratio"
        )
    generator = torch.Generator().manual_seed(seed)
    # rejection is quick while free pairs abound; where they do not, the cells are few (``taken`` fits): list them
    draw = _draw_by_rejection if free >= 2 * (count + 1) and free * 4 >= cells else _draw_from_list
    keys = draw(taken, cells, count, generator)
    users, items = np.divmod(keys, max(dataset.num_items, 1))
    added = Interactions.from_numpy(
        np.concatenate([dataset.train.users.numpy(), users]), np.concatenate([dataset.train.items.numpy(), items])
    )
    if dataset.train.weights is not None:  # noise comes with the full weight of any click
        weights = torch.cat([dataset.train.weights, torch.ones(count)])
        added = Interactions(added.users, added.items, weights)
    return dataset.replace(name=_noisy_name(dataset, FEEDBACK_ADDED, ratio, seed), train=added)


def remove_feedback(dataset: MultimodalDataset, ratio: float, *, seed: int) -> MultimodalDataset:
    """round(ratio * |train|) training pairs dropped, the others in their order; at least one has to stay."""
    _check_ratio(ratio)
    total = len(dataset.train)
    count = round(ratio * total)
    if count >= total > 0:
        raise DataError(
            f"a ratio of {ratio:g} leaves no training interaction", where=dataset.name, fix="lower the ratio"
        )
    generator = torch.Generator().manual_seed(seed)
    kept = torch.randperm(total, generator=generator)[count:].sort().values
    left = dataset.train.take(kept)
    return dataset.replace(name=_noisy_name(dataset, FEEDBACK_REMOVED, ratio, seed), train=left)


def swap_content(dataset: MultimodalDataset, modality: str, ratio: float, *, seed: int) -> MultimodalDataset:
    """A share `ratio` of the items that have content get the clean feature row of another one, drawn uniformly.

    Items without content stay without: noise repairs nothing. Raises DataError for an unknown modality, or where fewer
    than two items have content in it.
    """
    _check_ratio(ratio)
    if modality not in dataset.features:
        known = ", ".join(dataset.modalities) or "no modality"
        raise DataError(f"no modality named {modality!r}", where=dataset.name, fix=f"the data set has {known}")
    clean = dataset.features[modality]
    donors = np.flatnonzero(~clean.missing)
    if len(donors) < 2:
        raise DataError(
            f"{len(donors)} items have content in {modality!r}, swapping needs two",
            where=dataset.name,
            fix="choose another",
        )
    generator = torch.Generator().manual_seed(seed)
    places = torch.randperm(len(donors), generator=generator)[: round(ratio * len(donors))].numpy()
    values = np.array(clean.values)
    values[donors[places]] = clean.values[donors[_other_places(places, len(donors), generator)]]
    features = {**dataset.features, modality: ModalityFeatures(values, clean.missing)}
    return dataset.replace(name=_noisy_name(dataset, modality, ratio, seed), features=features)


def _other_places(places: np.ndarray, count: int, generator: torch.Generator) -> np.ndarray:
    """For each place among `count` another one: draw from one fewer, and step over its own."""
    uniform = torch.rand(len(places), generator=generator, dtype=torch.float64).numpy()
    others = (uniform * (count - 1)).astype(np.int64)
    return others + (others >= places)


def _draw_by_rejection(taken: np.ndarray, cells: int, count: int, generator: torch.Generator) -> np.ndarray:
    """Distinct free keys in the order drawn; at least a quarter of the cells is free, so a few rounds do."""
    drawn: np.ndarray = np.empty(0, dtype=np.int64)
    while len(drawn) < count:
        more = torch.randint(cells, (2 * (count - len(drawn)) + 16,), generator=generator).numpy()
        drawn = np.concatenate([drawn, more[~_contains(taken, more)]])
        drawn = drawn[np.sort(np.unique(drawn, return_index=True)[1])]
    return drawn[:count]


def _draw_from_list(taken: np.ndarray, cells: int, count: int, generator: torch.Generator) -> np.ndarray:
    """Distinct free keys from the list of all of them, for a nearly full matrix."""
    free = np.ones(cells, dtype=bool)
    free[taken] = False
    keys = np.flatnonzero(free)
    return keys[torch.randperm(len(keys), generator=generator)[:count].numpy()]


def _contains(sorted_keys: np.ndarray, keys: np.ndarray) -> np.ndarray:
    if len(sorted_keys) == 0:
        return np.zeros(len(keys), dtype=bool)
    place = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
    return sorted_keys[place] == keys


def _check_ratio(ratio: float) -> None:
    if not 0 <= ratio <= 1:
        raise DataError(f"a noise ratio of {ratio:g}", fix="use one between 0 and 1")


def _noisy_name(dataset: MultimodalDataset, noise: str, ratio: float, seed: int) -> str:
    return f"{dataset.name} + {noise} {ratio:g} (seed {seed})"
