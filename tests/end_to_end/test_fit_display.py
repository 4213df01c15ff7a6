"""What `fit` says in a pipe: epochs of the model, and of each system inside it."""

from __future__ import annotations

from tests.cli_runner import CommandLine


def test_a_piped_fit_says_where_it_is(tiny: CommandLine) -> None:
    lines = tiny.ok("fit").err.splitlines()
    epochs = [line for line in lines if line.startswith("fit: epoch ")]
    assert [line.split()[2] for line in epochs] == ["1/3", "2/3", "3/3"]
    assert all(word in epochs[0] for word in ("loss 0.", "validation 0.", "best recall@20 0.", "(epoch 1)", "left"))


def test_a_blend_says_which_member_it_fits(tiny: CommandLine) -> None:
    members = '{one = {name = "lightgcn", dim = 8}, two = {name = "ease"}}'
    at = tiny.options.index("model.dim=8")
    options = tiny.options[: at - 1] + tiny.options[at + 1 :]  # the blend itself has no vectors
    blend = CommandLine(tiny.capsys, tiny.monkeypatch, tiny.folder, options)
    lines = blend.ok("-o", "model.name=blend", "-o", f"model.members={members}", "fit").err.splitlines()
    shown = [line.split("  ")[0] for line in lines if ": epoch " in line]
    assert shown == [
        "fit one (1 of 2): epoch 1/3",
        "fit one (1 of 2): epoch 2/3",
        "fit one (1 of 2): epoch 3/3",
        "fit two (2 of 2): epoch 1/1",
        "fit: epoch 1/1",
    ]


def test_what_is_resumed_counts_from_there(tiny: CommandLine) -> None:
    tiny.ok("-o", "training.epochs=2", "fit")
    lines = tiny.ok("-o", "training.epochs=4", "fit").err.splitlines()
    assert [line.split()[2] for line in lines if line.startswith("fit: epoch ")] == ["3/4", "4/4"]
