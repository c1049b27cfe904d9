"""The Dask door: an existing cluster as a standard executor (extra `dask`)."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from edge_runtime.errors import EnvironmentFault

_PATIENCE = "10s"


class Cluster(Executor):
    """A running Dask cluster as an executor; shutting it down leaves the cluster running.

    Args:
        address: ``dask://HOST:PORT`` of the scheduler.

    Raises:
        EnvironmentFault: E-INSTALL-EXTRA, the library is missing; E-EXECUTOR-LOST, nothing answers there.
    """

    def __init__(self, address: str) -> None:
        try:
            distributed: Any = importlib.import_module("distributed")
        except ImportError as error:
            raise EnvironmentFault(
                "E-INSTALL-EXTRA", "--executor dask:// needs Dask", "pip install 'edgeopt[dask]'"
            ) from error
        scheduler = address.replace("dask://", "tcp://", 1)
        try:
            self._client = distributed.Client(scheduler, timeout=_PATIENCE, set_as_default=False)
        except (OSError, ValueError) as error:
            raise EnvironmentFault(
                "E-EXECUTOR-LOST",
                f"no Dask scheduler answers at {scheduler}",
                "start one with `dask scheduler`, or use --executor local",
            ) from error
        self._executor = self._client.get_executor(pure=False)  # a task that was retried is not a new one

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Hand one task to the cluster; the future is the standard one."""
        future: Future[Any] = self._executor.submit(function, *arguments, **named)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for what was handed out and leave the cluster."""
        self._executor.shutdown(wait=wait)
        self._client.close()
