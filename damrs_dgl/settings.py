"""What every table of settings is made of: the base class of a recipe's sections and of a model's keys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

Name = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Weight = Annotated[float, Field(ge=0)]


class Section(BaseModel):
    """A table of settings: unknown keys refused, no silent conversion of types, immutable.

    A field's description is the documentation that `recipes show` prints.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, protected_namespaces=())

    @field_validator("*")
    @classmethod
    def _of_64_bits(cls, value: Any) -> Any:
        """Refuse integers that TOML and the machine have no room for, in keys that have no greatest value."""
        values = value if isinstance(value, tuple) else (value,)
        if any(isinstance(number, int) and not -(2**63) <= number < 2**63 for number in values):
            raise ValueError("expected an integer of at most 64 bits")
        return value


def expand_home(path: str | Path) -> Path:
    """The path with a leading ``~/`` filled in; other users' homes are left alone, for they may not be known."""
    return Path(path).expanduser() if str(path).startswith("~/") else Path(path)
