"""What the outbox keeps on disk, and what it says when something had to go."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterable

import msgspec

# What SQLite adds to a row: its id, the header of its record, sequence, time, checksum and its place in the page.
ROW_OVERHEAD = 48
_TICKETS_PER_SECOND = 1 << 20


class Row(msgspec.Struct, frozen=True, gc=False):
    """One prediction on disk, with all that is needed to send it without anything else.

    Attributes:
        ticket: Its id in its pipeline's table; rows were put in in this order.
        stream: As in `Entry`.
        boot: The run of the daemon that made it.
        sequence: As in `Entry`.
        topic: As in `Entry`.
        payload: As in `Entry`.
        at: Seconds since 1970 when it was put in, by this device's clock: for its age only, never for order.
    """

    ticket: int
    stream: str
    boot: str
    sequence: int
    topic: str
    payload: bytes
    at: int


class Change(msgspec.Struct):
    """One transaction's share of one pipeline; what is to be deleted goes before what is inserted.

    Attributes:
        pipeline: Pipeline name.
        rows: What is inserted, or replaced where the ticket is there.
        deletes: Tickets of what is deleted.
        settled: Those of them that may go alone, where there is no room for the rows.
    """

    pipeline: str
    rows: list[Row] = []
    deletes: list[int] = []
    settled: list[int] = []


class Contents(msgspec.Struct, frozen=True):
    """What a pipeline has on disk: number of rows, their `cost` together, and the highest ticket."""

    rows: int = 0
    bytes: int = 0
    last: int = 0


class Gap(msgspec.Struct, frozen=True):
    """Predictions that were accepted and will never come.

    Attributes:
        pipeline: Pipeline name.
        stream: Stream name; empty where damage on disk left nothing to tell it by.
        boot: The run of the daemon they were of.
        first: The first sequence number that is missing.
        last: The last one; all between are missing as well.
        reason: ``bound_oldest``, ``bound_decimated``, ``memory_full`` or ``corrupt``.
    """

    pipeline: str
    stream: str
    boot: str
    first: int
    last: int
    reason: str


def ticket_base() -> int:
    """Return a ticket above all that were given before, as far as the clock is right.

    An empty file begins there, not at 1, so that a row which damage brings back from an unused page is no newer one.
    """
    return int(time.time()) * _TICKETS_PER_SECOND


def checksum(pipeline: str, row: Row) -> int:
    """Return the CRC-32 over all that a row says, its place in the file apart."""
    named = f"{pipeline}\0{row.stream}\0{row.boot}\0{row.sequence}\0{row.topic}\0{row.at}\0".encode()
    return zlib.crc32(row.payload, zlib.crc32(named))


def cost(pipeline: str, row: Row) -> int:
    """Return the bytes that a row takes in the file, to within a few."""
    return len(row.payload) + len(pipeline) + len(row.stream) + len(row.boot) + len(row.topic) + ROW_OVERHEAD


def gaps_of(pipeline: str, lost: Iterable[tuple[str, str, int]], reason: str) -> list[Gap]:
    """Return as few gaps as cover exactly these (stream, boot, sequence)."""
    gaps: list[Gap] = []
    for stream, boot, sequence in sorted(lost):
        latest = gaps[-1] if gaps else None
        if latest and (latest.stream, latest.boot) == (stream, boot) and sequence <= latest.last + 1:
            gaps[-1] = msgspec.structs.replace(latest, last=sequence)
        else:
            gaps.append(Gap(pipeline, stream, boot, sequence, sequence, reason))
    return gaps
