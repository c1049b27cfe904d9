"""The same work through other tools, ours beside them: `python -m benchmarks.peers`. Not part of what is installed."""
