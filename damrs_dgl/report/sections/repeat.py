"""How to repeat the run: commands, versions, seed, the whole recipe."""

from __future__ import annotations

from damrs_dgl.report.blocks import Block, Code, Paragraph, Section, Table
from damrs_dgl.report.inputs import ReportInputs


def repeat_section(inputs: ReportInputs) -> Section:
    """Commands, recipe and versions that give the same numbers again."""
    blocks: list[Block] = [
        Paragraph("Save the recipe below as recipe.toml; the same recipe, data and versions give the same numbers."),
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
        blocks.append(Table("Versions and circumstances", ["what", "value"], rows))
    blocks.append(Code("The recipe, all keys written out", inputs.recipe_text, folded=True))
    return Section("repeat", "How to repeat it", blocks)
