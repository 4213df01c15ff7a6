"""The stages of a run. Each takes a `Workspace`, reads and writes its run directory, and can be called alone."""

from damrs_dgl.stages.ablate import ablate
from damrs_dgl.stages.audit import audit
from damrs_dgl.stages.build_graphs import build_graphs
from damrs_dgl.stages.compare import compare
from damrs_dgl.stages.describe import describe
from damrs_dgl.stages.evaluate import evaluate
from damrs_dgl.stages.fit_with_metrics import fit_with_metrics
from damrs_dgl.stages.groups import groups
from damrs_dgl.stages.recommend import recommend
from damrs_dgl.stages.report import report
from damrs_dgl.stages.stress import stress
from damrs_dgl.stages.suspects import drop_suspects, reweight_suspects
from damrs_dgl.stages.tune import tune
from damrs_dgl.stages.verify import verify
from damrs_dgl.stages.workspace import Workspace

__all__ = [
    "Workspace",
    "ablate",
    "audit",
    "build_graphs",
    "compare",
    "describe",
    "drop_suspects",
    "evaluate",
    "fit_with_metrics",
    "groups",
    "recommend",
    "report",
    "reweight_suspects",
    "stress",
    "tune",
    "verify",
]
