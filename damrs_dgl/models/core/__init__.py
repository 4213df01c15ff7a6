"""What every system is made from: keys and their ranges, what goes into a pass and comes out, optimisers."""
