"""What stands round the systems: their keys, names, needs, search spaces, what goes into them and comes out."""
