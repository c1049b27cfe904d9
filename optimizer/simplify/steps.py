"""What rewrites are, and the account of what became of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from benchmarks.latency import Interval

Rewrite: TypeAlias = Callable[[bytes], bytes]
Progress: TypeAlias = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Step:
    """What became of one rewrite.

    Attributes:
        name: The rewrite in words.
        kept: Whether the model went on with it.
        note: What was shown, or the reason why the model went on without it.
        speedup: Time before / time after, where it was timed.
    """

    name: str
    kept: bool
    note: str
    speedup: Interval | None = None

    @property
    def wrong(self) -> bool:
        """Tell whether the rewrite failed or changed what the model computes, rather than gaining nothing."""
        return not self.kept and self.speedup is None


@dataclass(frozen=True)
class Simplified:
    """The rewritten model and the account of every rewrite.

    Attributes:
        data: The model.
        steps: Rewrites in the order they were tried.
        before: Operator -> count in the model given, control-flow bodies included.
        after: The same for the rewritten model.
    """

    data: bytes
    steps: tuple[Step, ...]
    before: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)
