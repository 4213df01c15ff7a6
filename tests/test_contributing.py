"""What CONTRIBUTING.md and docs/systems.md show and name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from damrs_dgl.models.registry import models

ROOT = Path(__file__).parents[1]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
SYSTEMS = (ROOT / "docs" / "systems.md").read_text(encoding="utf-8")
OWN = {name: model for name, model in models().items() if model.__module__.startswith("damrs_dgl.")}
SECTIONS = dict(re.findall(r"^### `(\w+)`\n(.*?)(?=^##|\Z)", SYSTEMS, flags=re.DOTALL | re.MULTILINE))


def entry(section: str, title: str) -> str:
    """The text of a line `* Title: ...` with those that it goes on in; empty without one."""
    found = re.search(rf"^\* {title}: (.*?)(?=^\* |\Z)", section, flags=re.DOTALL | re.MULTILINE)
    return " ".join(found[1].split()) if found else ""


def test_the_plugin_is_shown_as_it_is() -> None:
    shown, *_ = re.findall(r"```python\n(.*?)```", CONTRIBUTING, flags=re.DOTALL)
    assert shown == (ROOT / "tests" / "plugin" / "damrs_plugin" / "__init__.py").read_text(encoding="utf-8")


def test_the_files_that_contributing_names_are_there() -> None:
    named = {path for path in re.findall(r"`([\w/]+\.(?:py|md|toml))`", CONTRIBUTING) if "/" in path}
    assert len(named) > 8
    missing = [path for path in named if not any((root / path).is_file() for root in (ROOT, ROOT / "damrs_dgl"))]
    assert not missing


def test_every_system_has_its_section() -> None:
    assert set(SECTIONS) == set(OWN)


@pytest.mark.parametrize("name", sorted(OWN))
def test_a_section_gives_source_and_presets(name: str) -> None:
    model, section = OWN[name], SECTIONS[name]
    assert entry(section, "Cost")
    if name == "graph_filter":  # several sources, each with its preset
        assert all(part.split(",")[0] in entry(section, "Source") for part in model.citation.split("; "))
    else:
        assert entry(section, "Source") == model.citation
    for preset in model.Config.PRESETS:
        assert f"`{preset}`" in entry(section, "Presets")


@pytest.mark.parametrize("name", sorted(OWN))
def test_a_section_names_keys_that_exist(name: str) -> None:
    keys = set(re.findall(r"`(\w+)`", entry(SECTIONS[name], "Keys")))
    assert keys or name == "popularity"  # which has none
    assert keys <= OWN[name].Config.model_fields.keys()
