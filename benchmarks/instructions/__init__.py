"""Executed AArch64 instructions of one inference, counted under emulation: a direction, never milliseconds."""
