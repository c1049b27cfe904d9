"""How the link to the broker is and has been."""

from __future__ import annotations

from typing import Literal

import msgspec


class LinkHealth(msgspec.Struct, frozen=True):
    """What the connection knows about itself.

    Attributes:
        connected: Whether the broker has accepted this client and the link is not known to be broken.
        connects: Successful connects since start.
        disconnects: Links lost since start.
        last_reason: Why the latest link ended, or why the broker or the network refused the latest attempt; null
            where nothing of the kind has happened.
        wire: Who reads and writes messages: ``split``, our own codec on paho's socket, or ``paho`` alone.
        protocol: Version of MQTT.
        in_flight: QoS 1 messages sent and not acknowledged by the broker.
        repeated: QoS 1 messages sent again after a reconnect, since start.
        duplicate_client: Whether another client with this client id throws this one out.
    """

    connected: bool
    connects: int = 0
    disconnects: int = 0
    last_reason: str | None = None
    wire: Literal["split", "paho"] = "paho"
    protocol: Literal["3.1.1", "5"] = "3.1.1"
    in_flight: int = 0
    repeated: int = 0
    duplicate_client: bool = False
