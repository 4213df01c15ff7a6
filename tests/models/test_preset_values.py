"""Values of presets that the numbers of a paper hang on, and that no training step shows."""

from __future__ import annotations

import pytest

from damrs_dgl.models.specification.tables import make_config, preset_values


@pytest.mark.parametrize(
    ("table", "key", "expected"),
    [
        ({"name": "damrs", "variant": "paper"}, "model.gamma", 2.0),
        ({"name": "damrs", "variant": "authors"}, "model.gamma", 1.0),
        ({"name": "damrs", "variant": "paper"}, "training.batch_size", 4096),
        ({"name": "damrs", "variant": "authors", "backbone": {"name": "slmrec"}}, "training.batch_size", 4096),
        ({"name": "damrs", "variant": "authors"}, "training.learning_rate", 1e-3),
        ({"name": "damrs"}, "training.learning_rate", 2e-3),
        ({"name": "slmrec"}, "model.alignment_temperature", 0.2),
        ({"name": "slmrec"}, "training.learning_rate", 1e-2),
        ({"name": "slmrec"}, "training.batch_size", 2048),
        ({"name": "bm3", "preset": "authors"}, "training.learning_rate", 1e-3),
        ({"name": "grcn"}, "training.learning_rate", 1e-4),
        ({"name": "grcn"}, "training.batch_size", 1024),
        ({"name": "grcn"}, "model.regularization", 1e-4),
        ({"name": "mmssl"}, "model.real_similarity", 100.0),
        ({"name": "mmssl"}, "model.real_noise", 2e-3),
        ({"name": "mmssl"}, "training.learning_rate", 5.5e-4),
        ({"name": "mmssl", "preset": "authors"}, "training.learning_rate", 5.5e-4),
        ({"name": "tce", "preset": "authors"}, "model.regularization", 0.1),
        ({"name": "tce", "preset": "authors"}, "model.drop_rate", 0.0),
        ({"name": "tce", "preset": "authors"}, "training.batch_size", 4096),
        ({"name": "tce"}, "model.drop_rate", 0.2),
        ({"name": "rce", "preset": "authors"}, "model.regularization", 0.1),
        ({"name": "rce"}, "model.regularization", 0.0),
        ({"name": "rce"}, "model.beta", 0.2),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_preset_gives_this_value(table: dict[str, object], key: str, expected: float) -> None:
    """A preset's own value, or the key's default where it leaves it alone."""
    section, name = key.split(".")
    found = getattr(make_config(table), name) if section == "model" else preset_values(table)[key]
    assert found == expected


def test_what_is_recommended_goes_by_the_size_of_the_data() -> None:
    assert "training.batch_size" not in preset_values({"name": "damrs"})
