"""The demo's pumps: their vibration, and a package of the demo's model in int8, made without measuring anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from daemons import configuration

from edge_runtime.inference.ort import OrtEngine, SessionSettings
from edge_runtime.inference.postprocess import Argmax
from edge_runtime.inference.preprocess import Preprocess
from edge_runtime.package import archive, golden
from edge_runtime.package.manifest import FORMAT, Golden, Manifest, Source, Variant
from optimizer.calibrate.observe import observe
from optimizer.calibrate.ranges import ranges_of
from optimizer.data import Dataset
from optimizer.demo.data import LABELS, MODEL, calibration, labelled_bursts
from optimizer.load import load_model
from optimizer.quantize import quantize, tensors_to_observe
from optimizer.recipe import Recipe
from optimizer.schemes import Int8Static
from optimizer.simplify import simplify

_STREAM_SEED = 20261125
_GOLDEN = "golden.npz"

_PIPELINE = """
[[pipeline]]
name = "bearing"
package = "bearing.edgepkg"
source = { topic = "plant/{stream}/vibration", array = "samples", length = 1024 }
"""


def configure(folder: Path, url: str) -> Path:
    """Write the package and a configuration that serves it into `folder` and return the configuration's path."""
    _write_package(folder / "bearing.edgepkg")
    path = folder / "bearing.toml"
    path.write_text(configuration(url, [_PIPELINE]), encoding="utf-8")
    return path


def readings(count: int) -> Iterator[tuple[str, bytes]]:
    """Yield (topic, payload) of bursts from two pumps in turn, of every condition the model tells apart."""
    bursts, _ = labelled_bursts(_STREAM_SEED, count)
    for number, burst in enumerate(bursts):
        yield f"plant/pump-{number % 2}/vibration", json.dumps({"samples": burst[0].tolist()}).encode()


def _write_package(path: Path) -> None:
    model = load_model(MODEL)
    (tensor,) = model.inputs
    inputs = {tensor.name: calibration()[:64]}
    base = simplify(model.data, {tensor.name: inputs[tensor.name][:1]}).data
    histograms = observe(base, tensors_to_observe(base), Dataset(inputs, None, "bursts"), lambda done, total: None)
    scheme = Int8Static()
    data = quantize(base, Recipe(scheme), ranges_of(histograms, "minmax"))
    outputs = OrtEngine(data, SessionSettings()).run(inputs)
    variant = Variant(scheme.name, "variants/int8.onnx", scheme.precision, golden.tolerance_for(outputs, 2e-2, 2e-2))
    manifest = Manifest(
        format=FORMAT,
        name="bearing",
        version=1,
        target="local",
        inputs=model.inputs,
        outputs=model.outputs,
        preprocess=Preprocess(),
        variants=(variant,),
        golden=Golden(_GOLDEN, len(inputs[tensor.name]), synthetic=False),
        chosen_because="it is the only one",
        rejected=(),
        source=Source(MODEL.name, model.sha256, None, None, {}),
        decision=Argmax(labels=LABELS, alarm_on=LABELS[1:]),
    )
    archive.write(path, manifest, {variant.file: data, _GOLDEN: golden.encode(inputs, {variant.name: outputs})})
