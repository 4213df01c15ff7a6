"""How long a study will take, from what its finished cells took."""

from __future__ import annotations

from damrs_dgl.studies.time_left import TimeLeft


def test_each_system_takes_what_it_took() -> None:
    left = TimeLeft(1, [("slow", 100.0), ("fast", 1.0), ("fast", 3.0)])
    assert left.of("fast") == 2.0
    assert left.of("new") == (100 + 1 + 3) / 3
    assert left.of_all(["slow", "fast", "fast"]) == 104.0


def test_nothing_is_known_before_the_first() -> None:
    left = TimeLeft(2)
    assert left.of_all(["a", "b"]) is None
    assert left.of_all([], running=[("a", 5.0)]) is None
    assert left.of_all([]) == 0.0
    left.add("a", 10.0)
    assert left.of_all(["b", "b"]) == 10.0


def test_workers_take_turns_as_they_become_free() -> None:
    left = TimeLeft(2, [("long", 10.0), ("short", 4.0)])
    # one worker has 7 s to go; the other does two short ones, 8 s; the third starts at 7
    assert left.of_all(["short", "short", "short"], running=[("long", 3.0)]) == 11.0
    assert left.of_all([], running=[("long", 25.0)]) == 0.0  # longer than expected: nothing is known of the rest
