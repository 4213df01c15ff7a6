"""Systems trained in the plain way: the slow side of system_steps.py.

One class a system: its loss written down in ordinary torch, over whole matrices, with one (U + I) x (U + I) sparse
matrix for the user-item graph (in torch's faster layout), dense softmaxes, autograd's gradients, and torch's own fused
Adam. Nothing of damrs_dgl computes here, but for the choice of the edges that SGL drops. Each is what its model
computes with the settings of the preset `original`.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.plain_content_systems import PlainBM3, PlainGRCN, PlainMMGCN, PlainSLMRec, PlainVBPR
from benchmarks.plain_general_systems import PlainLightGCN, PlainMF, PlainNGCF, PlainSGL, PlainSimGCL
from benchmarks.plain_structure_systems import PlainLATTICE, PlainMICRO, PlainMMSSL
from benchmarks.plain_system import PlainSystem
from damrs_dgl.models.base import ModelInputs, RankingModel

PLAIN: dict[str, Callable[[RankingModel, ModelInputs], PlainSystem]] = {
    "mf": PlainMF,
    "ngcf": PlainNGCF,
    "lightgcn": PlainLightGCN,
    "sgl": PlainSGL,
    "simgcl": PlainSimGCL,
    "vbpr": PlainVBPR,
    "mmgcn": PlainMMGCN,
    "grcn": PlainGRCN,
    "slmrec": PlainSLMRec,
    "bm3": PlainBM3,
    "mmssl": PlainMMSSL,
    "lattice": PlainLATTICE,
    "micro": PlainMICRO,
}
"""By the model's name; each takes over the weights of the model that it is given."""
