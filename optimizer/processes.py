"""Processes of this machine that live no longer than the one they work for, however that ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from multiprocessing.connection import Connection
from typing import Any


class Processes(Executor):
    """As many processes as there are cores.

    Each holds the reading end of a pipe and ends when the writing end closes. Only we hold that, so it closes with us,
    also where we are killed; a pool of the standard library would wait forever for work from a process that is gone.
    Ctrl-C reaches every process of a terminal: theirs is blocked, ending them is up to us.
    """

    def __init__(self) -> None:
        # Not fork: onnxruntime has threads, and a forked child would wait for locks that nobody holds any more.
        context = multiprocessing.get_context("spawn")
        watched, self._lifeline = context.Pipe(duplex=False)
        self._pool = ProcessPoolExecutor(os.cpu_count() or 1, context, initializer=_live_with, initargs=(watched,))

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Hand out one task; the first ones start the processes, which inherit the blocked signal."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return self._pool.submit(function, *arguments, **named)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes: when their work is done, or at once where it is cancelled."""
        if cancel_futures:
            self._lifeline.close()
        self._pool.shutdown(wait=wait, cancel_futures=cancel_futures)
        self._lifeline.close()


def _live_with(lifeline: Connection) -> None:
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: Connection) -> None:
    lifeline.poll(None)  # nothing is ever sent: this returns when the other end is closed
    os._exit(1)
