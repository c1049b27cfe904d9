"""Both wires on a peer that cuts, delays, repeats and forgets: nothing is lost, and nothing comes in another order."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence

import pytest
from scripted_peer import DISCONNECT, PATIENCE, PUBCOMP, PUBREC, PUBREL, Line, Peer, Talk, packet

from edge_runtime.errors import EnvironmentFault
from edge_runtime.messaging.message import Outgoing
from edge_runtime.messaging.wire import WINDOW

pytestmark = pytest.mark.usefixtures("wire")
each_protocol = pytest.mark.parametrize("protocol", ["3.1.1", "5"])
Lines = Callable[..., Line]


class Shelf:
    """A supply with a fixed stock, that notes what is settled."""

    def __init__(self, *stock: Outgoing) -> None:
        self.stock, self.settled = list(stock), []  # type: list[Outgoing], list[int]

    def take(self, room: int) -> Sequence[Outgoing]:
        """Return the next ones."""
        taken, self.stock = self.stock[:room], self.stock[room:]
        return taken

    def settle(self, tickets: Sequence[int]) -> None:
        """Note them."""
        self.settled += tickets

    def lose(self, tickets: Sequence[int]) -> None:
        """Take it as done."""
        self.settle(tickets)


@each_protocol
def test_messages_cut_anywhere_arrive_whole_and_in_order(line: Lines, protocol: str) -> None:
    """600 messages, some of 20 KB, in pieces of 1 to 20 000 bytes; the acknowledgements come back in the same order."""
    one = line(protocol=protocol, subscriptions=[("t/#", 1)])
    sizes = random.Random(1)
    bodies = [sizes.randbytes(sizes.choice([0, 1, 100, 20_000])) for _ in range(600)]
    written = [one.talk.written(f"t/{n % 7}", body, n % 2, n + 1) for n, body in enumerate(bodies)]
    one.talk.send_in_pieces(b"".join(written), seed=2)
    received = one.wait_for(600)
    assert [(m.topic, m.payload, m.qos) for m in received] == [(f"t/{n % 7}", b, n % 2) for n, b in enumerate(bodies)]
    one.connection.acknowledge(received)
    assert one.talk.acknowledged(300) == [m.mid for m in received if m.qos]


@each_protocol
def test_what_is_not_acknowledged_is_repeated_in_order(peer: Peer, line: Lines, protocol: str) -> None:
    """A peer that never acknowledges and resets gets the same identifiers again, marked DUP, before anything new."""
    one = line(protocol=protocol, clean=False)
    for number in range(150):
        assert one.connection.publish("out", b"%d" % number)
    first = one.talk.published(WINDOW)
    one.talk.reset()
    again = peer.accept().welcome(present=True)
    repeated = again.published(WINDOW)
    assert [(p.mid, p.payload) for p in repeated] == [(p.mid, p.payload) for p in first]
    assert {p.dup for p in repeated} == {True}
    again.acknowledge([p.mid for p in repeated])
    fresh = again.published(50)
    assert [p.payload for p in (*first, *fresh)] == [b"%d" % number for number in range(150)]
    assert {p.dup for p in fresh} == {False}
    again.acknowledge([p.mid for p in fresh])
    assert one.connection.flush(PATIENCE)
    health = one.connection.health()
    assert (health.repeated, health.disconnects, health.in_flight) == (WINDOW, 1, 0)


def test_a_message_cut_off_in_its_middle_is_not_delivered(peer: Peer, line: Lines) -> None:
    """The peer closes after so many bytes; what it sends on the next connection begins anew."""
    one = line()
    whole = one.talk.written("t", b"x" * 5000)
    one.talk.send(one.talk.written("t", b"before") + whole[:3000])
    one.talk.close()
    again = peer.accept().welcome()
    again.send(whole)
    assert [len(m.payload) for m in one.wait_for(2)] == [6, 5000]


def test_acknowledgements_may_come_late_twice_in_any_order_or_not_at_all(peer: Peer, line: Lines) -> None:
    """Each message is settled once; only those whose acknowledgement got lost are repeated."""
    shelf = Shelf(*(Outgoing("out", b"%d" % n, ticket=n) for n in range(40)))
    one = line(supplies=[shelf], clean=False)
    sent = one.talk.published(40)
    mids = [p.mid for p in sent]
    one.talk.acknowledge([*reversed(mids[10:]), *mids[20:], *mids[20:]])
    one.until(lambda: len(shelf.settled) == 30)
    one.talk.close()
    again = peer.accept().welcome(present=True)
    assert [p.payload for p in again.published(10)] == [b"%d" % n for n in range(10)]
    again.acknowledge(mids[:10])
    one.until(lambda: len(shelf.settled) == 40)
    assert sorted(shelf.settled) == list(range(40))


def test_supplies_take_turns_and_states_go_first(line: Lines) -> None:
    """A state is sent although nothing is acknowledged; no supply starves; QoS 0 is settled once it is written."""
    backlog = Shelf(*(Outgoing("backlog", b"", ticket=n) for n in range(500)))
    live = Shelf(*(Outgoing("live", b"", qos=0, ticket=n) for n in range(5)))
    one = line(supplies=[backlog, live])
    sent = one.talk.published(WINDOW - 4)
    one.connection.publish_state("state", b"new")
    (state,) = one.talk.published(1)
    assert (state.topic, state.retain) == ("state", True)
    one.talk.acknowledge([p.mid for p in (*sent, state) if p.mid])
    later = one.talk.published(WINDOW - 4)
    assert sum(p.topic == "live" for p in (*sent, *later)) == 5
    one.until(lambda: live.settled == list(range(5)))


def test_messages_of_an_earlier_connection_are_not_acknowledged_on_the_next(peer: Peer, line: Lines) -> None:
    """The broker may have given the identifier to another message; a message that came again may be."""
    one = line(clean=False)
    one.talk.publish("t", b"lost", 1, 5)
    one.talk.publish("t", b"again", 1, 6)
    old = list(one.wait_for(2))
    one.talk.reset()
    again = peer.accept().welcome(present=True)
    again.publish("t", b"again", 1, 6, dup=True)
    one.wait_for(3)
    one.connection.acknowledge(old)
    again.publish("t", b"next", 1, 7)
    one.connection.acknowledge(one.wait_for(4)[3:])
    assert again.acknowledged(2) == [6, 7]


@each_protocol
def test_qos_2_comes_once_and_is_completed_when_acknowledged(line: Lines, protocol: str) -> None:
    """The four-way dialogue is paho's; the message comes with the others."""
    one = line(protocol=protocol)
    one.talk.publish("t", b"exactly", 2, 9)
    assert one.talk.read(PUBREC)[1][:2] == b"\0\x09"
    one.talk.send(packet(PUBREL, b"\0\x09", flags=2))
    received = one.wait_for(1)
    assert (received[0].payload, received[0].qos) == (b"exactly", 2)
    one.connection.acknowledge(received)
    assert one.talk.read(PUBCOMP)[1][:2] == b"\0\x09"


@pytest.mark.parametrize(
    ("protocol", "code", "error"),
    [
        ("3.1.1", 2, "E-BROKER-REJECTED"),
        ("3.1.1", 3, "E-BROKER-REJECTED"),
        ("3.1.1", 4, "E-BROKER-AUTH"),
        ("3.1.1", 5, "E-BROKER-AUTH"),
        ("5", 0x87, "E-BROKER-AUTH"),
        ("5", 0x88, "E-BROKER-REJECTED"),
    ],
)
def test_a_refusal_at_the_start_is_named(peer: Peer, line: Lines, protocol: str, code: int, error: str) -> None:
    """Each answer to CONNECT has its error."""
    one = line(protocol=protocol, welcome=False)
    peer.accept().welcome(code)
    with pytest.raises(EnvironmentFault) as caught:
        one.started.result(PATIENCE)
    assert caught.value.code == error


def test_a_refusal_later_is_shown_until_it_is_over(peer: Peer, line: Lines) -> None:
    """The health says the broker's words; the client tries again."""
    one = line()
    one.talk.close()
    peer.accept().welcome(3)
    one.until(lambda: one.connection.health().refused is not None)
    assert "unavailable" in str(one.connection.health().refused)
    peer.accept().welcome()
    one.until(lambda: one.connection.connected)
    health = one.connection.health()
    assert (health.refused, health.connects, health.disconnects) == (None, 2, 1)


def test_what_is_no_mqtt_ends_the_connection_and_is_counted(peer: Peer, line: Lines) -> None:
    """A length of five bytes does not exist; the next connection begins anew."""
    one = line()
    one.talk.send(b"\x30\xff\xff\xff\xff\x01")
    again = peer.accept().welcome()
    again.publish("t", b"well")
    assert one.wait_for(1)[0].payload == b"well"
    assert sum(one.connection.health().faults.values()) == 1


def test_the_receive_maximum_of_the_broker_is_respected(line: Lines, peer: Peer) -> None:
    """With five granted, the sixth waits for an acknowledgement (MQTT 5, section 4.9)."""
    one = line(protocol="5", welcome=False)
    talk = peer.accept().welcome(properties=b"\x21" + struct.pack("!H", 5))
    one.started.result(PATIENCE)
    for number in range(7):
        one.connection.publish("out", b"%d" % number)
    sent = talk.published(5)
    one.until(lambda: one.connection.health().in_flight == 5)
    talk.acknowledge([sent[0].mid])
    assert talk.published(1)[0].payload == b"5"


def test_a_message_that_the_broker_refuses_is_counted_by_its_reason(line: Lines) -> None:
    """MQTT 5 brokers say why in PUBACK; 3.1.1 has no words for it."""
    one = line(protocol="5")
    one.connection.publish("out", b"")
    one.talk.acknowledge([one.talk.published(1)[0].mid], reason=0x97)
    assert one.connection.flush(PATIENCE)
    one.until(lambda: one.connection.health().rejected == {"Quota exceeded": 1})


def test_a_take_over_is_said(peer: Peer, line: Lines, caplog: pytest.LogCaptureFixture) -> None:
    """MQTT 5 brokers say that another client has the identifier."""
    one = line(protocol="5")
    one.talk.send(packet(DISCONNECT, b"\x8e\x06\x1f\x00\x03bye"))
    one.talk.close()
    peer.accept().welcome()
    health = one.connection.health()
    assert health.duplicate_client
    assert "taken over" in str(health.last_reason)
    assert "another client with the identifier 'client'" in caplog.text


@pytest.mark.parametrize("refuse", [lambda talk: talk.welcome(0x84), lambda talk: talk.welcome(0x01), Talk.close])
def test_auto_takes_the_older_version_where_it_must(peer: Peer, line: Lines, refuse: Callable[[Talk], None]) -> None:
    """Brokers refuse MQTT 5 by its code, by the older one, or by hanging up."""
    one = line(protocol="auto", welcome=False)
    refuse(peer.accept())
    assert peer.accept().welcome().connect[6] == 4
    one.started.result(PATIENCE)
    assert one.connection.health().protocol == "3.1.1"


def test_a_silent_broker_is_given_up(peer: Peer, line: Lines) -> None:
    """No byte comes, no connection breaks: the ping that nobody answers is what shows it."""
    one = line(keepalive=1)
    peer.accept().welcome()
    one.until(lambda: one.connection.health().connects == 2)
    assert "silent" in str(one.connection.health().last_reason)
