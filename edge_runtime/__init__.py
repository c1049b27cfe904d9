"""The daemon: serves packages, readings in, predictions and health out."""
