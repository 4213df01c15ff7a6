"""Which systems there are: this package's files, and what others offer by the entry point `damrs_dgl.models`.

A system registers itself when its file is imported::

    @register
    class MyModel(RankingModel):
        name = "mymodel"

A recipe names one by that name, or one that is nowhere registered as `package.module:Class`.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Collection
from difflib import get_close_matches
from functools import lru_cache
from typing import TypeVar, cast

import damrs_dgl.models
from damrs_dgl.errors import DamrsError, RecipeError
from damrs_dgl.models.base import ModelConfig, RankingModel, WrapperConfig
from damrs_dgl.plugins import use_plugins

ENTRY_POINTS = "damrs_dgl.models"
DEFAULT_MODEL = "damrs"
_MODELS: dict[str, type[RankingModel]] = {}
_UNUSABLE: dict[str, DamrsError] = {}  # by the name of the entry point
Model = TypeVar("Model", bound=type[RankingModel])


def register(model: Model) -> Model:
    """Make a system known by its `name`. Raises ValueError where that is no name or another's already."""
    if not re.fullmatch(r"[a-z0-9_.+-]+", model.name):
        raise ValueError(f"a system's name is of small letters, digits and _ + - . alone, not {model.name!r}")
    other = _MODELS.setdefault(model.name, model)
    if (other.__module__, other.__qualname__) != (model.__module__, model.__qualname__):
        raise ValueError(f"two systems are called {model.name!r}: {other.__module__} and {model.__module__}")
    _MODELS[model.name] = model
    return model


@lru_cache(maxsize=1)
def _load_all() -> None:
    package = damrs_dgl.models
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    found = use_plugins(ENTRY_POINTS, "system", lambda entry: register(_system(entry.load())))
    _UNUSABLE.update((name.lower(), error) for name, error in found)


def _system(found: object) -> type[RankingModel]:
    """What was imported, if it is a system with a name and keys. Raises ValueError."""
    if not (isinstance(found, type) and issubclass(found, RankingModel)):
        raise ValueError("it is no RankingModel")
    if missing := [attribute for attribute in ("name", "Config") if not hasattr(found, attribute)]:
        raise ValueError(f"it has no {' and no '.join(missing)}")
    try:
        inspect.signature(found).bind(None, None)
    except TypeError:
        raise ValueError("it is not made as Model(inputs, config)") from None
    return found


def unusable_systems() -> list[DamrsError]:
    """Of each system that another package offers and that cannot be used: why, and the cure."""
    _load_all()
    return list(_UNUSABLE.values())


def models() -> dict[str, type[RankingModel]]:
    """All systems by name, in alphabetical order."""
    _load_all()
    return dict(sorted(_MODELS.items()))


def find_model(name: object) -> type[RankingModel]:
    """The system of that name, or of `package.module:Class`. Raises RecipeError that gives the nearest or all names."""
    if not isinstance(name, str):
        raise RecipeError("expected the name of a system")
    if ":" in name:
        return _imported(name)
    known = models()
    if name.lower() in known:
        return known[name.lower()]
    if name.lower() in _UNUSABLE:
        raise RecipeError(str(_UNUSABLE[name.lower()]))
    raise no_system(name, known)


def no_system(name: str, known: Collection[str]) -> RecipeError:
    """The mistake of a name that is none of those that are known, with the nearest of them or all."""
    near = get_close_matches(name.lower(), known, n=1)
    fix = f'did you mean "{near[0]}"?' if near else f"the systems are {', '.join(known)}"
    return RecipeError(f'there is no system "{name}"', fix=fix)


def _imported(name: str) -> type[RankingModel]:
    module, _, attribute = name.partition(":")
    try:
        return _system(getattr(importlib.import_module(module), attribute))
    except Exception as error:  # whatever another's module does when it is imported
        kind = "" if isinstance(error, (ImportError, AttributeError, ValueError)) else f"{type(error).__name__}: "
        missing = isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}.")
        cure = "write package.module:Class" if missing or module in sys.modules else f"mend {module}"
        raise RecipeError(f'"{name}" cannot be used ({kind}{error})', fix=cure) from error


def find_backbone(name: object) -> type[RankingModel]:
    """`find_model` of a system that is to be wrapped. Raises RecipeError for one that cannot be, too."""
    found = find_model(name)
    if not found.can_be_wrapped:
        raise RecipeError(
            f'no system can be wrapped round "{name}"', fix="choose one with user and item vectors, such as mf"
        )
    if found.embeddings is RankingModel.embeddings and found.encode is RankingModel.encode:
        raise RecipeError(
            f'"{name}" has no user and item vectors, only scores, and cannot be wrapped', fix="choose another"
        )
    return found


def reads_content(config: ModelConfig) -> bool:
    """Whether content changes the numbers of a system with these keys, or of one inside it."""
    return any(find_model(part.name).reads_content or part.asks_for_content() for _, part in config.parts())


def config_class(table: object) -> type[ModelConfig]:
    """The class that a [model] table is checked by; a wrapper's holds the class of its backbone's keys.

    Raises RecipeError for a name that is no system.
    """
    if not isinstance(table, dict) or not isinstance(table.get("name"), str):
        raise RecipeError("the name of a system is missing or no string")
    keys = find_model(table["name"]).Config
    if issubclass(keys, WrapperConfig) and keys.__pydantic_generic_metadata__["parameters"]:  # of any backbone
        return cast("type[ModelConfig]", keys.__class_getitem__(config_class(table.get("backbone"))))
    return keys
