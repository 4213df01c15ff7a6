"""A hook of mkdocs: notebooks of docs/ become pages, with the outputs that are stored in them; nothing is run."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

_FENCE = "````"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Put a Markdown page, and the pictures that it shows, in the place of each notebook."""
    for file in [file for file in files if file.src_uri.endswith(".ipynb")]:
        files.remove(file)
        notebook = json.loads(Path(config.docs_dir, file.src_uri).read_text(encoding="utf-8"))
        page = file.src_uri.removesuffix(".ipynb") + ".md"
        pictures: dict[str, bytes] = {}
        files.append(File.generated(config, page, content=page_of(notebook, Path(file.src_uri).stem, pictures)))
        for name, content in pictures.items():
            files.append(File.generated(config, f"{page.rpartition('/')[0]}/{name}", content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links to a notebook lead to its page; where the file itself is read they lead to the file."""
    return re.sub(r"(\]\([^):]+)\.ipynb\)", r"\1.md)", markdown)


def page_of(notebook: dict[str, Any], stem: str, pictures: dict[str, bytes]) -> str:
    """The Markdown of a notebook; its pictures go into `pictures` by file name."""
    parts: list[str] = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"]).strip()
        if cell["cell_type"] == "markdown":
            parts.append(source)
        elif cell["cell_type"] == "code" and source:
            parts.append(f"{_FENCE}python\n{source}\n{_FENCE}")
            parts.extend(_outputs(cell, stem, pictures))
    return "\n\n".join(parts) + "\n"


def _outputs(cell: dict[str, Any], stem: str, pictures: dict[str, bytes]) -> Iterator[str]:
    for output in cell["outputs"]:
        data = output.get("data", {})
        if "image/png" in data:
            name = f"{stem}-{len(pictures) + 1}.png"
            pictures[name] = base64.b64decode("".join(data["image/png"]))
            yield f"![what the cell drew]({name})"
            continue
        text = "".join(output.get("text", data.get("text/plain", []))).rstrip()
        if text:
            yield f"{_FENCE}text\n{text}\n{_FENCE}"
