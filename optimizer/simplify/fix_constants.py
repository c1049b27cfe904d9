"""Make constants constant: initializers that old models also list as inputs could be overridden by a caller."""

from __future__ import annotations

import onnx

_SEPARATE_INITIALIZERS = 4  # the first IR version in which an initializer need not be an input


def apply(data: bytes) -> bytes:
    """Return the model with true inputs only; a model that is so already comes back as it is."""
    model = onnx.load_model_from_string(data)
    constants = {item.name for item in model.graph.initializer}
    inputs = [item for item in model.graph.input if item.name not in constants]
    if len(inputs) == len(model.graph.input):
        return data
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, _SEPARATE_INITIALIZERS)
    return model.SerializeToString()
