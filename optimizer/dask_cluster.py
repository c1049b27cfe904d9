"""The Dask door: an existing cluster as a standard executor (extra `dask`)."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from functools import partial
from typing import Any

from edge_runtime.errors import EdgeoptError, EnvironmentFault
from optimizer.tools import conditions

_PATIENCE = "10s"


class Cluster(Executor):
    """A running Dask cluster as an executor; shutting it down leaves the cluster running.

    Args:
        address: ``dask://HOST:PORT`` of the scheduler.

    Raises:
        EnvironmentFault: E-INSTALL-EXTRA, the library is missing; E-EXECUTOR-LOST, nothing answers there or no worker
            is there; E-EXECUTOR-DIFFERS, a worker would compute something else than this machine.
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
        self._own_errors = (distributed.KilledWorker, CancelledError, OSError)
        try:
            self._client.wait_for_workers(1, timeout=_PATIENCE)
            self._check_alike(scheduler)
        except TimeoutError as error:
            self._client.close()
            raise EnvironmentFault(
                "E-EXECUTOR-LOST",
                f"the Dask scheduler at {scheduler} has no workers",
                f"start some with `dask worker {scheduler}`, or use --executor local",
            ) from error
        except EnvironmentFault:
            self._client.close()
            raise

    def _check_alike(self, scheduler: str) -> None:
        """Refuse workers whose kernels or tools are others: the same input would give other bytes."""
        own = conditions()
        for worker, answer in self._client.run(conditions, on_error="return").items():
            if not isinstance(answer, dict):
                why = f"has no usable edgeopt ({type(answer).__name__}: {answer})"
            else:
                why = ", ".join(f"{name} {answer.get(name)}, here {own[name]}" for name in _unlike(own, answer))
            if why:
                raise EnvironmentFault(
                    "E-EXECUTOR-DIFFERS",
                    f"worker {worker} of {scheduler} is not like this machine: {why}",
                    "install the same edgeopt[dask] on machines of this kind, or use --executor local",
                )

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Hand one task to the cluster; the future is the standard one."""
        inner: Future[Any] = self._executor.submit(function, *arguments, **named)
        outer: Future[Any] = Future()
        inner.add_done_callback(partial(self._pass_on, outer))
        return outer

    def _pass_on(self, outer: Future[Any], inner: Future[Any]) -> None:
        """Hand a result on; what the cluster itself failed with becomes the standard library's word for it."""
        error = CancelledError("cancelled") if inner.cancelled() else inner.exception()
        if error is None:
            outer.set_result(inner.result())
        elif isinstance(error, self._own_errors) and not isinstance(error, EdgeoptError):
            outer.set_exception(BrokenExecutor(f"{type(error).__name__}: {error}"))
        else:
            outer.set_exception(error)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster, which goes on: when what was handed out is done, or at once where that is cancelled."""
        self._executor.shutdown(wait=wait and not cancel_futures)
        self._client.close()


def _unlike(own: dict[str, str], other: dict[str, str]) -> list[str]:
    return [name for name in own if other.get(name) != own[name]]
