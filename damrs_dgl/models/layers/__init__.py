"""What the systems share: convolutions, edge weights, content projections, dropout, neighbour graphs, views."""
