"""The truncated SVD of the normalised interactions against numpy's, its ties, its zeros, and that it repeats itself."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import Tensor

from damrs_dgl.models.layers.spectrum import Spectrum, truncated_svd


def random_pairs(num_users: int, num_items: int, count: int, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Distinct pairs with popular items among them; some users and items have none."""
    random = np.random.default_rng(seed)
    items = (num_items * random.random(2 * count) ** 2).astype(int)
    pairs = np.unique(np.stack([random.integers(0, num_users, 2 * count), items]), axis=1)
    chosen = random.permutation(pairs.shape[1])[:count]
    return torch.from_numpy(pairs[0][chosen]), torch.from_numpy(pairs[1][chosen])


def dense_normalized(users: Tensor, items: Tensor, num_users: int, num_items: int) -> np.ndarray:
    matrix = np.zeros((num_users, num_items))
    matrix[users.numpy(), items.numpy()] = 1
    found = np.zeros_like(matrix)
    for user, item in zip(*matrix.nonzero(), strict=True):
        found[user, item] = (matrix[user].sum() * matrix[:, item].sum()) ** -0.5
    return found


def as_arrays(found: Spectrum) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    users, values, items = (part.double().numpy() for part in found)
    return users, values, items


@pytest.mark.parametrize(("num_users", "num_items", "count"), [(30, 20, 90), (20, 30, 90), (900, 700, 4000)])
def test_it_is_the_svd_of_the_normalised_matrix(num_users: int, num_items: int, count: int) -> None:
    """Tall, wide, and large enough to be iterated instead of solved densely."""
    pairs = random_pairs(num_users, num_items, count)
    matrix = dense_normalized(*pairs, num_users, num_items)
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    gaps = values[5:40] - values[6:41] if count > 1000 else values[5:12] - values[6:13]
    rank = 6 + int(gaps.argmax())  # where the subspace is well defined
    users, found, items = as_arrays(truncated_svd(*pairs, num_users, num_items, rank))
    assert users.shape == (num_users, rank) and items.shape == (num_items, rank)
    assert np.allclose(found, values[:rank], atol=2e-6)
    assert np.allclose(users @ users.T, left[:, :rank] @ left[:, :rank].T, atol=2e-3 if count > 1000 else 1e-5)
    assert np.allclose(items @ items.T, right[:rank].T @ right[:rank], atol=2e-3 if count > 1000 else 1e-5)
    assert np.allclose(matrix @ items, users * found, atol=1e-6)
    assert np.allclose(items.T @ items, np.eye(rank), atol=1e-5)


@pytest.mark.parametrize(
    ("num_users", "num_items", "count"), [(30, 20, 90), (20, 30, 90), (900, 700, 4000), (700, 900, 4000)]
)
def test_with_a_smoothing_it_is_the_svd_of_the_product(num_users: int, num_items: int, count: int) -> None:
    pairs = random_pairs(num_users, num_items, count)
    random = sp.random(num_items, num_items, 3 / num_items, random_state=0)
    links = random + random.T
    scale = sp.diags(np.maximum(np.asarray(links.sum(1)).ravel(), 1e-9) ** -0.5)
    smoothing = ((sp.eye(num_items) + 0.5 * scale @ links @ scale) / 1.5).tocsr()
    matrix = dense_normalized(*pairs, num_users, num_items) @ smoothing.toarray()
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    rank = 6 + int((values[5:12] - values[6:13]).argmax())
    users, found, items = as_arrays(truncated_svd(*pairs, num_users, num_items, rank, smoothing))
    assert np.allclose(found, values[:rank], atol=2e-6)
    assert np.allclose(users @ users.T, left[:, :rank] @ left[:, :rank].T, atol=2e-3)
    assert np.allclose(items @ items.T, right[:rank].T @ right[:rank], atol=2e-3)
    assert np.allclose(matrix @ items, users * found, atol=1e-6)


def test_the_same_numbers_again_and_nearly_so_from_another_start(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = random_pairs(900, 700, 4000)
    first, again = (truncated_svd(*pairs, 900, 700, 12) for _ in range(2))
    monkeypatch.setattr("damrs_dgl.models.layers.spectrum._SEED", 4)
    other = truncated_svd(*pairs, 900, 700, 12)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.items, other.items)
    assert torch.allclose(first.values, other.values, atol=1e-6)
    assert torch.allclose(first.items, other.items, atol=1e-3)  # signs too


def test_the_largest_entry_of_an_item_vector_is_positive() -> None:
    items = truncated_svd(*random_pairs(30, 20, 90), 30, 20, 10).items
    assert (items.gather(0, items.abs().argmax(0, keepdim=True)) > 0).all()


def test_components_stand_first_the_largest_ones_first() -> None:
    """Three blocks of everyone with everyone: 3 x 4, 5 x 2 and 1 x 1 edges, and a node of each kind without."""
    blocks = [(range(3), range(4)), (range(3, 8), range(4, 6)), (range(8, 9), range(6, 7))]
    pairs = np.array([(user, item) for users, items in blocks for user in users for item in items])
    users, items = (torch.from_numpy(part) for part in pairs[np.random.default_rng(0).permutation(len(pairs))].T)
    for rank in (1, 2, 3, 5):
        found = truncated_svd(users, items, 10, 8, rank)
        expected = np.zeros((8, rank))
        for column, (_, inside) in enumerate(blocks[:rank]):
            expected[list(inside), column] = len(inside) ** -0.5
        assert np.allclose(found.items.numpy(), expected, atol=1e-6)
        assert found.values.tolist() == pytest.approx([1.0] * min(rank, 3) + [0.0] * (rank - 3), abs=1e-6)


def test_ties_of_many_alike_components_are_complete() -> None:
    """300 copies of one component: 300 values of 1 and 300 of each other value, where Lanczos would find a few."""
    shape = [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2)]
    pairs = torch.tensor([(3 * n + user, 3 * n + item) for n in range(300) for user, item in shape])
    inner = np.linalg.svd(dense_normalized(*torch.tensor(shape).T, 3, 3), compute_uv=False)
    found = truncated_svd(*pairs.T, 900, 900, 600)
    assert np.allclose(found.values, np.repeat(inner[:2], 300), atol=2e-6)
    part = found.items.double().numpy()
    assert np.allclose(part.T @ part, np.eye(600), atol=1e-5)


@pytest.mark.parametrize("rank", [14, 50])
def test_what_the_rank_cannot_fill_is_zero(rank: int) -> None:
    users, items = random_pairs(30, 14, 60)
    found = truncated_svd(users, items, 30, 14, rank)
    assert found.users.shape == (30, rank) and (found.values[13:] == 0).all()
    assert not found.users[:, 13:].any() and not found.items[:, 13:].any()
    untouched = torch.bincount(items, minlength=14) == 0
    assert not found.items[untouched].any()


def test_beyond_the_rank_of_the_matrix_there_is_nothing() -> None:
    """Every user has the same two items: rank 1."""
    users, items = torch.arange(12).repeat_interleave(2), torch.tensor([1, 3]).repeat(12)
    found = truncated_svd(users, items, 12, 6, 4)
    assert found.values.tolist() == [1.0, 0.0, 0.0, 0.0]
    assert not found.users[:, 1:].any() and not found.items[:, 1:].any()
    assert torch.allclose(found.items[:, 0], torch.tensor([0, 0.5**0.5, 0, 0.5**0.5, 0, 0]))


def test_one_pair_alone() -> None:
    found = truncated_svd(torch.tensor([0]), torch.tensor([0]), 1, 1, 2)
    assert found.values.tolist() == [0.0, 0.0]  # min(U, I) - 1 = 0 vectors
