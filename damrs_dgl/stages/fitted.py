"""The trained model of a run: how its best weights come back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from damrs_dgl.errors import RunError
from damrs_dgl.factory import scorer_of
from damrs_dgl.models.base import RankingModel
from damrs_dgl.scoring import Scorer
from damrs_dgl.training.checkpoint import CheckpointStore
from damrs_dgl.training.schedule import Progress


@dataclass
class Fitted:
    """A model that holds the best epoch's weights, and how its training went."""

    model: RankingModel
    progress: Progress

    @cached_property
    def scorer(self) -> Scorer:
        """What the model prefers; made once for all stages of a command."""
        return scorer_of(self.model)


def load_weights(store: CheckpointStore, *, fix: str = "run `fit` first") -> tuple[dict[str, Tensor], Progress]:
    """The best epoch's weights, and how the training went, as `fit` left them in a run's folder.

    Raises RunError when nothing was trained there, or with other settings (`fix`: the cure), or it is damaged.
    """
    if not store.best_path.exists():
        raise RunError("there is no trained model", where=store.best_path.parent, fix="run `fit` first")
    weights, facts = store.load_best(fix=fix)
    stored = store.load_last()
    progress = Progress(**stored[1]["progress"]) if stored else Progress()
    progress.best_epoch = facts["best_epoch"]
    return weights, progress


def early_best(best_epoch: int, epochs: int, most: int) -> str | None:
    """What to say of a training whose first epoch stayed its best; None of another, and of a closed form.

    most: training.epochs. A start that knows something, the spectral one, is followed by a dip, which too few epochs,
    or too little patience, take for the end.
    """
    if best_epoch > 1 or epochs <= 1:
        return None
    longer = "training.epochs" if epochs >= most else "training.patience"
    return (
        f"its first epoch is the best of {epochs}: it may have stopped in a dip; "
        f"raise {longer} or lower training.learning_rate"
    )
