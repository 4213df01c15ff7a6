"""Every kind of mistake: what its line says; and that all of them are said at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from damrs_dgl.errors import RecipeError
from damrs_dgl.recipe import load_recipe, recipe_mistakes

Write = Callable[[str], Path]

VALUES = [
    # unknown keys: the nearest name, the right section, all names
    ("training.learning_rat=1", "unknown key training.learning_rat; did you mean training.learning_rate?"),
    ("graphs.K=3", "unknown key graphs.K; did you mean graphs.k?"),
    (
        "model.learning_rate=1",
        "unknown key model.learning_rate; it belongs to another section: write training.learning",
    ),
    ("epochs=3", "unknown key epochs; it belongs to another section: write training.epochs"),
    ("model.block_size=3", "write graphs.block_size or evaluation.block_size"),
    ("graphs.users=3", "it belongs to another section: write data.users"),
    ("model.description=x", "it belongs to the top of the recipe: write description"),
    ("data.k_core=3", 'unknown key data.k_core; a key of data.format = "tables" only'),
    ('data={format="mmrec", path="/x", seed=3}', 'data.seed; a key of data.format = "tables" or "synthetic" only'),
    ("stress.zzz=3", "unknown key stress.zzz; allowed there: noise, ratios, models, seeds"),
    ("trainng.epochs=3", "unknown section [trainng]; did you mean training?"),
    ("losses.gamma=2", "unknown section [losses]; its keys belong to [model]: write model.gamma"),
    ("modalities.visual=2", "unknown section [modalities]; it belongs to another section: write data.modalities"),
    ("section.key=2", "unknown section [section]; allowed there: name,"),
    ("losses.zzz=2", "unknown section [losses]; allowed there: name, description, data, graphs, model"),
    # keys of a system and of what it wraps
    ("model.dims=3", "unknown key model.dims; did you mean model.dim?"),
    ("model.num_layer=3", "unknown key model.num_layer; did you mean model.num_layers?"),
    ("model.backbone.num_layer=3", "unknown key model.backbone.num_layer; did you mean model.backbone.num_layers?"),
    ("training.num_layers=3", "it belongs to another section: write model.num_layers"),
    ("model.backbone.variant=paper", "it belongs to another section: write model.variant"),
    ("model.content_scale=raw", 'model.name = "damrs" has none; a key of '),
    ("model.backbone.gamma_=2", "allowed there: name, dim, preset, regularization, norm, negatives, num_layers"),
    ("model={name='mf', gamma=3}", 'unknown key model.gamma; model.name = "mf" has none; a key of damrs'),
    ("model={name='mf', backbone='vbpr'}", 'unknown key model.backbone; model.name = "mf" has none; a key of damrs,'),
    ("training.k_core=3", 'unknown key training.k_core; a key of data.format = "tables" only'),
    ("training.name=x", "it belongs to the top of the recipe: write name or model.name"),
    # keys of one table that do not fit together
    ("model={name='mmssl', num_heads=3}", "[model]: num_heads = 3 does not divide dim = 64"),
    ("model={backbone={name='mmssl', num_heads=3, dim=8}}", "[model.backbone]: num_heads = 3 does not divide dim = 8"),
    # names of systems
    ("model.name=lightgnc", 'model.name = "lightgnc": there is no system "lightgnc"; did you mean "lightgcn"?'),
    ("model.name=zzzzzz", 'there is no system "zzzzzz"; the systems are '),
    ("model.backbone=vbrp", 'model.backbone = "vbrp": there is no system "vbrp"; did you mean "vbpr"?'),
    ("model.backbone.name=vbrp", 'there is no system "vbrp"; did you mean "vbpr"?'),
    ("model.backbone={name='vbrp'}", 'model.backbone.name = "vbrp": there is no system "vbrp"; did you mean "vbpr"?'),
    ("model.name=3", "model.name = 3: expected the name of a system"),
    ("model.backbone=3", "model.backbone = 3: expected the name of a system, or a table of its keys"),
    ("model.backbone={name=3}", "model.backbone.name = 3: expected the name of a system"),
    ("model={backbone='ease'}", 'model.backbone = "ease": no system can be wrapped round "ease"'),
    ("model={backbone={name='ease', dim=8}}", 'model.backbone.name = "ease": no system can be wrapped round "ease"'),
    ("model={name='blend', members={}}", "model.members = {}; expected a table of one or more keys"),
    (
        "model={name='blend', members={a='mff'}}",
        'model.members.a = "mff": there is no system "mff"; did you mean "mf"?',
    ),
    (
        "model={name='blend', members={'a/b'='mf'}}",
        'model.members.a/b = "mf": a member\'s name holds letters, digits, _ and - only, and starts with',
    ),
    ("model={name='blend', members={a={dim=3}}}", "[model.members.a]: a member is a system's name or a table with one"),
    ("model=mf", 'model = "mf": expected a section [model]'),
    (
        "data.modalities.visual.dmi=3",
        "unknown key data.modalities.visual.dmi; did you mean data.modalities.visual.dim?",
    ),
    # wrong types: nothing is converted
    ('graphs.k="10"', 'graphs.k = "10"; expected an integer from 1 to 1000'),
    ("graphs.k=true", "graphs.k = true; expected an integer from 1 to 1000"),
    ("graphs.k=10.0", "graphs.k = 10.0; expected an integer"),
    ("graphs.consistency=1", "graphs.consistency = 1; expected true or false"),
    ("graphs.consistency=True", 'graphs.consistency = "True"; expected true or false'),
    ("model.gamma=true", "model.gamma = true; expected a number from 0 to 100"),
    ("model.gamma=nan", "model.gamma = nan; expected a number"),
    ("model.anchors=some", 'model.anchors = "some"; expected "all" or an integer of at least 1'),
    ("model.anchors=true", "model.anchors = true; expected"),
    ("model.refresh=0", 'model.refresh = 0; expected one of "step", "epoch" or an integer of at least 1'),
    ("model.variant=author", 'model.variant = "author"; expected one of "recommended", "paper", "authors"'),
    ("evaluation.ks=5", "evaluation.ks = 5; expected a list of one or more, each an integer of at least 1"),
    ('evaluation.ks=[5, "10"]', 'evaluation.ks = [5, "10"]; expected a list'),
    ("name=3", "name = 3; expected a non-empty string"),
    ("graphs=3", "graphs = 3; expected a section [graphs]"),
    ("data.modalities.visual=3", "data.modalities.visual = 3; expected a table of dim"),
    ("training.seed=2020-01-01", "training.seed = 2020-01-01; expected an integer"),
    # out of range
    ("graphs.k=0", "graphs.k = 0; expected an integer from 1 to 1000"),
    ("graphs.k=1001", "graphs.k = 1001; expected"),
    ("model.num_layers=-1", "model.num_layers = -1; expected an integer from 0 to 10"),
    ("model.backbone.num_layers=-1", "model.backbone.num_layers = -1; expected an integer from 0 to 10"),
    ("model.alpha=-1", "model.alpha = -1; expected a number from 0 to 100"),
    ("model.temperature=0.001", "model.temperature = 0.001; expected a number from 0.01 to 10"),
    ("training.learning_rate=0", "training.learning_rate = 0; expected a number above 0 and at most 1"),
    ("training.learning_rate=inf", "training.learning_rate = inf; expected"),
    ("evaluation.ks=[]", "evaluation.ks = []; expected a list of one or more"),
    ("evaluation.ks=[20, 10]", "expected distinct values in ascending order: [10, 20]"),
    ("evaluation.ks=[10, 10, 20]", "expected distinct values in ascending order: [10, 20]"),
    ("stress.ratios=[0.1, 1.5]", "stress.ratios = [0.1, 1.5]; expected a list of one or more, each a number above 0"),
    ("stress.ratios=[0.1, 0.1]", "stress.ratios = [0.1, 0.1]: a value stands in it twice"),
    ('stress.models=["diigg"]', 'there is no system "diigg"; did you mean "diig"?'),
    ("name=a/b", 'name = "a/b": it names a folder'),
    ("data.format=mmrek", 'data.format = "mmrek"; expected one of "mmrec", "mmssl", "tables", "synthetic"'),
    ("data={}", "data.format is missing; say how the data are stored"),
    ('data={format="mmrec"}', "data.path is missing; expected a non-empty string"),
    ('data={format="mmrec", path="${HOME}/x"}', "only ${DAMRS_DATA}, with braces, is"),
    ('data={format="mmrec", path="$DAMRS_DATA/x"}', "only ${DAMRS_DATA}, with braces, is"),
    ("data.modalities={behavior={dim=3}}", '"behavior" cannot name a modality, it is reserved'),
    ('data.modalities={"a b"={dim=3}}', '"a b" cannot name a modality; use letters, digits, _ and - only'),
    # keys that do not fit together
    ("training.monitor=recall@7", 'training.monitor = "recall@7" is not among the scores that are computed; expected'),
    ("training.monitor=recal@20", "expected recall, precision, ndcg or map at one of evaluation.ks = [5, 10, 20, 50]"),
    ("evaluation.ks=[10]", 'training.monitor = "recall@20" is not among the scores'),
    ('stress.noise=["acoustic"]', 'expected any of ["feedback", "feedback-removed", "visual", "textual"]'),
    ('stress.noise=["visul"]', "which is no modality of [data.modalities]; did you mean visual?"),
    (
        "model={name='slmrec', left_out=['visul']}",
        'model.left_out holds "visul", which is no modality of the data; did you mean visual?',
    ),
    (
        "model={name='slmrec', left_out=['sound']}",
        'model.left_out holds "sound", which is no modality of the data; expected any of ["visual", "textual"]',
    ),
    (
        "model={name='slmrec', left_out=['visual', 'textual']}",
        'model.left_out = ["visual", "textual"] leaves slmrec without a modality; leave fewer of them out',
    ),
    ("model={name='mmgcn', projected=['visul']}", 'model.projected holds "visul", which is no modality'),
    ("model={backbone='mmgcn', projected=['visul']}", 'model.projected holds "visul", which is no modality'),
    (
        "model={name='blend', members={a={name='slmrec', left_out=['visul']}}}",
        'model.members.a.left_out holds "visul", which is no modality',
    ),
    # overrides that do not parse
    ("graphs.k", "-o graphs.k: there is no = in the override; write -o section.key=value"),
    ("graphs.k=", 'graphs.k has no value; an empty string is ""'),
    ("=3", '"" is not a key of the form section.key'),
    ("graphs..k=3", '"graphs..k" is not a key of the form section.key'),
    ("evaluation.ks=[10,20", "[10,20 is not a TOML value"),
    ("description=1\nname=2", "is not a TOML value"),
    ("name.x=3", 'name is "demo", not a table'),
]


@pytest.mark.parametrize(("override", "message"), VALUES, ids=[override for override, _ in VALUES])
def test_one_mistake_is_one_line(override: str, message: str) -> None:
    lines = recipe_mistakes("demo", [override])
    assert len(lines) == 1, lines
    assert message in lines[0]
    assert "\n" not in lines[0]
    assert lines[0].startswith("-o")
    with pytest.raises(RecipeError) as caught:
        load_recipe("demo", [override])
    assert str(caught.value) == lines[0]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.name=vbpr"], 'model.name = "vbpr" needs content, and there is no modality in [data.modalities]'),
        (["model.backbone=vbpr"], 'model.backbone = "vbpr" needs content'),
        (["graphs.behavior=false"], "needs an item-item graph: graphs.behavior = false, and there is no modality"),
    ],
)
def test_models_that_need_content(overrides: list[str], message: str) -> None:
    assert message in "".join(recipe_mistakes("demo", ["data.modalities={}", *overrides]))
    assert recipe_mistakes("demo", overrides) == []


def test_a_closed_form_cannot_weigh_clicks() -> None:
    weighed = ["data.click_weights=weights.parquet"]
    (line,) = recipe_mistakes("demo", [*weighed, "model.name=itemknn"])
    assert "itemknn is computed at once from all clicks and cannot weigh them (data.click_weights)" in line
    mixed = "model={name='blend', members={a={name='mf'}, b={name='itemknn'}}}"
    assert "cannot weigh" in "".join(recipe_mistakes("demo", [*weighed, mixed]))
    assert recipe_mistakes("demo", [*weighed, "model.name=lightgcn"]) == []
    assert recipe_mistakes("demo", ["data.modalities={}"]) == []


@pytest.mark.parametrize("system", ["graph_filter", "lightgcn", "itemknn"])
def test_systems_that_need_no_item_relation(system: str) -> None:
    assert recipe_mistakes("demo", ["data.modalities={}", "graphs.behavior=false", f"model.name={system}"]) == []


@pytest.mark.parametrize(
    "overrides",
    [
        ["model.name=slmrec", "model.preset=authors"],  # which leaves out "acoustic"
        ["model={name='blend', members={a={name='slmrec', preset='authors'}}}"],
        ["model.name=mmgcn", "data.modalities={textual={dim=4}}"],  # which projects "visual"
    ],
)
def test_a_preset_may_name_a_modality_that_the_data_lack(overrides: list[str]) -> None:
    assert recipe_mistakes("demo", overrides) == []


@pytest.mark.parametrize(
    ("given", "absent"), [("rating = 'r'", "rating_threshold"), ("rating_threshold = 4", "rating")]
)
def test_rating_and_threshold_come_together(recipe_file: Write, given: str, absent: str) -> None:
    path = recipe_file(f'[data]\nformat = "tables"\npath = "x"\n{given}\n')
    (line,) = recipe_mistakes(path)
    assert f"without data.{absent}; give both or neither" in line


def test_a_mistake_of_the_file_names_the_file(recipe_file: Write) -> None:
    path = recipe_file("[graphs]\nkk = 3")
    assert recipe_mistakes(path) == [f"{path}: unknown key graphs.kk; did you mean graphs.k?"]


def test_no_data_section(tmp_path: Path) -> None:
    path = tmp_path / "empty.toml"
    path.write_text("")
    assert recipe_mistakes(path) == [
        f"{path}: [data] is missing; say how the data are stored: data.format is one of "
        '"mmrec", "mmssl", "tables", "synthetic"'
    ]


def test_where_a_key_of_the_data_belongs_is_known_without_a_format(tmp_path: Path) -> None:
    path = tmp_path / "lost.toml"
    path.write_text('[modalities]\nvisual = "x.npy"\n')
    missing, unknown = recipe_mistakes(path)
    assert "[data] is missing" in missing
    assert unknown == f"{path}: unknown section [modalities]; it belongs to another section: write data.modalities"


LOSSES = """
[model]
name = "damrs"
[losses]
gamma = 2.0
temperature = 0.2
"""


def test_the_section_that_moved_into_the_model(recipe_file: Write) -> None:
    path = recipe_file(LOSSES)
    fix = "its keys belong to [model]: write model.gamma and model.temperature"
    assert recipe_mistakes(path) == [f"{path}: unknown section [losses]; {fix}"]


def test_a_key_of_the_backbone_is_called_as_the_file_has_it(recipe_file: Write) -> None:
    for text, key in (("[model]\ndim = 0", "model.dim"), ("[model.backbone]\ndim = 0", "model.backbone.dim")):
        path = recipe_file(text)
        assert recipe_mistakes(path) == [f"{path}: {key} = 0; expected an integer from 1 to 4096"]
        assert recipe_mistakes(path, ["model.dim=-1"]) == ["-o: model.dim = -1; expected an integer from 1 to 4096"]


MANY = """
[data]
format = "mmrec"
pth = "x"
[data.modalities]
visual = 3
[graphs]
k = "10"
[training]
monitor = "recall@7"
learning_rat = 3
[stress]
noise = ["acoustic"]
"""


def test_all_mistakes_at_once(recipe_file: Write) -> None:
    path = recipe_file(MANY)
    lines = recipe_mistakes(path, ["model.dim=0", "foo"])
    said = "\n".join(lines)
    for part in (
        "-o foo: there is no =",
        "-o: model.dim = 0",
        "unknown key data.pth",
        "data.path is missing",
        "data.modalities.visual = 3",
        "graphs.k = ",
        "unknown key training.learning_rat",
        'training.monitor = "recall@7"',  # a conflict, although other keys are wrong
    ):
        assert part in said
    # whether "acoustic" is a modality cannot be told while [data.modalities] is wrong
    assert len(lines) == 8, said
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, ["model.dim=0", "foo"])
    assert str(caught.value) == f"{lines[0]}; 7 more mistakes: `damrs-dgl recipes validate {path}` lists them"


def test_a_conflict_with_a_wrong_key_is_left_for_later() -> None:
    lines = recipe_mistakes("demo", ['evaluation.ks="7"', "training.monitor=recall@7"])
    assert len(lines) == 1
    assert "evaluation.ks" in lines[0]


def test_what_needs_the_data_is_left_for_later(recipe_file: Write) -> None:
    path = recipe_file('[data]\nformat = "mmrec"\n[stress]\nnoise = ["acoustic"]\n')
    (line,) = recipe_mistakes(path)
    assert "data.path is missing" in line


def test_a_number_that_python_does_not_write() -> None:
    (line,) = recipe_mistakes("demo", [f"graphs.k=0x1{'0' * 5000}"])
    assert "expected an integer from 1 to 1000" in line


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[graphs]\nk = \n", "line 2, column 5: not valid TOML: Invalid value"),
        ("[graphs\n", "line 1, column 8: not valid TOML"),
        ("[graphs]\nk = [1,\n", "line 3, column 1: not valid TOML"),
        ("[graphs]\nk = 1\nk = 2\n", "line 3, column 6: not valid TOML: Cannot overwrite a value"),
    ],
)
def test_broken_toml_has_line_and_column(tmp_path: Path, text: str, place: str) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(text)
    (line,) = recipe_mistakes(path)
    assert line.startswith(f"{path}, {place}")


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "latin.toml"
    path.write_bytes('description = "é"'.encode("latin-1"))
    assert recipe_mistakes(path) == [f"{path}: byte 16 is not UTF-8; save the file as UTF-8"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("tiktk", 'there is no recipe "tiktk"; did you mean "tiktok"?'),
        ("no-folder/demo.toml", 'did you mean the shipped recipe "demo"?'),
        ("zzzz", "one of the shipped recipes: baby, clothing, dbbook, demo"),
        ("~nobody/x", 'there is no recipe "~nobody/x"'),
        (".", 'the recipe "." is a folder; give the path of a .toml file'),
    ],
)
def test_unknown_recipe(source: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(source)
    assert message in str(caught.value)


def test_a_name_that_is_none() -> None:
    (line,) = recipe_mistakes("a" * 5000)
    assert line.startswith("aaa") and "cannot be read: File name too long" in line


def test_the_nearest_file_is_named(recipe_file: Write) -> None:
    path = recipe_file("")
    assert recipe_mistakes(path.with_name("mime.toml"))[0].endswith(f"did you mean {path}?")
