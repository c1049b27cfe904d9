"""A small MQTT broker inside this process, for the demo and for tests on machines without one; the amqtt door."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
import weakref
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from edge_runtime.errors import EnvironmentFault

try:
    from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter
    from amqtt.broker import Broker
    from amqtt.errors import AMQTTError
except ImportError as import_error:
    raise EnvironmentFault(
        "E-DEMO-BROKER-MISSING",
        f"the embedded broker needs the library amqtt, which cannot be imported: {import_error}",
        "pip install 'edgeopt[demo]'",
    ) from import_error

HOST = "127.0.0.1"

_LOGGER = "amqtt"
_LISTENER = "default"
_CONFIG = {
    # "external": the socket is ours, so its port is known before the first client and free again after the last.
    "listeners": {_LISTENER: {"type": "external"}},
    "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
}
_PATIENCE_SECONDS = 10.0
_SHUTDOWN_SECONDS = 1.0
_ACCEPT_SECONDS = 0.01


class EmbeddedBroker:
    """An anonymous MQTT 3.1.1 broker on a loopback port, in a thread with its own event loop.

    It keeps everything in memory, so a broker that was stopped has forgotten its retained messages and sessions. Not
    meant for production: no authentication, no encryption, no limits. One oddity of amqtt: a client that connects is
    also sent retained messages that other clients have subscribed to.

    Args:
        port: TCP port; 0 takes a free one.

    Attributes:
        port: The port in use; stays the same when the broker is stopped and started again.
    """

    def __init__(self, *, port: int = 0) -> None:
        self.port = port
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._failure: Exception | None = None
        _keep_quiet()

    def __enter__(self) -> EmbeddedBroker:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start and return once clients can connect.

        Raises:
            EnvironmentFault: E-DEMO-BROKER-START, the port is taken or the broker failed while starting.
        """
        ready = threading.Event()
        self._failure, self._stop = None, asyncio.Event()
        try:
            listener = socket.create_server((HOST, self.port))
        except OSError as error:
            raise self._not_started(error) from error
        self.port = listener.getsockname()[1]
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(listener, ready)), name="embedded-broker", daemon=True
        )
        self._thread.start()
        if not ready.wait(_PATIENCE_SECONDS) or self._failure:
            raise self._not_started(self._failure or "it does not answer") from self._failure

    def stop(self) -> None:
        """Drop all clients, as a broker that is killed would, and free the port; harmless when not running."""
        if self._thread is None:
            return
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_PATIENCE_SECONDS)
        self._thread = self._loop = None

    async def _serve(self, listener: socket.socket, ready: threading.Event) -> None:
        broker = Broker(_CONFIG)
        clients: weakref.WeakSet[asyncio.StreamWriter] = weakref.WeakSet()
        handlers: set[asyncio.Future[None]] = set()  # the loop itself keeps only weak references to them

        def serve_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            # Not a coroutine: one that has not begun when the loop ends would leave its socket open and unknown.
            clients.add(writer)
            handler = asyncio.ensure_future(
                broker.external_connected(StreamReaderAdapter(reader), StreamWriterAdapter(writer), _LISTENER)
            )
            handlers.add(handler)
            handler.add_done_callback(handlers.discard)

        try:
            await broker.start()
        except AMQTTError as error:
            self._failure = error
            listener.close()
            ready.set()
            return
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(_note)
        ready.set()
        server = await asyncio.start_server(serve_client, sock=listener)
        await self._stop.wait()
        # asyncio forgets, and leaves open, a connection whose acceptance is under way when the server is closed.
        self._loop.remove_reader(listener)
        await asyncio.sleep(_ACCEPT_SECONDS)
        server.close()
        _cut_off(clients)
        # amqtt waits for the handler of a client that was publishing, sometimes for ever; what is left is cancelled.
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(broker.shutdown(), _SHUTDOWN_SECONDS)

    def _not_started(self, why: Exception | str) -> EnvironmentFault:
        return EnvironmentFault(
            "E-DEMO-BROKER-START",
            f"the embedded broker did not start on {HOST}:{self.port}: {why}",
            "free that port, or use a broker of your own, for instance mosquitto",
        )


def _cut_off(clients: Iterable[asyncio.StreamWriter]) -> None:
    for client in list(clients):
        client.transport.abort()


def _note(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Report among amqtt's own reports what its tasks left behind, mostly clients that were cut off."""
    logging.getLogger(_LOGGER).warning(context["message"], exc_info=context.get("exception"))


def _keep_quiet() -> None:
    """Keep amqtt's reports, one per packet, off the user's screen; a failure to start is an exception all the same."""
    logger = logging.getLogger(_LOGGER)
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
