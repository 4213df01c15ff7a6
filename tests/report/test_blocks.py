"""The parts of a page: numbers as readers know them, axes that are round, text that stays text."""

from __future__ import annotations

import numpy as np
import pytest

from damrs_dgl.report.blocks import Figure, Figures, Picture, Section, Table, shown
from damrs_dgl.report.blocks import shown as shown_cell
from damrs_dgl.report.charts import Bar, Series, bar_chart, line_chart, ranked_bars
from damrs_dgl.report.cloud import angle_chart, angle_density
from damrs_dgl.report.figures.drawing import shortened
from damrs_dgl.report.html import render_page
from damrs_dgl.report.svg import Scale, element, mark, number, padded, ticks

EVIL = '"><script>alert("x")</script>'


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 10, [0, 2.5, 5, 7.5, 10]), (0.31, 0.34, [0.31, 0.32, 0.33, 0.34]), (0, 0.9, [0, 0.25, 0.5, 0.75])],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_ticks_of_one_value_and_of_none() -> None:
    assert ticks(3, 3) == [3]
    assert Scale(3, 3, 0, 10)(3) == 5
    assert padded([]) == pytest.approx((-0.06, 1.06))
    assert padded([float("nan"), 2.0], zero=True) == pytest.approx((0, 2.12))


def test_elements_escape_what_they_hold() -> None:
    made = element("text", EVIL, class_="a", data_name=EVIL, x=1.5, y=None)
    assert made.startswith('<text class="a" data-name="&#34;&gt;&lt;script&gt;')
    assert "<script" not in made and " y=" not in made and 'x="1.5"' in made
    assert "<script" not in mark(0, 1, 2, EVIL)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, "-"),
        (True, "yes"),
        (12345, "12,345"),
        (0.123456, "0.1235"),
        (1e-7, "1e-07"),
        (12345.6, "12,346"),
        ("a", "a"),
    ],
)
def test_cells_as_readers_know_them(cell: object, text: str) -> None:
    assert shown(cell) == text  # type: ignore[arg-type]


def test_numbers_stand_to_the_right_and_sentences_do_not() -> None:
    table = Table("t", ["a", "b", "c", "d"], [["x", "64% of all", "12.5%", 1], ["y", "7 of them", None, None]])
    assert table.numeric() == [False, False, True, True]
    assert [manner for _, manner in table.cells()[1]] == ["short", "short", "number", "number"]
    assert Table("t", ["a"], [["0.1 ± 0.02"]]).numeric() == [True]
    assert Table("t", ["a"], [["1.24e-05"]]).numeric() == [True]
    assert Table("t", ["a"], []).numeric() == [False]


def test_ids_and_names_are_text_whatever_they_look_like() -> None:
    table = Table("t", ["item", "links"], [["00012", 3], ["sku-1", 4], [None, 5]], names=frozenset({"item"}))
    assert table.numeric() == [False, True]
    assert [[manner for _, manner in row] for row in table.cells()] == [["short", "number"]] * 3


def test_paper_breaks_long_heads_alone_and_shrinks_wide_tables() -> None:
    key = "training.learning_rate_decay"
    heads = Table("t", ["epochs", key, "many short words here"], [[1, 2.0, "a"]]).heads()
    assert [manner for _, manner in heads] == ["number", "number", ""]
    assert [text for text, _ in heads] == [
        "epochs",
        "training.<wbr>learning_<wbr>rate_<wbr>decay",
        "many short words here",
    ]
    assert Table("t", ["a" * 39], []).heads()[0][1] == "long-word"
    manners = [Table("t", ["a"] * count, [], cards=count == 9).manner() for count in (7, 8, 9, 12, 13, 29)]
    assert manners == ["", "many", "cards many", "many", "wide", "wide"]


def test_a_page_escapes_titles_cells_and_names() -> None:
    figures = [
        line_chart(EVIL, [Series(EVIL, [0, 1], [1, 2])], x_label=EVIL, y_label=EVIL),
        bar_chart(EVIL, [EVIL], [1.0], x_label=EVIL, y_label=EVIL, caption=EVIL),
        ranked_bars(EVIL, [Bar(EVIL, 1.0, 0.1, group=EVIL)]),
    ]
    blocks = [Figures(figures), Table(EVIL, [EVIL], [[EVIL], [Picture("data:,", EVIL)]], cards=True)]
    page = render_page(EVIL, EVIL, [Section("one", EVIL, list(blocks))], version=EVIL)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") > 20


def test_a_line_is_where_its_numbers_are() -> None:
    figure = line_chart(
        "t", [Series("a", [1, 2, 3], [0.1, 0.2, 0.4], [0.0, 0.1, 0.0])], x_label="x", y_label="y", best=2
    )
    assert "best: 2" in figure.svg and 'class="band"' in figure.svg
    assert figure.numbers is not None and figure.numbers.rows == [["1", 0.1], ["2", 0.2], ["3", 0.4]]
    assert "band" not in line_chart("t", [Series("a", [1, 2], [1, 2])], x_label="x", y_label="y").svg


def test_series_are_told_apart_by_shape_and_colour() -> None:
    svg = line_chart("t", [Series(str(n), [0, 1], [n, n]) for n in range(7)], x_label="x", y_label="y").svg
    shapes = {part.split('d="')[1].split('"')[0] for part in svg.split('class="mark"')[1:]}
    assert len(shapes) == 7
    assert all(f'class="s{n}"' in svg for n in range(7))


@pytest.mark.parametrize(("count", "twos"), [(1, False), (2, True), (3, False), (4, True), (6, False), (8, True)])
def test_no_figure_stands_alone_where_two_fit(count: int, twos: bool) -> None:
    figure = ranked_bars("t", [Bar("a", 1.0)])
    assert Figures([figure] * count).in_twos == twos
    assert Figures([figure] * count, paired=True).in_twos


def test_density_of_angles_is_a_density_and_goes_round() -> None:
    random = np.random.default_rng(0)
    angles, density = angle_density(random.normal(size=(5000, 2)))
    assert np.trapezoid(density, angles) == pytest.approx(1, abs=1e-6)
    assert density.std() < 0.1 / (2 * np.pi)
    ends = np.array([[-1.0, 0.001], [-1.0, -0.001], [2.0, 0.0]])  # two at pi and minus pi, one at 0
    angles, density = angle_density(ends)
    assert density[0] == pytest.approx(density[-1])
    assert density[0] == pytest.approx(2 * density[90], rel=1e-3)
    assert isinstance(angle_chart("t", ends, 1.0), Figure)


def test_long_names_lose_their_middle() -> None:
    assert shortened("a" * 48, 48) == "a" * 48
    assert shortened("a" * 50 + "end", 48) == "a" * 39 + "…" + "aaaaaend"
    assert number(0.0) == "0" and number(1234.5) == "1,234" and number(-0.01234) == "-0.0123"


def test_what_is_counted_has_no_decimals() -> None:
    for values, texts in (([6.0, 28.0], ["6", "28"]), ([6.0, 0.25], ["6.0000", "0.2500"])):
        figure = bar_chart("Clicks", ["0", "1"], values, x_label="clicks", y_label="users")
        assert figure.numbers is not None
        assert [shown_cell(row[1]) for row in figure.numbers.rows] == texts
