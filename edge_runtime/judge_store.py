"""What judges and guards remember, kept over a clean stop."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edge_runtime.assemble import Assembled
from edge_runtime.digest import sha256
from edge_runtime.errors import EnvironmentFault
from edge_runtime.files import write_atomically
from edge_runtime.stream.input_guard import GuardState
from edge_runtime.stream.judge import StreamState

log = logging.getLogger(__name__)

_DIGEST_BYTES = 32


class _Memory(msgspec.Struct):
    judge: dict[str, StreamState]
    guard: dict[str, GuardState]


class JudgeStore:
    """The file between two runs of a daemon: written at a clean stop, taken back at the next start, removed by `begin`.

    After any other end alarms and reports begin anew: a held alarm that is older than nobody knows what must not last.

    Args:
        path: The file.

    Attributes:
        damaged: Files that were not what was written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.damaged = 0

    def restore(self, pipelines: Sequence[Assembled], now: float) -> None:
        """Give back what was saved of streams whose windows came back; `now` is monotonic seconds."""
        try:
            data = self._path.read_bytes()
        except OSError:
            return  # the usual start: nothing was saved
        body = data[_DIGEST_BYTES:]
        if sha256(body).digest() != data[:_DIGEST_BYTES]:
            self._count_damaged()
            return
        try:
            saved = msgspec.msgpack.decode(body, type=dict[str, _Memory])
        except msgspec.DecodeError:
            self._count_damaged()
            return
        for one in pipelines:
            memory = saved.get(one.config.name, _Memory({}, {}))
            gatherer = one.pipeline.gatherer
            for stream, judged in memory.judge.items():
                if stream in gatherer.windows:
                    one.judge.restore(stream, judged, now)
            for stream, guarded in memory.guard.items():
                if stream in gatherer.windows:
                    gatherer.guard.restore(stream, guarded)

    def begin(self) -> None:
        """Remove the file: once readings come in, it is older than what the broker still holds."""
        self._path.unlink(missing_ok=True)

    def save(self, pipelines: Sequence[Assembled], now: float) -> None:
        """Write what they remember; where that fails they begin anew at the next start, and the log says so."""
        memories = {
            one.config.name: _Memory(one.judge.save(now), one.pipeline.gatherer.guard.save()) for one in pipelines
        }
        body = msgspec.msgpack.encode(memories)
        try:
            write_atomically(self._path, sha256(body).digest() + body)
        except EnvironmentFault as error:
            log.error("alarms and reports could not be saved and begin anew after the restart: %s", error)

    def _count_damaged(self) -> None:
        self.damaged += 1
        log.error("%s is damaged; alarms and reports begin anew", self._path)
