"""The `edgeopt` command: one file per verb."""
