"""The .edgepkg format: one file that carries a model with everything needed to serve it and to trust it."""
