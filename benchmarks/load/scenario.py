"""What is run: a model, how its readings come, and the place that a program under test is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import models


@dataclass(frozen=True)
class Scenario:
    """One kind of load.

    Attributes:
        name: Short, without blanks.
        title: For people.
        model: ONNX.
        qos: Of readings and predictions.
        window: Readings that the model sees.
        programs: Which of the programs take part.
    """

    name: str
    title: str
    model: bytes
    qos: int
    window: int
    programs: tuple[str, ...]


@dataclass(frozen=True)
class Place:
    """Where one run of a program happens.

    Attributes:
        folder: Its files; ``model.onnx`` and ``model.edgepkg`` lie in it.
        port: The broker's.
        prefix: Begins all its topics, and no other run's.
        scenario: What is run.
        share: Group that shares the readings; "" where each process gets them all.
        number: Of this process among those of the run, from 0.
    """

    folder: Path
    port: int
    prefix: str
    scenario: Scenario
    share: str = ""
    number: int = 0

    @property
    def topic_in(self) -> str:
        """Where readings come from; {stream} names the asset."""
        return f"{self.prefix}/in/{{stream}}"

    @property
    def topic_out(self) -> str:
        """Where predictions go; {stream} names the asset."""
        return f"{self.prefix}/out/{{stream}}"

    @property
    def filter_in(self) -> str:
        """What a program subscribes to."""
        share = f"$share/{self.share}/" if self.share else ""
        return share + self.topic_in.replace("{stream}", "+")


def scenarios() -> tuple[Scenario, ...]:
    """Return the loads that the goals are about."""
    mlp, cnn = models.mlp(), models.cnn()
    return (
        Scenario("mlp-qos0", "MLP 8-16-1, QoS 0", mlp, 0, 1, ("naive", "nodelay", "daemon", "node-red")),
        Scenario("mlp-qos1", "MLP 8-16-1, QoS 1", mlp, 1, 1, ("naive", "daemon")),
        Scenario("cnn-qos0", f"CNN on {models.WINDOW} readings, QoS 0", cnn, 0, models.WINDOW, ("naive", "daemon")),
    )
