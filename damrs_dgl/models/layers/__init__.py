"""What the systems share: convolutions over a relation, edge weights, content projections, dropout, neighbour graphs."""
