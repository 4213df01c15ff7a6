"""The training loop: resuming equals not stopping, early stopping, validation in turn, numbers that break."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from damrs_dgl.errors import RecipeError, TrainingError
from damrs_dgl.factory import SplitEvaluator, scorer_of
from damrs_dgl.models.base import Batch, ClosedFormModel, Embeddings
from damrs_dgl.models.core.optimizers import Adam
from damrs_dgl.training.schedule import Progress, Schedule
from damrs_dgl.training.setup import schedule_of
from damrs_dgl.training.trainer import Trainer
from tests.training.builders import dataset, make_trainer, recipe, without_times


class Stopped(Exception):
    """Stands for a kill after an epoch was stored."""


def stop_after(epoch: int) -> Callable[[Progress, Schedule], None]:
    def on_epoch(progress: Progress, schedule: Schedule) -> None:
        if progress.epoch == epoch:
            raise Stopped

    return on_epoch


def assert_same_training(one: Trainer, two: Trainer) -> None:
    assert without_times(one.progress) == without_times(two.progress)
    for name, value in one.model.state_dict().items():
        assert torch.equal(value, two.model.state_dict()[name]), name


@lru_cache
def uninterrupted(*changes: tuple[str, Any]) -> Trainer:
    """Trained in memory, once for all tests that compare with it."""
    return run(**dict(changes))


def run(folder: Path | None = None, **changes: Any) -> Trainer:
    trainer = make_trainer(folder, **changes)
    trainer.resume()
    trainer.fit()
    return trainer


@pytest.mark.parametrize("stop", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "changes",
    [
        {"model__refresh": "epoch"},
        {"model__refresh": 3},
        {"model__refresh": "step"},
        {"training__evaluate_every": 2},
        {"training__evaluate_every": 4, "model__variant": "authors"},
    ],
    ids=str,
)
def test_resumed_equals_uninterrupted(tmp_path: Path, stop: int, changes: dict[str, Any]) -> None:
    whole = uninterrupted(*changes.items())
    with pytest.raises(Stopped):
        make_trainer(tmp_path, on_epoch=stop_after(stop), **changes).fit()
    second = make_trainer(tmp_path, **changes)
    second.resume()
    assert second.progress.epoch == stop
    second.fit()
    assert_same_training(second, whole)
    stored = second.store.load_best()[0] if second.store else {}
    assert all(torch.equal(value, stored[name]) for name, value in whole.model.state_dict().items())


def test_stopped_at_every_epoch(tmp_path: Path) -> None:
    for epoch in range(1, 5):
        trainer = make_trainer(tmp_path, on_epoch=stop_after(epoch), model__refresh=2)
        trainer.resume()
        with pytest.raises(Stopped):
            trainer.fit()
    assert_same_training(run(tmp_path, model__refresh=2), run(model__refresh=2))


def test_killed_between_the_best_weights_and_the_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer(tmp_path)
    assert trainer.store is not None

    def killed(parts: Any, facts: Any) -> None:
        raise Stopped

    def on_epoch(progress: Progress, schedule: Schedule) -> None:
        if progress.epoch == 2:
            monkeypatch.setattr(trainer.store, "save_last", killed)

    trainer.listeners.append(on_epoch)
    with pytest.raises(Stopped):
        trainer.fit()
    assert trainer.store.load_best()[1]["best_epoch"] == 3  # one epoch ahead of the checkpoint
    again = make_trainer(tmp_path)
    again.resume()
    assert again.progress.epoch == 2
    again.fit()
    assert_same_training(again, run())


def test_more_epochs_later_equal_all_at_once(tmp_path: Path) -> None:
    run(tmp_path, training__epochs=2)
    assert_same_training(run(tmp_path, training__epochs=5), run(training__epochs=5))
    assert run(tmp_path, training__epochs=5).progress.epoch == 5  # nothing left to do
    assert_same_training(run(tmp_path, training__epochs=3), run(training__epochs=5))  # fewer: nothing is taken back


def test_another_key_starts_anew(tmp_path: Path) -> None:
    run(tmp_path)
    trainer = make_trainer(tmp_path, key="other")
    trainer.resume()
    assert trainer.progress == Progress()


def test_without_a_store_nothing_is_resumed() -> None:
    trainer = make_trainer()
    trainer.resume()
    assert trainer.progress == Progress()


def scripted(scores: list[float], *, evaluate_every: int = 1, patience: int = 2, epochs: int = 50) -> Trainer:
    """A training whose n-th validation says scores[n]."""
    trainer = make_trainer(training__epochs=epochs, model__preference_weight=0.0, model__relation_weight=0.0)
    values = iter(scores)
    trainer.validate = lambda: {"recall@20": next(values)}
    trainer.schedule = Schedule(epochs, patience, evaluate_every)
    return trainer


def test_patience_counts_validations_that_are_no_better() -> None:
    trainer = scripted([0.1, 0.3, 0.3, 0.2, 0.9])  # equal is no better
    trainer.fit()
    assert (trainer.progress.epoch, trainer.progress.best_epoch, trainer.progress.stale) == (4, 2, 2)
    assert trainer.progress.best == {"recall@20": 0.3}
    at_best = scripted([0.1, 0.3], epochs=2)
    at_best.fit()
    for name, value in trainer.model.state_dict().items():
        assert torch.equal(value, at_best.model.state_dict()[name]), name


def test_patience_starts_again_at_a_better_score() -> None:
    trainer = scripted([0.1, 0.05, 0.2, 0.1, 0.3, 0.2, 0.25])
    trainer.fit()
    assert (trainer.progress.epoch, trainer.progress.best_epoch) == (7, 5)


@pytest.mark.parametrize(
    ("scores", "ends", "best"),
    [
        ([0.5, 0.1, 0.15, 0.2, 0.3, 0.4, 0.55, 0.5, 0.5, 0.5, 0.5], 11, 7),  # at its pace it passes .5 in time
        ([0.5, 0.1, 0.11, 0.12, 0.13], 5, 1),  # at its pace it does not
        ([0.5, 0.42, 0.41, 0.41, 0.42], 5, 1),
        ([0.5, 0.1, 0.15, 0.2, 0.3, 0.31, 0.31], 7, 1),  # nor any more
    ],
)
def test_used_up_patience_waits_for_a_climb(scores: list[float], ends: int, best: int) -> None:
    trainer = scripted(scores)
    trainer.schedule = Schedule(50, 4, waits_for_climb=True)
    trainer.fit()
    assert (trainer.progress.epoch, trainer.progress.best_epoch) == (ends, best)
    assert trainer.progress.is_whole(trainer.schedule)
    assert not trainer.progress.is_on_the_way(Schedule(50, 4)) or ends == 5


def test_a_climb_is_not_told_from_too_few_scores() -> None:
    progress = Progress(epoch=2, best={"recall@20": 0.5}, stale=9, history=[{"epoch": 1.0}, {"epoch": 2.0}])
    assert progress.finished(Schedule(9, 1, waits_for_climb=True))
    assert progress.finished(Schedule(200, 9, first_judged=100, waits_for_climb=True))


def test_validation_in_turn_and_at_the_end() -> None:
    trainer = scripted([0.1, 0.2, 0.3], evaluate_every=3, epochs=7)
    trainer.fit()
    judged = [int(row["epoch"]) for row in trainer.progress.history if "validation_recall@20" in row]
    assert judged == [3, 6, 7] and trainer.progress.best_epoch == 7
    assert len(trainer.progress.history) == 7


def test_the_validation_at_the_end_uses_no_patience() -> None:
    """Asked for more epochs later, a training has as much patience left as one that was asked for them at once."""
    trainer = scripted([0.5, 0.4, 0.3, 0.2], evaluate_every=2, patience=3, epochs=5)
    trainer.fit()
    assert (trainer.progress.epoch, trainer.progress.best_epoch, trainer.progress.stale) == (5, 2, 1)


def test_a_schedule_cut_short_before_its_first_validation(tmp_path: Path) -> None:
    """Stopped after epoch 2 of a validation every 4, then asked for 2 epochs in all: judged as it is."""
    with pytest.raises(Stopped):
        make_trainer(tmp_path, on_epoch=stop_after(2), training__evaluate_every=4).fit()
    cut = run(tmp_path, training__evaluate_every=4, training__epochs=2)
    assert_same_training(cut, run(training__evaluate_every=4, training__epochs=2))
    assert cut.progress.best_epoch == 2 and cut.progress.best
    assert_same_training(run(tmp_path, training__evaluate_every=4, training__epochs=2), cut)


def test_history_holds_each_term_and_their_sum() -> None:
    (row, *_) = run(training__epochs=1, model__regularization=0.1).progress.history
    terms = ("feedback", "preference", "relations", "regularization")
    assert row["loss"] == pytest.approx(sum(row[name] for name in terms), rel=1e-5)
    assert row["epoch"] == 1 and 0 < row["train_seconds"] <= row["seconds"]
    assert "validation_recall@20" in row


def test_training_learns() -> None:
    history = run(model__name="lightgcn").progress.history
    assert history[0]["feedback"] < math.log(2) and history[-1]["feedback"] < 0.95 * history[0]["feedback"]


def test_a_table_that_breaks_stops_training(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)
    trainer.sampler.batch_size = 10_000  # one step an epoch: its loss is still finite, what the step leaves is not

    def on_epoch(progress: Progress, schedule: Schedule) -> None:
        if progress.epoch == 2:
            trainer._rates["model"] = math.inf

    trainer.listeners.append(on_epoch)
    with pytest.raises(TrainingError, match=r"an embedding is no longer finite in epoch 3 \(epoch 2 is kept\)"):
        trainer.fit()
    again = make_trainer(tmp_path)
    again.resume()
    assert again.progress.epoch == 2
    assert all(torch.isfinite(value).all() for value in again.model.state_dict().values())


def test_a_term_that_breaks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(config: Any, variant: Any, vectors: Any, *_: Any) -> Tensor:
        return vectors.items.sum() * math.inf

    trainer = make_trainer(tmp_path)
    monkeypatch.setattr("damrs_dgl.models.damrs.objective._item_relations", broken)
    with pytest.raises(TrainingError, match=r"loss term 'relations' is no longer finite in epoch 1 \(nothing was kept"):
        trainer.fit()
    assert not list(tmp_path.iterdir())


def test_in_memory_nothing_is_kept() -> None:
    def poison(progress: Progress, schedule: Schedule) -> None:
        with torch.no_grad():
            next(trainer.model.parameters())[0] = math.nan

    trainer = make_trainer(on_epoch=poison)
    with pytest.raises(TrainingError, match=r"'feedback', .* is no longer finite in epoch 2 \(nothing was kept\)"):
        trainer.fit()


def test_matmul_precision_holds_during_training_steps_only() -> None:
    trainer = make_trainer(training__matmul_precision="high", training__epochs=1)
    seen: list[str] = []
    optimize, validate = trainer.model.optimize, trainer.validate

    def watched_step(batch: Batch, optimizers: Mapping[str, Adam]) -> dict[str, Tensor]:
        seen.append(torch.get_float32_matmul_precision())
        return optimize(batch, optimizers)

    def watched_validation() -> dict[str, float]:
        seen.append(torch.get_float32_matmul_precision())
        return validate()

    trainer.model.optimize, trainer.validate = watched_step, watched_validation  # type: ignore[method-assign]
    trainer.fit()
    assert set(seen[:-1]) == {"high"} and seen[-1] == "highest"
    assert torch.get_float32_matmul_precision() == "highest"


def test_the_learning_rate_falls_evenly_over_fifty_epochs() -> None:
    rates: list[float] = []

    def on_epoch(progress: Progress, schedule: Schedule) -> None:
        rates.append(trainer.optimizers["model"].lr)

    trainer = make_trainer(on_epoch=on_epoch, training__epochs=3, training__learning_rate_decay=0.5)
    trainer.fit()
    assert rates == pytest.approx([0.02, 0.02 * 0.5 ** (1 / 50), 0.02 * 0.5 ** (2 / 50)])
    assert Schedule(100, 5, learning_rate_decay=0.5).rate_factor(51) == pytest.approx(0.5)


def test_a_resumed_training_has_the_rate_of_its_epoch(tmp_path: Path) -> None:
    decay = {"training__learning_rate_decay": 0.1, "training__epochs": 4}
    with pytest.raises(Stopped):
        make_trainer(tmp_path, on_epoch=stop_after(2), **decay).fit()
    assert_same_training(run(tmp_path, **decay), uninterrupted(*decay.items()))


class Constant(ClosedFormModel):
    """Popularity, in one step that takes no gradient."""

    name = "constant"

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("counts", torch.zeros(0))

    def fit_closed_form(self, progress: Callable[[int, int, str], None] | None = None) -> None:
        data = dataset()
        self.counts = torch.bincount(data.train.items, minlength=data.num_items).float()
        if progress:
            progress(1, 1, "counts")

    def embeddings(self) -> Embeddings:
        return Embeddings(torch.ones(dataset().num_users, 1), self.counts[:, None])


def closed_form_trainer(folder: Path | None = None, seen: list[tuple[int, int, str]] | None = None) -> Trainer:
    like = make_trainer(folder)
    model = Constant()
    evaluator = SplitEvaluator(recipe(), dataset(), "validation")
    trainer = Trainer(
        model,
        like.sampler,
        validate=lambda: evaluator(scorer_of(model)),
        generator=like.generator,
        schedule=schedule_of(recipe().training, len(dataset().train), recipe(model__name="popularity").model),
        store=like.store,
    )
    trainer.on_closed_form = lambda *step: None if seen is None else seen.append(step)
    return trainer


def test_a_closed_form_is_computed_once_and_judged_once(tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    trainer = closed_form_trainer(tmp_path, seen)
    progress = trainer.fit()
    assert (progress.epoch, progress.best_epoch, len(progress.history)) == (1, 1, 1)
    assert progress.history[0]["loss"] == 0 and "validation_recall@20" in progress.history[0]
    assert seen == [(1, 1, "counts")] and not trainer.optimizers
    again = closed_form_trainer(tmp_path, seen)
    again.resume()
    again.fit()
    assert torch.equal(again.model.state_dict()["counts"], trainer.model.state_dict()["counts"])
    assert len(seen) == 1, "what is there is not computed again"


def test_every_optimiser_has_its_own_state(tmp_path: Path) -> None:
    """A system with a second player: each optimiser is stored by its name and taken up again."""

    def two_players(folder: Path | None = None) -> Trainer:
        trainer = make_trainer(folder, model__name="mf", training__epochs=4)
        model: Any = trainer.model
        trainer.optimizers = {
            "users": Adam([model.user_table], lr=0.02),
            "items": Adam([model.item_table], lr=0.01),
        }
        trainer._rates = {"users": 0.02, "items": 0.01}

        def optimize(batch: Batch, optimizers: Mapping[str, Adam]) -> dict[str, Tensor]:
            terms: dict[str, Tensor] = {}
            for optimizer in optimizers.values():
                optimizer.zero_grad()
                terms = model.training_step(batch)
                torch.stack(list(terms.values())).sum().backward()
                optimizer.step()
            return {name: value.detach() for name, value in terms.items()}

        model.optimize = optimize
        return trainer

    whole = two_players()
    whole.fit()
    first = two_players(tmp_path)
    first.listeners.append(stop_after(2))
    with pytest.raises(Stopped):
        first.fit()
    assert first.store is not None
    parts = first.store.load_last()
    assert parts is not None and {"optimizer.users", "optimizer.items"} <= set(parts[0])
    second = two_players(tmp_path)
    second.resume()
    second.fit()
    assert_same_training(second, whole)


@pytest.mark.parametrize(
    ("scores", "schedule", "whole"),
    [
        ([0.1, 0.3, 0.2], Schedule(3, 5), True),
        ([0.1, 0.3, 0.2], Schedule(4, 5), False),  # asks for more
        ([0.1, 0.3, 0.2], Schedule(2, 5), False),  # would have ended before
        ([0.1, 0.3, 0.2, 0.1], Schedule(9, 2), True),
        ([0.1, 0.3, 0.2, 0.4, 0.1], Schedule(5, 1), False),  # a patience of 1 ends after the third
        ([None, 0.3, None, 0.2], Schedule(4, 5, evaluate_every=2), True),
        ([None, 0.3, 0.2, 0.1], Schedule(4, 5, evaluate_every=2), False),  # the end of a shorter one stays in it
        ([None, 0.3, 0.2], Schedule(3, 5, evaluate_every=2), True),
        ([], Schedule(3, 5), False),
    ],
)
def test_a_whole_training_ends_where_one_from_scratch_does(
    scores: list[float | None], schedule: Schedule, whole: bool
) -> None:
    history = [
        {"epoch": float(n), **({} if score is None else {"validation_recall@20": score})}
        for n, score in enumerate(scores, start=1)
    ]
    assert Progress(epoch=len(scores), history=history).is_whole(schedule) is whole


def test_a_training_in_one_go_is_whole() -> None:
    trainer = make_trainer(training__epochs=6, training__patience=2, training__evaluate_every=2)
    assert trainer.fit().is_whole(trainer.schedule)


def test_terms_are_collected_by_name_and_a_second_player_s_stands_apart() -> None:
    """Their order may change from step to step, and a step may lack one, which is 0 there."""

    def history(order: Callable[[dict[str, Tensor], int], dict[str, Tensor]]) -> dict[str, float]:
        trainer = make_trainer(model__name="mf", training__epochs=1)
        model: Any = trainer.model
        steps = iter(range(1000))
        real = model.optimize
        model.optimize = lambda batch, optimizers: order(real(batch, optimizers), next(steps))
        return trainer.fit().history[0]

    plain = history(lambda terms, step: terms)
    turned = history(lambda terms, step: dict(reversed(terms.items())) if step % 2 else terms)
    names = ("loss", "feedback", "regularization")
    assert len(plain) >= len(names) and [turned[name] for name in names] == [plain[name] for name in names]
    fewer = history(lambda terms, step: {k: v for k, v in terms.items() if not (step % 2 and k == "regularization")})
    assert fewer["feedback"] == plain["feedback"] and 0 < fewer["regularization"] < plain["regularization"]
    trainer = make_trainer(model__name="mf", training__epochs=1)
    trainer.model.logged_only = frozenset({"regularization"})  # type: ignore[misc]
    assert trainer.fit().history[0]["loss"] == plain["feedback"]


def test_epochs_that_prepare_a_model_are_noted_and_choose_nothing(tmp_path: Path) -> None:
    """DeCA(p)'s pretraining is plain cross-entropy: neither its best epoch, nor what uses patience up."""
    keys: dict[str, Any] = {
        "model__name": "deca",
        "model__agreement": "pretrained",
        "model__pretrain_epochs": 3,
        "training__epochs": 6,
        "training__patience": 2,
    }
    trainer = make_trainer(tmp_path, **keys)
    falling = iter([0.9, 0.8, 0.7, 0.5, 0.4, 0.3])
    trainer.validate = lambda: {"recall@20": next(falling)}
    progress = trainer.fit()
    assert (progress.best_epoch, progress.best["recall@20"], progress.epoch) == (4, 0.5, 6)
    assert progress.history[0]["validation_recall@20"] == 0.9
    assert progress.is_whole(trainer.schedule)
    with pytest.raises(RecipeError, match=r"training.epochs = 3 ends before deca is what it is, from epoch 4 on"):
        recipe(**{**keys, "training__epochs": 3})


def test_a_member_whose_schedule_was_another_is_trained_anew(tmp_path: Path) -> None:
    make_trainer(tmp_path, training__epochs=4).fit()
    for epochs, taken_up in ((6, 4), (4, 4), (2, 0), (4, 0)):  # what does not fit is removed
        trainer = make_trainer(tmp_path, training__epochs=epochs)
        trainer.resume(exactly=True)
        assert trainer.progress.epoch == taken_up


def test_members_are_trained_before_the_first_epoch_of_whatever_they_are_inside() -> None:
    """Once: a training that goes on does not train them again."""
    trainer, member = make_trainer(training__epochs=2), make_trainer(model__name="mf", training__epochs=3)
    trainer.members = {"mf": member}
    seen: list[int] = []
    trainer.listeners.append(lambda progress, schedule: seen.append(member.progress.epoch))
    assert trainer.fit().epoch == 2 and seen == [3, 3]
    plain = make_trainer(training__epochs=2)
    assert without_times(plain.fit()) == without_times(trainer.progress)
    member.progress.epoch = 0
    trainer.schedule = replace(trainer.schedule, epochs=3)
    trainer.fit()
    assert seen == [3, 3, 0]
