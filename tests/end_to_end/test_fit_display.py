"""What `fit` says in a pipe: epochs of the model, and of each system inside it."""

from __future__ import annotations

from tests.cli_runner import CommandLine, without_times


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


def test_a_blend_goes_on_with_what_its_members_have_learned(tiny: CommandLine) -> None:
    """What is trained is not trained again, and the numbers are those of a new run."""
    at = tiny.options.index("model.dim=8")
    options = tiny.options[: at - 1] + tiny.options[at + 1 :]

    def fit(run: str, epochs: int, members: str) -> tuple[str, dict[str, object]]:
        values = ("--run", run, "-o", f"training.epochs={epochs}", "-o", "model.name=blend")
        line = CommandLine(tiny.capsys, tiny.monkeypatch, tiny.folder, (*options, *values))
        said = line.ok("-o", f"model.members={{{members}}}", "fit").err
        return said, without_times(tiny.folder / run / "metrics.json")

    two, three = 'a = "mf", b = "itemknn"', 'a = "mf", b = "itemknn", c = "popularity"'
    fit("grown", 2, two)
    longer, numbers = fit("grown", 4, two)
    assert "fit a (1 of 2): epoch 4/4" in longer and "epoch 2/4" not in longer
    assert numbers == fit("whole", 4, two)[1]
    wider, numbers = fit("grown", 4, three)
    assert "fit a" not in wider and numbers == fit("three", 4, three)[1]
    assert fit("grown", 3, two)[1] == fit("short", 3, two)[1]


def test_a_member_that_a_new_run_would_have_stopped_is_trained_anew(tiny: CommandLine) -> None:
    at = tiny.options.index("model.dim=8")
    members = 'model.members={a = "mf", b = "itemknn"}'
    values = ("-o", "training.batch_size=64", "-o", "model.name=blend", "-o", members)
    options = (*tiny.options[: at - 1], *tiny.options[at + 1 :], *values)

    def fit(run: str, epochs: int, patience: int) -> dict[str, object]:
        line = CommandLine(tiny.capsys, tiny.monkeypatch, tiny.folder, (*options, "--run", run))
        line.ok("-o", f"training.epochs={epochs}", "-o", f"training.patience={patience}", "fit")
        return without_times(tiny.folder / run / "metrics.json")

    fit("one", 12, 50)
    assert fit("one", 40, 1) == fit("other", 40, 1)
