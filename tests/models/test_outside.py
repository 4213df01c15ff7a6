"""Systems of other packages: whatever is wrong with one is said in a line, and keeps nothing else from working."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from pathlib import Path

import pytest

from damrs_dgl.models import registry
from tests.cli_runner import CommandLine, tiny_options

BROKEN = {
    "raises.py": "raise RuntimeError('no such library')\n",
    "nameless.py": "from damrs_dgl.models.base import RankingModel\nclass Nameless(RankingModel): ...\n",
    "undefined.py": "class Model(Undefined): ...\n",
    "syntax.py": "def f(:\n",
}


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path with modules that cannot be used."""
    for name, text in BROKEN.items():
        (tmp_path / f"outside_{name}").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.fixture
def offered(packages: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Three entry points: one raises, one is no system, and one has the name of another system."""
    values = {
        "raising": "outside_raises:Model",
        "text": "outside_raises:__doc__",
        "taken": "outside_taken:Model",
    }
    (packages / "outside_taken.py").write_text(
        "from damrs_dgl.models.base import TableModel\nclass Model(TableModel):\n    name = 'mf'\n"
    )
    entries = [importlib.metadata.EntryPoint(name, value, registry.ENTRY_POINTS) for name, value in values.items()]
    found = importlib.metadata.EntryPoints(entries)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: found.select(group=group))
    monkeypatch.setattr(registry, "_UNUSABLE", {})
    registry._load_all.cache_clear()
    yield
    registry._load_all.cache_clear()


@pytest.mark.usefixtures("offered")
def test_a_system_of_another_package_that_cannot_be_loaded_is_left_out_and_said() -> None:
    known = registry.models()
    assert known["mf"].__module__ == "damrs_dgl.models.mf"
    said = [str(error) for error in registry.unusable_systems()]
    assert len(said) == 3
    assert "'raising'" in said[0] and "no such library" in said[0] and "outside_raises:Model" in said[0]
    assert "'taken'" in said[1] and "two systems are called 'mf'" in said[1]
    with pytest.raises(ValueError, match="no such library"):
        registry.find_model("raising")


@pytest.mark.usefixtures("offered")
def test_the_command_line_warns_of_it_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = CommandLine(capsys, monkeypatch, tmp_path, tiny_options(tmp_path / "run", epochs=1))
    result = run.ok("-o", "model.name=mf", "fit")
    assert sum(line.startswith("warning: outside_") for line in result.err.splitlines()) == 3
    assert "lightgcn" in run.ok("recipes", "systems").out


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize(
    "name, saying",
    [
        ("outside_raises:Model", "no such library"),
        ("outside_undefined:Model", "NameError: name 'Undefined' is not defined"),
        ("outside_syntax:Model", "SyntaxError"),
        ("outside_nameless:Nameless", "it has no name and no Config"),
        ("pathlib:Path", "no RankingModel"),
        ("outside_nowhere:Model", "No module named"),
    ],
)
def test_a_class_that_cannot_be_imported_is_a_wrong_value_of_the_key(name: str, saying: str) -> None:
    with pytest.raises(ValueError, match="cannot be used") as error:
        registry.find_model(name)
    assert saying in str(error.value)


FAULTY = """
import torch
from damrs_dgl.models.base import Embeddings, ModelConfig, TableConfig, TableModel, pair_scores

class Sound(TableModel):
    name = "sound"
    Config = TableConfig
    def training_step(self, batch):
        users, items = self.user_table[batch.users], self.item_table[batch.pair_items]
        return {"feedback": -pair_scores(users, items.chunk(2)[0]).mean()}

class Number(Sound):
    def training_step(self, batch):
        return {"feedback": 0.5}

class Rows(Sound):
    def training_step(self, batch):
        return {"feedback": self.user_table[batch.users]}

class Nothing(Sound):
    def training_step(self, batch):
        return {}

class Constant(Sound):
    def training_step(self, batch):
        return {"feedback": torch.zeros(())}

class Short(Sound):
    def embeddings(self):
        return Embeddings(self.user_table[3:], self.item_table)

class NoVectors(Sound):
    def embeddings(self):
        return None

class NoScorer(Sound):
    def scorer(self):
        return None

class NoConfig(Sound):
    def __init__(self, inputs):
        pass

class OwnStep(Sound):
    def optimize(self, batch, optimizers):
        return {"feedback": 1.0}

class Broken(Sound):
    def __init__(self, inputs, config):
        super().__init__(inputs, config)
        raise KeyError("no such thing")
"""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Number", "the system outside_faulty:Number: a training step gives 'feedback' a float; it gives {name: a "),
        ("Rows", "a training step gives 'feedback' of shape [256, 8]; "),
        ("Nothing", "a training step gives no loss term; "),
        ("Constant", "a training step gives a loss that depends on no parameter; "),
        ("Short", "the system ranks 147 users and 80 items, and the data hold 150 and 80; its `embeddings` "),
        ("NoVectors", "the system outside_faulty:NoVectors: failed (TypeError: "),
        ("NoScorer", "the system outside_faulty:NoScorer: its `scorer` gives a NoneType; it gives what has `scores`"),
        ("NoConfig", '"outside_faulty:NoConfig" cannot be used (it is not made as Model(inputs, config)); '),
        ("OwnStep", "the system outside_faulty:OwnStep: a training step gives 'feedback' a float; it gives "),
        ("Broken", "the system outside_faulty:Broken: failed (KeyError: 'no such thing'); mend it there; --debug "),
    ],
)
def test_what_is_wrong_in_a_system_of_another_package_is_said_as_its_fault(
    packages: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    said: str,
) -> None:
    (packages / "outside_faulty.py").write_text(FAULTY)
    run = CommandLine(capsys, monkeypatch, packages, tiny_options(packages / "run"))
    result = run("-o", f"model.name=outside_faulty:{name}", "fit")
    (line,) = [line for line in result.err.splitlines() if line.startswith("error: ")]
    assert result.code == 2 and said in line and "damrs-dgl" not in line
