"""The first half of a pipeline without its surroundings: payloads of many streams in, windows that are due out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import msgspec
import numpy as np

from edge_runtime.inference.engine import Array
from edge_runtime.stream.decode import Decoder, Reading
from edge_runtime.stream.input_guard import InputGuard
from edge_runtime.stream.quality import WindowQuality
from edge_runtime.stream.rules import Window
from edge_runtime.stream.window import Windows

_LONGEST_STREAM_NAME = 256  # it becomes part of a topic, which MQTT ends at 65535 bytes


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """A payload of one stream, and when it came, monotonic seconds."""

    stream: str
    payload: bytes
    at: float


class Due(msgspec.Struct, frozen=True, gc=False):
    """A window that wants a prediction.

    Attributes:
        stream: Whose it is.
        reading: Number of its last reading in the stream, from 1.
        time: Seconds since 1970 of its last row, None where only its arrival is known.
        says_time: Whether that is the sensor's own time.
        arrived: When the reading that made it due came, monotonic seconds; None where silence made it due.
        quality: How far its readings can be trusted.
        array: float32 [size, features].
    """

    stream: str
    reading: int
    time: float | None
    says_time: bool
    arrived: float | None
    quality: WindowQuality
    array: Array


@dataclass
class Taken:
    """What became of a batch of payloads.

    Attributes:
        due: Windows that want a prediction, in order.
        readings: Readings used.
        rejected: Readings that could not be used, by reason.
    """

    due: list[Due] = field(default_factory=list)
    readings: int = 0
    rejected: dict[str, int] = field(default_factory=dict)

    def reject(self, reason: str) -> None:
        """Count a reading that could not be used."""
        self.rejected[reason] = self.rejected.get(reason, 0) + 1


class Gatherer:
    """Decodes, looks at each reading, and gathers readings into windows.

    Args:
        decoder: What readings look like.
        guard: Which of them cannot be true.
        windows: The windows of all streams; kept here between calls.
    """

    def __init__(self, decoder: Decoder, guard: InputGuard, windows: Windows) -> None:
        self._decoder, self.guard, self.windows = decoder, guard, windows
        self._by_time = windows.goes_by_time

    def take(self, arrivals: Sequence[Arrival], now: float) -> Taken:
        """Take in payloads in the order they came; `now` is as in `Windows.advance`."""
        self.windows.advance(now, idle=False)
        taken = Taken()
        decoded: list[tuple[Arrival, Reading]] = []
        for arrival in arrivals:
            if not 0 < len(arrival.stream) <= _LONGEST_STREAM_NAME:
                taken.reject("bad_stream_name")
            elif not self.windows.has_room_for(arrival.stream):
                taken.reject("too_many_streams")
            else:
                for reading in self._decoder.decode(arrival.payload):
                    if isinstance(reading, str):
                        taken.reject(reading)
                    else:
                        decoded.append((arrival, reading))
        if self.windows.rows_are_windows and decoded:
            self._take_rows(decoded, taken)
        else:
            for arrival, reading in decoded:
                self._take_reading(arrival, reading, taken)
        return taken

    def pass_time(self, now: float) -> list[Due]:
        """Return the windows that silence makes due; see `Windows.advance`."""
        says_time = not self.windows.by_arrival
        return [self._due(stream, window, None, says_time, "good") for stream, window in self.windows.advance(now)]

    def _take_rows(self, decoded: Sequence[tuple[Arrival, Reading]], taken: Taken) -> None:
        """Take readings each of which is a window, all at once: it costs a third of one by one."""
        streams = [arrival.stream for arrival, _ in decoded]
        rows = np.frombuffer(b"".join([reading.row for _, reading in decoded]), "<f4").reshape(len(decoded), 1, -1)
        qualities = self.guard.check_many(streams, rows[:, 0])
        numbers = self.windows.number_rows(streams)
        for (arrival, reading), number, quality, row in zip(decoded, numbers, qualities, rows, strict=True):
            if isinstance(number, str):
                taken.reject(number)
                self.guard.evict(arrival.stream)
                continue
            taken.readings += 1
            time = reading.time
            taken.due.append(Due(arrival.stream, number, time, time is not None, arrival.at, quality, row))

    def _take_reading(self, arrival: Arrival, reading: Reading, taken: Taken) -> None:
        time = None if self.windows.by_arrival else reading.time
        row = reading.values
        windows = self.windows.push(arrival.stream, row, time)
        if isinstance(windows, str):
            taken.reject(windows)
            return
        # Only of readings that are taken: one with a wrong clock must not be remembered as bad for years.
        quality = self.guard.check(arrival.stream, row, self.windows.now if time is None else time)
        taken.readings += 1
        for window in windows:
            taken.due.append(self._due(arrival.stream, window, arrival.at, time is not None, quality))

    def _due(self, stream: str, window: Window, arrived: float | None, says_time: bool, quality: WindowQuality) -> Due:
        if self._by_time:
            quality = self.guard.over(stream, cast(float, window.start))
        if quality == "good" and not window.complete:
            quality = "uncertain"
        return Due(stream, window.number, window.end, says_time, arrived, quality, window.array)
