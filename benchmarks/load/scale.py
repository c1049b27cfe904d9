"""Several daemons that share one set of topics through an MQTT shared subscription."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.load import models
from benchmarks.load.broker import Mosquitto
from benchmarks.load.programs import start_daemon, stop
from benchmarks.load.run import IN_FLIGHT, Plan, Rig, Slot, figures_of, judged
from benchmarks.load.scenario import Scenario
from devices.process import memory
from edge_runtime.inference.ort import OrtEngine

GROUP = "load"

_MEGA = 1e6


def run(load: Scenario, counts: Sequence[int], plan: Plan, tell: Callable[[str], None]) -> list[Slot]:
    """Run each number of daemons once per round; the slot's program is that number.

    Every reading is a stream of its own. The readings in flight grow with the number of daemons.

    Raises:
        EnvironmentFault: E-LOAD-MOSQUITTO, E-LOAD-PROGRAM.
    """
    shuffle = random.Random(plan.seed)  # noqa: S311 - an order, not a secret
    expected = _expected(load, plan.readings)
    slots: list[Slot] = []
    with tempfile.TemporaryDirectory(prefix="edgeopt-load-") as name, Mosquitto(Path(name)) as broker:
        rig = Rig(Path(name), broker, plan)
        for number in range(plan.rounds):
            order = list(counts)
            shuffle.shuffle(order)
            for count in order:
                slots.append(_slot(rig, load, count, number, (plan, expected)))
                tell(f"round {number + 1} of {plan.rounds}: {count} daemons")
    return slots


def _slot(rig: Rig, load: Scenario, count: int, number: int, given: tuple[Plan, list[float]]) -> Slot:
    plan, expected = given
    phases: list[dict[str, Any]] = [
        {"name": "warm", "kind": "closed", "in_flight": IN_FLIGHT * count, "readings": 2 * plan.readings},
        {"name": "closed", "kind": "closed", "in_flight": IN_FLIGHT * count, "seconds": plan.closed},
    ]
    place = rig.place(load, GROUP)
    processes = rig.start(place, [start_daemon] * count)
    try:
        found = rig.generate(place, processes, phases, expected)
        used = [held.private for process in processes if (held := memory(process.pid)) is not None]
    finally:
        for process in processes:
            stop(process)
    closed = found[-1]
    shares = {"busiest": 100 * max(closed["cpu_each"]) / max(closed["cpu"]["program"], 1e-9)}
    figures = {**figures_of(closed), **shares, "private": sum(used) / _MEGA}
    return Slot(load.name, str(count), number, figures, *judged(found))


def _expected(load: Scenario, count: int) -> list[float]:
    """Return the model's output of each reading, computed here and one by one."""
    engine = OrtEngine(load.model)
    (tensor,) = engine.inputs
    rows = models.rows(count)
    return [float(engine.run({tensor.name: row[np.newaxis]})["value"][0, 0]) for row in rows]
