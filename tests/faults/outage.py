"""The results cannot leave for a day (F11): the disk keeps its bound, and the backlog drains beside live data."""

from __future__ import annotations

import time

from faults.packets import HoldAcknowledgements
from faults.plant import WINDOW
from faults.result import Bench, Result
from faults.rig import IN_FLIGHT, Rig, Setup

_RATE = 100.0
_BOUND_KIB = 1024


def compressed_day(bench: Bench) -> Result:
    """Acknowledgements stay away until the bound is hit, as it would be in a day; then they are back.

    A day at 100 predictions a second is 8.64 million; what it does to the disk is done as well by a bound that is
    reached in a minute. Readings come in meanwhile, over the same broker.
    """
    rounds = bench.count(3)
    most = bench.span(120, 8)
    title = f"results held back for {most:.0f} s against a bound of {_BOUND_KIB} KiB"
    result = Result("F11", title, rounds, bench.seed)
    setup = Setup(proxied=True, rate=_RATE, disk_bound="1MiB", when_full="drop_oldest")
    with Rig(bench.folder, setup, bench.seed) as rig:
        hold = HoldAcknowledgements()
        rig.witness.inner = hold
        for _ in range(rounds):
            rig.wait_for_arrivals(50, 10)
            rig.plant.rate = 10 * _RATE
            hold.close()
            time.sleep(most)
            rig.plant.rate = _RATE
            hold.open()
            rig.proxy.cut()
            _drain(rig, result)
        rig.settle(result, faults=rounds, window=WINDOW + 2 * IN_FLIGHT)
    limit = 2 * _BOUND_KIB + 4096  # the database's log and its own pages come on top of what is bounded
    disk = result.numbers.get("max disk KiB", 0)
    result.expect(disk <= limit, f"{disk:.0f} KiB on disk at a bound of {_BOUND_KIB} KiB of predictions")
    return result


def _drain(rig: Rig, result: Result) -> None:
    begin, seen = time.monotonic(), len(rig.subscriber.latencies)

    def is_done() -> bool:
        # Health messages wait behind held acknowledgements as well: only one made after the reconnect says how it is.
        came, health = rig.subscriber.health_log[-1]
        outbox = health["pipelines"]["sum"].get("outbox") or {"stored": 1}
        return came > begin + 3 and outbox["stored"] == 0

    if not rig.subscriber.wait_for(is_done, 120):
        result.expect(False, f"not drained in 120 s: {rig.outbox()}")
        return
    drained = [one for one in rig.subscriber.latencies[seen:] if one[2]]
    if not drained:
        result.expect(False, "no prediction was flagged historical")
        return
    result.highest("drained", len(drained))
    rate = len(drained) / max(drained[-1][0] - drained[0][0], 0.1)
    # What was sent after the link was whole again is live; the reconnect itself is not the drain.
    live = sorted(
        delay
        for moment, delay, historical in rig.subscriber.latencies[seen:]
        if not historical and drained[0][0] <= moment <= drained[-1][0] and moment - delay > begin
    )
    result.numbers["drain/s"] = round(rate)
    result.expect(rate >= 10 * _RATE, f"drained at {rate:.0f}/s, less than 10 times {_RATE:.0f}/s")
    result.expect(bool(live), "no live prediction during the drain")
    if live:
        p95 = live[int(0.95 * (len(live) - 1))]
        result.highest("live p95 s", p95)
        result.expect(p95 < 1.0, f"live predictions took {p95:.2f} s (p95) during the drain")
    result.numbers["live during the drain"] = len(live)


ROWS = {"F11": compressed_day}
