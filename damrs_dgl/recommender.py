"""The toolkit in a notebook: a data set in, recommendations in the user's own ids out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from torch.nn.functional import normalize

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.id_list import as_list, indices_of
from damrs_dgl.errors import DataError, RecipeError, RunError
from damrs_dgl.evaluation.ranking import rank_items, rank_scorer
from damrs_dgl.factory import (
    SplitEvaluator,
    build_recipe_graph,
    check_data,
    known_interactions,
    pick_device,
    prepare_training,
    restored_model,
    scorer_of,
)
from damrs_dgl.recipe import Recipe, load_recipe, recipe_from, with_values
from damrs_dgl.saved_recommender import SavedRecommender
from damrs_dgl.scoring import DotProduct, Scorer
from damrs_dgl.training.schedule import Progress, Schedule
from damrs_dgl.user_items import UserItems

logger = logging.getLogger("damrs_dgl")


class NotFitted(RunError, NotFittedError):
    """Something was asked of a recommender before `fit`."""


class Recommender(BaseEstimator):
    """A system described by a recipe, trained on a data set in memory; an estimator of scikit-learn's kind.

    `clone`, `get_params` and `set_params` work as there. A data set has splits of its own, so that what splits rows
    (`GridSearchCV`) is not for it: `ParameterGrid` and `clone` search by its validation split.

    Parameters
    ----------
    recipe: a recipe, its table as a dict of sections (`{"model": {"name": "mf"}}`), a file, or a shipped recipe's name;
        None: the defaults of every key. Its [data] is not read, and a dict needs none.
    device: auto, cpu or cuda.
    callback: called with the progress and the schedule after each epoch, of each member too where the system blends
        several; the log (`damrs_dgl`, level INFO) says the same in words.
    settings: `section__key=value` changes to the recipe, e.g. `training__epochs=20`, `model__name="lightgcn"`.

    Attributes
    ----------
    recipe_: the recipe that was trained.  dataset_: the data set.  progress_: how the training went.
    data_fingerprint_: of the data set, also after `load`.

    Parameters are kept as given and checked by `fit`, which raises RecipeError (a ValueError) for a wrong one.

    Examples
    --------
    >>> import damrs_dgl
    >>> data = damrs_dgl.MultimodalDataset.from_arrays(users, items, item_ids=item_ids, features={"visual": pictures})
    >>> model = damrs_dgl.Recommender(training__epochs=50).fit(data)
    >>> items, scores = model.recommend(["anna", "ben"], k=5)
    """

    recipe_: Recipe[Any]
    dataset_: MultimodalDataset
    progress_: Progress
    data_fingerprint_: str

    def __init__(
        self,
        recipe: Recipe[Any] | Mapping[str, Any] | str | Path | None = None,
        *,
        device: str = "auto",
        callback: Callable[[Progress, Schedule], None] | None = None,
        **settings: Any,
    ) -> None:
        self.recipe = recipe
        self.device = device
        self.callback = callback
        self._settings = settings

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments, as given; `deep` has no meaning here."""
        return {"recipe": self.recipe, "device": self.device, "callback": self.callback, **self._settings}

    def set_params(self, **params: Any) -> Recommender:
        """Change some of the constructor's arguments; takes effect at the next `fit`."""
        for name, value in params.items():
            if name in ("recipe", "device", "callback"):
                setattr(self, name, value)
            else:
                self._settings[name] = value
        return self

    def fit(self, dataset: MultimodalDataset, y: None = None) -> Recommender:
        """Build the graphs and train to early stopping. Raises RecipeError, DataError or TrainingError."""
        if not isinstance(dataset, MultimodalDataset):
            raise DataError(
                f"expected a MultimodalDataset, not a {type(dataset).__name__}",
                where="Recommender.fit",
                fix="make one by MultimodalDataset.from_arrays",
            )
        recipe = self._resolved_recipe()
        if self.callback is not None and not callable(self.callback):
            fix = "give a function of (progress, schedule), or None"
            raise RecipeError(f"callback = {self.callback!r} cannot be called", where="Recommender", fix=fix)
        self._device = pick_device(self.device)
        check_data(recipe, dataset)  # before the graphs are built
        graph = build_recipe_graph(recipe, dataset).graph
        trainer = prepare_training(recipe, dataset, graph, device=self._device)
        trainer.listeners.append(self._report)
        for name, member in trainer.members.items():
            member.listeners.append(partial(self._report, member=name))
        self.progress_ = trainer.fit()
        self.recipe_, self.dataset_ = recipe, dataset
        self.data_fingerprint_ = dataset.fingerprint()
        self._hold(scorer_of(trainer.model), dataset.user_ids, dataset.item_ids)
        self._state = trainer.model.state_dict()
        self._known_items = UserItems.from_pairs(*known_interactions(dataset), dataset.num_users)
        return self

    def recommend(self, user_ids: Any, k: int = 10, *, filter_known: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """The k best items of each user, best first.

        Parameters
        ----------
        user_ids: one id or a sequence of ids, as in the data set.
        filter_known: leave out what the user already has, in any split.

        Returns item ids [n, k] (object; None where fewer than k are left) and scores [n, k] (-inf there); [k] each for
        one id. Raises DataError for an unknown id.
        """
        self._require_fit()
        single, asked = as_list(user_ids)
        users = torch.from_numpy(indices_of(asked, self._users, "user"))
        ranking = rank_scorer(self._scorer, k, users=users, seen=self._known_items if filter_known else None)
        return self._answer(ranking.items, ranking.scores, single)

    def similar_items(self, item_ids: Any, k: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """The k items nearest to each item by the cosine of the learned vectors, the item itself left out.

        Shapes and errors as in `recommend`; RunError for a system without vectors.
        """
        vectors = self._vectors()
        single, asked = as_list(item_ids)
        items = torch.from_numpy(indices_of(asked, self._items, "item"))
        table = normalize(vectors.item_emb, dim=1)
        itself = UserItems(torch.arange(len(table) + 1), torch.arange(len(table)), len(table))
        ranking = rank_items(table[items.to(table.device)], table, k, users=items, seen=itself)
        return self._answer(ranking.items, ranking.scores, single)

    def evaluate(self, split: str = "test") -> dict[str, float]:
        """Full-ranking metrics on `validation` or `test`, e.g. `{"recall@20": ...}`, under the recipe's protocol."""
        self._require_fit()
        if not hasattr(self, "dataset_"):
            raise RunError("has no data set to be judged on", where="Recommender", fix="give `load` the data set too")
        return SplitEvaluator(self.recipe_, self.dataset_, split)(self._scorer)

    @property
    def user_vectors(self) -> np.ndarray:
        """[U, d] float32 in the data set's order of users; user . item = score."""
        return self._vectors().user_emb.cpu().numpy()

    @property
    def item_vectors(self) -> np.ndarray:
        """[I, d] float32 in the data set's order of items."""
        return self._vectors().item_emb.cpu().numpy()

    def save(self, path: str | Path) -> None:
        """Write the system, ids, what users already have, recipe and data fingerprint to one file with a checksum.

        The file is of safetensors' format, and is written whole or not at all.
        Of a system that ranks by vectors those are kept, and `load` needs nothing else; of another its state.
        """
        self._require_fit()
        scorer = self._scorer
        vectors = (scorer.user_emb, scorer.item_emb) if isinstance(scorer, DotProduct) else None
        saved = SavedRecommender(
            self.recipe_,
            self.data_fingerprint_,
            self._users,
            self._items,
            self._known_items,
            vectors,
            {} if vectors else self._state,
        )
        saved.write(Path(path))

    @classmethod
    def load(cls, path: str | Path, dataset: MultimodalDataset | None = None, *, device: str = "auto") -> Recommender:
        """Read what `save` wrote; with the data set it was fitted on, `evaluate` works too.

        Raises RunError when the file is damaged or was saved with another data set, and where a system without vectors
        is loaded without its data set.
        """
        saved = SavedRecommender.read(Path(path))
        if dataset is not None and saved.data != dataset.fingerprint():
            raise RunError("was saved with another data set", where=path, fix="give the data set that it was fitted on")
        loaded = cls(saved.recipe, device=device)
        loaded._device = pick_device(device)
        loaded.recipe_, loaded.data_fingerprint_ = saved.recipe, saved.data
        if dataset is not None:
            loaded.dataset_ = dataset
        if saved.vectors is None:
            scorer = loaded._rebuilt(path, saved.state)
        else:
            scorer = DotProduct(*(part.to(loaded._device) for part in saved.vectors))
        loaded._state = saved.state
        loaded._hold(scorer, saved.user_ids, saved.item_ids)
        loaded._known_items = saved.known
        return loaded

    def _rebuilt(self, path: str | Path, state: dict[str, torch.Tensor]) -> Scorer:
        """The scorer of a system without vectors, from its state and the data set."""
        if not hasattr(self, "dataset_"):
            raise RunError(
                "has no user and item vectors, only scores",
                where=path,
                fix="give the data set that it was fitted on, too",
            )
        graph = build_recipe_graph(self.recipe_, self.dataset_).graph
        return scorer_of(restored_model(state, self.recipe_, self.dataset_, graph, self._device))

    def _resolved_recipe(self) -> Recipe[Any]:
        recipe = self.recipe
        if recipe is None or isinstance(recipe, Mapping):
            recipe = recipe_from({"data": {"format": "synthetic"}, **(recipe or {})})
        elif isinstance(recipe, (str, Path)):
            recipe = load_recipe(recipe)
        elif not isinstance(recipe, Recipe):
            fix = "give a recipe, a dict of its sections, a file, or a shipped recipe's name"
            raise RecipeError(f"{recipe!r} is no recipe", where="Recommender", fix=fix)
        changes = {
            # numpy's numbers, such as a search over np.arange gives
            key.replace("__", "."): value.item() if isinstance(value, np.generic) else value
            for key, value in self._settings.items()
        }
        return with_values(recipe, changes) if changes else recipe

    def _report(self, progress: Progress, schedule: Schedule, member: str = "") -> None:
        best = progress.best.get(schedule.monitor)
        logger.info(
            "%sepoch %d: loss %.4f, best %s %s (epoch %d)",
            f"{member}, " if member else "",
            progress.epoch,
            progress.history[-1]["loss"],
            schedule.monitor,
            "-" if best is None else f"{best:.4f}",
            progress.best_epoch,
        )
        if self.callback is not None:
            self.callback(progress, schedule)

    def _hold(self, scorer: Scorer, user_ids: pa.Array, item_ids: pa.Array) -> None:
        self._scorer = scorer
        self._users, self._items = user_ids, item_ids

    def _require_fit(self) -> None:
        if not hasattr(self, "_scorer"):
            raise NotFitted("nothing was fitted yet", where="Recommender", fix="call fit(dataset) first")

    def _vectors(self) -> DotProduct:
        self._require_fit()
        if not isinstance(self._scorer, DotProduct):
            raise RunError(
                f"{self.recipe_.model.name} has no user and item vectors, only scores",
                where="Recommender",
                fix="take another system",
            )
        return self._scorer

    def _answer(self, indices: torch.Tensor, scores: torch.Tensor, single: bool) -> tuple[np.ndarray, np.ndarray]:
        chosen = indices.cpu().numpy()
        found = self._items.take(pa.array(chosen.ravel(), mask=chosen.ravel() < 0))  # a masked index takes a null
        ids = np.array(found.to_pylist(), dtype=object).reshape(chosen.shape)
        values = scores.cpu().numpy()
        return (ids[0], values[0]) if single else (ids, values)
