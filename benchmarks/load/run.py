"""Rounds of slots: each round runs every load once with each of its programs, in an order shuffled anew.

So all programs meet the same minutes of the machine, and a ratio inside a round outlives its noise.
"""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.load import models
from benchmarks.load.broker import Mosquitto
from benchmarks.load.programs import Process, Starter, bare_memory, start_naive, stop
from benchmarks.load.scenario import Place, Scenario
from devices.process import memory
from edge_runtime.errors import EnvironmentFault

BARE = "bare session"
IN_FLIGHT = 100

_WARM_UP = 200  # readings that nobody counts
_MEGA = 1e6


@dataclass(frozen=True)
class Plan:
    """How long and how often.

    Attributes:
        rounds: Each has one slot for every program and load.
        closed: Seconds at the highest rate.
        paced: Seconds at 100 and again at 1000 readings a second.
        rest: Seconds without any reading.
        readings: Different readings, sent in turn.
        seed: Of the shuffling.
    """

    rounds: int = 5
    closed: float = 2.0
    paced: float = 3.0
    rest: float = 10.0
    readings: int = 500
    seed: int = 1


@dataclass(frozen=True)
class Slot:
    """What one program did in one round of one load.

    Attributes:
        scenario: Name of the load.
        program: Name of the program.
        round: From 0.
        figures: Name -> number; see `figures_of`.
        answers: How many were compared with those of the naive script.
        worst: The largest difference between any of them and the script's, None for the bare session.
        lost: Readings without an answer.
    """

    scenario: str
    program: str
    round: int
    figures: Mapping[str, float]
    answers: int = 0
    worst: float | None = None
    lost: int = 0


def run(
    loads: Sequence[Scenario], programs: Mapping[str, Starter], plan: Plan, tell: Callable[[str], None]
) -> list[Slot]:
    """Run all rounds on a broker of their own.

    Args:
        loads: The loads.
        programs: Those that can be started here; a load's others are left out.
        plan: How long and how often.
        tell: Called with a line of progress.

    Raises:
        EnvironmentFault: E-LOAD-MOSQUITTO, E-LOAD-PROGRAM.
    """
    shuffle = random.Random(plan.seed)  # noqa: S311 - an order, not a secret
    slots: list[Slot] = []
    with tempfile.TemporaryDirectory(prefix="edgeopt-load-") as name, Mosquitto(Path(name)) as broker:
        rig = Rig(Path(name), broker, plan)
        expected = {load.name: rig.record(load) for load in loads}
        for number in range(plan.rounds):
            order = [(load, program) for load in loads for program in (*load.programs, BARE)]
            shuffle.shuffle(order)
            for load, program in order:
                if program == BARE:
                    found = Slot(load.name, BARE, number, rig.bare(load))
                elif program in programs:
                    found = rig.slot(load, (program, programs[program]), number, expected[load.name])
                else:
                    continue
                slots.append(found)
                tell(f"round {number + 1} of {plan.rounds}: {load.title}: {program}")
    return slots


class Rig:
    """A broker and a folder, in which programs are started and loaded.

    Args:
        folder: For all files.
        broker: It runs.
        plan: How long and how often.
    """

    def __init__(self, folder: Path, broker: Mosquitto, plan: Plan) -> None:
        self._folder, self._broker, self._plan = folder, broker, plan
        self._readings = models.readings(plan.readings)
        self._runs = 0

    def record(self, load: Scenario) -> list[float]:
        """Return what the naive script answers to each reading."""
        count = self._plan.readings + load.window - 1
        phases = [{"name": "record", "kind": "closed", "in_flight": IN_FLIGHT, "readings": count}]
        place = self.place(load)
        process = self.start(place, [start_naive])
        try:
            [found] = self.generate(place, process, phases, None)
        finally:
            _stop_all(process)
        if found["lost"]:
            raise EnvironmentFault("E-LOAD-PROGRAM", "the naive script does not answer every reading", "run it again")
        values = dict(found["values"])
        return [values[index] for index in range(self._plan.readings)]

    def slot(self, load: Scenario, program: tuple[str, Starter], number: int, expected: list[float]) -> Slot:
        """Run one program on one load."""
        plan, place = self._plan, self.place(load)
        phases: list[dict[str, Any]] = [
            {"name": "warm", "kind": "closed", "in_flight": IN_FLIGHT, "readings": _WARM_UP + load.window - 1},
            {"name": "closed", "kind": "closed", "in_flight": IN_FLIGHT, "seconds": plan.closed},
            {"name": "100", "kind": "open", "rate": 100, "seconds": plan.paced},
            {"name": "1000", "kind": "open", "rate": 1000, "seconds": plan.paced},
            {"name": "rest", "kind": "rest", "seconds": plan.rest},
        ]
        processes = self.start(place, [program[1]])
        try:
            found = self.generate(place, processes, phases, expected)
            used = memory(processes[0].pid)
        finally:
            _stop_all(processes)
        figures = {name: value for phase in found for name, value in figures_of(phase).items()}
        if used is not None:
            figures.update(rss=used.resident / _MEGA, private=used.private / _MEGA)
        return Slot(load.name, program[0], number, figures, *judged(found))

    def bare(self, load: Scenario) -> dict[str, float]:
        """Return the memory of one session of the load's model and nothing else, in MB."""
        found = bare_memory(self.place(load).folder / "model.onnx")
        return {"rss": found.resident / _MEGA, "private": found.private / _MEGA}

    def place(self, load: Scenario, share: str = "") -> Place:
        """Return a place that no other run has had."""
        self._runs += 1
        folder = self._folder / f"run-{self._runs}"
        folder.mkdir()
        (folder / "model.onnx").write_bytes(load.model)
        return Place(folder, self._broker.port, f"load/{self._runs}", load, share)

    def start(self, place: Place, starters: Sequence[Starter]) -> list[Process]:
        """Start programs and return once all have subscribed.

        Raises:
            EnvironmentFault: E-LOAD-PROGRAM, one does not; none is left running.
        """
        processes = [start(replace(place, number=number)) for number, start in enumerate(starters)]
        try:
            self._broker.wait_for_subscribers(place.filter_in, len(processes), processes)
        except EnvironmentFault:
            sys.stderr.write((place.folder / "programs.log").read_text(encoding="utf-8", errors="replace"))
            _stop_all(processes)
            raise
        return processes

    def generate(
        self,
        place: Place,
        processes: Sequence[Process],
        phases: Sequence[Mapping[str, Any]],
        expected: Sequence[float] | None,
    ) -> list[dict[str, Any]]:
        """Run the generator through the phases and return what it saw.

        Raises:
            EnvironmentFault: E-LOAD-PROGRAM, an answer or the broker was not as it should be.
        """
        job = {
            "port": place.port,
            "topic_in": place.topic_in,
            "topic_out": place.topic_out.replace("{stream}", "+"),
            "qos": place.scenario.qos,
            "skip": place.scenario.window - 1,
            "many_streams": bool(place.share),
            "readings": [reading.decode() for reading in self._readings],
            "expected": expected,
            "processes": [process.pid for process in processes],
            "broker": self._broker.process_id,
            "phases": phases,
        }
        command = [sys.executable, "-m", "benchmarks.load.generator"]
        ended = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, check=False)
        if ended.returncode != 0:
            what = f"the load generator ended: {ended.stderr.strip().splitlines()[-1:]}"
            raise EnvironmentFault("E-LOAD-PROGRAM", what, "look at what the program under test answers")
        return list(json.loads(ended.stdout))


def figures_of(phase: Mapping[str, Any]) -> dict[str, float]:
    """Return a phase's figures: µs of processor time per answer, answers a second, % of a core, µs of latency."""
    name, answered, seconds, cpu = phase["name"], phase["answered"], phase["seconds"], phase["cpu"]
    share = 100 * cpu["program"] / seconds
    if name == "rest":
        return {"cpu_rest": share}
    if name == "closed" and answered:
        each = {f"{who}_us": _MEGA * cpu[who] / answered for who in ("broker", "generator")}
        busy = {f"{who}_share": 100 * cpu[who] / seconds for who in ("broker", "generator")}
        return {"cpu_us": _MEGA * cpu["program"] / answered, "rate": answered / seconds, **each, **busy}
    times = phase["latencies_us"]
    if not times:
        return {}
    return {f"cpu_{name}": share, f"p50_{name}": statistics.median(times), f"p99_{name}": times[int(0.99 * len(times))]}


def judged(found: Sequence[Mapping[str, Any]]) -> tuple[int, float | None, int]:
    """Return how many answers were compared, the largest difference, and how many are missing."""
    worst = [phase["worst"] for phase in found if phase["worst"] is not None]
    return sum(phase["answered"] for phase in found), max(worst, default=None), max(phase["lost"] for phase in found)


def _stop_all(processes: Sequence[Process]) -> None:
    for process in processes:
        stop(process)
