"""Running the command line inside the test process, as a user would call it."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from damrs_dgl.cli import main


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """The lines on standard error that say an error."""
        return [line for line in self.err.splitlines() if line.startswith("error: ")]


@dataclass(frozen=True)
class CommandLine:
    """`damrs-dgl` in a folder of its own; every call gets `options` before its own arguments."""

    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch
    folder: Path
    options: tuple[str, ...] = ()

    def __call__(self, *arguments: str) -> Result:
        self.capsys.readouterr()
        with self.monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["damrs-dgl", *self.options, *arguments])
            try:
                main()
                code: Any = 0
            except SystemExit as end:
                code = end.code or 0
        out, err = self.capsys.readouterr()
        return Result(code, out, err)

    def without(self, key: str) -> CommandLine:
        """The same without an override of that key."""
        place = next(place for place, text in enumerate(self.options) if text.startswith(f"{key}="))
        return replace(self, options=(*self.options[: place - 1], *self.options[place + 1 :]))

    def ok(self, *arguments: str) -> Result:
        """A call that must end well."""
        result = self(*arguments)
        assert result.code == 0, result.err
        return result

    def refused(self, *arguments: str, saying: tuple[str, ...]) -> Result:
        """A call that must end with one line of error, exit code 2, that holds all of `saying`; nothing on stdout."""
        result = self(*arguments)
        assert result.code == 2, (result.code, result.out, result.err)
        assert len(result.errors) == 1, result.err
        assert "Traceback" not in result.err
        assert all(text in result.errors[0] for text in saying), result.errors[0]
        return result


def tiny_options(run: Path, *, epochs: int = 3) -> tuple[str, ...]:
    """Options of a run on a synthetic shop that trains in a second."""
    values = {
        "data.users": 150,
        "data.items": 80,
        "data.styles": 6,
        "model.dim": 8,
        "training.epochs": epochs,
        "training.batch_size": 256,
        "training.learning_rate": 0.01,
    }
    return ("--run", str(run), *(text for key, value in values.items() for text in ("-o", f"{key}={value}")))


def without_times(path: Path) -> dict[str, Any]:
    """A metrics.json but for what differs from one call to the next."""
    metrics = json.loads(path.read_text())
    return {key: value for key, value in metrics.items() if key not in ("seconds", "peak_memory_mb")}


def history_without_times(path: Path) -> list[str]:
    """A history.csv but for its last two columns, the seconds."""
    return [line.rsplit(",", 2)[0] for line in path.read_text().splitlines()]
