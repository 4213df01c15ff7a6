"""Mistakes in recipes, options and run directories: one line each that says what, where and what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from damrs_dgl.storage.run import RunDirectory
from tests.cli_runner import CommandLine
from tests.end_to_end.conftest import Shop

RECIPES = {
    "unknown key": (
        "[data]\nformat = 'synthetic'\n[model]\ndims = 8\n",
        ("r.toml", "model.dims", "did you mean model.dim?"),
    ),
    "wrong type": ("[data]\nformat = 'synthetic'\n[model]\ndim = '8'\n", ("r.toml", 'model.dim = "8"', "an integer")),
    "out of range": ("[data]\nformat = 'synthetic'\n[model]\ndim = 0\n", ("r.toml", "model.dim = 0", "from 1")),
    "broken TOML": ("[data\nformat = 'synthetic'\n", ("r.toml, line 1", "not valid TOML")),
    "no data": ("[model]\ndim = 8\n", ("r.toml", "[data] is missing")),
}


@pytest.mark.parametrize("kind", RECIPES)
def test_a_bad_recipe(cli: CommandLine, nothing_written: Callable[[], bool], kind: str) -> None:
    text, saying = RECIPES[kind]
    (cli.folder / "r.toml").write_text(text)
    cli.refused("--recipe", "r.toml", "--run", "run", "fit", saying=saying)
    assert nothing_written()


OPTIONS = {
    "unknown recipe": (("--recipe", "tiktk", "fit"), ("tiktk", 'did you mean "tiktok"?')),
    "override without a value": (("-o", "model.dim", "fit"), ("-o model.dim", "section.key=value")),
    "unknown stage": (("fitt",), ("'fitt'", "did you mean 'fit'?")),
    "unknown stage later in the chain": (("build-graphs", "evalute"), ("'evalute'", "did you mean 'evaluate'?")),
    "unknown option": (("fit", "--restrat"), ("--restrat", "damrs-dgl fit --help")),
    "an option behind its place": (("fit", "--device", "cpu"), ("--device stands after a stage", "before the stages")),
    "no device": (("--device", "gpu", "fit"), ("'--device'", "cuda")),
    "top 0": (("recommend", "--top", "0"), ("'--top'", "0")),
    "ratio above 1": (("stress", "--ratio", "10"), ("'--ratio'", "10")),
    "ratio in words": (("stress", "--ratio", "ten"), ("'--ratio'", "ten")),
    "seed below 0": (("--seed", "-1", "fit"), ("'--seed'", "-1")),
    "unknown noise": (("stress", "--noise", "acoustic"), ("'acoustic'", "feedback-removed, visual, textual")),
    "unknown model": (("stress", "--models", "damrs,lightgnc"), ("--models", "lightgnc", "lightgcn")),
    "unknown modality in the recipe": (("-o", 'stress.noise=["sound"]', "stress"), ("sound", "stress.noise")),
}


@pytest.mark.parametrize("kind", OPTIONS)
def test_bad_options(tiny: CommandLine, nothing_written: Callable[[], bool], kind: str) -> None:
    arguments, saying = OPTIONS[kind]
    assert tiny.refused(*arguments, saying=saying).out == ""
    assert nothing_written()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_cuda_without_one(tiny: CommandLine, nothing_written: Callable[[], bool]) -> None:
    tiny.refused("--device", "cuda", "fit", saying=("--device cuda", "use --device cpu"))
    assert nothing_written()


@pytest.mark.parametrize("stage", ["evaluate", "recommend"])
def test_evaluate_and_recommend_before_fit(tiny: CommandLine, nothing_written: Callable[[], bool], stage: str) -> None:
    tiny.refused(stage, saying=("there is no trained model", "run `fit` first"))
    assert nothing_written()


def test_a_model_of_other_settings_is_not_evaluated(fitted: CommandLine) -> None:
    fitted.refused(
        *("-o", "model.num_layers=1", "evaluate"),
        saying=("other settings", "num_layers changed: set that back", "another --run", "trains anew in its place"),
    )


def test_a_training_that_another_was_about_to_replace_is_evaluated(fitted: CommandLine) -> None:
    """One that was stopped before its first epoch has left its settings in the manifest alone."""
    run = RunDirectory(fitted.folder / "run")
    run.record("fit", {**(run.recorded_parts("fit") or {}), "model.num_layers": 1})
    fitted.ok("evaluate")


def test_the_run_is_a_file(tiny: CommandLine) -> None:
    (tiny.folder / "run").write_text("mine")
    tiny.refused("fit", saying=("run", "is a file", "--run"))
    assert (tiny.folder / "run").read_text() == "mine"


def test_a_run_of_other_data(fitted: CommandLine) -> None:
    before = sorted(fitted.folder.rglob("*"))
    fitted.refused("-o", "data.users=200", "fit", saying=("'demo'", "users", "choose another --run"))
    plain = replace(fitted, options=())
    plain.refused("--recipe", "tiktok", "--run", "run", "fit", saying=("'demo'", "path", "choose another --run"))
    assert sorted(fitted.folder.rglob("*")) == before


USER_FILES = {
    "no file": (None, ("users.txt", "no such file")),
    "not text": (b"\xff\xfe\x00\x01", ("users.txt", "one id a line")),
    "empty": (b"", ("users.txt", "holds no ids")),
    "header only": (b"user\n", ("users.txt", "holds no ids")),
    "all unknown": (b"anna\nben\n", ("users.txt", "none of its 2 ids", "'anna'", "'user-00000'")),
}


@pytest.mark.parametrize("kind", USER_FILES)
def test_a_bad_file_of_users(fitted: CommandLine, kind: str) -> None:
    content, saying = USER_FILES[kind]
    if content is not None:
        (fitted.folder / "users.txt").write_bytes(content)
    fitted.refused("recommend", "--users", "users.txt", saying=saying)
    assert not (fitted.folder / "run" / "recommendations.parquet").exists()


def test_a_file_of_users_that_is_not_there_stops_the_stages_before(
    tiny: CommandLine, nothing_written: Callable[[], bool]
) -> None:
    tiny.refused("fit", "recommend", "--users", "users.txt", saying=("users.txt", "no such file"))
    assert nothing_written()


@pytest.mark.parametrize("stage", ["compare", "stress"])
@pytest.mark.parametrize("names", ["", "mf,", "mf,,ease"])
def test_an_empty_name_of_a_system(
    tiny: CommandLine, nothing_written: Callable[[], bool], stage: str, names: str
) -> None:
    tiny.refused(stage, "--models", names, saying=("'--models'", f"{names!r} holds an empty name"))
    assert nothing_written()


def test_a_parquet_of_users_cut_short(fitted: CommandLine) -> None:
    (fitted.folder / "users.parquet").write_bytes(b"PAR1 and no more")
    fitted.refused("recommend", "--users", "users.parquet", saying=("users.parquet", "a Parquet file"))


def test_an_error_leaves_the_stages_before_it_whole(tiny: CommandLine) -> None:
    (tiny.folder / "nobody.txt").write_text("nobody\n")
    tiny.refused("build-graphs", "fit", "recommend", "--users", "nobody.txt", saying=("nobody.txt",))
    result = tiny.ok("build-graphs", "fit", "evaluate")
    for stage in ("build-graphs", "fit", "evaluate"):
        assert f"{stage}: up to date" in result.err


def test_validate_lists_all_mistakes(cli: CommandLine) -> None:
    (cli.folder / "r.toml").write_text(
        "[data]\nformat = 'synthetic'\n[model]\ndims = 8\n[training]\nepochs = 0\nseeds = 1\n"
    )
    result = cli("recipes", "validate", "r.toml")
    assert result.code == 2
    lines = result.out.splitlines()
    assert len(lines) == 3
    assert all(any(key in line for line in lines) for key in ("model.dims", "training.epochs", "training.seeds"))
    first = cli.refused("--recipe", "r.toml", "fit", saying=("2 more mistakes", "recipes validate r.toml"))
    assert first.out == ""


def test_validate_needs_no_data(shop: Shop) -> None:
    shop.inter.unlink()
    assert shop.cli.ok("recipes", "validate").out == "no mistakes\n"
