"""The page: sections put together and written as one HTML file that needs nothing else."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from damrs_dgl.report.blocks import Picture, Section
from damrs_dgl.report.inputs import ReportInputs
from damrs_dgl.report.sections import SECTIONS
from damrs_dgl.storage.files import write_text

if TYPE_CHECKING:
    from jinja2 import Template


def render_report(inputs: ReportInputs, *, version: str) -> str:
    """The page as text. Whatever comes from the user's files is escaped, and the page may load nothing."""
    sections = [section for make in SECTIONS if (section := make(inputs)) is not None]
    return render_page(inputs.name, _subtitle(inputs), sections, version=version)


def render_page(title: str, subtitle: str, sections: list[Section], *, version: str) -> str:
    """A page of any sections."""
    return _template().render(title=title, subtitle=subtitle, sections=sections, version=version)


def write_report(inputs: ReportInputs, path: Path, *, version: str) -> Path:
    """Write the page, whole or not at all. Raises StorageError where that cannot be done."""
    write_text(path, render_report(inputs, version=version))
    return path


def _subtitle(inputs: ReportInputs) -> str:
    made_up = ", synthetic data" if inputs.synthetic else ""
    return f"{inputs.system} on {inputs.name}{made_up}"


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("damrs_dgl.report"),
        autoescape=True,  # ids, file names and descriptions are anyone's
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["picture"] = lambda cell: isinstance(cell, Picture)
    return environment.get_template("report.html.j2")
