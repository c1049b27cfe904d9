"""Saves the windows between start and stop, off the workers' path."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from edge_runtime.stream.window import AnyTail, Windows
from edge_runtime.window_store import WindowStore

_PATIENCE = 30.0  # seconds; a worker that takes longer to come by is saved as it was last
_STREAMS_AT_ONCE = 256  # copied between two readings, so that many assets do not hold a worker up
_BYTES_PER_SECOND = 10 * 1024  # at most, over time: less than 1 GB a day for a card that bears some hundred of them

_Copy: TypeAlias = list[tuple[str, AnyTail]]


class WindowSaver:
    """Asks each worker for a copy of its windows now and then, and writes them.

    Args:
        store: The file.
        every: Seconds from one save to the next; more where that would wear out a memory card.
        pipelines: The workers' names.
        supervise: Runs the thread's loop and sees to errors nobody foresaw.
    """

    def __init__(
        self,
        store: WindowStore,
        every: float,
        pipelines: Iterable[str],
        supervise: Callable[[Callable[[], None]], None],
    ) -> None:
        self._store, self._every, self._pipelines = store, every, frozenset(pipelines)
        self._wanted: set[str] = set()
        self._copies: dict[str, _Copy] = {}
        self._begun: dict[str, tuple[_Copy, Iterator[_Copy]]] = {}
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=supervise, args=(self._work,), name="window-saver", daemon=True)

    def start(self) -> None:
        """Begin to save."""
        self._thread.start()

    def stop(self) -> None:
        """End, the save in hand included."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join()

    def offer(self, pipeline: str, windows: Windows) -> None:
        """Take a copy if it is time for one, in parts; called by the worker between two readings, also when none comes.

        Each stream is copied at one moment, not all of them at the same.
        """
        if pipeline not in self._wanted:
            return
        if pipeline not in self._begun:
            self._begun[pipeline] = ([], windows.tails_in_parts(_STREAMS_AT_ONCE))
        copy, parts = self._begun[pipeline]
        part = next(parts, None)
        if part is not None:
            copy.extend(part)
            return
        del self._begun[pipeline]
        with self._changed:
            self._copies[pipeline] = copy
            self._wanted.discard(pipeline)
            self._changed.notify_all()

    def _work(self) -> None:
        pause = self._every
        while not self._stopped_within(pause):
            self._wanted = set(self._pipelines)
            with self._changed:
                self._changed.wait_for(lambda: not self._wanted or self._stopped, _PATIENCE)
                copies = dict(self._copies)
            if self._stopped:
                return
            if len(copies) < len(self._pipelines):
                continue  # a file without one of them would take the place of one with it
            written = self._store.save(copies, clean=False)
            pause = max(self._every, written / _BYTES_PER_SECOND)

    def _stopped_within(self, seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._stopped, seconds)
