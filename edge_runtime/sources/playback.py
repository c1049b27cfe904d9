"""A table's rows as messages at a steady pace: what sensors would have sent."""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from edge_runtime.errors import BadInput
from edge_runtime.sources.table import Row

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_NOT_IN_A_LEVEL = re.compile(r"[+#/\x00]")


@dataclass(frozen=True)
class TopicTemplate:
    """A topic whose ``{column}`` placeholders are filled from each row.

    Raises:
        BadInput: E-REPLAY-TOPIC, it is no topic one can publish to; E-REPLAY-PLACEHOLDER, a placeholder is no column.
    """

    text: str
    columns: Sequence[str]

    def __post_init__(self) -> None:
        fixed = _PLACEHOLDER.sub("x", self.text)
        if not fixed or re.search(r"[+#{}\x00]", fixed):
            raise BadInput(
                "E-REPLAY-TOPIC",
                f"--topic {self.text!r} is no topic to publish to",
                "write levels and {column} placeholders, without + or #: --topic 'plant/{unit}/telemetry'",
            )
        for name in _PLACEHOLDER.findall(self.text):
            if name not in self.columns:
                raise self._unknown(name)

    def fill(self, row: Row) -> str:
        """Return the topic of one row.

        Raises:
            BadInput: E-REPLAY-TOPIC-VALUE, a cell is empty or holds a character that means something in a topic.
        """
        return _PLACEHOLDER.sub(lambda match: self._level(row, match[1]), self.text)

    def _level(self, row: Row, column: str) -> str:
        cell = row.cells[column]
        if not cell or _NOT_IN_A_LEVEL.search(cell):
            raise BadInput(
                "E-REPLAY-TOPIC-VALUE",
                f"line {row.line}: column {column} is {cell!r}, which cannot be a level of a topic",
                "use a column without empty cells and without + # / for the topic",
            )
        return cell

    def _unknown(self, name: str) -> BadInput:
        near = difflib.get_close_matches(name, self.columns, n=1)
        hint = f"did you mean {{{near[0]}}}? " if near else ""
        return BadInput(
            "E-REPLAY-PLACEHOLDER",
            f"--topic {self.text!r}: the table has no column {name!r}",
            f"{hint}use one of: {', '.join(self.columns)}",
        )


def messages(rows: Iterable[Row], topic: TopicTemplate) -> Iterator[tuple[str, bytes]]:
    """Yield (topic, JSON object) of every row."""
    for row in rows:
        yield topic.fill(row), msgspec.json.encode(row.values())


class Pace:
    """Waits so that item n comes n / rate seconds after item 0, however long the work between takes.

    The schedule is absolute: an item that is late does not shift those after it, so the mean rate stays true.

    Args:
        rate: Items per second; 0 never waits.
    """

    def __init__(
        self, rate: float, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._rate, self._clock, self._sleep = rate, clock, sleep
        self._started: float | None = None
        self._count = 0

    def wait(self) -> None:
        """Return when the next item is due."""
        if self._started is None:
            self._started = self._clock()
        elif self._rate:
            delay = self._started + self._count / self._rate - self._clock()
            if delay > 0:
                self._sleep(delay)
        self._count += 1
