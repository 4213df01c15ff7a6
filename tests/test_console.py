"""What is printed where: piped, and on a terminal (a pseudo-terminal of the system)."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from damrs_dgl.console import Console
from damrs_dgl.console.bars import new_bars
from damrs_dgl.console.streams import rich_console
from damrs_dgl.errors import DataError

LONG = "word " * 60 + "end"

ON_A_TERMINAL = """
import sys
from damrs_dgl.console import Console
from damrs_dgl.errors import DataError
console = Console()
with console.progress("epochs", 3) as bar:
    for epoch in range(3):
        with console.progress("steps", 2) as steps:
            steps.advance()
        bar.advance(loss=0.5, best=0.0923)
        console.info(f"after epoch {epoch}")
    print("not through the console")
console.table("A title", ["model", "recall@20"], [["LightGCN", 0.0872]])
console.error(DataError("bad"))
"""


def run_on_a_terminal(program: str, *, stdout: int | None = None, **variables: str) -> str:
    """What a program writes to a terminal that is its standard error and, unless given, its standard output."""
    pty = pytest.importorskip("pty")
    reader, writer = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", **variables}
    environment.pop("NO_COLOR", None) if "NO_COLOR" not in variables else None
    root = Path(__file__).parents[1]
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=writer if stdout is None else stdout,
        stderr=writer,
        env=environment,
        cwd=root,
    )
    os.close(writer)
    written = b""
    while True:
        try:
            part = os.read(reader, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        written += part
    os.close(reader)
    assert process.wait(60) == 0
    return written.decode()


def test_lines_go_to_their_stream_unbroken(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    console.info(LONG)
    console.warning(LONG)
    console.error(DataError("no column 'user'", where="x.inter", fix=LONG))
    out, err = capsys.readouterr()
    assert out == f"{LONG}\n"
    assert err == f"warning: {LONG}\nerror: x.inter: no column 'user'; {LONG}\n"


def test_markup_and_escape_sequences_in_names_are_shown_and_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    Console().info("[red]item[/red] :star: \x1b[31mred\x1b[0m https://example.org/1")
    assert capsys.readouterr().out == "[red]item[/red] :star: \\x1b[31mred\\x1b[0m https://example.org/1\n"


def test_what_the_stream_cannot_encode_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    Console().info("caf\u00e9")
    stream.flush()
    assert stream.buffer.getvalue() == b"caf\\xe9\n"  # type: ignore[attr-defined]


def test_a_piped_table_is_aligned_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [["DA-MRS", 0.09231, 1234, True, LONG], ["LightGCN", 0.1, None, False, "日本"], ["MF", 3e-7, 5, None, "x"]]
    Console().table("Test metrics", ["model", "recall@20", "users", "best", "note"], rows)
    assert capsys.readouterr().out.splitlines() == [
        "Test metrics",
        "model     recall@20  users  best  note",
        f"DA-MRS       0.0923   1234  yes   {LONG}",
        "LightGCN     0.1000      -  no    日本",
        "MF            3e-07      5  -     x",
    ]


def test_a_table_without_rows_shows_its_columns(capsys: pytest.CaptureFixture[str]) -> None:
    Console().table("", ["model", "recall@20"], [])
    assert capsys.readouterr().out == "model  recall@20\n"


def test_a_table_to_paste_is_all_of_the_output(capsys: pytest.CaptureFixture[str]) -> None:
    Console().table("A title", ["model", "note"], iter([["[red]LightGCN", None]]), format="csv")
    assert capsys.readouterr().out == "model,note\n[red]LightGCN,\n"


def test_progress_is_silent_when_piped(capsys: pytest.CaptureFixture[str]) -> None:
    with Console().progress("fit", 10) as bar:
        bar.advance(3, loss=0.1)
    assert capsys.readouterr() == ("", "")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that progress sees; a test moves it on."""
    now = [0.0]
    monkeypatch.setattr("damrs_dgl.console.pace.time.monotonic", lambda: now[0])
    return now


def test_progress_with_lines_writes_one_at_every_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    with Console().progress("fit", 40, lines_of="epoch") as bar:
        bar.skip(8)  # of an earlier call
        for epoch in range(9, 41):
            bar.advance(1, loss=epoch / 100)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert [line.split("  ")[0] for line in lines] == [f"fit: epoch {epoch}/40" for epoch in range(12, 41, 4)]
    assert lines[0] == "fit: epoch 12/40  loss 0.1200  at most 0:00 left"
    assert lines[-1] == "fit: epoch 40/40  loss 0.4000"


def test_progress_with_lines_writes_one_at_least_every_half_minute(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with Console().progress("fit", 1000, lines_of="epoch") as bar:
        for _ in range(10):
            clock[0] += 7
            bar.advance(1)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[2] for line in lines] == ["5/1000", "10/1000"]
    assert lines[0].endswith("at most 1:56:05 left")  # 995 epochs of 7 seconds


def test_the_time_left_goes_by_the_pace_of_this_call_alone(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with Console().progress("fit", 100, lines_of="epoch") as bar:
        bar.skip(50)
        clock[0] = 10.0
        bar.advance(10)
    assert capsys.readouterr().err == "fit: epoch 60/100    at most 0:40 left\n"


def test_what_is_remembered_and_what_is_expected_give_the_time_left(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with Console().progress("compare", 10, lines_of="trainings") as bar:
        bar.skip(4)
        bar.skip(1)  # found later
        bar.expect(None)
        clock[0] = 60.0
        bar.advance(1, last="mf")
        bar.expect(240.0)
        clock[0] = 100.0
        bar.advance(1, last="sgl")
    assert capsys.readouterr().err.splitlines() == [
        "compare: trainings 6/10  last mf  1:00 so far",
        "compare: trainings 7/10  last sgl  1:40 so far, about 3:20 left",
    ]


@pytest.mark.parametrize("over_since", [0.0, 25.0])
def test_no_time_left_is_told_where_what_was_expected_is_over(
    over_since: float, clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with Console().progress("compare", 10, lines_of="trainings") as bar:
        bar.expect(60.0)
        clock[0] = 60.0 + over_since
        bar.advance(1, last="mf")
    so_far = "1:25" if over_since else "1:00"
    assert capsys.readouterr().err == f"compare: trainings 1/10  last mf  {so_far} so far\n"


def test_a_heartbeat_writes_lines_while_nothing_advances(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("pace", "progress"):
        monkeypatch.setattr(f"damrs_dgl.console.{module}.LINE_SECONDS", 0.05)
    console, said = Console(), ""
    with console.progress("stress", 3, lines_of="trainings") as bar, bar.heartbeat():
        bar.expect(None)
        until = time.monotonic() + 10
        while said.count("\n") < 2 and time.monotonic() < until:
            time.sleep(0.01)
            said += capsys.readouterr().err
    assert said.splitlines()[:2] == ["stress: trainings 0/3    0:00 so far"] * 2
    capsys.readouterr()
    time.sleep(0.2)
    assert capsys.readouterr().err == ""  # it ended with its block
    with console.progress("fit", 3) as silent, silent.heartbeat():
        time.sleep(0.2)
    assert capsys.readouterr().err == ""


def test_a_bar_shows_its_fields_on_a_terminal_and_lines_pass_it() -> None:
    written = run_on_a_terminal(ON_A_TERMINAL)
    for part in (
        "epochs",
        "3/3",
        "loss 0.5000  best 0.0923",
        "after epoch 2",
        "A title",
        "LightGCN",
        "\x1b[31merror: bad",
    ):
        assert part in written
    for epoch in range(3):  # the bar is wiped before the line and not overwritten by it
        assert written.split(f"after epoch {epoch}")[0].endswith("\x1b[2K")
    last = written.rsplit("after epoch 2", 1)[1]
    assert "steps" not in last.rsplit("3/3", 1)[1]  # the inner bar goes when it ends


def test_a_bar_on_a_narrow_terminal_keeps_its_count_and_its_times_whole() -> None:
    file = io.StringIO()
    bars = new_bars(rich_console(file=file, width=80, force_terminal=True))
    task = bars.add_task("fit", total=1000, text="loss 0.3495  validation 0.4963  best recall@20 0.4963 (epoch 11)")
    for done, ends_at in ((999, time.monotonic() + 754), (1000, None)):
        bars.update(task, completed=done, ends_at=ends_at)
        bars.console.print(bars.get_renderable())
    under_way, finished = (re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in file.getvalue().splitlines())
    assert "999/1000" in under_way and "12:34 left" in under_way and "loss 0.3495" in under_way
    assert "1000/1000" in finished and "took 0:00" in finished


def test_results_reach_their_file_while_the_bar_is_on_the_terminal(tmp_path: Path) -> None:
    with (tmp_path / "out.txt").open("w") as file:
        written = run_on_a_terminal(ON_A_TERMINAL, stdout=file.fileno())
    assert "after epoch" not in written
    assert "not through" not in written
    assert "3/3" in written
    lines = (tmp_path / "out.txt").read_text().splitlines()
    assert lines == [
        *(f"after epoch {epoch}" for epoch in range(3)),
        "not through the console",
        "A title",
        "model     recall@20",
        "LightGCN     0.0872",
    ]


def test_no_color_is_respected() -> None:
    program = "from damrs_dgl.console import Console; Console().warning('careful')"
    assert "\x1b[33m" in run_on_a_terminal(program)
    assert "\x1b[33m" not in run_on_a_terminal(program, NO_COLOR="1")


def test_a_bar_is_closed_by_an_error() -> None:
    program = ON_A_TERMINAL.split("with console", maxsplit=1)[0] + (
        "try:\n    with console.progress('fit', 3) as bar:\n        raise DataError('bad')\n"
        "except DataError as error:\n    console.error(error)\nassert console.bars.under_way is None\n"
    )
    assert "error: bad" in run_on_a_terminal(program)


def test_importing_the_console_imports_no_rich() -> None:
    program = (
        "import sys, damrs_dgl.console; sys.exit(any(name.split('.')[0] in ('rich', 'torch') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[1], check=False).returncode == 0


TABLES = """
from damrs_dgl.console import Console
console = Console()
metrics = [f"{name}@{k}" for name in ("Recall", "Precision", "NDCG", "MAP") for k in (5, 10, 20, 50)]
console.table("scores", ["split", *metrics], [["validation", *[0.12345] * 16], ["test", *[0.2] * 16]])
console.table("shop", ["observations", "users", "items", "sparsity", "train", "validation", "test", "avg. sim. visual"],
    [["21,664", "2,000", "1,200", "0.9910", "16,962", "2,351", "2,351", "0.1171"]], keys=0)
console.table("noise", ["noise", "ratio", "model", "Recall@20", "change", "NDCG@20", "change"],
    [["feedback-removed", "20%", "damrs:lightgcn", "0.8800 ±0.0123", "-10.0%", "0.5430 ±0.0011", "-12.5%"]], keys=3)
console.table("long", ["name", "what"], [["x" * 200, "several words " * 20], ["short", "word"]])
console.table("", ["nothing"], [])
"""


@pytest.mark.parametrize("width", [80, 40, 200])
def test_tables_are_whole_on_a_narrow_terminal(width: int) -> None:
    """No line is longer than the terminal, and every cell that has room for itself is there unbroken."""
    written = run_on_a_terminal(TABLES, COLUMNS=str(width), PYTHONPATH=".", PYTHONIOENCODING="utf-8")
    lines = re.sub(r"\x1b\[[0-9;]*m", "", written).splitlines()
    assert max(map(len, lines)) <= width
    for value, times in (
        ("0.1235", 16),
        ("0.2000", 16),
        ("Precision@50", 1),
        ("MAP@50", 1),
        ("0.1171", 1),
        ("2,351", 2),
    ):
        assert sum(line.count(value) for line in lines) == times, value
    for value in ("0.5430", "±0.0011", "-12.5%", "feedback-removed", "20%", "visual"):
        assert any(value in line for line in lines), value
    assert "".join(lines).count("x") == 200
    assert sum(line.count("several") for line in lines) == 20
