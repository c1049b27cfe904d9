"""The wall clock jumps (F26): nothing is lost, nothing is reordered, nothing stands still."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from daemons import COMMAND
from faults.result import Bench, Result
from faults.rig import Rig, Setup

_PLACES = ("/usr/lib", "/usr/local/lib", "/lib")
_STEPS = ("+3600", "-3600", "-86400", "@1970-01-01 00:01:00", "@2038-01-19 03:14:00", "+1", "+0")


def _library() -> Path | None:
    """Return libfaketime, None where it is not installed."""
    if not shutil.which("faketime"):
        return None
    found = [file for place in _PLACES for file in Path(place).rglob("libfaketime.so.1")]
    return found[0] if found else None


def steps(bench: Bench) -> Result:
    """An hour, a day, 1970 and 2038, each while it runs, and a restart in each."""
    result = Result("F26", "wall clock steps +-1 h, -1 d, 1970, 2038, leap", len(_STEPS), bench.seed)
    library = _library()
    if library is None:
        result.not_run = "needs faketime, which is not installed"
        return result
    clock = bench.folder / "clock"
    clock.write_text("+0", encoding="utf-8")
    environment = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with Rig(bench.folder, Setup(environment=environment, command=COMMAND, keepalive="2s"), bench.seed) as rig:
        for step in _STEPS:
            clock.write_text(step, encoding="utf-8")
            result.expect(rig.wait_for_arrivals(50, 10), f"no predictions after the clock went to {step}")
            time.sleep(bench.span(5, 0.5))
            result.expect(rig.running.is_running, f"ended after the clock went to {step}")
            rig.kill_daemon()
            result.expect(rig.start_daemon() is not None, f"not ready with the clock at {step}")
            result.expect(rig.wait_for_arrivals(50, 10), f"no predictions with the clock at {step}")
        years = {one["ts"][:4] for _, one in rig.subscriber.health_log}
        result.numbers["years seen"] = " ".join(sorted(years))
        result.expect({"1970", "2038"} <= years, f"the clock did not move: years {years}")
        rig.settle(result, faults=2 * len(_STEPS))
    return result


ROWS = {"F26": steps}
