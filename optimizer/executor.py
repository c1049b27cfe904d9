"""Where independent pieces of work run: here, in processes of this machine, or on a Dask cluster of the user's.

Only work whose result does not depend on where it ran is handed out: building and judging forms. Times are always
taken by one process, alone, on the machine they are for.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

from edge_runtime.errors import BadInput, EnvironmentFault
from optimizer.processes import Processes

Common = TypeVar("Common")
Item = TypeVar("Item")
Answer = TypeVar("Answer")

Ticks: TypeAlias = Callable[[int, int], None]  # (done, in all)

LOCAL, INLINE, DASK = "local", "inline", "dask://"
_WORTH_PROCESSES = 3.0  # seconds of work left; below, starting processes that import onnxruntime costs more


def silent(done: int, total: int) -> None:
    """Tell nobody."""


class Workers:
    """A way to run the same function over many items; answers come back in the items' order.

    Args:
        start: Makes the executor when it is first worth it; None runs everything in this process.
        eager: Whether to hand out the first item as well (another machine's time costs us nothing).
    """

    def __init__(self, start: Callable[[], Executor] | None = None, *, eager: bool = False) -> None:
        self._start, self._eager = start, eager
        self._executor: Executor | None = None

    def map(
        self,
        function: Callable[[Common, Item], Answer],
        common: Common,
        items: Sequence[Item],
        progress: Ticks = silent,
    ) -> list[Answer]:
        """Return ``function(common, item)`` for each item.

        Args:
            function: A function of a module, so that it can be sent to another process.
            common: What all items share; it is sent once per chunk of items, not once per item.
            items: The work.
            progress: Called with (items done, items in all).

        Raises:
            EnvironmentFault: E-EXECUTOR-LOST, a process or the cluster went away.
        """
        answers: list[Answer] = []
        begun = time.monotonic()
        while len(answers) < len(items) and not self._is_worth_it(len(answers), len(items), time.monotonic() - begun):
            answers.append(function(common, items[len(answers)]))
            progress(len(answers), len(items))
        for part in self._spread(function, common, items[len(answers) :]):
            answers.extend(part)
            progress(len(answers), len(items))
        return answers

    def close(self, *, at_once: bool = False) -> None:
        """End the processes, or the connection to the cluster; `at_once` drops the work they are at."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=at_once)
            self._executor = None

    def _is_worth_it(self, done: int, total: int, seconds: float) -> bool:
        """Tell whether what is left should be handed out, from what was done here so far and how long it took."""
        if self._start is None:
            return False
        if self._eager or self._executor is not None:
            return True
        return done > 0 and seconds / done * (total - done) > _WORTH_PROCESSES

    def _spread(
        self, function: Callable[[Common, Item], Answer], common: Common, items: Sequence[Item]
    ) -> Iterator[list[Answer]]:
        if not items or self._start is None:
            return
        self._executor = self._executor or self._start()
        size = max(1, -(-len(items) // (4 * (os.cpu_count() or 1))))
        chunks = [items[start : start + size] for start in range(0, len(items), size)]
        try:
            futures = [self._executor.submit(_run_chunk, function, common, chunk) for chunk in chunks]
            for future in futures:
                yield future.result()
        except (BrokenExecutor, OSError) as error:
            raise _lost(str(error)) from error


def _run_chunk(function: Callable[[Any, Any], Any], common: Any, items: Sequence[Any]) -> list[Any]:
    return [function(common, item) for item in items]


@contextmanager
def opened(spec: str) -> Iterator[Workers]:
    """Yield the workers a user named: ``local`` (processes here), ``inline`` or ``dask://HOST:PORT``.

    Raises:
        BadInput: E-EXECUTOR-UNKNOWN.
        EnvironmentFault: E-INSTALL-EXTRA, E-EXECUTOR-LOST.
    """
    workers = _workers(spec)
    done = False
    try:
        yield workers
        done = True
    finally:
        workers.close(at_once=not done)  # an error or Ctrl-C: nobody waits for what was handed out


def _workers(spec: str) -> Workers:
    if spec == INLINE:
        return Workers()
    if spec == LOCAL:
        return Workers(Processes)
    if spec.startswith(DASK):
        from optimizer import dask_cluster  # noqa: PLC0415 - only who has a cluster has the library

        return Workers(lambda: dask_cluster.Cluster(spec), eager=True)
    raise BadInput(
        "E-EXECUTOR-UNKNOWN", f"there is no executor {spec}", "use --executor local, inline or dask://HOST:8786"
    )


def _lost(why: str) -> EnvironmentFault:
    return EnvironmentFault(
        "E-EXECUTOR-LOST",
        f"the processes that judged forms went away: {why or 'no reason given'}",
        "run the command again: what was finished is in the cache; or use --executor inline",
    )
