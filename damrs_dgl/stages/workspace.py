"""What the stages of one command share: recipe, run directory, device, console, and what was read or made already."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from damrs_dgl.assembly import load_dataset, pick_device
from damrs_dgl.console import Console
from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.dgl_backend import dgl
from damrs_dgl.models.propagation import uses_dgl
from damrs_dgl.recipe import Recipe
from damrs_dgl.run import FORMAT_VERSION, RunDirectory, artefact_key

if TYPE_CHECKING:
    from damrs_dgl.stages.fitted import Fitted

FREE_ON_RESUME = {"epochs", "patience"}  # of [training]: may change when a training is resumed


class Workspace:
    """One command's view of one run.

    Parameters
    ----------
    recipe: what to do.  run: where to keep it; `runs/<recipe name>` by default.
    device: auto, cpu or cuda.  console: where results and notices go.

    `graph` and `fitted` are what an earlier stage of the same command left in memory for the next.
    """

    def __init__(self, recipe: Recipe, *, run: Path | None, device: str, console: Console) -> None:
        self.recipe = recipe
        self.console = console
        self.device = pick_device(device)
        self.run = RunDirectory(run if run is not None else Path("runs") / recipe.name)
        self.run.claim(recipe.name, recipe.data.model_dump(mode="json"))
        self.graph: dgl.DGLGraph | None = None
        self.fitted: Fitted | None = None
        if not uses_dgl(self.device):
            console.notice("the installed DGL has no CUDA: torch's sparse product propagates on the GPU")

    @cached_property
    def dataset(self) -> MultimodalDataset:
        """The data set, read at first use; what cleaning met is said once."""
        dataset = load_dataset(self.recipe)
        for finding in dataset.findings:
            say = self.console.notice if self.is_synthetic else self.console.warning
            say(str(finding))
        return dataset

    @cached_property
    def graphs_parts(self) -> dict[str, Any]:
        """What the graphs are made from: the data and [graphs], with what the variant fills in."""
        # block_size changes time and memory, not the graphs
        return {
            "the toolkit's file format": FORMAT_VERSION,
            "the data": self.dataset.fingerprint(),
            **self._values("graphs", without={"block_size"}),
        }

    @cached_property
    def fit_parts(self) -> dict[str, Any]:
        """What a training is made from, but for what may change when it is resumed: epochs, patience and the device."""
        return {
            **self.graphs_parts,
            **self._values("model"),
            **self._values("losses"),
            **self._values("training", without=FREE_ON_RESUME),
        }

    @cached_property
    def metrics_parts(self) -> dict[str, Any]:
        """What the metrics are made from."""
        training = {"the training": artefact_key("fit", self.fit_parts)}
        return {**training, **self._values("evaluation", without={"block_size"})}

    def _values(self, section: str, *, without: set[str] | None = None) -> dict[str, Any]:
        values = getattr(self.recipe.resolved(), section).model_dump(mode="json", exclude=without)
        return {f"{section}.{key}": value for key, value in values.items()}

    @cached_property
    def is_synthetic(self) -> bool:
        """Whether the numbers come from the synthetic shop."""
        return self.recipe.data.format == "synthetic"
