"""From the keys of [training] to a trainer: its start, batches and schedule, and so for each system inside a model."""

from __future__ import annotations

from collections.abc import Callable

import scipy.sparse as sp
import torch

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.models.base import ClosedFormModel, ModelConfig, RankingModel
from damrs_dgl.models.registry import find_model, reads_content
from damrs_dgl.training.checkpoint import CheckpointStore
from damrs_dgl.training.keys import TrainingKeys
from damrs_dgl.training.sampling import PairSampler
from damrs_dgl.training.schedule import Metrics, Schedule
from damrs_dgl.training.sizes import batch_size_for, patience_for, spread_for
from damrs_dgl.training.start import start_from_spectrum
from damrs_dgl.training.trainer import Trainer


def make_trainer(
    model: RankingModel,
    config: ModelConfig,
    keys: TrainingKeys,
    dataset: MultimodalDataset,
    *,
    smoothing: sp.csr_matrix | None,
    judge: Callable[[RankingModel], Metrics],
    generator: torch.Generator,
    device: torch.device,
    store: CheckpointStore | None = None,
) -> Trainer:
    """The trainer of a freshly initialised model, made with the keys `config`.

    smoothing: of the clicks over the content that a spectral start sees (`content_smoothing`).
    judge: the validation metrics of a model.  generator: what the model was drawn from, and its training goes on with.
    The systems inside the model have trainers of their own. Each draws from the seed's beginning, whatever stands
    beside it, so that its batches are not those of the same system alone, whose tables were drawn before. Checkpoints
    are in `members/<name>` of the store's folder.
    """
    configs = {way[-1]: inside for way, inside in config.inside().items()}
    members = {
        name: make_trainer(
            part,
            configs[name],
            keys,
            dataset,
            smoothing=smoothing,
            judge=judge,
            generator=torch.Generator().manual_seed(keys.seed),
            device=device,
            store=store.of_member(name) if store else None,
        )
        for name, part in model.members().items()
    }
    if keys.start == "spectral":
        _start_from_spectrum(model, keys, dataset, smoothing if reads_content(config) else None)
    schedule = schedule_of(keys, len(dataset.train), config)
    sampler = PairSampler(
        dataset.train,
        dataset.num_items,
        batch_size=batch_size_for(keys.batch_size, len(dataset.train)),
        num_negatives=model.num_negatives,
        extra=model.sample_extra,
        device=device,
    )
    return Trainer(
        model,
        sampler,
        validate=lambda: judge(model),
        generator=generator,
        schedule=schedule,
        store=store,
        members=members,
        matmul_precision=keys.matmul_precision,
    )


def schedule_of(keys: TrainingKeys, num_interactions: int, config: ModelConfig) -> Schedule:
    """How long to train; `patience = "auto"` by the data's size and the climb, and one epoch for a closed form."""
    if issubclass(find_model(config.name), ClosedFormModel):
        return Schedule(1, 1, 1, keys.monitor)
    steps = -(-num_interactions // batch_size_for(keys.batch_size, num_interactions))
    return Schedule(
        keys.epochs,
        patience_for(keys.patience, steps * keys.evaluate_every),
        keys.evaluate_every,
        keys.monitor,
        keys.learning_rate,
        keys.learning_rate_decay,
        first_judged=config.first_judged_epoch(),
        waits_for_climb=keys.patience == "auto",
    )


def _start_from_spectrum(
    model: RankingModel, keys: TrainingKeys, dataset: MultimodalDataset, smoothing: sp.csr_matrix | None
) -> None:
    tables = model.tables()
    if tables is not None:
        spread = spread_for(keys.start_spread, len(dataset.train), dataset.num_users)
        start_from_spectrum(*tables, dataset.train, spread=spread, smoothing=smoothing)
