"""`python -m edge_runtime`: the `edge-runtime` command where its script is not on PATH."""

from __future__ import annotations

from edge_runtime.cli.main import main

main(prog_name="edge-runtime")
