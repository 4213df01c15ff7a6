"""A search for better values of a few keys, one key after the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

Point = dict[str, float]


def coordinate_search(
    start: Mapping[str, float],
    choices: Mapping[str, Sequence[float]],
    judge: Callable[[Point], float],
    report: Callable[[int, int], None],
) -> Point:
    """The values of `choices`' keys that score best, found key by key from a start.

    A first pass tries all choices of each key, in the order given, and goes on from the best; a second one those next
    to the value reached, since the other keys have moved meanwhile.

    Parameters
    ----------
    start: a value for each key of `choices`; it need not be among the choices.
    judge: the score of values; asked once for the same ones. Of equal scores the earlier values stay, and where the
        start has none (NaN) nothing else is tried.
    report: called with (values judged, how many there can be at most) after each.
    """
    ladders = {key: sorted({*values, start[key]}) for key, values in choices.items()}
    most = 1 + sum(len(ladder) - 1 + min(len(ladder) - 1, 2) for ladder in ladders.values())
    scores: dict[tuple[float, ...], float] = {}

    def score(values: Point) -> float:
        point = tuple(values.values())
        if point not in scores:
            scores[point] = judge(values)
            report(len(scores), most)
        return scores[point]

    best = {key: start[key] for key in choices}
    highest = score(best)
    if math.isnan(highest):
        return best
    for width in (max(map(len, ladders.values()), default=0), 1):
        for key, ladder in ladders.items():
            place = ladder.index(best[key])
            for value in ladder[max(place - width, 0) : place + width + 1]:
                tried = {**best, key: value}
                if score(tried) > highest:
                    best, highest = tried, score(tried)
    return best
