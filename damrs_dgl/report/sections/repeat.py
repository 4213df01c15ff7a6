"""How to repeat the run: commands, versions, seed, the whole recipe."""

from __future__ import annotations

from damrs_dgl.report.blocks import Block, Code, Paragraph, Section, Table
from damrs_dgl.report.inputs import ReportInputs


def repeat_section(inputs: ReportInputs) -> Section:
    """Commands, recipe and versions that give the same numbers again."""
    blocks: list[Block] = [
        Paragraph(
            "Save the recipe as recipe.toml, as it is: the same recipe, data and versions give the same numbers. "
            "What it leaves out is not the same for each system of a study, so that nothing is to be added."
        ),
        Code("recipe.toml", inputs.written),
        Code("Commands", "\n".join(inputs.commands)),
    ]
    metrics = inputs.metrics
    if metrics is not None:
        rows: list[list[str | int | float]] = [[name, version] for name, version in metrics["versions"].items()]
        rows += [
            ["seed", metrics["seed"]],
            ["device", metrics["device"]],
            ["training, s", f"{metrics['seconds']:,.1f}"],
        ]
        rows.append(["peak memory, MiB", f"{metrics['peak_memory_mb']:,.0f}"])
        blocks.append(Table("Versions and circumstances", ["what", "value"], rows, names=frozenset({"value"})))
    blocks.append(Code("All keys of the recipe and what they mean, to look up", inputs.recipe_text, folded=True))
    return Section("repeat", "How to repeat it", blocks)
