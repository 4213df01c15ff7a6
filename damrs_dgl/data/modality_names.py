"""What a content modality may be called: it names a relation of the graph and a kind of noise, too."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator

from damrs_dgl.errors import DataError

FEEDBACK_ADDED: Final = "feedback"  # kinds of noise that are of no modality
FEEDBACK_REMOVED: Final = "feedback-removed"

# Names of node types, relations and noise, and "any" and "id", which mean all modalities and the item itself.
RESERVED: Final = (
    *("behavior", "interacts", "interacted_by", "user", "item"),
    *(FEEDBACK_ADDED, FEEDBACK_REMOVED, "any", "id"),
)


def check_modality_name(name: object) -> str:
    """The name itself; ``DataError`` where it holds another sign or is taken by a node type, relation or noise."""
    if not isinstance(name, str):
        raise DataError(f"{name!r} cannot name a modality", fix='use text, such as "visual"')
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise DataError(f'"{name}" cannot name a modality', fix="use letters, digits, _ and - only")
    if name in RESERVED:
        what = f'"{name}" cannot name a modality, it is reserved'
        raise DataError(what, fix=f"the reserved names: {', '.join(RESERVED)}")
    return name


ModalityName = Annotated[str, AfterValidator(check_modality_name)]
