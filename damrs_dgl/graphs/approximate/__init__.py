"""Content relations by way of candidates, for more items than all pairs of them can be compared."""
