"""How well suspicion finds what is known to be noise: area under the ROC curve, average precision, precision."""

from __future__ import annotations

from typing import Any

import numpy as np

from damrs_dgl.errors import DataError


def roc_auc(noise: np.ndarray, suspicion: np.ndarray) -> float:
    """The probability that a noisy one is more suspect than a clean one, ties counting half; NaN without either kind.

    Shapes: bool [n], float [n]. By ranks: scikit-learn's takes twenty times as long for each of many small groups.
    """
    noise = _checked(noise, suspicion)
    positives = int(noise.sum())
    negatives = len(noise) - positives
    if not positives or not negatives:
        return float("nan")
    from scipy.stats import rankdata  # which takes as long to import as dgl; other stages do without it

    ranks = rankdata(suspicion)
    return float((ranks[noise].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def average_precision(noise: np.ndarray, suspicion: np.ndarray) -> float:
    """The sum over thresholds of precision times what recall grows there; equal suspicions are one threshold."""
    noise = _checked(noise, suspicion)
    if not noise.any():
        return float("nan")
    from sklearn.metrics import average_precision_score  # other stages do without it

    return float(average_precision_score(noise, suspicion))


def r_precision(noise: np.ndarray, suspicion: np.ndarray) -> float:
    """Precision among the most suspect, as many as are noise; NaN where none is.

    Ties at the cut-off count with their expected value over all orders.
    """
    noise = _checked(noise, suspicion)
    count = int(noise.sum())
    if not count:
        return float("nan")
    edge = np.partition(suspicion, len(noise) - count)[len(noise) - count]
    above, at = suspicion > edge, suspicion == edge
    return float((noise[above].sum() + noise[at].mean() * (count - above.sum())) / count)


def grouped_auc(noise: np.ndarray, suspicion: np.ndarray, groups: np.ndarray) -> tuple[float, int]:
    """The mean of the groups' own AUC over the groups that hold both kinds, and how many those are.

    `groups` int [n]: users, or items. It says whether noise is found within a user, not by who the user is.
    """
    noise = _checked(noise, suspicion)
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(groups[order]) != 0)) if len(order) else np.zeros(0, dtype=int)
    parts = (part for part in np.split(order, starts[1:]) if 0 < noise[part].sum() < len(part))
    values = [roc_auc(noise[part], suspicion[part]) for part in parts]
    return (float(np.mean(values)), len(values)) if values else (float("nan"), 0)


def detection(
    noise: np.ndarray, suspicion: np.ndarray, users: np.ndarray | None = None, items: np.ndarray | None = None
) -> dict[str, Any]:
    """All of it for one scorer: the base share of noise beside each figure that depends on it."""
    found: dict[str, Any] = {
        "share": float(noise.mean()),
        "auc": roc_auc(noise, suspicion),
        "average_precision": average_precision(noise, suspicion),
        "precision": r_precision(noise, suspicion),
    }
    for name, groups in (("users", users), ("items", items)):
        if groups is not None:
            found[f"auc_within_{name}"], found[f"{name}_judged"] = grouped_auc(noise, suspicion, groups)
    return found


def _checked(noise: np.ndarray, suspicion: np.ndarray) -> np.ndarray:
    if noise.shape != suspicion.shape or noise.ndim != 1:
        raise DataError(f"noise and suspicion differ in shape: {noise.shape}, {suspicion.shape}", where="detection")
    if not np.isfinite(suspicion).all():
        raise DataError("a suspicion is not finite", where="detection")
    return noise.astype(bool)
