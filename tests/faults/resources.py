"""The machine runs out of something (F34, F35)."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import time

from daemons import COMMAND
from faults.result import Bench, Result
from faults.rig import Rig, Setup

_INTERVAL = 0.5  # of the health message, as configured


def few_files(bench: Bench) -> Result:
    """At most 32 open files: it works, reconnects included, or says what it lacks."""
    rounds = bench.count(5)
    result = Result("F34", "at most 32 open files", rounds, bench.seed)
    prlimit = shutil.which("prlimit")
    if not prlimit:
        result.not_run = "needs prlimit"
        return result
    with Rig(bench.folder, Setup(proxied=True, command=(prlimit, "--nofile=32", *COMMAND)), bench.seed) as rig:
        result.expect(bool(rig.ready_seconds), f"not ready with 32 files: {rig.log[-300:]!r}")
        for _ in range(rounds):
            rig.wait_for_arrivals(30, 10)
            rig.proxy.cut(reset=True)
            result.expect(rig.wait_for_arrivals(30, 15), "no predictions after a reconnect")
        result.expect(rig.running.is_running, "the daemon has ended")
        rig.settle(result, faults=rounds)
    return result


def hogs(bench: Bench) -> Result:
    """Twice as many processes as cores take all the time they get: the heartbeat keeps coming."""
    seconds = bench.span(60, 3)
    count = 2 * (os.cpu_count() or 1)
    result = Result("F35", f"{count} processor hogs for {seconds:.0f} s", 1, bench.seed)
    with Rig(bench.folder, Setup(), bench.seed) as rig:
        rig.wait_for_arrivals(50, 10)
        busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
        try:
            begin = time.monotonic()
            result.expect(rig.wait_for_arrivals(30, 20), "nothing comes beside the hogs")
            time.sleep(max(seconds - (time.monotonic() - begin), 0))
        finally:
            for one in busy:
                one.kill()
                one.wait()
        moments = [moment for moment, _ in rig.subscriber.health_log if moment >= begin]
        pauses = [later - earlier for earlier, later in itertools.pairwise(moments)]
        result.highest("longest pause between health messages s", max(pauses, default=None))
        worst = max(pauses, default=99.0)
        result.expect(worst <= 4 * _INTERVAL + 1, f"{worst:.1f} s without health, at an interval of {_INTERVAL} s")
        rig.settle(result, faults=1)
    return result


ROWS = {"F34": few_files, "F35": hogs}
