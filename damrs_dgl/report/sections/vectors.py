"""Item vectors before and after the content relations: a cloud and the density of directions for each."""

from __future__ import annotations

from damrs_dgl.report.blocks import Figures, Paragraph, Section, Table
from damrs_dgl.report.cloud import angle_chart, angle_density, cloud
from damrs_dgl.report.inputs import ReportInputs


def vectors_section(inputs: ReportInputs) -> Section | None:
    """Item vectors before and after, as clouds and by direction; None without vectors."""
    views = inputs.views
    if not views:
        return None
    highest = max(float(angle_density(view.points)[1].max()) for view in views)
    clouds = [cloud(view.name, view.points, view.popular, view.meaning) for view in views]
    angles = [angle_chart(f"Directions: {view.name}", view.points, highest) for view in views]
    rows = [
        [view.name, None if view.co_consumed is None else f"{view.co_consumed:.1%}", view.mean_cosine, view.uniformity]
        for view in views
    ]
    columns = ["vectors", "ten nearest share a user", "mean cosine", "uniformity"]
    return Section(
        "vectors",
        "Where the items lie",
        [
            Paragraph(
                f"{len(views[0].points):,} items that training users have chosen, the same in each picture. t-SNE "
                "lays vectors of length 1 out in two dimensions: near stays near, distances between clusters mean "
                "little. Below each, how the directions from the middle of that picture are spread: peaks are "
                "clusters."
            ),
            Figures(clouds),
            Figures(angles),
            Table("The same in numbers, by the vectors themselves", columns, rows),
            Paragraph(
                "Uniformity: log of the mean of exp(-2 distance²) over pairs of vectors of length 1; the lower, the "
                "more evenly they fill the sphere and the better they tell items apart. Sharing a user is counted on "
                "training clicks, which the model has seen."
            ),
        ],
    )
