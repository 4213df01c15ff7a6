"""The ``[data]`` section of a recipe: one model per format, told apart by the key ``format``; and its folder."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import AfterValidator, Field, model_validator

from damrs_dgl.errors import RecipeError
from damrs_dgl.settings import Name, Section, Seed

PACKAGE: Final = Path(__file__).resolve().parents[1]
DATA_VARIABLE: Final = "DAMRS_DATA"

# Names of node types, relations and noise, and "any" and "id", which mean all modalities and the item itself.
RESERVED_NAMES: Final = (
    *("behavior", "interacts", "interacted_by", "user", "item"),
    *("feedback", "feedback-removed", "any", "id"),
)


def check_modality_name(name: str) -> str:
    """The name itself; ``ValueError`` where it holds another sign or is taken by a node type, relation or noise."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise ValueError(f'"{name}" cannot name a modality; use letters, digits, _ and - only')
    if name in RESERVED_NAMES:
        raise ValueError(
            f'"{name}" cannot name a modality, it is reserved; the reserved names: {", ".join(RESERVED_NAMES)}'
        )
    return name


def _check_path(path: str) -> str:
    unknown = [name for name in re.findall(r"\$\{([^}]*)\}", path) if name != DATA_VARIABLE]
    if unknown or f"${DATA_VARIABLE}" in path:
        raise ValueError(f'"{path}" holds a variable that is not expanded; only ${{{DATA_VARIABLE}}}, with braces, is')
    return path


ModalityName = Annotated[str, AfterValidator(check_modality_name)]

_PATH = (
    f"Folder of the data set; ${{{DATA_VARIABLE}}} in it stands for the folder of all data sets, "
    "and a relative path starts at the recipe's own folder (at the current one in a shipped recipe or an override)"
)
_FORMAT = 'How the data set is stored: "mmrec", "mmssl", "tables" or "synthetic"; decides which other keys there are'
_OPTIONAL = "Go on without a modality whose file is not there, instead of refusing it"


class _AnyData(Section):
    """What every data set may have."""

    left_out: Name | None = Field(
        default=None,
        description="Parquet file of training clicks (columns user and item, in the data's own ids) that nothing is to "
        "learn from, as `fit --drop-suspects` writes it; their users still know the items",
    )
    click_weights: Name | None = Field(
        default=None,
        description="Parquet file (columns user, item and weight) with how much training makes of each training click, "
        "0 to 1, as `fit --reweight-suspects` writes it; an epoch takes a click with that probability",
    )


class _Files(_AnyData):
    """What every data set on disk has."""

    path: Annotated[Name, AfterValidator(_check_path)] = Field(description=_PATH)
    optional_modalities: bool = Field(default=False, description=_OPTIONAL)


class MMRecData(_Files):
    """MMRec's layout: NAME.inter with a split label per row, one .npy per modality whose row is the item's number."""

    format: Literal["mmrec"] = Field(default="mmrec", description=_FORMAT)
    interactions: Name | None = Field(
        default=None, description="File of the interactions; else the folder's only .inter"
    )
    modalities: dict[ModalityName, Name] = Field(default_factory=dict, description="Modality name = feature file")


class MMSSLData(_Files):
    """MMSSL's layout: train.json, val.json and test.json, one .npy per modality whose row is the item's number."""

    format: Literal["mmssl"] = Field(default="mmssl", description=_FORMAT)
    modalities: dict[ModalityName, Name] = Field(default_factory=dict, description="Modality name = feature file")


class FeatureFile(Section):
    """A modality's features with the items' own ids; a bare file name is short for ``{features = NAME}``."""

    features: Name = Field(description="File of the feature vectors, .npy or .parquet")
    ids: Name | None = Field(default=None, description="File of the item ids, one per row of the features")
    id_column: Name | None = Field(default=None, description="Column of the item ids")
    vector_column: Name | None = Field(default=None, description="Column of the vectors")

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, value: Any) -> Any:
        return {"features": value} if isinstance(value, str) else value


class TablesData(_Files):
    """Tables with the user's own ids: CSV or parquet, columns by name."""

    format: Literal["tables"] = Field(default="tables", description=_FORMAT)
    interactions: Name = Field(default="interactions.csv", description="File of the interactions, .csv or .parquet")
    user: Name = Field(default="user", description="Column of the user ids")
    item: Name = Field(default="item", description="Column of the item ids")
    timestamp: Name | None = Field(default=None, description="Column of the time; splits by time instead of by chance")
    rating: Name | None = Field(default=None, description="Column of the rating")
    rating_threshold: float | None = Field(default=None, description="Rows rated below this are left out")
    split: Name | None = Field(default=None, description="Column that says train, validation or test (0, 1, 2)")
    k_core: int = Field(
        default=0, ge=0, description="Keep users and items with at least this many interactions; 0: all"
    )
    seed: Seed = Field(default=0, description="Seed of a split by chance")
    modalities: dict[ModalityName, FeatureFile] = Field(
        default_factory=dict, description="Modality name = file, or {features, ids, id_column, vector_column}"
    )


class SyntheticModality(Section):
    """A content modality of the synthetic shop."""

    dim: int = Field(default=64, ge=1, le=4096, description="Width of the feature vectors")


def _synthetic_modalities() -> dict[str, SyntheticModality]:
    return {"visual": SyntheticModality(dim=64), "textual": SyntheticModality(dim=48)}


class SyntheticData(_AnyData):
    """The synthetic shop: made up from latent styles with a known share of noise; needs no files."""

    format: Literal["synthetic"] = Field(default="synthetic", description=_FORMAT)
    users: int = Field(default=2000, ge=2, le=5_000_000, description="Number of users")
    items: int = Field(default=1200, ge=8, le=1_000_000, description="Number of items")
    clicks_per_user: float = Field(default=10.0, ge=5, le=1000, description="Mean number of clicks of a user")
    styles: int = Field(default=12, ge=4, le=10_000, description="Number of latent styles behind users and items")
    swapped_share: float = Field(default=0.1, ge=0, le=1, description="Share of the items with another item's content")
    noisy_click_share: float = Field(
        default=0.1, ge=0, le=0.5, description="Share of the clicks that no taste explains"
    )
    seed: Seed = Field(default=0, description="Seed of the shop")
    modalities: dict[ModalityName, SyntheticModality] = Field(
        default_factory=_synthetic_modalities,
        description="Modality name = {dim}; naming any replaces the default visual and textual",
    )


DataFormat = MMRecData | MMSSLData | TablesData | SyntheticData
DataSection = Annotated[DataFormat, Field(discriminator="format")]
DATA_FORMATS: Final[dict[str, type[Section]]] = {
    kind.model_fields["format"].default: kind for kind in get_args(DataFormat)
}


def expand_path(path: str) -> Path:
    """``data.path`` with ``${DAMRS_DATA}`` filled in; whether the folder is there is for the reader to find out.

    ``DAMRS_DATA`` comes from the environment; without it, ``shared/data`` beside the repository is taken where it is.
    Raises ``RecipeError`` where the variable is needed and names no folder.
    """
    variable = f"${{{DATA_VARIABLE}}}"
    if variable not in path:
        return Path(path)
    value = os.environ.get(DATA_VARIABLE, "")
    folder = expand_home(value) if value else PACKAGE.parent.parent / "shared" / "data"
    if not folder.is_dir():
        unset = f'"{path}" needs the variable {DATA_VARIABLE}, which is not set'
        raise RecipeError(
            f'{DATA_VARIABLE} = "{value}" is not a folder' if value else unset,
            where="data.path",
            fix=f"set {DATA_VARIABLE} to the folder that holds the data sets, or override data.path",
        )
    return Path(path.replace(variable, str(folder)))


def expand_home(path: str | Path) -> Path:
    """The path with a leading ``~/`` filled in; other users' homes are left alone, for they may not be known."""
    return Path(path).expanduser() if str(path).startswith("~/") else Path(path)
