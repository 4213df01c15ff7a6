"""The errors that a user sees."""

from __future__ import annotations

import pickle

import pytest

from damrs_dgl.errors import DamrsError, DataError, InternalError, Mistake, TrainingError
from damrs_dgl.storage.locking import RunBusyError


@pytest.mark.parametrize(
    "error",
    [
        DamrsError("it is so"),
        DataError("has no column", where="clicks.csv", fix="name one"),
        TrainingError("loss is no number", fix="lower the rate"),
        InternalError("a shape does not fit", where="step"),
        RunBusyError("is being written", where="runs/demo"),
        Mistake([("model", "dim")], "must be 1 or more", "give 64"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_goes_from_process_to_process(error: DamrsError) -> None:
    there = pickle.loads(pickle.dumps(error))
    assert type(there) is type(error)
    assert (str(there), there.args, vars(there)) == (str(error), error.args, vars(error))
