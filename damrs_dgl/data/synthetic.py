"""The synthetic shop: a made-up shop whose tastes, swapped pictures and random clicks are known. Openly synthetic.

It is what the toolkit works on where no data is given, and the ground truth for tests of denoising.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from damrs_dgl.data.cleaning import pair_keys
from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.parts import Finding, Interactions, ModalityFeatures
from damrs_dgl.data.splits import TEST, TRAIN, VALIDATION, ratio_split
from damrs_dgl.data.synthetic_clicks import (
    FEWEST_CLICKS,
    MAX_TASTES,
    Shelves,
    click,
    click_at_random,
    make_items,
    make_users,
    uniform_draws,
)
from damrs_dgl.errors import DataError

NAME = "synthetic shop"
_FACTORS = 12  # latent factors behind a feature vector


@dataclass(frozen=True, eq=False)
class SyntheticShop:
    """A synthetic data set and the truth behind it.

    ``noisy_clicks`` bool [len(dataset.train)]: no taste of the user explains the click (validation and test have none).
    ``swapped`` {modality: bool [I]}: the row is that of an item of another style.
    ``user_styles`` int64 [U, 3]: the styles a user likes, the strongest first, -1 where there are fewer.
    ``item_styles`` int64 [I].
    """

    dataset: MultimodalDataset
    noisy_clicks: Tensor
    swapped: Mapping[str, Tensor]
    user_styles: Tensor
    item_styles: Tensor


def synthetic_shop(
    *,
    users: int = 2000,
    items: int = 1200,
    clicks_per_user: float = 10,
    styles: int = 12,
    dims: Mapping[str, int] | None = None,
    swapped_share: float = 0.1,
    noisy_click_share: float = 0.1,
    seed: int = 0,
) -> SyntheticShop:
    """Make the shop; equal arguments give the same one.

    Items have one style each, traits of their own and a long-tailed popularity; users like one to three styles and a
    direction among the traits, and click by both and by popularity; a feature row shows the style's prototype and the
    item's traits (``dims``: width by modality, default visual 64, textual 48). Clicks are split 8:1:1 per user. Then
    ``noisy_click_share`` of the training clicks are on styles that the user does not like, and ``swapped_share`` of the
    items carry, in each modality on its own, the row of an item of another style. Vectorised throughout.
    """
    widths = {"visual": 64, "textual": 48} if dims is None else dict(dims)
    _check(
        users=users,
        items=items,
        clicks=clicks_per_user,
        styles=styles,
        dims=widths,
        swapped=swapped_share,
        noisy=noisy_click_share,
    )
    generator = torch.Generator().manual_seed(seed)
    item_styles, traits, shelves = make_items(items, styles, generator)
    tastes, cumulative = make_users(users, styles, generator)
    click_users, click_items = click(
        tastes, cumulative, traits, shelves, clicks_per_user=clicks_per_user, generator=generator
    )
    labels = ratio_split(click_users, click_items, seed=seed)
    clean = labels == TRAIN
    noise = click_at_random(
        tastes, item_styles, round(clean.sum() * noisy_click_share / (1 - noisy_click_share)), generator
    )
    train, noisy_clicks = _mix((click_users[clean], click_items[clean]), noise, items)
    features, swapped = _make_features(
        item_styles, traits, shelves, dims=widths, share=swapped_share, generator=generator
    )
    validation, test = (
        Interactions.from_numpy(click_users[labels == s], click_items[labels == s]) for s in (VALIDATION, TEST)
    )
    dataset = MultimodalDataset(
        NAME,
        _make_ids("user", users, 5),
        _make_ids("item", items, 4),
        train,
        validation,
        test,
        features,
        (Finding("interactions", len(train) + len(validation) + len(test), NAME, "synthetic, not observed"),),
    )
    return SyntheticShop(dataset, noisy_clicks, swapped, torch.from_numpy(tastes), torch.from_numpy(item_styles))


def _mix(
    clean: tuple[np.ndarray, np.ndarray], noise: tuple[np.ndarray, np.ndarray], num_items: int
) -> tuple[Interactions, Tensor]:
    """Clean and noisy (users, items) as one split, and which of its clicks are noise, bool [n]."""
    users, items = (np.concatenate(pair) for pair in zip(clean, noise, strict=True))
    order = np.argsort(pair_keys(users, items, num_items))  # so that the place of a click tells nothing
    return Interactions.from_numpy(users[order], items[order]), torch.from_numpy(order >= len(clean[0]))


def _check(
    *, users: int, items: int, clicks: float, styles: int, dims: Mapping[str, int], swapped: float, noisy: float
) -> None:
    for what, found, good, wish in (
        ("users", users, users >= 1, "at least 1"),
        ("styles", styles, styles >= MAX_TASTES + 1, f"at least {MAX_TASTES + 1}"),
        ("items", items, items >= 2 * styles, f"at least 2 per style, {2 * styles}"),
        (
            "clicks_per_user",
            clicks,
            FEWEST_CLICKS <= clicks <= items / 2,
            f"from {FEWEST_CLICKS} to half the items",
        ),
        ("swapped_share", swapped, 0 <= swapped <= 1, "from 0 to 1"),
        ("noisy_click_share", noisy, 0 <= noisy <= 0.5, "from 0 to 0.5"),
        ("dims", dims, all(width >= 1 for width in dims.values()), "widths of at least 1"),
    ):
        if not good:
            raise DataError(f"{what} = {found}", where=NAME, fix=f"choose {wish}")


def _make_features(
    item_styles: np.ndarray,
    traits: Tensor,
    shelves: Shelves,
    *,
    dims: Mapping[str, int],
    share: float,
    generator: torch.Generator,
) -> tuple[dict[str, ModalityFeatures], dict[str, Tensor]]:
    """Style prototype + traits in a few factors, mapped to D values, plus an offset shared by all, plus noise."""
    items, styles = len(item_styles), len(shelves.starts) - 1
    features, swapped = {}, {}
    for modality, width in dims.items():
        prototypes = torch.randn(styles, _FACTORS, generator=generator)
        mixing = torch.randn(_FACTORS, width, generator=generator) / _FACTORS**0.5
        values = (
            prototypes[torch.from_numpy(item_styles)]
            + traits @ torch.randn(traits.shape[1], _FACTORS, generator=generator)
        ) @ mixing
        values += 0.4 * torch.randn(width, generator=generator)
        values += 0.6 * torch.randn(items, width, generator=generator)
        chosen = torch.randperm(items, generator=generator)[: round(share * items)].numpy()
        rows = np.arange(items)
        rows[chosen] = _of_another_style(item_styles[chosen], shelves, generator)
        swapped[modality] = torch.zeros(items, dtype=torch.bool)
        swapped[modality][torch.from_numpy(chosen)] = True
        features[modality] = ModalityFeatures(values.numpy()[rows], np.zeros(items, dtype=bool))
    return features, swapped


def _of_another_style(styles: np.ndarray, shelves: Shelves, generator: torch.Generator) -> np.ndarray:
    """A random item of any style but the given: draw a place on the shelves and step over the style's own."""
    start, size = shelves.starts[styles], shelves.starts[styles + 1] - shelves.starts[styles]
    place = np.floor(uniform_draws(generator, len(styles)) * (len(shelves.order) - size)).astype(np.int64)
    return shelves.order[place + np.where(place >= start, size, 0)]


def _make_ids(kind: str, count: int, digits: int) -> pa.Array:
    """Zero-padded, so that their order is that of the internal ids."""
    digits = max(digits, len(str(count - 1)))
    return pa.array([f"{kind}-{number:0{digits}d}" for number in range(count)])
