"""Which clicks, pictures and texts are likely wrong: what a fitted model and simple rivals say of each."""
