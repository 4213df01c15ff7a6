"""The rows of the paper's Tables 3 and 4 as settings of DA-MRS; what a row does not name stays as the recipe has it."""

from __future__ import annotations

from typing import Final

_DIIG: Final[dict[str, object]] = {
    "graphs.consistency": True,
    "model.denoised_bpr": False,
    "model.preference_weight": 0.0,
    "model.relation_weight": 0.0,
}


def _diig_with(*kept: str) -> dict[str, object]:
    """DIIG's settings but those in ``kept``, which stay as the recipe has them."""
    return {key: value for key, value in _DIIG.items() if key not in kept}


ABLATIONS: Final[dict[str, dict[str, object]]] = {
    "iig": {**_DIIG, "graphs.consistency": False},
    "diig": _DIIG,
    "diig+d-bpr": {**_DIIG, "model.denoised_bpr": True},
    "diig+au": _diig_with("model.preference_weight"),
    "diig+ai": _diig_with("model.relation_weight"),
    "diig+aui": _diig_with("model.preference_weight", "model.relation_weight"),
    "da-mrs-f": {"model.reliability": False},
    "da-mrs-g": {"model.contradiction": False},
    "da-mrs": {},
    "diig+sp": {**_diig_with("model.relation_weight"), "model.relation_strategy": "SP"},
    "diig+mp": {**_diig_with("model.relation_weight"), "model.relation_strategy": "MP"},
}
