"""Full ranking over all items, and the metrics of it; usable alone on anybody's vectors."""

from __future__ import annotations

from damrs_dgl.evaluation.beyond_accuracy import BEYOND_ACCURACY
from damrs_dgl.evaluation.lists import Catalogue, RankedLists
from damrs_dgl.evaluation.metrics import (
    RankingResult,
    evaluate_ranking,
    hit_matrix,
    per_user_metrics,
    ranked_lists,
    ranking_metrics,
)
from damrs_dgl.evaluation.ranking import Ranking, rank_items, rank_scorer, top_k
from damrs_dgl.user_items import UserItems

__all__ = [
    "BEYOND_ACCURACY",
    "Catalogue",
    "RankedLists",
    "Ranking",
    "RankingResult",
    "UserItems",
    "evaluate_ranking",
    "hit_matrix",
    "per_user_metrics",
    "rank_items",
    "rank_scorer",
    "ranked_lists",
    "ranking_metrics",
    "top_k",
]
