"""The link between daemon and broker fails in all the ways links do (F12 to F19)."""

from __future__ import annotations

import time

from faults.kept_broker import CLIENT
from faults.packets import Connack, DelaySuback, PubackFaults, RepeatPublish, disconnect
from faults.plant import WINDOW
from faults.proxy import HOST
from faults.result import Bench, Result
from faults.rig import IN_FLIGHT, Rig, Setup
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

_WINDOW = WINDOW + IN_FLIGHT
_LONG_LIFE = 6.0  # seconds; a connection that ends sooner, again and again, looks like another client with the same id
_KEEPALIVE = 2.0


def flapping(bench: Bench) -> Result:
    """One second up, one second down: progress in every cycle, and no storm of connects."""
    cycles = bench.count(300, 3)
    result = Result("F12", "link 1 s up, 1 s down", cycles, bench.seed)
    with Rig(bench.folder, Setup(proxied=True), bench.seed) as rig:
        streak, longest, before = 0, 0, len(rig.proxy.accepted)
        begin = time.monotonic()
        for _ in range(cycles):
            rig.proxy.refuse()
            time.sleep(1)
            rig.proxy.admit()
            seen = rig.arrivals()
            time.sleep(1)
            streak = streak + 1 if rig.arrivals() == seen else 0
            longest = max(longest, streak)
        rate = (len(rig.proxy.accepted) - before) / (time.monotonic() - begin)
        result.numbers["most cycles in a row without progress"] = longest
        # Pauses between tries are random and up to 3 s as configured: a try may miss the second when the link is up.
        result.expect(longest <= 5, f"{longest} cycles in a row without progress")
        result.numbers["connects/s"] = round(rate, 2)
        result.expect(rate <= 1.0, f"{rate:.2f} connects a second")
        rig.settle(result, faults=cycles, window=_WINDOW)
    return result


def half_open(bench: Bench) -> Result:
    """The link swallows everything and closes nothing: noticed in 1.5 keepalives + 1 s."""
    rounds = bench.count(20)
    result = Result("F13", "half-open link (black hole)", rounds, bench.seed)
    with Rig(bench.folder, Setup(proxied=True, keepalive="2s"), bench.seed) as rig:
        for _ in range(rounds):
            rig.wait_for_arrivals(50, 15)
            connects = len(rig.proxy.accepted)
            begin = time.monotonic()
            rig.proxy.blocked.set()
            while rig.proxy.client_left() is None and time.monotonic() < begin + 20:
                time.sleep(0.01)
            _judge_notice(result, rig.proxy.client_left(), begin)
            rig.proxy.cut()
            rig.proxy.blocked.clear()
            result.expect(rig.wait_for_arrivals(50, 15), f"no predictions afterwards, {connects} connects before")
        result.numbers["latency ms p99 worst"] = _worst_latency(rig)
        rig.settle(result, faults=rounds, window=_WINDOW)
    return result


def broker_hangs(bench: Bench) -> Result:
    """The broker is stopped (SIGSTOP) and holds its connections open."""
    rounds, seconds = bench.count(10), bench.span(120, 6)
    result = Result("F14", f"broker SIGSTOP for {seconds:.0f} s", rounds, bench.seed)
    with Rig(bench.folder, Setup(proxied=True, keepalive="2s"), bench.seed) as rig:
        for _ in range(rounds):
            rig.wait_for_arrivals(50, 15)
            link = rig.proxy.latest()
            begin = time.monotonic()
            rig.broker.pause()
            time.sleep(seconds)
            rig.broker.resume()
            _judge_notice(result, link.client_gone if link else None, begin)
            result.expect(rig.wait_for_arrivals(50, 20), "no predictions after the broker went on")
        rig.settle(result, faults=rounds, window=3 * WINDOW + IN_FLIGHT)
    return result


def _judge_notice(result: Result, left: float | None, begin: float) -> None:
    taken = None if left is None else left - begin
    result.highest("noticed s", taken)
    limit = 1.5 * _KEEPALIVE + 1
    said = "never" if taken is None else f"after {taken:.1f} s"
    result.expect(taken is not None and taken <= limit, f"noticed {said}, limit {limit:.1f} s")


def _worst_latency(rig: Rig) -> float:
    seen = [one["pipelines"]["sum"]["inference_ms_p99"] or 0 for _, one in rig.subscriber.health_log[-50:]]
    return max(seen, default=0.0)


def slow(bench: Bench) -> Result:
    """64 and 8 kbit/s: no growth of memory, and everything comes in the end."""
    seconds = bench.span(60, 4)
    result = Result("F15", f"link of 64 and 8 kbit/s, {seconds:.0f} s each", 2, bench.seed)
    with Rig(bench.folder, Setup(proxied=True, rate=50), bench.seed) as rig:
        for rate in (8000.0, 1000.0):
            rig.proxy.up.rate = rig.proxy.down.rate = rate
            seen = rig.arrivals()
            time.sleep(seconds)
            result.numbers[f"predictions/s at {rate:.0f} B/s"] = round((rig.arrivals() - seen) / seconds, 1)
            result.expect(rig.arrivals() > seen, f"nothing came at {rate:.0f} B/s")
        rig.proxy.up.rate = rig.proxy.down.rate = 0
        rig.settle(result, faults=2, window=_WINDOW)
    return result


def acknowledgements(bench: Bench) -> Result:
    """PUBACKs are lost, late, or come twice; PUBLISH comes twice; SUBACK is late."""
    acks = bench.count(1000, 30)
    result = Result("F16", "PUBACK lost, delayed, repeated; PUBLISH repeated; SUBACK late", acks, bench.seed)
    cuts = 0
    with Rig(bench.folder, Setup(proxied=True), bench.seed) as rig:
        late = DelaySuback(1.0)
        for fault in (PubackFaults(lose=17), PubackFaults(delay=5), PubackFaults(repeat=7)):
            rig.witness.inner = fault
            end = time.monotonic() + 60
            while fault.seen < acks / 3 and time.monotonic() < end:
                if not rig.wait_for_arrivals(20, 3):
                    break
            result.add("faulty acknowledgements", fault.faults)
            result.expect(fault.seen >= acks / 3, f"stood still after {fault.seen} acknowledgements")
            rig.witness.inner = late
            time.sleep(_LONG_LIFE)
            rig.proxy.cut()  # what was lost is repeated only after a reconnect (MQTT 3.1.1 section 4.4)
            cuts += 1
            result.expect(rig.wait_for_arrivals(20, 20), "no predictions after a reconnect")
        twice = RepeatPublish("down", 10)
        rig.witness.inner = twice
        _wait(lambda: twice.faults >= 5, 20)
        result.expect(twice.faults >= 5, "hardly a reading came, so that nothing was repeated")
        rig.witness.inner = lambda _direction, packet: [(0.0, packet)]
        result.numbers["repeated PUBLISH"] = twice.faults
        rig.settle(result, faults=cuts, window=_WINDOW + twice.faults)
    return result


def broken_packets(bench: Bench) -> Result:
    """Slices of one byte, RST in the middle of a packet, the end after n bytes for n = 1 to 200, slow close."""
    step = max(1, round(1 / bench.scale)) if bench.scale < 1 else 1
    ends = list(range(1, 201, step))[: bench.count(200, 3)]
    result = Result("F17", "1-byte slices; RST and FIN after n bytes, n = 1..200", len(ends), bench.seed)
    with Rig(bench.folder, Setup(proxied=True, rate=30), bench.seed) as rig:
        rig.proxy.up.slice = rig.proxy.down.slice = 1
        rig.proxy.cut()
        result.expect(rig.wait_for_arrivals(30, 15), "no predictions through slices of one byte")
        rig.proxy.up.slice = rig.proxy.down.slice = 0
        for n in ends:
            for stream in (rig.proxy.up, rig.proxy.down):
                stream.close_after, stream.reset = n, bool(n % 2)
                connects = len(rig.proxy.accepted)
                rig.proxy.cut(reset=bool(n % 2))
                _wait(lambda wanted=connects: len(rig.proxy.accepted) > wanted, 10)
                stream.close_after, stream.reset = None, False
            if n % 50 == 1:
                result.expect(rig.wait_for_arrivals(10, 20), f"no predictions after an end at byte {n}")
        result.expect(rig.running.is_running, "the daemon has ended")
        rig.proxy.down.slow_close, connects = 2.0, len(rig.proxy.accepted)
        if (link := rig.proxy.latest()) is not None:
            link.hang_up("down")
        _wait(lambda: len(rig.proxy.accepted) > connects, 15)
        rig.proxy.down.slow_close = 0.0
        result.expect(rig.wait_for_arrivals(30, 20), "no predictions at the end")
        result.expect("Traceback" not in rig.log, f"a traceback: {rig.log[rig.log.find('Traceback') :][:300]}")
        rig.settle(result, faults=2 * len(ends) + 2, window=_WINDOW)
    return result


def refused(bench: Bench) -> Result:
    """CONNACK refuses, or the server says goodbye: the reason stands in the log, tries are slow, and it comes back."""
    codes = (1, 2, 3, 4, 5)
    result = Result("F18", "CONNACK codes 1 to 5; goodbye of the server; session gone", len(codes), bench.seed)
    with Rig(bench.folder, Setup(proxied=True), bench.seed) as rig:
        for code in codes:
            rig.witness.inner = Connack(code, times=1)
            logged, tries, connects = len(rig.log), len(rig.proxy.accepted), _connects(rig)
            time.sleep(_LONG_LIFE)
            begin = time.monotonic()
            rig.proxy.cut()
            back = rig.subscriber.wait_for(lambda wanted=connects: _connects(rig) > wanted, 60)
            result.expect(back, f"not connected within 60 s of CONNACK {code}")
            rate = (len(rig.proxy.accepted) - tries) / (time.monotonic() - begin)
            result.highest("tries/s", rate)
            result.expect(rate <= 1.5, f"{rate:.1f} tries a second at CONNACK {code}")
            said = rig.log[logged:]
            result.expect(
                "answer" in said or "let this client in" in said, f"CONNACK {code}: no reason in the log: {said!r}"
            )
        rig.witness.inner = Connack(0)  # says that no session is present
        rig.proxy.inject("down", disconnect())
        rig.proxy.cut()
        result.expect(rig.wait_for_arrivals(20, 20), "no predictions after a goodbye of the server")
        result.expect(rig.running.is_running, "the daemon has ended")
        rig.settle(result, faults=len(codes) + 1, window=_WINDOW)
    return result


def namesake(bench: Bench) -> Result:
    """A second client with the same id: at most one reconnect in ten seconds, and somebody is told."""
    rounds, seconds = bench.count(5), bench.span(30, 10)
    result = Result("F19", f"another client with the same id for {seconds:.0f} s", rounds, bench.seed)
    with Rig(bench.folder, Setup(), bench.seed) as rig:
        for _ in range(rounds):
            rig.wait_for_arrivals(50, 15)
            before = rig.broker.connects()
            other = mqtt.Client(
                CallbackAPIVersion.VERSION2, client_id=CLIENT, clean_session=False, protocol=mqtt.MQTTv311
            )
            other.reconnect_delay_set(1, 1)
            other.connect(HOST, rig.broker.port)
            other.loop_start()
            time.sleep(seconds)
            other.disconnect()
            other.loop_stop()
            connects = rig.broker.connects() - before
            # Three short connections are what it is noticed by; and half of the connects are the other one's own.
            result.highest("connects of both", connects)
            most = 2 * (3 + seconds / 10)
            result.expect(connects <= most, f"{connects} connects in {seconds:.0f} s, more than {most:.0f}")
            result.expect(rig.wait_for_arrivals(50, 40), "no predictions after the other client left")
        told = "duplicate" in rig.log or "same client" in rig.log or "another client" in rig.log
        result.expect(told, "nothing in the log says that another client has the same id")
        rig.drain()
    # The other client was handed readings and acknowledged them: they are gone, and not the daemon's to answer for.
    result.numbers["readings the other client took"] = rig.subscriber.ledger.outstanding()
    return result


def _connects(rig: Rig) -> int:
    return int(rig.subscriber.health.get("connects", 0))


def _wait(condition: object, seconds: float) -> None:
    end = time.monotonic() + seconds
    while callable(condition) and not condition() and time.monotonic() < end:
        time.sleep(0.01)


ROWS = {
    "F12": flapping,
    "F13": half_open,
    "F14": broker_hangs,
    "F15": slow,
    "F16": acknowledgements,
    "F17": broken_packets,
    "F18": refused,
    "F19": namesake,
}
