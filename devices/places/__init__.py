"""Places where code can run: this machine, another over ssh, a board's processor emulated."""
