"""What the benchmark finds out: one row per tool and session, and the numbers read from it."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

from benchmarks.latency import Interval

OURS = "edgeopt"
FLOAT32 = "float32"
COPY = "float32, second copy"


@dataclass(frozen=True)
class Row:
    """One form of one model.

    Attributes:
        tool: Who made it: a tool, `edgeopt`, or the float32 model itself.
        version: Of the tool; empty where it did not get so far.
        session: onnxruntime session entries it is served with.
        size: Bytes of the model; 0 where there is none.
        seconds: How long making it took, the tool's start included; 0 for float32.
        peak_bytes: Largest resident memory meanwhile.
        metric: The model's own metric, None where it has none.
        speedups: Over the raw float32 model, one interval per process.
        milliseconds: Per call, median of each process.
        reason: Why there is no such form, or why it does not run.
        note: What the tool itself says of its form.
        engine: What executes it.
    """

    tool: str
    version: str = ""
    session: dict[str, str] = field(default_factory=dict)
    size: int = 0
    seconds: float = 0.0
    peak_bytes: int = 0
    metric: float | None = None
    speedups: tuple[Interval, ...] = ()
    milliseconds: tuple[float, ...] = ()
    reason: str | None = None
    note: str = ""
    engine: str = "onnxruntime"

    @property
    def is_peer(self) -> bool:
        """Tell whether it is another tool's."""
        return self.tool not in {OURS, FLOAT32, COPY}

    @property
    def speedup(self) -> Interval | None:
        """Return the speed-up of the process with the median speed-up, with its interval."""
        middle = sorted(self.speedups, key=lambda interval: interval.value)
        return middle[(len(middle) - 1) // 2] if middle else None

    @property
    def spread(self) -> tuple[float, float] | None:
        """Return the smallest and the largest of the processes' medians."""
        values = [interval.value for interval in self.speedups]
        return (min(values), max(values)) if values else None


@dataclass(frozen=True)
class Table:
    """All rows of one model.

    Attributes:
        model: Its name.
        metric: What the metric is called.
        worst: The worst value of the metric inside the budget.
        higher_is_better: The metric's direction.
        rows: Float32 first; a tool that is served in more than one way has several.
    """

    model: str
    metric: str
    worst: float
    higher_is_better: bool
    rows: tuple[Row, ...]

    def inside(self, row: Row) -> bool:
        """Tell whether a row runs and is inside the budget."""
        if row.metric is None or not row.speedups:
            return False
        # Scripts print rounded values: the last bit of the subtraction must not decide.
        return row.metric >= self.worst - 1e-9 if self.higher_is_better else row.metric <= self.worst + 1e-9

    def row(self, tool: str) -> Row | None:
        """Return the row of a tool that counts: its fastest inside the budget, else the first that runs, else any."""
        own = [row for row in self.rows if row.tool == tool]
        inside = [row for row in own if self.inside(row)]
        if inside:
            return max(inside, key=lambda row: row.speedup.value if row.speedup else 0.0)
        return next((row for row in own if row.speedups), own[0] if own else None)

    def shown(self) -> list[Row]:
        """Return one row per tool, in order."""
        tools = dict.fromkeys(row.tool for row in self.rows)
        return [row for row in map(self.row, tools) if row is not None]

    def fastest_peer(self) -> Row | None:
        """Return the fastest form of another tool inside the budget."""
        peers = [row for row in self.shown() if row.is_peer and self.inside(row)]
        return max(peers, key=lambda row: row.speedup.value if row.speedup else 0.0, default=None)


def ratios(ours: Row, peer: Row) -> tuple[float, ...]:
    """Return how much faster ours is than the peer's, one ratio per process; above 1 is faster."""
    return tuple(mine.value / other.value for mine, other in zip(ours.speedups, peer.speedups, strict=True))


def median(values: tuple[float, ...]) -> float:
    """Return the middle value."""
    return statistics.median(values)
