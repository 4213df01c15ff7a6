"""The page in a real browser, and what may not get into it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from damrs_dgl.evaluation.labels import headline
from tests.cli_runner import CommandLine, tiny_options
from tests.report.browser import Browser, browser, chromium
from tests.report.full_run import HOSTILE, HOSTILE_MARK, draw_pictures, fill

TITLES = {
    "overview", "metrics", "data", "graphs", "training", "groups", "compare", "ablate", "stress", "tune", "vectors",
    "audit", "repeat",
}  # fmt: skip


class Page(HTMLParser):
    """Elements with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "br", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run that has everything."""
    folder = tmp_path_factory.mktemp("report")
    run = folder / "run"
    with pytest.MonkeyPatch.context() as patch:
        from damrs_dgl.cli import main

        options = tiny_options(run)
        patch.setattr("sys.argv", ["damrs-dgl", *options, "build-graphs", "fit"])
        main()
        fill(run)
        draw_pictures(folder / "pictures", 80)
        patch.setattr("sys.argv", ["damrs-dgl", *options, "report", "--pictures", str(folder / "pictures")])
        main()
    return run / "report.html"


@pytest.fixture(scope="module")
def page(page_file: Path) -> Page:
    return Page(page_file.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if chromium() is None:
        pytest.skip("there is no Chromium on this machine (apt-get install chromium)")
    with browser(tmp_path_factory.mktemp("profile")) as started:
        yield started


def test_every_part_is_there_and_every_element_closed(page: Page, page_file: Path) -> None:
    assert page.open == []
    assert {attributes["id"] for tag, attributes in page.elements if tag == "section"} == TITLES
    charts = [a for tag, a in page.elements if tag == "svg" and a.get("class") == "chart"]
    assert len(charts) > 20
    assert all(chart["aria-label"] and chart["role"] == "img" for chart in charts)
    assert all(attributes.get("alt") for tag, attributes in page.elements if tag == "img")
    for words in ("what is new to the user", "20% of"):
        assert words in page.text
    metrics = json.loads((page_file.parent / "metrics.json").read_text(encoding="utf-8"))
    metric = next(iter(headline(metrics["test"])))
    ahead = metrics["validation"][metric] > max(found["validation"][metric] for found in metrics["floor"].values())
    told = ("the better of the simple systems" in page.text, "which needs no training" in page.text)
    assert told == (ahead, not ahead)


def test_ids_are_text_and_nothing_else(page: Page) -> None:
    assert HOSTILE in page.text
    assert HOSTILE_MARK in page.text
    assert not [tag for tag, _ in page.elements if tag in ("script", "iframe", "object", "form")]
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    sources = [value for _, a in page.elements for name, value in a.items() if name in ("src", "href", "xlink:href")]
    assert all(value and value.startswith(("data:", "#")) for value in sources)


def test_no_machine_path_is_told(page: Page, page_file: Path) -> None:
    text = page.text.replace(str(page_file.parent), "")  # the run's own folder stands in the command that repeats it
    assert not re.search(r"/(home|root|usr)/", text)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_a_browser_shows_it_whole(chrome: Browser, page_file: Path, width: int, dark: bool) -> None:
    seen = chrome.look(page_file, width=width, dark=dark)
    assert seen.complaints == []
    assert [address for address in seen.requests if not address.startswith(("data:", "file:"))] == []
    assert len([address for address in seen.requests if address.startswith("file:")]) == 1
    facts = seen.facts
    assert (facts["scrollWidth"], facts["wide"]) == (width, [])
    assert facts["images"] > 5 and facts["pictures"] == []
    assert facts["small"] == []  # letters of charts
    assert facts["scripts"] == 0 and facts["charts"] > 20 and facts["unnamed"] == 0
    assert contrast(facts["background"], facts["ink"]) > 10
    assert (luminance(facts["background"]) < 0.05) == dark
    assert HOSTILE in facts["text"]


def test_paper_shows_it_whole_and_white(chrome: Browser, page_file: Path) -> None:
    facts = chrome.look(page_file, width=720, dark=True, paper=True).facts  # A4 within usual margins
    assert (facts["scrollWidth"], facts["wide"], facts["pieces"]) == (720, [], [])
    assert facts["background"] == "rgb(255, 255, 255)" and facts["ink"] == "rgb(0, 0, 0)"


def test_the_browser_sees_what_is_wrong(chrome: Browser, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text(
        '<meta name=viewport content="width=device-width"><img src="gone.png" alt="gone">'
        '<div style="width:900px">wide</div><script>console.error("no")</script>'
    )
    seen = chrome.look(bad, width=400, dark=False)
    assert seen.facts["wide"] and seen.facts["pictures"] == ["gone"]
    assert any("no" in complaint for complaint in seen.complaints)
    assert any(address.endswith("gone.png") for address in seen.requests)


def test_a_run_without_training_has_its_data_alone(tiny_cli: CommandLine) -> None:
    result = tiny_cli.ok("report")
    assert "nothing is trained in this run" in result.err
    page = Page((tiny_cli.folder / "run" / "report.html").read_text(encoding="utf-8"))
    assert {attributes["id"] for tag, attributes in page.elements if tag == "section"} == {"overview", "data", "repeat"}
    assert "fit and evaluate" in page.text


def test_a_closed_form_has_no_curve(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--run", str(tmp_path), "-o", "data.users=150", "-o", "data.items=80", "-o", "model.name=ease")
    CommandLine(capsys, monkeypatch, tmp_path, options).ok("fit", "report")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "Computed in closed form, no curve to draw" in page.text
    commands = page.text.partition("pip install")[2].split()
    assert "fit" in commands and not {"audit", "compare", "groups"} & set(commands)


def test_a_table_from_elsewhere_has_no_command(page: Page) -> None:
    told = page.text.partition("pip install")[2].partition("Versions")[0]
    assert {"fit", "report"} <= set(told.split())
    assert not {"groups", "compare", "ablate", "stress", "tune", "audit"} & set(told.split())


def test_no_folder_of_pictures_is_refused(tiny_cli: CommandLine) -> None:
    tiny_cli.refused("report", "--pictures", "nowhere", saying=("nowhere: no such folder", "<item id>.jpg"))
    assert not (tiny_cli.folder / "run").exists()


def test_a_training_of_another_recipe_is_left_out(page_file: Path, tiny_cli: CommandLine) -> None:
    shutil.copytree(page_file.parent, tiny_cli.folder / "run")
    result = tiny_cli.ok("-o", "model.gamma=3", "report")
    assert "other settings" in result.err and "left out" in result.err
    page = Page((tiny_cli.folder / "run" / "report.html").read_text(encoding="utf-8"))
    assert "metrics" not in {attributes["id"] for tag, attributes in page.elements if tag == "section"}


@pytest.fixture
def tiny_cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    monkeypatch.chdir(tmp_path)
    return CommandLine(capsys, monkeypatch, tmp_path, tiny_options(tmp_path / "run"))


def luminance(colour: str) -> float:
    """Relative luminance of "rgb(r, g, b)" as WCAG 2 defines it."""
    channels = [int(value) / 255 for value in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_what_the_page_says_of_tables_whose_picture_or_training_is_gone(tiny_cli: CommandLine) -> None:
    cli, run = tiny_cli.without("model.dim"), tiny_cli.folder / "run"
    model = ("-o", "model.name=mf")
    cli.ok(*model, "fit", "groups", "audit", "compare", "--models", "popularity")
    for picture in ("audit.png", "groups.png", "compare.png"):
        (run / picture).unlink()
    said = cli.ok(*model, "report").err
    text = (run / "report.html").read_text(encoding="utf-8")
    assert "left out" not in said and "audit --scorer consensus" in text and "compare --models popularity" in text
    other = cli.ok(*model, "-o", "model.dim=5", "fit", "report").err
    for name in ("the study `groups`", "the study `compare`", "the audit"):
        assert f"{name} is of " in other
    for file in ("compare.csv", "compare_pairs.csv", "model.safetensors", "checkpoint.safetensors"):
        (run / file).unlink()
    gone = cli.ok(*model, "-o", "model.dim=5", "report").err
    assert "compare" not in gone and gone.count("of another training (none is there now)") == 2
