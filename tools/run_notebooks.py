"""Run the notebooks of docs/ and store their outputs: `make notebooks`, or `python tools/run_notebooks.py NAME ...`."""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parents[1] / "docs" / "notebooks"
logger = logging.getLogger("notebooks")


def run(path: Path, *, timeout: int = 600) -> None:
    """Run every cell in a folder of its own and write the notebook back; raises CellExecutionError where one fails."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(
            notebook, timeout=timeout, coalesce_streams=True, resources={"metadata": {"path": folder}}
        ).execute()
    for cell in notebook.cells:
        cell.metadata.clear()  # when each cell ran, which would differ every time
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    nbformat.write(notebook, path)
    logger.info("%s: %d cells", path.name, len(notebook.cells))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for name in sys.argv[1:] or sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")):
        run(NOTEBOOKS / f"{name}.ipynb")
