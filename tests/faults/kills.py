"""The daemon is killed, stopped, or made to hang (F01, F02, F03, F06, F07, F08)."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from pathlib import Path

from faults.packets import HoldAcknowledgements
from faults.plant import WINDOW
from faults.result import ROOT, Bench, Result
from faults.rig import IN_FLIGHT, Rig, Setup

_READY_WITHIN = 3.0


def crash_points(source: Path = ROOT / "edge_runtime") -> list[str]:
    """Return the names of all crash points in the daemon's source."""
    found = set()
    for file in source.rglob("*.py"):
        found |= set(re.findall(r"crash_point\(\s*\"([\w.-]+)\"", file.read_text(encoding="utf-8")))
    return sorted(found)


def at_random(bench: Bench, delivery: str = "broker", row: str = "F01") -> Result:
    """SIGKILL at random moments of a run under load, each followed by a restart."""
    kills = bench.count(200)
    result = Result(row, f"daemon SIGKILL at U(0, 5 s), {delivery}", kills, bench.seed)
    chance = random.Random(bench.seed)
    with Rig(bench.folder, Setup(delivery=delivery), bench.seed) as rig:
        for _ in range(kills):
            time.sleep(chance.uniform(0, 5))
            rig.kill_daemon()
            ready = rig.start_daemon()
            result.expect(ready is not None, "not ready after a kill")
        rig.settle(result, faults=kills)
    slow = [round(one, 1) for one in rig.ready_seconds if one > _READY_WITHIN]
    result.expect(not slow, f"{len(slow)} starts took more than {_READY_WITHIN:.0f} s, at most {max(slow, default=0)}")
    return result


def at_random_end_to_end(bench: Bench) -> Result:
    """The same with cumulative acknowledgements of the control room."""
    return at_random(bench, "end_to_end", "F01-e2e")


def _die_at(rig: Rig, point: str, hold: HoldAcknowledgements) -> bool:
    """Start the daemon with a crash point set and provoke it in all ways there are; tell whether it died there."""
    rig.start_daemon(wait=False, environment={"EDGE_CRASH_AT": point})

    def let_go() -> None:
        hold.open()
        rig.proxy.cut()

    for provoke in (let_go, lambda: None, rig.stop_daemon):
        end = time.monotonic() + 2.0
        while rig.running.is_running and time.monotonic() < end:
            time.sleep(0.02)
        if not rig.running.is_running:
            break
        provoke()
    died = not rig.running.is_running and rig.running.wait() == -signal.SIGKILL
    rig.kill_daemon()
    return died


def _needs_more(point: str, *, recovering: bool) -> bool:
    """Tell whether a point lies where only damage or megabytes lead; tests of the outbox kill there."""
    steps = ("checkpoint", "quarantine", "rename", *(() if recovering else ("recovery",)))
    return any(f".{step}." in point for step in steps)


def _each_point(bench: Bench, row: str, title: str, *, recovering: bool) -> Result:
    points = crash_points()
    result = Result(row, title, len(points), bench.seed)
    if not points:
        result.problems.append("the daemon's source names no crash point")
        return result
    missed: list[str] = []
    with Rig(bench.folder, Setup(proxied=True), bench.seed) as rig:
        hold = HoldAcknowledgements()
        rig.witness.inner = hold
        for point in points:
            hold.close()  # results pile up, so that the outbox is used
            time.sleep(0.5)
            rig.kill_daemon() if recovering else rig.stop_daemon()
            if not _die_at(rig, point, hold):
                missed.append(point)
            hold.open()
            rig.proxy.cut()
            result.expect(rig.start_daemon() is not None, f"{point}: not ready after the crash")
            result.expect(rig.wait_for_arrivals(10, 20), f"{point}: no predictions after the crash")
        rig.settle(result, faults=4 * len(points))
    result.numbers["not reached"] = " ".join(missed) or "none"
    due = [point for point in missed if not _needs_more(point, recovering=recovering)]
    result.expect(not due, f"crash points not reached: {' '.join(due)}")
    return result


def at_each_point(bench: Bench) -> Result:
    """SIGKILL at every crash point that the source names, results piling up."""
    return _each_point(bench, "F02", "daemon SIGKILL at each crash point", recovering=False)


def in_recovery(bench: Bench) -> Result:
    """SIGKILL at every crash point while a start finds what an earlier kill left."""
    return _each_point(bench, "F03", "daemon SIGKILL at each crash point, after a kill", recovering=True)


def crash_loop(bench: Bench) -> Result:
    """Five kills in ten seconds, then peace."""
    rounds = bench.count(20)
    result = Result("F06", "5 kills in 10 s, then a start", rounds, bench.seed)
    chance = random.Random(bench.seed)
    with Rig(bench.folder, Setup(), bench.seed) as rig:
        for _ in range(rounds):
            for _ in range(5):
                rig.kill_daemon()
                rig.start_daemon(wait=False)
                time.sleep(chance.uniform(0.3, 2.0))
            rig.kill_daemon()
            result.expect(rig.start_daemon() is not None, "not ready after a crash loop")
        rig.settle(result, faults=6 * rounds)
    return result


def terminated(bench: Bench) -> Result:
    """SIGTERM under load: done in 5 s, exit status 0, and said so."""
    rounds = bench.count(50)
    result = Result("F07", "daemon SIGTERM under load", rounds, bench.seed)
    chance = random.Random(bench.seed)
    with Rig(bench.folder, Setup(), bench.seed) as rig:
        for _ in range(rounds):
            time.sleep(chance.uniform(0, 2))
            begin = time.monotonic()
            status = rig.stop_daemon()
            taken = time.monotonic() - begin
            result.highest("exit s", taken)
            result.expect(status == 0, f"exit status {status}")
            result.expect(taken < 5, f"took {taken:.1f} s to stop")
            boot = rig.subscriber.states[-1][1]
            said = rig.subscriber.wait_for(lambda wanted=boot: ("stopped", wanted) in _states(rig), 5)
            result.expect(said, f"did not say stopped, but {_states(rig)[-2:]}")
            result.expect(rig.start_daemon() is not None, "not ready after a stop")
        rig.settle(result, faults=rounds, window=WINDOW)
    return result


def _states(rig: Rig) -> list[tuple[str, str]]:
    return [(state, boot) for state, boot, _ in rig.subscriber.states]


def hung(bench: Bench) -> Result:
    """SIGSTOP for a minute, then SIGCONT: the broker gives it up, and it resumes."""
    rounds, seconds = bench.count(10), bench.span(60, 4)
    result = Result("F08", f"daemon SIGSTOP for {seconds:.0f} s", rounds, bench.seed)
    with Rig(bench.folder, Setup(keepalive="2s"), bench.seed) as rig:
        for _ in range(rounds):
            rig.wait_for_arrivals(50, 10)
            os.kill(rig.running.process_id, signal.SIGSTOP)
            time.sleep(seconds)
            os.kill(rig.running.process_id, signal.SIGCONT)
            begin = time.monotonic()
            result.expect(rig.wait_for_arrivals(50, 20), "no predictions after it went on")
            result.highest("resumed s", time.monotonic() - begin)
        rig.settle(result, faults=rounds, window=2 * WINDOW + IN_FLIGHT)
    return result


ROWS = {
    "F01": at_random,
    "F01-e2e": at_random_end_to_end,
    "F02": at_each_point,
    "F03": in_recovery,
    "F06": crash_loop,
    "F07": terminated,
    "F08": hung,
}
