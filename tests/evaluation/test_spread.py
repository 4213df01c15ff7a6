"""How sure a mean is."""

from __future__ import annotations

import math
from statistics import stdev

import pytest
import torch

from damrs_dgl.evaluation.spread import standard_error, with_error


def test_a_standard_error_is_that_of_the_textbook() -> None:
    values = [0.1, 0.4, 0.25]
    assert standard_error(values) == pytest.approx(stdev(values) / math.sqrt(3))
    assert standard_error(torch.tensor(values, dtype=torch.float64)) == standard_error(values)
    assert standard_error([0.5]) is None and standard_error([]) is None
    assert standard_error([0.5, 0.5]) == 0.0


def test_a_mean_is_told_with_its_error() -> None:
    assert with_error(0.21321, 0.00409) == "0.2132 ± 0.0041"
    assert with_error(0.2, 0.0, " ±") == "0.2000 ±0.0000"
    assert with_error(0.2, None) == "0.2000"
