"""The value that a check returns."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Something about the data that is probably not meant.

    Attributes:
        code: Stable identifier such as ``L-SCALE``; documented in docs/lint.md.
        what: What was seen, in which data, with its numbers.
        fix: What to do, as an option or a numpy line.
    """

    code: str
    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.code}: {self.what}\n  fix: {self.fix}"
