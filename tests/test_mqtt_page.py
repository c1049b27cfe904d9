"""docs/mqtt.md against the code: every field and reason is explained, and the examples are what the code writes."""

from __future__ import annotations

import re
import typing
from pathlib import Path

import msgspec
import pytest

from edge_runtime.messaging.json_payload import Prediction, Status
from edge_runtime.messaging.link_health import LinkHealth
from edge_runtime.messaging.outbox.contract import OutboxHealth
from edge_runtime.monitoring.health import DaemonHealth, PipelineHealth
from edge_runtime.monitoring.last_error import LastError
from edge_runtime.monitoring.machine import MachineHealth
from edge_runtime.stream.decode import Rejection

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "mqtt.md").read_text(encoding="utf-8")
EXAMPLES = [text for text in re.findall(r"```json\n(.*?)\n```", PAGE, re.DOTALL) if '"v"' in text]


@pytest.mark.parametrize(
    "message",
    [Status, Prediction, DaemonHealth, PipelineHealth, LinkHealth, MachineHealth, OutboxHealth, LastError],
    ids=lambda m: m.__name__,
)
def test_every_field_is_explained(message: type[msgspec.Struct]) -> None:
    """Each key a subscriber can meet stands on the page."""
    assert [
        field.encode_name for field in msgspec.structs.fields(message) if f"`{field.encode_name}`" not in PAGE
    ] == []


def test_every_reason_is_explained() -> None:
    """Each reason under which a reading can be counted stands on the page."""
    assert [reason for reason in typing.get_args(Rejection) if f"`{reason}`" not in PAGE] == []


@pytest.mark.parametrize(("example", "message"), list(zip(EXAMPLES, (Status, Prediction, DaemonHealth), strict=True)))
def test_examples_are_what_the_code_writes(example: str, message: type[msgspec.Struct]) -> None:
    """Decoded and written again, an example has the same keys and values."""
    decoded = msgspec.json.decode(example, type=message)
    assert msgspec.json.decode(msgspec.json.encode(decoded)) == msgspec.json.decode(example)
