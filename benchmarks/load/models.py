"""The two models of the load test, made anew wherever it runs, and the readings they are fed.

Their ONNX is written field by field (onnx.proto of ONNX 1.18): the onnx library is not needed on a device, and 400 kB
of noise need not travel in the wheel.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge_runtime.inference.engine import Array
from edge_runtime.inference.ort import OrtEngine
from edge_runtime.inference.preprocess import Preprocess
from edge_runtime.package import archive, golden
from edge_runtime.package.manifest import FORMAT, Golden, Manifest, Source, Tolerance, Variant

FEATURES = 8
WINDOW = 64  # readings that the CNN sees
PAYLOAD_BYTES = 149

_SEED = 20260
_FLOAT = 1  # TensorProto.DataType
_INTS = 7  # AttributeProto.AttributeType
_OPSET, _IR = 17, 8
_MATRIX = 2  # dimensions of a dense layer's weights


def mlp() -> bytes:
    """Return a perceptron of 8, 16 and 1 neurons: input float32 [N, 8], output float32 [N, 1]."""
    weights = _weights({"w1": (FEATURES, 16), "b1": (16,), "w2": (16, 1), "b2": (1,)})
    nodes = [
        _node("Gemm", ["reading", "w1", "b1"], "h1"),
        _node("Relu", ["h1"], "h2"),
        _node("Gemm", ["h2", "w2", "b2"], "value"),
    ]
    return _model("mlp", nodes, weights, ("reading", (FEATURES,)))


def cnn() -> bytes:
    """Return a network with two convolutions over time: input float32 [N, 8, 64], output float32 [N, 1]."""
    shapes: dict[str, tuple[int, ...]] = {"c1": (32, FEATURES, 5), "d1": (32,), "c2": (64, 32, 5), "d2": (64,)}
    weights = _weights({**shapes, "w1": (64 * WINDOW // 4, 80), "b1": (80,), "w2": (80, 1), "b2": (1,)})
    same, half = {"kernel_shape": [5], "pads": [2, 2]}, {"kernel_shape": [2], "strides": [2]}
    nodes = [
        _node("Conv", ["window", "c1", "d1"], "x1", same),
        _node("Relu", ["x1"], "x2"),
        _node("MaxPool", ["x2"], "x3", half),
        _node("Conv", ["x3", "c2", "d2"], "x4", same),
        _node("Relu", ["x4"], "x5"),
        _node("MaxPool", ["x5"], "x6", half),
        _node("Flatten", ["x6"], "x7"),
        _node("Gemm", ["x7", "w1", "b1"], "x8"),
        _node("Relu", ["x8"], "x9"),
        _node("Gemm", ["x9", "w2", "b2"], "value"),
    ]
    return _model("cnn", nodes, weights, ("window", (FEATURES, WINDOW)))


def readings(count: int) -> list[bytes]:
    """Return so many different readings, JSON of 149 bytes each: eight numbers, and what else a sensor says."""
    return [_reading(row) for row in _numbers(count).tolist()]


def rows(count: int) -> Array:
    """Return the numbers of those readings as a program decodes them, float32 [count, 8]."""
    return np.asarray(_numbers(count), np.float32)


def write_package(path: Path, model: bytes, name: str) -> None:
    """Write a package that holds the model as it is, with golden samples of zeros and ones."""
    engine = OrtEngine(model)
    (tensor,) = engine.inputs
    shape = tuple(int(size) for size in tensor.shape[1:])
    inputs = {tensor.name: np.stack([np.zeros(shape, np.float32), np.ones(shape, np.float32)])}
    variant = Variant("fp32", "variants/fp32.onnx", "float32", Tolerance(absolute=1e-4, relative=1e-3))
    manifest = Manifest(
        format=FORMAT,
        name=name,
        version=1,
        target="local",
        inputs=engine.inputs,
        outputs=engine.outputs,
        preprocess=Preprocess(),
        variants=(variant,),
        golden=Golden("golden.npz", 2, synthetic=True),
        chosen_because="it is the only one",
        rejected=(),
        source=Source(f"{name}.onnx", "0" * 64, None, None, {}),
    )
    outputs = {variant.name: engine.run(inputs)}
    archive.write(path, manifest, {variant.file: model, "golden.npz": golden.encode(inputs, outputs)})


def _numbers(count: int) -> Array:
    return np.random.default_rng(_SEED).uniform(1.0, 9.9, (count, FEATURES)).round(6)


def _reading(row: Sequence[float]) -> bytes:
    values = ",".join(f'"v{index}":{value:.6f}' for index, value in enumerate(row))
    return f'{{"sensor":"pump-001","ts":1700000000,{values}}}'.encode()


def _weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, Array]:
    """Return seeded noise that keeps numbers of one order through all layers."""
    random = np.random.default_rng(_SEED)
    found = {}
    for name, shape in shapes.items():
        inputs = shape[0] if len(shape) == _MATRIX else int(np.prod(shape[1:]))
        found[name] = (random.standard_normal(shape) / np.sqrt(max(inputs, 1))).astype(np.float32)
    return found


def _model(name: str, nodes: list[bytes], weights: dict[str, Array], entry: tuple[str, tuple[int, ...]]) -> bytes:
    graph = _message(
        *((1, node) for node in nodes),
        (2, name),
        *((5, _tensor(key, array)) for key, array in weights.items()),
        (11, _value_info(*entry)),
        (12, _value_info("value", (1,))),
    )
    return _message((1, _IR), (7, graph), (8, _message((1, ""), (2, _OPSET))))


def _node(kind: str, inputs: list[str], output: str, attributes: dict[str, list[int]] | None = None) -> bytes:
    listed = [
        _message((1, key), *((8, number) for number in numbers), (20, _INTS))
        for key, numbers in (attributes or {}).items()
    ]
    return _message(*((1, each) for each in inputs), (2, output), (4, kind), *((5, each) for each in listed))


def _tensor(name: str, array: Array) -> bytes:
    return _message(*((1, size) for size in array.shape), (2, _FLOAT), (8, name), (9, array.tobytes()))


def _value_info(name: str, shape: tuple[int, ...]) -> bytes:
    sizes = [_message((2, "N")), *(_message((1, size)) for size in shape)]
    tensor = _message((1, _FLOAT), (2, _message(*((1, size) for size in sizes))))
    return _message((1, name), (2, _message((1, tensor))))


def _message(*fields: tuple[int, int | str | bytes]) -> bytes:
    """Return a protobuf message: whole numbers as varints, everything else with its length in front."""
    parts = []
    for number, value in fields:
        if isinstance(value, int):
            parts += [_varint(number << 3), _varint(value)]
        else:
            data = value.encode() if isinstance(value, str) else value
            parts += [_varint(number << 3 | 2), _varint(len(data)), data]
    return b"".join(parts)


def _varint(number: int) -> bytes:
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)
