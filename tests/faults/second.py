"""A second daemon on the same state folder (F38)."""

from __future__ import annotations

import subprocess

from daemons import COMMAND
from faults.kept_broker import CLIENT
from faults.plant import WINDOW
from faults.result import Bench, Result
from faults.rig import Rig, Setup


def second(bench: Bench) -> Result:
    """It ends by itself with a message, and the first is not disturbed."""
    rounds = bench.count(5)
    result = Result("F38", "second daemon on one state folder", rounds, bench.seed)
    with Rig(bench.folder, Setup(), bench.seed) as rig:
        rig.wait_for_arrivals(50, 10)
        connects = rig.broker.connects(CLIENT)
        for _ in range(rounds):
            status, said = _start(rig)
            result.expect(status not in {None, 0}, f"the second one did not refuse: {status} {said[-200:]!r}")
            result.expect("E-" in said, f"no error code: {said[-200:]!r}")
            result.numbers["exit status"] = status
        disturbed = rig.broker.connects(CLIENT) - connects
        result.expect(disturbed == 0, f"{disturbed} connects with the first one's client id")
        result.expect(rig.running.is_running, "the first one has ended")
        rig.settle(result, faults=1, window=WINDOW)
    return result


def _start(rig: Rig) -> tuple[int | None, str]:
    try:
        ended = subprocess.run([*COMMAND, "run", rig.config], capture_output=True, text=True, check=False, timeout=8)
    except subprocess.TimeoutExpired as still_there:
        return None, str(still_there.stderr)
    return ended.returncode, ended.stdout + ended.stderr


ROWS = {"F38": second}
