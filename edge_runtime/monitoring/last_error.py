"""The latest error that was logged, for health: whoever reads that has no access to the log."""

from __future__ import annotations

import logging
import re

import msgspec

from edge_runtime.messaging.json_payload import rfc3339

_CODE = re.compile(r"\bE(?:-[A-Z0-9]+)+\b")
_LONGEST = 500  # characters: the message must stay small, whatever a library has to say


class LastError(msgspec.Struct, frozen=True):
    """An error.

    Attributes:
        code: Its stable code, null for one that has none.
        text: What happened.
        ts: When, RFC 3339 UTC.
    """

    code: str | None
    text: str
    ts: str


class ErrorNotes(logging.Handler):
    """Keeps the latest record of level ERROR and counts them all.

    Attributes:
        count: Errors logged so far.
        last: The latest, None before the first.
    """

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.count = 0
        self.last: LastError | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Note a record; called by the logging module, one record at a time."""
        text = record.getMessage()
        code = _CODE.search(text)
        self.count += 1
        self.last = LastError(code.group() if code else None, text[:_LONGEST], rfc3339(record.created))
