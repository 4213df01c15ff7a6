"""A command line in an empty folder, a finished run to start from, and a small data set on disk."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from damrs_dgl.cli import main
from tests.cli_runner import CommandLine, tiny_options

USERS, ITEMS = 40, 30


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """`damrs-dgl` in an empty folder, without options."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("damrs_dgl.studies.workers.usable_cores", lambda: 1)  # studies train in this process
    return CommandLine(capsys, monkeypatch, tmp_path)


@pytest.fixture
def tiny(cli: CommandLine) -> CommandLine:
    """`damrs-dgl` with a tiny synthetic shop; its run directory is `run` in the folder."""
    return CommandLine(cli.capsys, cli.monkeypatch, cli.folder, tiny_options(cli.folder / "run"))


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of a `build-graphs fit` on the tiny catalogue. To be copied, not changed."""
    run = tmp_path_factory.mktemp("finished") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["damrs-dgl", *tiny_options(run), "build-graphs", "fit"])
        main()
    return run


@pytest.fixture
def fitted(tiny: CommandLine, finished_run: Path) -> CommandLine:
    """`tiny` after `build-graphs fit`."""
    shutil.copytree(finished_run, tiny.folder / "run")
    return tiny


@dataclass(frozen=True)
class Shop:
    """A data set in MMRec's layout with a recipe beside it, and the command line that reads it."""

    folder: Path
    cli: CommandLine

    @property
    def inter(self) -> Path:
        return self.folder / "shop.inter"

    def lines(self) -> list[str]:
        """The rows of the interactions, without the header."""
        return self.inter.read_text().splitlines()[1:]

    def write(self, lines: list[str], header: str = "userID\titemID\tx_label") -> None:
        self.inter.write_text("\n".join([header, *lines]) + "\n")


@pytest.fixture
def shop(cli: CommandLine) -> Shop:
    folder = cli.folder / "shop"
    folder.mkdir()
    random = np.random.default_rng(3)
    lines = []
    for user in range(USERS):
        items = random.permutation(ITEMS)[:10]
        lines += [f"{user}\t{item}\t{label}" for item, label in zip(items, [0] * 8 + [1, 2], strict=True)]
    for name, dim in (("visual", 6), ("textual", 4)):
        np.save(folder / f"{name}.npy", random.normal(size=(ITEMS, dim)).astype(np.float32))
    recipe = cli.folder / "shop.toml"
    recipe.write_text(
        '[data]\nformat = "mmrec"\npath = "shop"\n'
        '[data.modalities]\nvisual = "visual.npy"\ntextual = "textual.npy"\n'
        "[model]\ndim = 8\n[training]\nepochs = 2\n[evaluation]\nks = [5, 20]\n"
    )
    made = Shop(folder, CommandLine(cli.capsys, cli.monkeypatch, cli.folder, ("--recipe", "shop.toml", "--run", "run")))
    made.write(lines)
    return made


@pytest.fixture
def nothing_written(tmp_path: Path) -> Callable[[], bool]:
    """Whether the run directory is not there, and no temporary file is left anywhere."""
    return lambda: not (tmp_path / "run").exists() and not list(tmp_path.rglob("*.tmp"))
