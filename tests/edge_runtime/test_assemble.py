"""A pipeline is put together from a configuration and a real package, or refused with the reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from msgspec.structs import replace
from onnx import TensorProto, helper

from edge_runtime.assemble import assemble
from edge_runtime.config_options import PipelineConfig, Source, WindowConfig
from edge_runtime.decision_options import AlarmConfig
from edge_runtime.errors import BadInput
from edge_runtime.inference.ort import OrtEngine
from edge_runtime.inference.postprocess import Argmax, Decision, Threshold, Value
from edge_runtime.inference.preprocess import Preprocess
from edge_runtime.package import archive, golden
from edge_runtime.package.manifest import FORMAT, Golden, Manifest, Tolerance, Variant
from edge_runtime.package.manifest import Source as Origin
from edge_runtime.stream.gatherer import Arrival

READING = b'{"a":1,"b":5,"c":3}'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a package whose model gives back the three numbers it is given."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3]) for name in ("x", "scores")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["scores"])], "same", ends[:1], ends[1:])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    model = onnx.ModelProto.SerializeToString(proto)
    engine = OrtEngine(model)
    inputs = {"x": np.ones((2, 3), np.float32)}
    manifest = Manifest(
        format=FORMAT,
        name="same",
        version=1,
        target="local",
        inputs=engine.inputs,
        outputs=engine.outputs,
        preprocess=Preprocess(),
        variants=(Variant("fp32", "variants/fp32.onnx", "float32", Tolerance(1e-4, 1e-3)),),
        golden=Golden("golden.npz", 2, synthetic=True),
        chosen_because="it is the only one",
        rejected=(),
        source=Origin("same.onnx", "0" * 64, None, None, {}),
    )
    samples = golden.encode(inputs, {"fp32": engine.run(inputs)})
    archive.write(tmp_path / "same.edgepkg", manifest, {"variants/fp32.onnx": model, "golden.npz": samples})
    return tmp_path


def configuration(
    decision: Decision | None, fields: tuple[str, ...] = ("a", "b", "c"), output: str | None = None
) -> PipelineConfig:
    """Return a pipeline on that package."""
    source = Source(topic="plant/{stream}/state", fields=fields)
    return PipelineConfig("states", "same.edgepkg", source, WindowConfig(), decision, output)


def test_what_fits_predicts(folder: Path) -> None:
    """A reading goes through window, model and decision."""
    whole = assemble(configuration(Argmax(labels=("idle", "busy", "stuck"))), folder, {})
    taken = whole.pipeline.gatherer.take([Arrival("press-1", READING, 0.0)], 0.0)
    assert [(due.stream, due.reading) for due in taken.due] == [("press-1", 1)]
    assert [outcome.label for outcome in whole.pipeline.predictor.predict(taken.due) if outcome] == ["busy"]


@pytest.mark.parametrize(
    ("config", "code", "words"),
    [
        (configuration(None), "E-PIPELINE-DECISION", "neither the configuration nor the package"),
        (configuration(Argmax(labels=("idle", "busy"))), "E-PIPELINE-DECISION", "2 labels for the 3 numbers"),
        (configuration(Argmax(("i", "b", "s"), ("broken",))), "E-PIPELINE-DECISION", "broken, which is no label"),
        (configuration(Threshold(above=1.0, index=3)), "E-PIPELINE-DECISION", "index does not exist"),
        (
            replace(configuration(Value()), alarm=AlarmConfig(on_count=2)),
            "E-PIPELINE-DECISION",
            "the decision has none",
        ),
        (configuration(Value(), fields=("a", "b")), "E-PIPELINE-SHAPE", "1 readings x 2 numbers"),
        (configuration(Value(), output="classes"), "E-PIPELINE-OUTPUT", "no output classes"),
    ],
)
def test_what_does_not_fit_is_refused_before_serving(
    folder: Path, config: PipelineConfig, code: str, words: str
) -> None:
    """Labels, limits, window and output are held against the model when it is loaded, not at the first reading."""
    with pytest.raises(BadInput) as caught:
        assemble(config, folder, {})
    assert caught.value.code == code
    assert words in caught.value.message
    assert "pipeline states" in caught.value.message


def test_a_stream_name_that_fits_in_no_topic_is_rejected(folder: Path) -> None:
    """A sensor may choose its topic, but not stop the daemon with one that is too long to answer on."""
    pipeline = assemble(configuration(Value()), folder, {}).pipeline
    taken = pipeline.gatherer.take([Arrival(name, READING, 0.0) for name in ("x" * 257, "", "x" * 256)], 0.0)
    assert (taken.rejected, taken.readings) == ({"bad_stream_name": 2}, 1)
    assert len(pipeline.gatherer.windows) == 1
