"""Reads rows out of a damaged outbox: every page that looks like one with rows, every row whose checksum is right.

SQLite itself gives up at the first page that makes no sense, and ends a damaged write-ahead log silently at the first
frame whose checksum is wrong. Here each page stands alone (https://www.sqlite.org/fileformat2.html, sections 1.6, 2.1
and 4.1), so what is lost is what was hit. A deleted row whose page was not used again may come back: it is sent once
more, with the number it had, rather than never.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from edge_runtime.messaging.outbox.row import Row, checksum

PAGE = 4096

_LOG_HEADER, _FRAME_HEADER = 32, 24
_LEAF = 0x0D
_FIXED_SIZES = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 8: 0, 9: 0}
_WORD = 0xFFFFFFFF


def salvage(database: Path, log: Path) -> Iterator[tuple[str, Row]]:
    """Yield (pipeline, row) for every row that can be read from a database and its write-ahead log.

    A row may come several times; those that come later are newer.
    """
    logged = [(number, page) for number, page, _ in _frames(_bytes_of(log))]
    latest = dict(logged)
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(database.open("rb")) if database.exists() else io.BytesIO()

        def page_at(number: int) -> bytes:
            return latest[number] if number in latest else _read_page(file, number)

        for number, page in itertools.chain(_database_pages(file), logged):
            for ticket, values in _records(page, 100 if number == 1 else 0, page_at):
                found = _row(ticket, values)
                if found is not None:
                    yield found


def log_is_damaged(log: Path) -> bool:
    """Tell whether a write-ahead log holds frames that SQLite will pass over because a checksum is wrong.

    After a power cut in the middle of a transaction it may say so as well: then nothing but time is lost.
    """
    data = _bytes_of(log)
    if len(data) < _LOG_HEADER + _FRAME_HEADER + PAGE:
        return False
    order = ">" if data[3] & 1 else "<"
    state = _summed(data[:24], (0, 0), order)
    if state != struct.unpack(">II", data[24:32]):
        return True
    for _, page, header in _frames(data):
        state = _summed(page, _summed(header[:8], state, order), order)
        if state != struct.unpack(">II", header[16:24]):
            return True
    return False


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _database_pages(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    for number in itertools.count(1):
        page = _read_page(file, number)
        if not page:
            return
        yield number, page.ljust(PAGE, b"\0")


def _read_page(file: BinaryIO, number: int) -> bytes:
    if number < 1:
        return b""
    file.seek((number - 1) * PAGE)
    return file.read(PAGE)


def _frames(log: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield (page number, page, frame header) of each whole frame of this log's own run."""
    for start in range(_LOG_HEADER, len(log) - _FRAME_HEADER - PAGE + 1, _FRAME_HEADER + PAGE):
        header = log[start : start + _FRAME_HEADER]
        body = log[start + _FRAME_HEADER : start + _FRAME_HEADER + PAGE]
        yield int.from_bytes(header[:4], "big"), body, header


def _summed(data: bytes, state: tuple[int, int], order: str) -> tuple[int, int]:
    first, second = state
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & _WORD
        second = (second + odd + first) & _WORD
    return first, second


def _records(page: bytes, start: int, page_at: Callable[[int], bytes]) -> Iterator[tuple[int, list[object]]]:
    """Yield (row id, values) of a leaf page of a table, as far as they make sense."""
    if page[start] != _LEAF:
        return
    cells = int.from_bytes(page[start + 3 : start + 5], "big")
    for index in range(min(cells, PAGE // 4)):
        place = start + 8 + 2 * index
        try:
            offset = int.from_bytes(page[place : place + 2], "big")
            size, offset = _varint(page, offset)
            ticket, offset = _varint(page, offset)
            yield ticket, _values(_whole(page, offset, size, page_at))
        except (IndexError, KeyError, ValueError):
            continue  # hit: what it was is lost, and counted by what is missing


def _whole(page: bytes, offset: int, size: int, page_at: Callable[[int], bytes]) -> bytes:
    """Return a record's bytes, those on overflow pages included."""
    most = PAGE - 35
    if size <= most:
        return page[offset : offset + size]
    least = (PAGE - 12) * 32 // 255 - 23
    local = least + (size - least) % (PAGE - 4)
    if local > most:
        local = least
    record = page[offset : offset + local]
    following = int.from_bytes(page[offset + local : offset + local + 4], "big")
    while len(record) < size:
        more = page_at(following)
        if len(more) < PAGE or not following:
            raise ValueError("a chain of pages that ends too soon")
        following = int.from_bytes(more[:4], "big")
        record += more[4 : 4 + size - len(record)]
    return record


def _values(record: bytes) -> list[object]:
    header_size, offset = _varint(record, 0)
    kinds = []
    while offset < header_size:
        kind, offset = _varint(record, offset)
        kinds.append(kind)
    values: list[object] = []
    for kind in kinds:
        size = _FIXED_SIZES[kind] if kind < 12 else (kind - 12) // 2
        raw, offset = record[offset : offset + size], offset + size
        if len(raw) != size:
            raise ValueError("a record that ends too soon")
        if kind == 0:
            values.append(None)
        elif kind >= 12:
            values.append(raw.decode() if kind % 2 else raw)
        else:
            values.append(kind - 8 if kind in {8, 9} else int.from_bytes(raw, "big", signed=True))
    return values


def _varint(data: bytes, offset: int) -> tuple[int, int]:
    value = 0
    for index in range(8):
        byte = data[offset + index]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, offset + index + 1
    return value << 8 | data[offset + 8], offset + 9


def _row(ticket: int, values: list[object]) -> tuple[str, Row] | None:
    match values:  # the id is the row's own number, and NULL in the record
        case [None, str(name), str(stream), str(boot), int(sequence), str(topic), bytes(payload), int(at), int(crc)]:
            row = Row(ticket, stream, boot, sequence, topic, payload, at)
            return (name, row) if checksum(name, row) == crc else None
    return None
