"""Training: the start, the batches, the loop, who follows it, and what is kept on disk between its epochs."""
