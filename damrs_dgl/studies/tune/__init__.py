"""`tune`: a search tries points of a space, each a trial judged on validation alone."""
