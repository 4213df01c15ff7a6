"""What the [data] sections of all formats share: where the files are, and what becomes of single clicks."""

from __future__ import annotations

import os
import re
from abc import abstractmethod
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

from pydantic import AfterValidator, Field

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.errors import RecipeError
from damrs_dgl.settings import Name, Section, expand_home

DATA_VARIABLE: Final = "DAMRS_DATA"
REPOSITORY: Final = Path(__file__).resolve().parents[3]

FORMAT: Final = (  # a test holds it against the formats that there are
    'How the data set is stored: "mmrec", "mmssl", "tables" or "synthetic"; decides which other keys there are'
)
_PATH: Final = (
    f"Folder of the data set; ${{{DATA_VARIABLE}}} in it stands for the folder of all data sets, "
    "and a relative path starts at the recipe's own folder (at the current one in a shipped recipe or an override)"
)


def _check_path(path: str) -> str:
    unknown = [name for name in re.findall(r"\$\{([^}]*)\}", path) if name != DATA_VARIABLE]
    if unknown or f"${DATA_VARIABLE}" in path:
        raise ValueError(f'"{path}" holds a variable that is not expanded; only ${{{DATA_VARIABLE}}}, with braces, is')
    return path


class DataKeys(Section):
    """The keys of any data set. A format's class adds its own, `format` first, and reads what they name."""

    is_synthetic: ClassVar[bool] = False  # made up: every number made from such data is called synthetic

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

    @abstractmethod
    def read(self) -> MultimodalDataset:
        """The data set, all its clicks alike. Raises DataError or RecipeError for whatever is wrong with it."""

    @property
    def reads_once(self) -> bool:
        """Whether the data come through a stream, which no second process can read."""
        return False

    @abstractmethod
    def folder(self) -> Path:
        """The folder of the data set; ``RecipeError`` for a format without files."""

    def arguments(self) -> dict[str, Any]:
        """The format's own keys but the path, as its reader takes them; those that were left out are not there."""
        return self.model_dump(exclude={"format", "path", *DataKeys.model_fields}, exclude_none=True)


class FolderKeys(DataKeys):
    """The keys of any data set on disk."""

    path: Annotated[Name, AfterValidator(_check_path)] = Field(description=_PATH)
    optional_modalities: bool = Field(
        default=False, description="Go on without a modality whose file is not there, instead of refusing it"
    )

    def folder(self) -> Path:
        """``path`` with ``${DAMRS_DATA}`` filled in; whether the folder is there is for the reader to find out.

        ``DAMRS_DATA`` comes from the environment; without it, ``shared/data`` beside the repository is taken where it
        is. Raises ``RecipeError`` where the variable is needed and names no folder.
        """
        variable = f"${{{DATA_VARIABLE}}}"
        if variable not in self.path:
            return Path(self.path)
        value = os.environ.get(DATA_VARIABLE, "")
        root = expand_home(value) if value else REPOSITORY.parent / "shared" / "data"
        if not root.is_dir():
            unset = f'"{self.path}" needs the variable {DATA_VARIABLE}, which is not set'
            raise RecipeError(
                f'{DATA_VARIABLE} = "{value}" is not a folder' if value else unset,
                where="data.path",
                fix=f"set {DATA_VARIABLE} to the folder that holds the data sets, or override data.path",
            )
        return Path(self.path.replace(variable, str(root)))
