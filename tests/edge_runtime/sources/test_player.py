"""A playback never claims more than the broker has acknowledged."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edge_runtime.errors import EnvironmentFault
from edge_runtime.messaging.broker import Broker
from edge_runtime.messaging.connection import Connection, Session
from edge_runtime.messaging.embedded_broker import HOST, EmbeddedBroker
from edge_runtime.sources import playback
from edge_runtime.sources.playback import Pace, Player


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    """Return a running broker."""
    with EmbeddedBroker() as one:
        yield one


@pytest.fixture
def connection(broker: EmbeddedBroker) -> Iterator[Connection]:
    """Return a connection to it."""
    one = Connection(Broker(HOST, broker.port), Session(client_id="player"))
    one.start()
    yield one
    one.stop()


def items(broker: EmbeddedBroker, stop_after: int) -> Iterator[tuple[str, bytes]]:
    """Yield messages without end; the broker goes away for good in their middle."""
    number = 0
    while True:
        if number == stop_after:
            broker.stop()
        yield "x", b"%d" % number
        number += 1


def test_what_was_played_is_acknowledged(connection: Connection) -> None:
    """When play returns, nothing is open."""
    played = Player(connection, Pace(0), qos=1).play([("x", b"1")] * 300)
    assert played.messages == 300
    assert connection.unacknowledged() == 0


def test_rows_longer_than_the_queue_together_are_all_played(connection: Connection) -> None:
    """A full queue makes the playback wait, not fail."""
    payload = b"x" * 1_000_000
    assert Player(connection, Pace(0), qos=1).play([("x", payload)] * 100).messages == 100


@pytest.mark.parametrize(("qos", "why"), [(0, "takes no more messages"), (1, "no acknowledgement for")])
def test_a_broker_that_stays_away_ends_it_with_the_count(
    broker: EmbeddedBroker, connection: Connection, monkeypatch: pytest.MonkeyPatch, qos: int, why: str
) -> None:
    """Without acknowledgements it waits, but not for ever; without a connection QoS 0 cannot go on."""
    monkeypatch.setattr(playback, "PATIENCE_SECONDS", 0.5)
    player = Player(connection, Pace(1000), qos)
    with pytest.raises(EnvironmentFault) as caught:
        player.play(items(broker, stop_after=20))
    assert caught.value.code == "E-REPLAY-BROKER"
    assert why in caught.value.message
    assert f"{player.sent} messages were sent" in caught.value.message
