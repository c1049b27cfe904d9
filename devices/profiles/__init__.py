"""One TOML file per board; adding a board is adding a file."""
