"""The file of a saved recommender: the system, ids, what users already have, recipe and data fingerprint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from torch import Tensor

from damrs_dgl.data.id_list import ids_from_tensor, ids_to_tensor
from damrs_dgl.errors import RecipeError, RunError
from damrs_dgl.recipe import Recipe, recipe_from
from damrs_dgl.storage.locking import clear_leftovers
from damrs_dgl.storage.tensors import load_tensors, save_tensors
from damrs_dgl.user_items import UserItems

_AGAIN = "save the recommender again"
_STATE = "model."  # before the names of a system's own tensors


@dataclass(frozen=True)
class SavedRecommender:
    """What the file holds.

    data: the fingerprint of the data set that it was fitted on.  known: what users already have.
    vectors: [U, d] and [I, d], whose dot products rank; None for a system without, whose weights `state` holds.
    """

    recipe: Recipe[Any]
    data: str
    user_ids: pa.Array
    item_ids: pa.Array
    known: UserItems
    vectors: tuple[Tensor, Tensor] | None
    state: dict[str, Tensor]

    def write(self, path: Path) -> None:
        """One file of safetensors' format with a checksum, whole or not at all."""
        system = {f"{_STATE}{name}": value for name, value in self.state.items()}
        if self.vectors is not None:
            system = dict(zip(("users", "items"), self.vectors, strict=True))
        tensors = {
            **system,
            "known_offsets": self.known.offsets,
            "known_items": self.known.items,
            "user_ids": ids_to_tensor(self.user_ids),
            "item_ids": ids_to_tensor(self.item_ids),
        }
        facts = {"data": self.data, "recipe": self.recipe.model_dump(mode="json"), "known_span": self.known.span}
        clear_leftovers(path.parent, path.name)
        save_tensors(path, tensors, facts)

    @classmethod
    def read(cls, path: Path) -> SavedRecommender:
        """What `write` wrote. Raises RunError where the file is damaged, or is another's."""
        if not path.is_file():
            raise RunError("is a folder" if path.is_dir() else "not there", where=path, fix="give what `save` wrote")
        tensors, facts = load_tensors(path, fix=_AGAIN)
        try:
            recipe = recipe_from(facts["recipe"])
            user_ids, item_ids = (ids_from_tensor(tensors[name]) for name in ("user_ids", "item_ids"))
            known = UserItems(tensors["known_offsets"], tensors["known_items"], facts["known_span"])
            state = {name.removeprefix(_STATE): value for name, value in tensors.items() if name.startswith(_STATE)}
            vectors = None if state else (tensors["users"], tensors["items"])
            return cls(recipe, facts["data"], user_ids, item_ids, known, vectors, state)
        except (KeyError, pa.ArrowException, RecipeError) as error:
            raise RunError(f"is no saved recommender ({error})", where=path, fix=_AGAIN) from error
