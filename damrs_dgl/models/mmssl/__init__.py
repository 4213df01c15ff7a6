"""MMSSL: the system (model), its attention across modalities, its learned user-item graphs and its critic."""
