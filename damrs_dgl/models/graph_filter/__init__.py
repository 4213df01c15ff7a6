"""Graph filters without training: the system (model), its keys (config), and the pieces of its matrix (parts)."""
