"""The demo's model, data and a sensor recording as files, for who has none of his own at hand yet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edge_runtime.errors import BadInput, EnvironmentFault
from edge_runtime.files import write_atomically
from edge_runtime.inference.engine import Array
from edge_runtime.sources.synthetic import BURST_SAMPLES, VibrationSensor
from optimizer.demo.data import LABELS, MODEL, calibration, evaluation
from optimizer.demo.model import ALARM_ON
from optimizer.demo.plant import FAILING, FAULT_SEVERITY_G, PUMPS

_BURSTS = 8  # per pump; the failing one breaks after half of them

_CONFIG = f"""\
schema = 1

[node]
name = "gateway-1"

[broker]
url = "mqtt://127.0.0.1:1883"

[[pipeline]]
name = "bearing"
package = "bearing.edgepkg"

[pipeline.source]
topic = "plant/{{stream}}/vibration" # {{stream}} is the pump
fields = ["acceleration"]            # one number per message, in g

[pipeline.window]
size = {BURST_SAMPLES} # readings that the model looks at together
hop = {BURST_SAMPLES}  # a prediction every so many readings
layout = "features_first"

[pipeline.decision]
kind = "argmax"
labels = {json.dumps(LABELS)}
alarm_on = {json.dumps(ALARM_ON)}
"""


def export(folder: Path) -> list[Path]:
    """Write bearing.onnx, calibration.npz, evaluation.npz, vibration.csv and edge-runtime.toml into a new folder.

    Raises:
        BadInput: E-DEMO-EXPORT, the folder exists and is not empty; nothing is overwritten.
        EnvironmentFault: E-FILE-WRITE.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput("E-DEMO-EXPORT", f"{folder} exists already", "name a folder that does not exist yet")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fix = "choose a place you may write to"
        raise EnvironmentFault("E-FILE-WRITE", f"cannot make {folder}: {error.strerror}", fix) from error
    bursts, classes = evaluation()
    files = {
        "bearing.onnx": MODEL.read_bytes(),
        "calibration.npz": _npz(calibration()),
        "evaluation.npz": _npz(bursts, classes),
        "vibration.csv": _recording(),
        "edge-runtime.toml": _CONFIG.encode(),
    }
    for name, data in files.items():
        write_atomically(folder / name, data)
    return [folder / name for name in files]


def _npz(x: Array, y: Array | None = None) -> bytes:
    buffer = io.BytesIO()
    if y is None:
        np.savez(buffer, x=x)
    else:
        np.savez(buffer, x=x, y=y)
    return buffer.getvalue()


def _recording() -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("pump", "acceleration"))
    for seed, pump in enumerate(PUMPS, start=1):
        writer.writerows((pump, f"{sample:.5f}") for sample in _samples(pump, seed))
    return text.getvalue().encode()


def _samples(pump: str, seed: int) -> Iterator[float]:
    sensor = VibrationSensor(seed)
    for burst in range(_BURSTS):
        broken = pump == FAILING and burst >= _BURSTS // 2
        yield from sensor.read(FAULT_SEVERITY_G if broken else 0.0)
