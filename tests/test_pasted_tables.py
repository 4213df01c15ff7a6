"""Tables in three formats: what a reader sees is what the cells say."""

from __future__ import annotations

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damrs_dgl.console.paste import FORMATS, Marked, render

COLUMNS = ["model", "recall@20", "± error"]
ROWS = [["graph_filter", Marked(0.25, 1), "0.25 ± 0.01"], ["a|b & c", Marked(0.125, 2), "0.13 ± 0.02"], ["mf", None, 3]]
# what a shop's names may hold; no surrogates, which no file can
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=12)


def test_markdown_by_hand() -> None:
    assert render(COLUMNS, ROWS, "md") == (
        "| model | recall@20 | ± error |\n"
        "| --- | ---: | ---: |\n"
        "| graph_filter | **0.2500** | 0.25 ± 0.01 |\n"
        "| a\\|b \\& c | <ins>0.1250</ins> | 0.13 ± 0.02 |\n"
        "| mf | - | 3 |\n"
    )


def test_latex_by_hand() -> None:
    assert render(COLUMNS, ROWS, "latex") == (
        "\\begin{tabular}{lrr}\n\\hline\n"
        "model & recall@20 & $\\pm$ error \\\\\n\\hline\n"
        "graph\\_filter & \\textbf{0.2500} & 0.25 $\\pm$ 0.01 \\\\\n"
        "a\\textbar{}b \\& c & \\underline{0.1250} & 0.13 $\\pm$ 0.02 \\\\\n"
        "mf & - & 3 \\\\\n\\hline\n\\end{tabular}\n"
    )


def test_csv_by_hand() -> None:
    assert render(COLUMNS, [*ROWS, ["x", 1 / 3, True]], "csv") == (
        "model,recall@20,± error\n"
        "graph_filter,0.25,0.25 ± 0.01\na|b & c,0.125,0.13 ± 0.02\nmf,,3\nx,0.3333333333333333,yes\n"
    )


def test_numbers_are_read_as_numbers() -> None:
    markdown = render(["a", "b"], [[-0.5, 2e-5], [False, float("nan")]], "md").splitlines()
    assert markdown[2:] == ["| -0.5000 | 2e-05 |", "| no | nan |"]
    assert "$-$0.5000" in render(["a"], [[-0.5]], "latex")


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=4))
def test_csv_comes_back_as_it_went(rows: list[tuple[str, str]]) -> None:
    assert [tuple(row) for row in csv.reader(io.StringIO(render(["a", "b"], rows, "csv")))] == [("a", "b"), *rows]


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=4))
def test_markdown_keeps_its_cells_apart(rows: list[tuple[str, str]]) -> None:
    """Taken apart at the bars that are not escaped and unescaped, each row is what went in."""
    lines = render(["a", "b"], rows, "md").split("\n")[2:-1]
    for line, row in zip(lines, rows, strict=True):
        cells = re.findall(r"\| ((?:\\.|[^|\\])*) (?=\|)", line)  # a bar ends a cell unless it is escaped
        plain = [re.sub(r"\\([^\w\s]|_)", r"\1", cell).strip() for cell in cells]
        assert plain == [" ".join(cell.split()) for cell in row]


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4))
def test_latex_has_no_stray_markup(rows: list[tuple[str, str]]) -> None:
    """What is left when every escape is taken out holds none of LaTeX's special letters."""
    body = render(["a", "b"], rows, "latex").split("\\hline\n")[2]
    assert body.count(" \\\\\n") == len(rows)
    for line in body.removesuffix("\n").split("\n"):
        left = line.removesuffix(" \\\\")
        left = re.sub(r"\\(textbackslash|text\w+)\{\}|\\[&%$#_{}]|\$\\pm\$|\{[\[*]\}|-\{\}(?=-)", "", left)
        assert left.count("&") == 1
        assert not re.search(r"[\\%$#_{}~^\[*<>|]", left.replace("&", "")), left


@pytest.mark.parametrize("format", FORMATS)
def test_an_empty_table_is_its_header(format: str) -> None:
    assert "a" in render(["a"], [], format)


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(ValueError, match="row 1 has 1 cells for 2"):
        render(["a", "b"], [[1, 2], [1]], "md")
    with pytest.raises(ValueError, match="md, latex, csv"):
        render(["a"], [], "html")
