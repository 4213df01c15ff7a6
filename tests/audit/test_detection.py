"""Figures of detection against scikit-learn, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from damrs_dgl.audit.detection import average_precision, detection, grouped_auc, r_precision, roc_auc
from damrs_dgl.errors import DataError

PAIRS = st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=40).filter(
    lambda pairs: 0 < sum(noise for noise, _ in pairs) < len(pairs)
)


@given(PAIRS)
def test_auc_is_scikit_learns(pairs: list[tuple[bool, int]]) -> None:
    noise, suspicion = np.array([a for a, _ in pairs]), np.array([b / 5 for _, b in pairs])
    assert roc_auc(noise, suspicion) == pytest.approx(roc_auc_score(noise, suspicion))


def test_equal_suspicions_are_one_threshold_of_average_precision() -> None:
    noise = np.array([True, False, True, False])
    assert average_precision(noise, np.array([0.9, 0.5, 0.5, 0.1])) == pytest.approx(1 / 2 + 1 / 2 * 2 / 3)


def test_precision_at_the_true_share() -> None:
    noise = np.array([True, False, True, False, False])
    assert r_precision(noise, np.array([0.9, 0.8, 0.1, 0.2, 0.3])) == 0.5
    assert r_precision(noise, np.full(5, 0.5)) == pytest.approx(0.4)  # of equal ones any may be chosen
    assert r_precision(noise, np.array([0.9, 0.5, 0.5, 0.1, 0.1])) == pytest.approx(0.75)


def test_groups_are_judged_on_their_own() -> None:
    noise = np.array([True, False, True, False, True, True, False])
    suspicion = np.array([0.2, 0.1, 0.8, 0.9, 0.3, 0.3, 0.0])
    groups = np.array([4, 4, 7, 7, 9, 9, 2])  # 9 and 2 hold one kind alone
    assert grouped_auc(noise, suspicion, groups) == (0.5, 2)
    found = detection(noise, suspicion, users=groups)
    assert found["users_judged"] == 2 and "auc_within_items" not in found
    assert math.isnan(grouped_auc(noise[:0], suspicion[:0], groups[:0])[0])


def test_without_either_kind_there_is_no_figure() -> None:
    clean = np.zeros(3, dtype=bool)
    assert math.isnan(roc_auc(clean, np.zeros(3))) and math.isnan(average_precision(clean, np.zeros(3)))
    assert math.isnan(r_precision(clean, np.zeros(3)))


@pytest.mark.parametrize("suspicion", [np.zeros(2), np.array([0.1, np.nan, 0.2])])
def test_what_cannot_be_judged_is_refused(suspicion: np.ndarray) -> None:
    with pytest.raises(DataError):
        roc_auc(np.array([True, False, True]), suspicion)
