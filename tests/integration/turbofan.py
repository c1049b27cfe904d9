"""A fleet of turbofan engines: its sensors' rows, its model's package, and what must come out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeAlias

from daemons import COMMAND, configuration

from edge_runtime.assemble import assemble
from edge_runtime.config import load_config
from edge_runtime.inference.preprocess import Preprocess
from edge_runtime.sources.playback import TopicTemplate, messages
from edge_runtime.sources.table import Table
from edge_runtime.stream.gatherer import Arrival
from optimizer import metrics
from optimizer.data import load_dataset
from optimizer.evaluate import Budget
from optimizer.flow import optimize
from optimizer.load import load_model
from optimizer.request import Request

Values: TypeAlias = dict[tuple[str, int], float]  # (stream, number of the reading) -> remaining cycles

TOPIC = "turbofan/{unit}/telemetry"
COLUMNS = ["unit", "cycle", "o1", "o2", "o3", *(f"s{number}" for number in range(1, 22))]

_PIPELINE = """
[[pipeline]]
name = "rul"
package = "turbofan_rul.edgepkg"

[pipeline.source]
topic = "turbofan/{stream}/telemetry"
fields = ["s2", "s3", "s4", "s7", "s8", "s9", "s11", "s12", "s13", "s14", "s15", "s17", "s20", "s21"]

[pipeline.window]
size = 30
padding = "first"
layout = "features_first"

[pipeline.decision]
kind = "value"
unit = "cycles"
"""


@dataclass(frozen=True)
class Fleet:
    """The recorded engines and a package made for them.

    Attributes:
        rows: The file of recorded rows, one per engine and cycle.
        remaining: Cycles each engine had left after its last row, as the data set says.
        package: The optimized model.
        rmse: What the package itself states, in cycles.
    """

    rows: Path
    remaining: dict[str, float]
    package: Path
    rmse: float

    def configure(self, folder: Path, url: str) -> Path:
        """Write a configuration that serves the package into `folder` and return its path."""
        (folder / self.package.name).symlink_to(self.package)
        path = folder / "rul.toml"
        path.write_text(configuration(url, [_PIPELINE]), encoding="utf-8")
        return path

    def replay(self, url: str, *, rate: int = 0, limit: int | None = None) -> list[str]:
        """Return the command that plays the rows into a broker."""
        command = [*COMMAND, "replay", str(self.rows), "--topic", TOPIC, "--rate", str(rate), "--broker", url]
        return [*command, "--columns", ",".join(COLUMNS), *(["--limit", str(limit)] if limit else [])]

    def pairs(self, limit: int | None = None) -> set[tuple[str, int]]:
        """Return (stream, number of the reading) of every row, read by other means than those under test."""
        engines = [line.split()[0] for line in self.rows.read_text(encoding="utf-8").splitlines()[:limit]]
        return {(engine, number) for engine, rows in Counter(engines).items() for number in range(1, rows + 1)}

    def computed(self, config: Path, limit: int | None = None) -> Values:
        """Return what the pipeline computes in this process, undisturbed by threads, sockets and restarts."""
        pipeline = assemble(load_config(config).pipeline[0], config.parent, {}).pipeline
        values: Values = {}
        for topic, payload in messages(islice(Table(self.rows, COLUMNS), limit), TopicTemplate(TOPIC, tuple(COLUMNS))):
            (due,) = pipeline.gatherer.take([Arrival(topic.split("/")[1], payload, 0.0)], 0.0).due
            (outcome,) = pipeline.predictor.predict([due])
            assert outcome is not None
            assert outcome.value is not None
            values[due.stream, due.reading] = outcome.value
        return values


def prepare(assets: Path, folder: Path) -> Fleet:
    """Optimize the fleet's model as a user would, `--metric rmse --max-drop 3%`, and write the package."""
    source = assets / "turbofan_rul"
    model = load_model(source / "model.onnx")
    calibration, evaluation = (
        load_dataset(str(source / name), model.inputs, Preprocess()) for name in ("calib.npz", "test.npz")
    )
    request = Request(calibration, evaluation, metrics.find("rmse"), Budget.parse("3%"))
    result = optimize(model, request)
    package = folder / "turbofan_rul.edgepkg"
    result.write(package)
    accuracy = result.manifest.variants[0].accuracy
    assert accuracy is not None
    lines = (source / "RUL_FD001.txt").read_text(encoding="utf-8").split()
    remaining = {str(engine): float(cycles) for engine, cycles in enumerate(lines, start=1)}
    return Fleet(source / "test_FD001.txt", remaining, package, accuracy.value)
