"""A fact about a machine, as it is shown: what, how much, and who says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

Value: TypeAlias = str | int | bool | tuple[str, ...]


@dataclass(frozen=True)
class Fact:
    """One fact.

    Attributes:
        name: Which attribute of a `Device` it is.
        value: Its value.
        source: A label (published, measured, emulated), a colon, and where that was written or done.
    """

    name: str
    value: Value
    source: str

    @property
    def label(self) -> str:
        """Return what kind of fact it is: published, measured or emulated."""
        return self.source.partition(":")[0]

    def __str__(self) -> str:
        if isinstance(self.value, bool):
            return "yes" if self.value else "no"
        return ", ".join(self.value) if isinstance(self.value, tuple) else str(self.value)
