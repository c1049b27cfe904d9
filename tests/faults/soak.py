"""A long run with a fault each minute (F36): memory stays, and everything is accounted for."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from faults.gauges import rss_mib
from faults.packets import HoldAcknowledgements
from faults.plant import WINDOW
from faults.result import Bench, Result
from faults.rig import IN_FLIGHT, Rig, Setup

_MESSAGES = 1_000_000
_RATE = 400.0
_WINDOW = 3 * WINDOW + IN_FLIGHT


def slope_mib(samples: list[tuple[float, float]]) -> float:
    """Return the rise of a straight line through (x, MiB), least squares, over the whole range of x."""
    if len(samples) < 3:
        return 0.0
    mean_x = sum(x for x, _ in samples) / len(samples)
    mean_y = sum(y for _, y in samples) / len(samples)
    spread = sum((x - mean_x) ** 2 for x, _ in samples)
    rise = sum((x - mean_x) * (y - mean_y) for x, y in samples) / spread if spread else 0.0
    return rise * (samples[-1][0] - samples[0][0])


def soak(bench: Bench) -> Result:
    """A million readings, and a link cut, a half-open link, a broker restart or held acknowledgements each minute.

    The daemon is not killed, so that one process's memory is followed all the way.
    """
    messages, every = bench.count(_MESSAGES, 1000), bench.span(60, 4)
    result = Result("F36", f"soak of {messages} readings, a fault every {every:.0f} s", 1, bench.seed)
    chance, hold = random.Random(bench.seed), HoldAcknowledgements()
    samples: list[tuple[float, float]] = []
    with Rig(bench.folder, Setup(proxied=True, rate=_RATE, keepalive="2s"), bench.seed) as rig:
        rig.witness.inner = hold
        faults: list[Callable[[Rig, HoldAcknowledgements], None]] = [_cut, _swallow, _restart, _hold]
        due = time.monotonic() + every
        while rig.plant.number < messages:
            time.sleep(0.25)
            samples.append((rig.plant.number, rss_mib(rig.running.process_id)))
            if time.monotonic() >= due:
                chance.choice(faults)(rig, hold)
                result.repeats += 1
                due = time.monotonic() + every
            if not rig.running.is_running:
                result.problems.append(f"the daemon has ended: {rig.log[-300:]!r}")
                break
        settled = samples[len(samples) // 4 :]  # the first quarter fills caches and pools
        slope = slope_mib(settled)
        result.numbers["RSS slope MiB"] = round(slope, 2)
        limit = 1.0 if messages >= _MESSAGES else 5.0  # a short run has not reached its plateau
        result.expect(slope <= limit, f"memory rose by {slope:.1f} MiB over the last three quarters")
        rig.settle(result, faults=result.repeats, window=_WINDOW)
    return result


def _cut(rig: Rig, _hold: HoldAcknowledgements) -> None:
    rig.proxy.cut(reset=True)


def _swallow(rig: Rig, _hold: HoldAcknowledgements) -> None:
    rig.proxy.blocked.set()
    time.sleep(5)
    rig.proxy.cut()
    rig.proxy.admit()


def _restart(rig: Rig, _hold: HoldAcknowledgements) -> None:
    rig.broker.stop()
    rig.broker.start()


def _hold(rig: Rig, hold: HoldAcknowledgements) -> None:
    hold.close()
    time.sleep(3)
    hold.open()
    rig.proxy.cut()


ROWS = {"F36": soak}
