"""Facts about machines, and what this machine is."""
