"""Evidence of how the daemon is doing."""
