"""The simulated plant: pumps whose vibration sensors publish, and a bearing that breaks on demand."""

from __future__ import annotations

import threading
import time
from types import TracebackType

import msgspec

from edge_runtime.messaging.connection import Connection
from edge_runtime.sources.synthetic import VibrationSensor

PUMPS = ("pump-1", "pump-2")
FAILING = "pump-2"
READING_TOPIC = "plant/{pump}/vibration"
SECONDS_BETWEEN_READINGS = 0.5

FAULT_SEVERITY_G = 1.2


class Plant:
    """Two pumps in a thread, each publishing a burst of vibration twice a second.

    Args:
        connection: Where the sensors publish; stays the caller's.
        seed: Seed of the first pump's sensor; the others count up from it.

    Attributes:
        refused: Readings the connection did not take, because too many were waiting already.
    """

    def __init__(self, connection: Connection, seed: int) -> None:
        self.refused = 0
        self._connection = connection
        self._sensors = {pump: VibrationSensor(seed + number) for number, pump in enumerate(PUMPS)}
        self._fault, self._end = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._measure, name="sensors", daemon=True)

    def __enter__(self) -> Plant:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def damage_bearing(self) -> None:
        """Give the failing pump an outer-race fault, from its next burst on."""
        self._fault.set()

    def _measure(self) -> None:
        while not self._end.wait(SECONDS_BETWEEN_READINGS):
            for pump, sensor in self._sensors.items():
                broken = pump == FAILING and self._fault.is_set()
                samples = sensor.read(FAULT_SEVERITY_G if broken else 0.0)
                reading = {"ts": time.time(), "samples": samples.tolist()}
                taken = self._connection.publish(READING_TOPIC.format(pump=pump), msgspec.json.encode(reading), qos=1)
                self.refused += not taken
