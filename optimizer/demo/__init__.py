"""The demonstration: a simulated machine, a model trained on it, and everything between them for real."""
