"""What a table of systems may claim: means with their error, paired tests over users, and who is marked best.

Two kinds of spread are kept apart. Over *seeds* a system has a mean and its standard error (:func:`summarise`): how
much one training differs from the next. Over *users* two systems are compared pair by pair (:func:`compare_per_user`):
whether the same users are served better. Several seeds of one system are averaged user by user before the comparison,
so that a user counts once however many seeds there are; the seeds are no independent users.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata, wilcoxon

from damrs_dgl.errors import DataError

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
    ``p_value``: two-sided, of the signed-rank test, not corrected (see :func:`holm`).  ``num_users``: pairs compared.
    """

    difference: float
    p_value: float
    low: float
    high: float
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
    error = float(found.std(ddof=1) / math.sqrt(len(found))) if len(found) > 1 else None
    return Summary(float(found.mean()), error, len(found))


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
    p_value, _ = _signed_rank(difference)
    return Comparison(float(difference.mean()), p_value, *_percentiles(means, level), len(difference))


def compare_pairs(per_user: Mapping[str, Mapping[str, ArrayLike]], *, seed: int) -> list[Pair]:
    """Every pair of systems on every metric as :func:`compare_per_user` compares two, p-values corrected over all.

    ``per_user`` as in :func:`best_and_second`. All systems share the bootstrap's draws of users.
    """
    found: list[tuple[str, str, str, Comparison]] = []
    for metric, systems in per_user.items():
        values = {name: _averaged(each) for name, each in systems.items()}
        for first, second in combinations(values, 2):
            _differences(values[first], values[second])  # refuses other numbers of users
        if not values:
            continue
        drawn = _bootstrap_means(np.stack(list(values.values())), seed=seed, resamples=_RESAMPLES)
        means = dict(zip(values, drawn, strict=True))
        for first, second in combinations(values, 2):
            difference = values[first] - values[second]
            p_value, _ = _signed_rank(difference)
            interval = _percentiles(means[first] - means[second], _LEVEL)
            comparison = Comparison(float(difference.mean()), p_value, *interval, len(difference))
            found.append((metric, first, second, comparison))
    corrected = holm([comparison.p_value for *_, comparison in found])
    return [Pair(*pair, p_value) for pair, p_value in zip(found, corrected, strict=True)]


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


def best_and_second(
    per_user: Mapping[str, Mapping[str, ArrayLike]], *, level: float = 0.05, lower_is_better: Sequence[str] = ()
) -> dict[str, Marks]:
    """Whom a table of systems marks best and second best, for every metric.

    Parameters
    ----------
    per_user: metric -> system -> that metric of every user, [users] or [seeds, users], the same users in all.
    level: below which a corrected p-value counts.
    lower_is_better: metrics of which the lowest mean is the best.

    Every pair of systems is tested on every metric (:func:`compare_per_user`'s test) and Holm's correction is over all
    these tests together, since which systems come first is known only after looking. The system with the best mean is
    marked where it differs from each of the others, in its favour; the second where the best is marked and it differs
    from each system below it. A lone system is not marked.
    """
    tests = [
        (metric, first, second) for metric, systems in per_user.items() for first, second in combinations(systems, 2)
    ]
    found = [_signed_rank(_differences(per_user[metric][a], per_user[metric][b])) for metric, a, b in tests]
    corrected = holm([p_value for p_value, _ in found])
    beats: set[tuple[str, str, str]] = set()  # (metric, winner, loser)
    for (metric, a, b), p_value, (_, favours) in zip(tests, corrected, found, strict=True):
        if p_value < level and favours:
            a_wins = (favours > 0) != (metric in lower_is_better)
            beats.add((metric, a, b) if a_wins else (metric, b, a))
    return {
        metric: _marks(metric, _by_mean(systems, lowest=metric in lower_is_better), beats)
        for metric, systems in per_user.items()
    }


def _by_mean(systems: Mapping[str, ArrayLike], *, lowest: bool) -> list[str]:
    """The systems, best mean first; equal means in the order given."""
    means = {name: float(_averaged(values).mean()) for name, values in systems.items()}
    return sorted(means, key=lambda name: means[name] if lowest else -means[name])


def _marks(metric: str, ordered: Sequence[str], beats: set[tuple[str, str, str]]) -> Marks:
    def leads(place: int) -> bool:
        below = ordered[place + 1 :]
        return bool(below) and all((metric, ordered[place], other) in beats for other in below)

    if not leads(0):
        return Marks()
    return Marks(ordered[0], ordered[1] if leads(1) else None)


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
    if first.shape != second.shape:
        raise DataError(
            f"the two systems have {len(first):,} and {len(second):,} users", fix="compare them over the same users"
        )
    found = first - second
    # What two sums of the same numbers in another order differ by is no difference
    found[np.abs(found) <= _ROUNDING * np.maximum(np.abs(first), np.abs(second))] = 0.0
    return found


def _signed_rank(difference: NDArray[np.float64]) -> tuple[float, int]:
    """(two-sided p-value, which side the ranks favour: 1 for positive differences, -1 for negative, 0 for neither)."""
    largest = float(np.abs(difference).max())
    if largest == 0:
        return 1.0, 0
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
