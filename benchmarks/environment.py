"""What the machine was while something was measured on it: a latency without it cannot be compared with another."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from devices.host import Conditions, Host, conditions, detect
from edge_runtime.inference.ort import version

_BUSY_SHARE = 0.5  # a load above this share of the cores was there before the measurement began


@dataclass
class Environment:
    """The machine before and after a measurement.

    Attributes:
        host: What does not change.
        onnxruntime: Its version.
        before: How the machine fared when the measurement began.
        after: When it ended.
    """

    host: Host
    onnxruntime: str
    before: Conditions
    after: Conditions = field(init=False)

    def doubts(self) -> list[str]:
        """Return why the figures may not be what this machine can do, in sentences; empty where nothing speaks so."""
        load, governor = self.before.load_average, self.before.governor
        found = []
        if load is not None and load > _BUSY_SHARE * self.host.cores:
            found.append(f"other work was running: load average {load:.2f} on {self.host.cores} cores at the start")
        if governor not in {None, "performance"}:
            found.append(f"the CPU governor is {governor}: the frequency may have changed meanwhile")
        if throttling := self.throttling():
            found.append(f"the processor was held back: {', '.join(sorted(throttling))}")
        return found

    def throttling(self) -> frozenset[str]:
        """Return what held the processor back, at the start, at the end or in between."""
        nothing: frozenset[str] = frozenset()
        in_between = (self.after.throttled_since_boot or nothing) - (self.before.throttled_since_boot or nothing)
        return (self.before.throttling or nothing) | (self.after.throttling or nothing) | in_between


@contextlib.contextmanager
def observed() -> Iterator[Environment]:
    """Record the machine around a measurement; `after` is known once the block has ended."""
    environment = Environment(detect(), version(), conditions())
    yield environment
    environment.after = conditions()
