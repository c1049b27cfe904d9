"""Whether a float16 form still computes what the float32 model does, every tensor rounded as a device stores it.

On a processor without float16 arithmetic onnxruntime computes float16 nodes in float32 and drops the conversions
between them, so that neither rounding nor overflow is seen there. Here every float16 tensor is really stored.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, shape_inference

from edge_runtime.errors import BadInput
from edge_runtime.inference.batch import run_all
from edge_runtime.inference.engine import Array
from edge_runtime.inference.ort import OrtEngine, SessionSettings

_FEWEST_DECIBELS = 30.0  # float16 keeps 11 bits: models that take it well have 45 dB and more


def fault(float32: bytes, form: bytes, samples: Mapping[str, Array]) -> str | None:
    """Return why a float16 form is not to be served, None where it computes the same but for rounding.

    Args:
        float32: What it was made from.
        form: The float16 form, with the same inputs and outputs.
        samples: Arrays by input name, samples along their first axis.
    """
    expected = run_all(OrtEngine(float32), samples)
    try:
        actual = run_all(OrtEngine(as_stored(form), SessionSettings(optimize=False)), samples)
    except BadInput as error:
        return f"cannot be held against float32: {error.message}"
    for name, array in expected.items():
        if not np.issubdtype(array.dtype, np.floating):
            continue
        finite = np.isfinite(array)
        if not np.isfinite(actual[name][finite]).all():
            return f"overflows in float16: output {name} is infinite or no number where float32 gives one"
        decibels = _decibels(array[finite].astype(np.float64), actual[name][finite].astype(np.float64))
        if decibels < _FEWEST_DECIBELS:
            return f"too inexact in float16: {decibels:.0f} dB of signal to noise in output {name}"
    return None


def as_stored(form: bytes) -> bytes:
    """Return the form with two copies behind every float16 tensor, for a session that does not optimize.

    Two, as onnxruntime turns a single float16 node between float32 ones into float32; two stay, and with them the
    tensor as float16 holds it.
    """
    model = onnx.load_model_from_string(form)
    inferred = shape_inference.infer_shapes(model).graph
    halves = {item.name for item in inferred.value_info if item.type.tensor_type.elem_type == TensorProto.FLOAT16}
    nodes = []
    for node in model.graph.node:
        nodes.append(node)
        for index, name in enumerate(node.output):
            if name in halves:
                first, second = f"{name}/computed", f"{name}/stored"
                node.output[index] = first
                nodes += [
                    helper.make_node("Identity", [first], [second]),
                    helper.make_node("Identity", [second], [name]),
                ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return bytes(model.SerializeToString())


def _decibels(expected: Array, actual: Array) -> float:
    noise = float(np.square(actual - expected).mean()) if expected.size else 0.0
    signal = float(np.square(expected).mean()) if expected.size else 0.0
    return 10 * float(np.log10(signal / noise)) if noise > 0 and signal > 0 else (np.inf if noise == 0 else -np.inf)
