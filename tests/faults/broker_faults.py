"""The broker is restarted, killed, or loses what it held (F09, F10, F20)."""

from __future__ import annotations

import random
import time

from faults.plant import WINDOW
from faults.result import Bench, Result
from faults.rig import IN_FLIGHT, UNACKNOWLEDGED, Rig, Setup

_RECONNECT_WITHIN = 5.0


def _window(delivery: str) -> int:
    """Return what can be on its way: readings to broker and daemon, predictions to broker and control room."""
    return 3 * WINDOW + (UNACKNOWLEDGED if delivery == "end_to_end" else IN_FLIGHT)


def _again(rig: Rig, result: Result, *, kill: bool, forget: bool, away: float) -> None:
    before = rig.broker.connects()
    rig.broker.kill(forget=forget) if kill else rig.broker.stop()
    time.sleep(away)
    rig.broker.start()
    taken = rig.broker.seconds_until_connect(before)
    result.highest("reconnect s", taken)
    result.expect(taken is not None and taken < _RECONNECT_WITHIN, f"reconnected after {taken} s")
    result.expect(rig.wait_for_arrivals(20, 15), "no predictions after the broker came back")


def _restarts(bench: Bench, row: str, setup: Setup, *, kill: bool) -> Result:
    rounds = bench.count(50)
    how = "SIGKILL, its database kept" if kill else "SIGTERM"
    result = Result(row, f"broker {how}, restart, {setup.delivery}", rounds, bench.seed)
    chance = random.Random(bench.seed)
    with Rig(bench.folder, setup, bench.seed) as rig:
        for _ in range(rounds):
            time.sleep(chance.uniform(0, 3))
            _again(rig, result, kill=kill, forget=False, away=chance.uniform(0, 1))
        rig.settle(result, faults=rounds, window=_window(setup.delivery), broker_loses=kill)
    return result


def restarted(bench: Bench) -> Result:
    """TERM and start again: the session, the subscriptions and all messages are back."""
    return _restarts(bench, "F09", Setup(proxied=True), kill=False)


def killed(bench: Bench) -> Result:
    """KILL and start again with the database it had saved."""
    return _restarts(bench, "F09-kill", Setup(proxied=True, broker={"saving": True}), kill=True)


def killed_end_to_end(bench: Bench) -> Result:
    """The same with cumulative acknowledgements."""
    return _restarts(
        bench, "F09-kill-e2e", Setup(delivery="end_to_end", proxied=True, broker={"saving": True}), kill=True
    )


def _forgetting(bench: Bench, row: str, delivery: str) -> Result:
    rounds = bench.count(50)
    result = Result(row, f"broker SIGKILL, its database lost, {delivery}", rounds, bench.seed)
    chance = random.Random(bench.seed)
    with Rig(bench.folder, Setup(delivery=delivery, proxied=True), bench.seed) as rig:
        for _ in range(rounds):
            time.sleep(chance.uniform(0.5, 3))
            _again(rig, result, kill=True, forget=True, away=chance.uniform(0, 1))
        rig.settle(result, faults=rounds, window=_window(delivery), broker_loses=True)
    return result


def forgotten(bench: Bench) -> Result:
    """What the broker acknowledged and lost shows as a gap in the sequence, and nothing else is lost."""
    return _forgetting(bench, "F10", "broker")


def forgotten_end_to_end(bench: Bench) -> Result:
    """With end_to_end delivery every accepted prediction comes all the same."""
    return _forgetting(bench, "F10-e2e", "end_to_end")


def _overfull(bench: Bench, row: str, delivery: str) -> Result:
    rounds, most = bench.count(3), 100 if bench.scale < 1 else 1000
    result = Result(row, f"control room away, broker keeps {most} messages, {delivery}", rounds, bench.seed)
    setup = Setup(delivery=delivery, proxied=True, rate=300, broker={"max_queued": most})
    with Rig(bench.folder, setup, bench.seed) as rig:
        for _ in range(rounds):
            rig.wait_for_arrivals(50, 10)
            rig.subscriber.leave()
            sent = rig.plant.number
            while rig.plant.number < sent + 2 * most:
                time.sleep(0.1)
            rig.subscriber.come_back()
            result.expect(rig.wait_for_arrivals(50, 15), "nothing came after the control room was back")
        verdict = rig.settle(result, faults=rounds, window=_window(delivery) + 2 * most, broker_loses=True)
    dropped = result.numbers["readings lost in the broker"]
    told = result.numbers["predictions lost in the broker"]
    if delivery == "broker":
        result.expect(dropped > 0, "the broker dropped nothing, so that nothing was shown")
        result.expect(told >= dropped, f"{dropped} lost, but gaps in the sequence tell of {told} only")
        result.expect(verdict.predicted > 0, "nothing arrived")
    return result


def overfull(bench: Bench) -> Result:
    """The broker drops what exceeds its bound and says nothing; the sequence tells the control room."""
    return _overfull(bench, "F20", "broker")


def overfull_end_to_end(bench: Bench) -> Result:
    """With end_to_end delivery the rows are sent again."""
    return _overfull(bench, "F20-e2e", "end_to_end")


ROWS = {
    "F09": restarted,
    "F09-kill": killed,
    "F09-kill-e2e": killed_end_to_end,
    "F10": forgotten,
    "F10-e2e": forgotten_end_to_end,
    "F20": overfull,
    "F20-e2e": overfull_end_to_end,
}
