"""The page for people."""

from __future__ import annotations

import evidence
import msgspec

from edge_runtime.messaging.outbox.contract import OutboxHealth
from edge_runtime.monitoring.last_error import LastError
from edge_runtime.monitoring.machine import MachineHealth
from edge_runtime.monitoring.status_page import last_words, page


def test_a_daemon_that_is_well_has_a_short_page() -> None:
    """The state stands first, and nothing is asked of the reader."""
    said = page(evidence.daemon())
    assert said.startswith("OK  running for 60.0 min")
    assert "connected, MQTT 3.1.1" in said
    assert "needs a look" not in said
    assert len(said.splitlines()) < 15


def test_what_is_wrong_comes_last_with_what_to_do() -> None:
    """Reasons are numbered; losses, the outbox and the last error are shown; what is unknown is not made up."""
    outbox = OutboxHealth(stored=12, bytes=5 << 20, bound_bytes=256 << 20, minutes_left=30.0, dropped={"evicted": 2})
    one = evidence.pipeline(rejected={"not_json": 4}, dropped={"queue_full": 5}, outbox=outbox, inference_ms_p50=None)
    said = page(
        evidence.daemon(
            state="degraded",
            reasons=("bearing: 7 lost in the last minute: look",),
            machine=MachineHealth("Raspberry Pi 4", False, 61.4, ("under-voltage",)),
            pipelines={"bearing": one},
            errors=3,
            last_error=LastError("E-FILE-WRITE", "E-FILE-WRITE: no room", "2026-01-31T12:00:00.000Z"),
        )
    )
    assert said.startswith("DEGRADED")
    for words in (
        "  1. bearing: 7 lost in the last minute: look\n",
        "Raspberry Pi 4, 61 degrees C, under-voltage, clock NOT KEPT RIGHT",
        "0 in memory, 12 on disk, delivered 0, 5 MiB of 256 MiB, full in 30.0 min",
        "rejected  4 not_json",
        "lost      5 queue_full, 2 evicted",
        "nothing measured yet",
        "Last of 3 errors",
    ):
        assert words in said, said


def test_the_last_word_of_a_daemon_that_stopped() -> None:
    """One sentence; a message of another version is said to be that."""
    stopped = msgspec.json.encode(evidence.daemon(state="degraded", reasons=("the clock is wrong",)))
    assert last_words(stopped) == (
        "its last word, 2026-01-31T12:00:00.000Z, after 60.0 min: degraded (the clock is wrong)"
    )
    assert "another version" in last_words(b"{}")
