"""The documentation as a site: it builds without a warning, shows every public name, loads nothing from elsewhere."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

import damrs_dgl

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for module in ("material", "mkdocstrings_handlers.python"):
        if importlib.util.find_spec(module.split(".")[0]) is None:
            pytest.skip(f"{module} is not installed: pip install 'damrs-dgl[docs]'")
    folder = tmp_path_factory.mktemp("site")
    # without --quiet, which would keep the warnings from --strict
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


def pages(site: Path) -> dict[str, str]:
    return {str(path.relative_to(site)): path.read_text(encoding="utf-8") for path in site.rglob("*.html")}


def test_every_page_and_notebook_is_built(site: Path) -> None:
    sources = [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs").glob("notebooks/*.ipynb")]
    wanted = {str(path.relative_to(ROOT / "docs").with_suffix(".html")) for path in sources}
    assert len(wanted) > 15
    assert wanted <= set(pages(site))


def test_every_public_name_has_its_entry(site: Path) -> None:
    shown = set(re.findall(r'id="damrs_dgl\.[\w.]*?(\w+)"', pages(site)["api.html"]))
    assert set(damrs_dgl.__all__) <= shown


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for name, page in pages(site).items():
        loaded = re.findall(r'<(?:script|img|iframe)[^>]*src="?(https?:[^">\s]*)', page)
        loaded += re.findall(r'<link[^>]*rel="?(?:stylesheet|preconnect|icon)"?[^>]*href="?(https?:[^">\s]*)', page)
        assert not loaded, f"{name} loads {loaded}"
    for sheet in site.rglob("*.css"):
        assert not re.findall(r"url\([\"']?https?:", sheet.read_text(encoding="utf-8")), sheet.name
