"""The shop that README.md and docs/data.md describe, small: their recipe beside a folder of files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from tests.documents import README

CUSTOMERS, SKUS = 60, 40


def make_shop(folder: Path) -> Path:
    """Write `shop.toml` and the folder `shop`; the README's recipe, with two epochs."""
    rng = np.random.default_rng(0)
    count, files = 900, folder / "shop"
    files.mkdir()
    skus = [f"sku-{n}" for n in range(SKUS)]
    orders = {
        "customer": [f"customer-{n}" for n in rng.integers(0, CUSTOMERS, count)],
        "sku": [skus[n] for n in rng.integers(0, SKUS, count)],
        "time": rng.integers(1_600_000_000, 1_700_000_000, count),
    }
    pyarrow.csv.write_csv(pa.table(orders), files / "orders.csv")
    np.save(files / "pictures.npy", rng.normal(size=(SKUS, 16)).astype(np.float32))
    pyarrow.csv.write_csv(pa.table({"sku": skus}), files / "picture_ids.csv")
    vectors = [row.tolist() for row in rng.normal(size=(SKUS - 3, 8))]  # three items have no text
    pq.write_table(pa.table({"sku": skus[3:], "vector": vectors}), files / "texts.parquet")
    (recipe,) = README.blocks("toml")
    (folder / "shop.toml").write_text(f"{recipe}\n[training]\nepochs = 2\n", encoding="utf-8")
    return folder
