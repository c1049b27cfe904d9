"""How the link to the broker is, and what has become of it."""

from __future__ import annotations

from typing import Literal

import msgspec

from edge_runtime.messaging.wire import Loss, ProtocolVersion


class LinkHealth(msgspec.Struct, frozen=True):
    """How the link to the broker is.

    Attributes:
        connected: Whether the broker has accepted this client and the link is not known to be broken.
        wire: What carries messages: "split" past paho, or "paho" itself where its socket cannot be replaced.
        wire_fault: Why it is "paho".
        protocol: MQTT version spoken.
        connects: Connections since the start.
        disconnects: Connections lost since the start.
        last_reason: Why the latest connection was lost, or could not be made, in words.
        refused: The broker's words if it refused the latest attempt.
        in_flight: Messages sent and not acknowledged (QoS 1), or taken and not written (QoS 0).
        repeated: QoS 1 messages sent once more after a reconnect.
        unsent: QoS 0 messages that were lost with their connection before they were written.
        rejected: QoS 1 messages that the broker acknowledged and refused, by its reason (MQTT 5).
        faults: Connections ended for what the broker sent, by fault.
        duplicate_client: Whether another client seems to have this one's identifier.
    """

    connected: bool
    wire: Literal["split", "paho"]
    wire_fault: str | None
    protocol: ProtocolVersion
    connects: int
    disconnects: int
    last_reason: str | None
    refused: str | None
    in_flight: int
    repeated: int
    unsent: int
    rejected: dict[str, int]
    faults: dict[str, int]
    duplicate_client: bool


class LinkRecord:
    """What has become of a link; written by the network thread only.

    Attributes:
        connects: Connections since the start.
        disconnects: Connections lost.
        last_reason: Why the latest one was lost, or could not be made.
        refused: The broker's words if it refused the latest attempt.
        faults: Connections ended for what the broker sent, by fault.
        failing: Whether the latest attempt failed.
    """

    def __init__(self) -> None:
        self.connects = self.disconnects = 0
        self.last_reason: str | None = None
        self.refused: str | None = None
        self.faults: dict[str, int] = {}
        self.failing = False

    def up(self) -> None:
        """Note that the broker has accepted."""
        self.connects += 1
        self.refused = None
        self.failing = False

    def lost(self, loss: Loss) -> None:
        """Note that an accepted connection has ended."""
        self.disconnects += 1
        self.last_reason = loss.words
        self.count_fault(loss)

    def failed(self, reason: str, refused: str | None) -> None:
        """Note that an attempt has failed, and the broker's words where it was the broker that refused."""
        self.last_reason, self.refused, self.failing = reason, refused, True

    def count_fault(self, loss: Loss | None) -> None:
        """Count what ended a connection if it was the broker's fault."""
        if loss is not None and loss.kind is not None:
            self.faults[loss.kind] = self.faults.get(loss.kind, 0) + 1
