"""Sensors send nonsense (F31): it is counted by reason, nothing crashes, and good readings pass."""

from __future__ import annotations

import random

from faults.result import Bench, Result
from faults.rig import Rig, Setup

_BAD = (
    b"",
    b"{",
    b"null",
    b"[]",
    b'"a"',
    b"\xff\xfe\x00",
    b'{"a":1}',
    b'{"a":null,"b":1}',
    b'{"a":"1","b":1}',
    b'{"a":true,"b":1}',
    b'{"a":NaN,"b":1}',
    b'{"a":Infinity,"b":1}',
    b'{"a":1e999,"b":1}',
    b'{"a":' + b"9" * 400 + b',"b":1}',
    b'{"a":[1],"b":1}',
    b"[" * 2000,
    b'{"a":' * 2000,
    b" " * (2 << 20),
)


def nonsense(bench: Bench) -> Result:
    """Missing, NaN, wrong types and lengths, too large, a hundred times the rate."""
    count = bench.count(5000, 200)
    result = Result("F31", "bad readings, and bursts of 100 times the rate", count, bench.seed)
    chance = random.Random(bench.seed)
    with Rig(bench.folder, Setup(), bench.seed) as rig:
        for _ in range(count):
            payload = _BAD[-1] if chance.random() < 0.01 else chance.choice(_BAD[:-1])
            if chance.random() < 0.2:
                payload = chance.randbytes(chance.randrange(64))
            rig.plant.send_raw(f"sensors/{chance.choice(['north', 'bad'])}/reading", payload)
        result.expect(rig.wait_for_arrivals(100, 20), "good readings no longer come through")
        normal, rig.plant.rate = rig.plant.rate, 10_000
        result.expect(rig.wait_for_arrivals(500, 20), "nothing comes in a burst")
        rig.plant.rate = normal
        rejected = _rejected(rig)
        rig.settle(result, faults=1)
        rejected = max(_rejected(rig), rejected)
        result.numbers["rejected"] = rejected
        # A broker may itself drop QoS 0 messages of which too many wait; the daemon cannot count those.
        result.expect(rejected >= 0.5 * count, f"{rejected} of {count} bad readings counted")
        result.expect("Traceback" not in rig.log, f"a traceback: {rig.log[rig.log.find('Traceback') :][:300]}")
    return result


def _rejected(rig: Rig) -> int:
    return int(sum(rig.subscriber.health.get("pipelines", {}).get("sum", {}).get("rejected", {}).values()))


ROWS = {"F31": nonsense}
