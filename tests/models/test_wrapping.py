"""What a wrapper keeps of the system inside it, and what cannot be wrapped."""

from __future__ import annotations

import pytest

from damrs_dgl.models.tables import make_config
from tests.models.builders import build, make_batch, tiny_dataset


@pytest.mark.parametrize(
    "backbone, terms",
    [
        ("sgl", {"user_contrast", "item_contrast"}),
        ("slmrec", {"alignment"}),
        ("bm3", {"alignment", "masking"}),
        ("micro", {"contrast"}),
        ("mmssl", {"contrast", "content_regularization"}),  # nobody would train its critic
    ],
)
@pytest.mark.parametrize("wrapper", ["damrs", "tce"])
def test_a_wrapper_keeps_the_auxiliary_losses_of_what_it_wraps(wrapper: str, backbone: str, terms: set[str]) -> None:
    model = build(wrapper, backbone={"name": backbone, "dim": 8})
    assert terms <= model.training_step(make_batch(tiny_dataset(), model=model)).keys()


@pytest.mark.parametrize("wrapper", ["damrs", "tce", "deca"])
@pytest.mark.parametrize("backbone", ["ease", "popularity", "blend"])
def test_a_system_without_training_steps_cannot_be_wrapped(wrapper: str, backbone: str) -> None:
    with pytest.raises(ValueError, match=f'round "{backbone}"'):
        make_config({"name": wrapper, "backbone": backbone})


@pytest.mark.parametrize("wrapper", ["damrs", "rce"])
def test_a_denoising_loss_cannot_be_wrapped(wrapper: str) -> None:
    """Nothing of it would be left: the wrapper brings a ranking loss of its own."""
    with pytest.raises(ValueError, match='round "tce"'):
        make_config({"name": wrapper, "backbone": "tce"})
