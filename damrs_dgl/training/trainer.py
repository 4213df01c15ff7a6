"""The training loop: epochs, validation, early stopping, resuming."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from damrs_dgl.errors import TrainingError
from damrs_dgl.evaluation.labels import validation_column
from damrs_dgl.models.base import ClosedFormModel, RankingModel, checked_terms
from damrs_dgl.progress import OnProgress, silent
from damrs_dgl.training.allocator import keep_freed_memory
from damrs_dgl.training.checkpoint import RESTART, CheckpointStore
from damrs_dgl.training.sampling import PairSampler
from damrs_dgl.training.schedule import Metrics, Progress, Schedule


class Trainer:
    """Trains a model; ends with the weights of its best validation epoch.

    A model with a closed form is computed in one epoch and judged once.

    Parameters
    ----------
    model, sampler: what is trained, with which batches.
    validate: returns the validation metrics of the model as it is.
    generator: everything random in training is drawn from it (CPU).
    store: where to keep checkpoints; None trains in memory only.
    members: the trainers of the systems inside the model, which are trained first.
    matmul_precision: of the matrix products of training steps, as `torch.set_float32_matmul_precision` names it;
        parameters, sums and the optimiser's state stay float32, and so does validation.

    Attributes that may be set
    --------------------------
    listeners: each called, in turn, with the progress and the schedule after every epoch that is safely stored.
    on_closed_form: called with (done, total, label) while a closed form is computed.
    """

    def __init__(
        self,
        model: RankingModel,
        sampler: PairSampler,
        *,
        validate: Callable[[], Metrics],
        generator: torch.Generator,
        schedule: Schedule,
        store: CheckpointStore | None = None,
        members: Mapping[str, Trainer] | None = None,
        matmul_precision: str = "highest",
    ) -> None:
        self.model = model
        self.sampler = sampler
        closed_form = isinstance(model, ClosedFormModel)
        self.optimizers = {} if closed_form else model.configure_optimizers(schedule.learning_rate)
        self.validate = validate
        self.generator = generator
        self.schedule = schedule
        self.store = store
        self.listeners: list[Callable[[Progress, Schedule], None]] = []
        self.on_closed_form: OnProgress = silent
        self.members = members or {}
        self.matmul_precision = matmul_precision
        self.progress = Progress()
        self._best_weights: dict[str, Tensor] = {}  # only without a store, which keeps them on disk
        self._rates = {name: optimizer.lr for name, optimizer in self.optimizers.items()}

    def fit(self) -> Progress:
        """Train until the schedule is done (after `resume`, from where that left off); load the best epoch's weights.

        Raises
        ------
        TrainingError: a loss term is no longer finite; the last full epoch and the best weights are kept.
        RunError, StorageError: a checkpoint is damaged or cannot be written.
        """
        keep_freed_memory()
        while not self.progress.finished(self.schedule):
            self._one_epoch()
        if not self.progress.best:  # an earlier schedule, stopped before its first validation, and this one is shorter
            self._judge(self.progress.epoch, self.progress.history[-1])
            self._save_last()
        self.model.load_state_dict(self.store.load_best(fix=RESTART)[0] if self.store else self._best_weights)
        return self.progress

    def resume(self, *, exactly: bool = False) -> None:
        """Take up the state after the last full epoch that `store` holds, if any. Raises RunError if it is damaged.

        exactly: but not what a training from scratch under this schedule would not come through, which is removed.
        """
        stored = self.store.load_last() if self.store else None
        if stored is None or self.store is None:
            return
        parts, facts = stored
        progress = Progress(**facts["progress"])
        if exactly and not progress.is_on_the_way(self.schedule):
            self.store.clear()
            return
        if progress.best:
            # Asked for now and not when the training ends. Killed between the two files, they are those of the epoch
            # that now comes again.
            self.store.load_best(fix=RESTART)
        self.model.load_state_dict(parts["model"])
        for name, optimizer in self.optimizers.items():
            optimizer.restore(parts.get(f"optimizer.{name}", {}))
        self.generator.set_state(parts["random"]["state"])
        self.progress = progress

    def _one_epoch(self) -> None:
        started = time.perf_counter()
        epoch = self.progress.epoch + 1
        for member in self.members.values() if epoch == 1 else ():
            member.resume(exactly=True)
            member.fit()
        self.model.train()
        with matmul_precision(self.matmul_precision):
            row = {"epoch": float(epoch), **self._learn(epoch)}
        row["train_seconds"] = time.perf_counter() - started
        if self.schedule.validates(epoch):
            self._judge(epoch, row)
        row["seconds"] = time.perf_counter() - started
        self.progress.epoch = epoch
        self.progress.history.append(row)
        self._save_last()
        for listener in self.listeners:
            listener(self.progress, self.schedule)

    def _learn(self, epoch: int) -> dict[str, float]:
        """Change the model as one epoch does; returns the mean of each loss term and of their sum."""
        if isinstance(self.model, ClosedFormModel):
            self.model.fit_closed_form(self.on_closed_form)
            chosen = self.model.tune(lambda: self.validate()[self.schedule.monitor], self.on_closed_form)
            return {"loss": 0.0, **chosen}
        for name, optimizer in self.optimizers.items():
            optimizer.lr = self._rates[name] * self.schedule.rate_factor(epoch)
        self.model.on_epoch_start(epoch, self.generator)
        return self._steps(epoch)

    def _steps(self, epoch: int) -> dict[str, float]:
        """All batches of an epoch.

        The terms of all steps are looked at together at the end, so that no step waits for the device.
        """
        batches = self.sampler.epoch(self.generator, self._step_generator(epoch))
        steps = [checked_terms(self.model, self.model.optimize(batch, self.optimizers)) for batch in batches]
        names = list(dict.fromkeys(name for terms in steps for name in terms))
        nothing = torch.zeros((), device=self.sampler.device)  # a term that a step does not have
        history = torch.stack([terms.get(name, nothing) for terms in steps for name in names]).double().cpu()
        history = history.view(len(steps), len(names))
        self._require_finite(names, history, epoch)
        means = dict(zip(names, history.mean(dim=0).tolist(), strict=True))
        return {"loss": sum(mean for name, mean in means.items() if name not in self.model.logged_only), **means}

    def _step_generator(self, epoch: int) -> torch.Generator | None:
        """On a GPU, one of the device's own, begun anew each epoch so that a resumed training draws the same."""
        device = self.sampler.device
        if device.type == "cpu":
            return None
        return torch.Generator(device).manual_seed(self.generator.initial_seed() * 1_000_003 + epoch)

    def _require_finite(self, names: list[str], history: Tensor, epoch: int) -> None:
        """Raise TrainingError if a term of any step (`history` [steps, terms]) or a table is not finite."""
        finite = torch.isfinite(history)
        if not bool(finite.all()):
            # One broken term breaks the tables, and they the other terms: the first step with one tells which it was.
            first = finite[~finite.all(dim=1)][0]
            broken = "loss term " + ", ".join(repr(name) for name, sound in zip(names, first, strict=True) if not sound)
        else:
            # The extremes of a table show NaN and infinity in one pass, without a mask of the table's size.
            extremes = torch.stack(
                [end for p in self.model.parameters() if p.numel() for end in torch.aminmax(p.detach())]
            )
            if bool(torch.isfinite(extremes).all()):
                return
            broken = "an embedding"
        kept = f"epoch {self.progress.epoch} is kept" if self.progress.epoch and self.store else "nothing was kept"
        raise TrainingError(
            f"{broken} is no longer finite in epoch {epoch} ({kept})",
            where="training",
            fix="lower training.learning_rate or the weight of that term, then `fit` again",
        )

    def _judge(self, epoch: int, row: dict[str, float]) -> None:
        """Validate; keep the weights if they are the best so far."""
        self.model.eval()
        metrics = self.validate()
        row.update({validation_column(name): value for name, value in metrics.items()})
        if not self.progress.note(epoch, metrics, self.schedule):
            return
        weights = self.model.state_dict()
        if self.store:
            self.store.save_best(weights, {"best_epoch": epoch, "validation": metrics})
        else:
            self._best_weights = {name: value.clone() for name, value in weights.items()}

    def _save_last(self) -> None:
        if self.store:
            self.store.save_last(self._state(), {"progress": vars(self.progress)})

    def _state(self) -> dict[str, Any]:
        """Everything that the next epoch depends on."""
        states = {f"optimizer.{name}": optimizer.tensors() for name, optimizer in self.optimizers.items()}
        return {"model": self.model.state_dict(), "random": {"state": self.generator.get_state()}, **states}


@contextmanager
def matmul_precision(precision: str) -> Iterator[None]:
    """Set torch's precision of float32 matrix products, which is global, and put it back."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
