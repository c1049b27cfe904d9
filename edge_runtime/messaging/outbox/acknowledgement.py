"""What a subscriber says on the acknowledgement topic."""

from __future__ import annotations

import msgspec


class Ack(msgspec.Struct, frozen=True):
    """The subscriber has everything of a stream up to `seq`, gaps it was told of apart.

    Attributes:
        pipeline: Pipeline name.
        stream: Stream name.
        boot: The run of the daemon that numbered it.
        seq: The last sequence number before which nothing is missing.
    """

    pipeline: str
    stream: str
    boot: str
    seq: int


class _Message(msgspec.Struct):
    acks: list[Ack]


_decoder = msgspec.json.Decoder(_Message)


def acks_in(payload: bytes) -> list[Ack] | None:
    """Return the acknowledgements in a message, None where it is none."""
    try:
        return _decoder.decode(payload).acks
    except msgspec.MsgspecError:
        return None
