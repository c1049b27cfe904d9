"""Which wire is used: the fast one where its hook into paho is seen to work, else paho's public interface."""

from __future__ import annotations

import functools
import logging
import select
import socket
from collections.abc import Sequence

from edge_runtime.messaging.broker import Broker
from edge_runtime.messaging.message import Message, Outgoing
from edge_runtime.messaging.paho_wire import PahoWire
from edge_runtime.messaging.split_wire import SplitWire
from edge_runtime.messaging.wire import ProtocolVersion, Session, Wire

log = logging.getLogger(__name__)

_HOST = "127.0.0.1"
_PATIENCE_SECONDS = 2.0
_CONNACK = b"\x20\x02\x00\x00"
_READING = b"\x30\x05\x00\x01tok"  # PUBLISH at QoS 0: topic "t", payload "ok"
_PUBACK = b"\x40\x02\x80\x00"


def make_wire(broker: Broker, session: Session, protocol: ProtocolVersion) -> Wire:
    """Return a wire, not opened."""
    if fault_of_split() is None:
        return SplitWire(broker, session, protocol)
    return PahoWire(broker, session, protocol)


@functools.cache
def fault_of_split() -> str | None:
    """Return why the fast wire does not work with the installed paho, None where it does; tried once per process.

    It connects to a listener of its own, which accepts, sends a message and acknowledges one: some milliseconds.
    """
    try:
        fault = _try_split()
    except (AttributeError, TypeError, ValueError, RuntimeError, OSError) as error:
        fault = f"{type(error).__name__}: {error}"
    if fault is not None:
        log.warning("messages go through paho itself, which costs more: its socket cannot be replaced (%s)", fault)
    return fault


class _Ledger:
    """A supply that only remembers what was settled."""

    def __init__(self) -> None:
        self.settled: list[int] = []

    def take(self, room: int) -> Sequence[Outgoing]:
        """Return nothing."""
        return []

    def settle(self, tickets: Sequence[int]) -> None:
        """Remember."""
        self.settled += tickets

    def lose(self, tickets: Sequence[int]) -> None:
        """Have nothing to lose: all is QoS 1."""


def _try_split() -> str | None:
    ledger = _Ledger()
    with socket.create_server((_HOST, 0)) as listener:
        listener.settimeout(_PATIENCE_SECONDS)
        wire = SplitWire(Broker(_HOST, listener.getsockname()[1]), Session("self-check"), "3.1.1")
        try:
            wire.open()
            peer, _ = listener.accept()
            with peer:
                peer.settimeout(_PATIENCE_SECONDS)
                received = _converse(wire, peer, ledger)
        finally:
            wire.close(goodbye=False)
    if wire.answer is None or not wire.answer.accepted:
        return "paho does not get its own packets"
    if [message.payload for message in received] != [b"ok"] or ledger.settled != [1]:
        return "messages do not pass paho by"
    return None


def _converse(wire: SplitWire, peer: socket.socket, ledger: _Ledger) -> list[Message]:
    """Play the broker: accept, take one message, acknowledge it and send one."""
    peer.recv(1024)
    peer.sendall(_CONNACK)
    received = _drained(wire)
    wire.send([Outgoing("t", b"ok", qos=1, ticket=1)], ledger)
    wire.flush()
    peer.recv(1024)
    peer.sendall(_READING + _PUBACK)
    return received + _drained(wire)


def _drained(wire: SplitWire) -> list[Message]:
    select.select([wire], [], [], _PATIENCE_SECONDS)
    return wire.drain()
