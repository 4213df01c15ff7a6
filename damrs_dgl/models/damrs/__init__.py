"""DA-MRS: the model (model.py), what differs between its variants (variants.py), and its ablation (ablation.py)."""
