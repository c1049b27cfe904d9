"""A machine that computes something else: this one, with a model changed on its way there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import numpy_helper

from benchmarks import exchange
from devices.places.local import LocalPlace

Change = Callable[[onnx.ModelProto], None]


class OtherArithmetic(LocalPlace):
    """Runs models after a change; the name is another, so that its answers are compared with the host's."""

    name = "other"

    def __init__(self, change: Change) -> None:
        super().__init__()
        self._change = change

    def put(self, name: str, data: bytes) -> None:
        """Write a file, a model with the change."""
        if name.startswith(exchange.model_file(0)[:6]):
            model = onnx.load_model_from_string(data)
            self._change(model)
            data = model.SerializeToString()
        super().put(name, data)


def moved_bias(layer: str, by: int) -> Change:
    """Return a change that adds so many steps of the sums to a convolution's bias."""

    def change(model: onnx.ModelProto) -> None:
        producers = {output: node for node in model.graph.node for output in node.output}
        node = next(node for node in model.graph.node if node.name == layer)
        wanted = producers[node.input[2]].input[0]
        bias = next(item for item in model.graph.initializer if item.name == wanted)
        bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.int32(by), wanted))

    return change
