"""What a table of systems may claim: means with their error, paired tests over users, and who is marked best.

Two kinds of spread are kept apart. Over *seeds* a system has a mean and its standard error (:func:`summarise`): how
much one training differs from the next. Over *users* two systems are compared pair by pair (:func:`compare_per_user`):
whether the same users are served better. Several seeds of one system are averaged user by user before the comparison,
so that a user counts once however many seeds there are; the seeds are no independent users.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from damrs_dgl.errors import DataError
from damrs_dgl.evaluation.spread import SIGNIFICANT, standard_error

# Draws of the bootstrap held at a time, int64: 32 MiB.
_MAX_BLOCK_DRAWS = 2**22
# Differences that part by less than this share of the largest count as equal, and as zero: sums of floats in another
# order differ by about 1e-16, and the test would rank that noise.
_DIGITS = 12
_ROUNDING = 1e-12

_LEVEL = 0.95  # of the bootstrap's intervals
_RESAMPLES = 2000  # draws of the bootstrap


@dataclass(frozen=True)
class Summary:
    """A mean over ``n`` seeds and its standard error, s / sqrt(n) with n - 1 in s; None of a single seed."""

    mean: float
    standard_error: float | None
    n: int


@dataclass(frozen=True)
class Comparison:
    """System a against system b over the same users.

    ``difference``: mean of a - b over users.  ``low``, ``high``: its bootstrap percentile interval.
    ``p_value``: two-sided, of the signed-rank test, not corrected (see :func:`holm`).  ``favours``: which of them the
    ranks favour, 1 for a, -1 for b, 0 for neither.  ``num_users``: pairs compared.
    """

    difference: float
    p_value: float
    low: float
    high: float
    favours: int
    num_users: int


@dataclass(frozen=True)
class Pair:
    """Two systems of a table on one metric; ``corrected``: the p-value after Holm's correction over the table."""

    metric: str
    first: str
    second: str
    comparison: Comparison
    corrected: float


@dataclass(frozen=True)
class Marks:
    """The system to be marked best and the one to be marked second; None where the tests do not say so."""

    best: str | None = None
    second: str | None = None


def summarise(values: Sequence[float]) -> Summary:
    """Mean and standard error over seeds. DataError for no value and for one that is no number."""
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1 or len(found) == 0 or not np.isfinite(found).all():
        raise DataError(f"a mean needs one finite number or more, got {list(values)}")
    return Summary(float(found.mean()), standard_error(found), len(found))


def compare_per_user(
    a: ArrayLike, b: ArrayLike, *, seed: int, level: float = _LEVEL, resamples: int = _RESAMPLES
) -> Comparison:
    """Whether system a serves the same users better than b: a paired Wilcoxon signed-rank test and an interval.

    Parameters
    ----------
    a, b: a metric of every user, [users], or [seeds, users] (averaged over the seeds first; the numbers of seeds may
        differ). Both in the same order of users.
    seed: of the bootstrap; the same seed gives the same interval.
    level: coverage of the interval.  resamples: how many times the users are drawn with replacement.

    Users without a difference are kept in the ranking and left out of the sums (Pratt 1959, scipy's
    ``zero_method="pratt"``): leaving them out altogether would overstate a difference that few users see. Where no user
    has one, p is 1. The p-value is exact for few users and by the normal approximation for many, as scipy chooses.

    Raises ``DataError`` for other shapes, no users, and values that are no numbers.
    """
    difference = _differences(a, b)
    means = _bootstrap_means(difference[None], seed=seed, resamples=resamples)[0]
    return _comparison(difference, means, level)


def compare_pairs(per_user: Mapping[str, Mapping[str, ArrayLike]], *, seed: int) -> list[Pair]:
    """Every pair of systems on every metric as :func:`compare_per_user` compares two, p-values corrected over all.

    per_user: metric -> system -> that metric of every user, [users] or [seeds, users], the same users in all. Which
    system comes first is known only after looking, so that Holm's correction is over all pairs and metrics together.
    All systems share the bootstrap's draws of users.
    """
    found: list[tuple[str, str, str, Comparison]] = []
    for metric, systems in per_user.items():
        values = {name: _averaged(each) for name, each in systems.items()}
        pairs = list(combinations(values, 2))
        if not pairs:
            continue
        for a, b in pairs:
            _require_as_many(values[a], values[b])
        drawn = _bootstrap_means(np.stack(list(values.values())), seed=seed, resamples=_RESAMPLES)
        means = dict(zip(values, drawn, strict=True))
        for a, b in pairs:
            comparison = _comparison(_differences(values[a], values[b]), means[a] - means[b], _LEVEL)
            found.append((metric, a, b, comparison))
    corrected = holm([comparison.p_value for *_, comparison in found])
    return [Pair(*pair, p_value) for pair, p_value in zip(found, corrected, strict=True)]


def _comparison(difference: NDArray[np.float64], resampled: NDArray[np.float64], level: float) -> Comparison:
    """Of the users' differences [users] and their means over users drawn anew [resamples]."""
    p_value, favours = _signed_rank(difference)
    return Comparison(
        float(difference.mean()), p_value, *_percentiles(resampled, level), favours=favours, num_users=len(difference)
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (1979): p-values that may be held against one level, in the order given.

    With p sorted ascending, the i-th of m (from 0) becomes max over j <= i of min(1, (m - j) p_j). All p-values of one
    table belong into one call. DataError for one outside 0..1.
    """
    found = np.asarray(p_values, dtype=np.float64).reshape(-1)
    if not ((found >= 0) & (found <= 1)).all():
        raise DataError(f"p-values lie in 0..1, got {list(p_values)}")
    order = np.argsort(found, kind="stable")
    stepped = np.minimum(found[order] * np.arange(len(found), 0, -1), 1.0)
    adjusted = np.empty_like(found)
    adjusted[order] = np.maximum.accumulate(stepped)
    return adjusted.tolist()


def best_and_second(pairs: Sequence[Pair], *, level: float = SIGNIFICANT) -> dict[str, Marks]:
    """Which systems a table marks best and second best, for every metric of `compare_pairs`.

    level: below which a corrected p-value counts.

    The best is better than each of the others: in its mean over users, and by the test. The second, where the best is
    marked, is better than each of the rest.
    """
    systems: dict[str, list[str]] = {}
    beats: set[tuple[str, str, str]] = set()  # (metric, winner, loser)
    for pair in pairs:
        found = pair.comparison
        systems.setdefault(pair.metric, []).extend((pair.first, pair.second))
        if pair.corrected < level and found.favours * found.difference > 0:
            winner, loser = (pair.first, pair.second) if found.favours > 0 else (pair.second, pair.first)
            beats.add((pair.metric, winner, loser))

    def leader(metric: str, among: list[str]) -> str | None:
        ahead = [name for name in among if all((metric, name, other) in beats for other in among if other != name)]
        return ahead[0] if ahead and len(among) > 1 else None

    marks = {}
    for metric, names in systems.items():
        among = list(dict.fromkeys(names))
        best = leader(metric, among)
        second = leader(metric, [name for name in among if name != best]) if best else None
        marks[metric] = Marks(best, second)
    return marks


def _averaged(values: ArrayLike) -> NDArray[np.float64]:
    """float64 [users], the mean over seeds where there are several."""
    found = np.asarray(values, dtype=np.float64)
    if found.ndim == 2 and len(found):
        found = found.mean(axis=0)
    if found.ndim != 1 or len(found) == 0:
        raise DataError(f"a metric of every user is [users] or [seeds, users], got shape {list(np.shape(values))}")
    if not np.isfinite(found).all():
        raise DataError("a metric of a user is not a finite number", fix="leave users without a value out of both")
    return found


def _differences(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    first, second = _averaged(a), _averaged(b)
    _require_as_many(first, second)
    found = first - second
    # What two sums of the same numbers in another order differ by is no difference
    found[np.abs(found) <= _ROUNDING * np.maximum(np.abs(first), np.abs(second))] = 0.0
    return found


def _require_as_many(first: NDArray[np.float64], second: NDArray[np.float64]) -> None:
    if first.shape != second.shape:
        raise DataError(
            f"the two systems have {len(first):,} and {len(second):,} users", fix="compare them over the same users"
        )


def _signed_rank(difference: NDArray[np.float64]) -> tuple[float, int]:
    """(two-sided p-value, which side the ranks favour: 1 for positive differences, -1 for negative, 0 for neither)."""
    largest = float(np.abs(difference).max())
    if largest == 0:
        return 1.0, 0
    from scipy.stats import rankdata, wilcoxon  # other stages do without it

    scaled = np.round(difference / largest, _DIGITS)
    p_value = float(wilcoxon(scaled, zero_method="pratt").pvalue)
    balance = float((np.sign(scaled) * rankdata(np.abs(scaled))).sum())
    return min(1.0, p_value), int(np.sign(balance))


def _bootstrap_means(values: NDArray[np.float64], *, seed: int, resamples: int) -> NDArray[np.float64]:
    """Means [n, resamples] of each row of values [n, users] over users drawn with replacement, a block at a time."""
    rows, users = torch.from_numpy(values), values.shape[1]
    generator = torch.Generator().manual_seed(seed)
    block = max(1, _MAX_BLOCK_DRAWS // users)
    means = []
    for start in range(0, resamples, block):
        drawn = torch.randint(users, (min(block, resamples - start), users), generator=generator)
        means.append(torch.stack([row[drawn].mean(dim=1) for row in rows]))
    return torch.cat(means, dim=1).numpy()


def _percentiles(means: NDArray[np.float64], level: float) -> tuple[float, float]:
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)
