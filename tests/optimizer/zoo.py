"""Stand-ins for the models users bring: seeded random weights with sane sizes, each built like its exporter builds it.

Use `ZOO[name]()` for a model and `feeds_for(model, count)` for inputs it accepts.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT
INT64 = TensorProto.INT64
Shapes = dict[str, Sequence[int | str]]


class Net:
    """Collects nodes and initializers; every method returns the name of the tensor it made."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, NDArray[Any]] = {}

    def add(self, op: str, inputs: Sequence[str], output: str = "", **attributes: object) -> str:
        """Append a node with one output."""
        index = len(self.nodes)
        output = output or f"{op.lower()}_{index}_out"
        self.nodes.append(helper.make_node(op, list(inputs), [output], f"{op.lower()}_{index}", **attributes))
        return output

    def constant(self, values: object, dtype: type = np.float32) -> str:
        """Add an initializer."""
        name = f"constant_{len(self.weights)}"
        self.weights[name] = np.asarray(values, dtype)
        return name

    def he(self, *shape: int, fan_in: int, gain: float = 2.0) -> str:
        """Add a weight after He et al. 2015: variance gain / fan_in."""
        return self.constant(self.random.normal(0, np.sqrt(gain / fan_in), shape))

    def conv(self, x: str, channels: tuple[int, int], kernel: Sequence[int], **attributes: object) -> str:
        """Add a convolution with bias, `channels` = (in, out); by default it keeps the size at stride 1."""
        group = attributes.get("group", 1)
        assert isinstance(group, int)
        fan_in = channels[0] // group
        weight = self.he(channels[1], fan_in, *kernel, fan_in=fan_in * int(np.prod(kernel)))
        bias = self.constant(self.random.normal(0, 0.05, channels[1]))
        attributes.setdefault("pads", [k // 2 for k in kernel] * 2)
        return self.add("Conv", [x, weight, bias], kernel_shape=list(kernel), **attributes)

    def dense(self, x: str, sizes: tuple[int, int], gain: float = 2.0) -> str:
        """Add MatMul + Add, as TensorFlow exports a dense layer."""
        product = self.add("MatMul", [x, self.he(*sizes, fan_in=sizes[0], gain=gain)])
        return self.add("Add", [product, self.constant(self.random.normal(0, 0.05, sizes[1]))])

    def gemm(self, x: str, sizes: tuple[int, int], gain: float = 2.0) -> str:
        """Add Gemm with transB, as PyTorch exports a dense layer."""
        weight = self.he(sizes[1], sizes[0], fan_in=sizes[0], gain=gain)
        return self.add("Gemm", [x, weight, self.constant(self.random.normal(0, 0.05, sizes[1]))], transB=1)

    def model(
        self, inputs: dict[str, Sequence[int | str]], outputs: dict[str, Sequence[int | str]], **kinds: int
    ) -> Any:
        """Return the checked model; `kinds` gives the element type of inputs that are not float."""
        opset = kinds.pop("opset", 17)
        graph = helper.make_graph(
            self.nodes,
            "stand_in",
            [helper.make_tensor_value_info(name, kinds.get(name, FLOAT), shape) for name, shape in inputs.items()],
            [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in outputs.items()],
            [numpy_helper.from_array(array, name) for name, array in self.weights.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        return model


def depthwise_cnn(side: int = 96) -> onnx.ModelProto:
    """Depthwise-separable image classifier from TensorFlow, 8-channel stem: x [N,side,side,3] NHWC -> [N,2]."""
    net = Net(1)
    x = net.add("Transpose", ["x"], perm=[0, 3, 1, 2])
    x = net.add("Relu", [net.conv(x, (3, 8), (3, 3), strides=[2, 2], pads=[0, 0, 1, 1])])
    width = 8
    blocks = [(16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1)]
    for out, stride in blocks:
        pads = [0, 0, 1, 1] if stride == 2 else [1, 1, 1, 1]
        x = net.conv(x, (width, width), (3, 3), group=width, strides=[stride, stride], pads=pads)
        x = net.add("Relu", [net.conv(net.add("Relu", [x]), (width, out), (1, 1))])
        width = out
    x = net.add("AveragePool", [x], kernel_shape=[side // 32, side // 32], strides=[side // 32, side // 32])
    x = net.add("Reshape", [x, net.constant([-1, 256], np.int64)])
    net.add("Softmax", [net.dense(x, (256, 2), gain=1.0)], "y", axis=-1)
    return net.model({"x": ["N", side, side, 3]}, {"y": ["N", 2]}, opset=13)


def _same_pad(net: Net, x: str, kernel: int, stride: int) -> str:
    """Add TensorFlow's SAME padding as computed from the shape at run time: Shape -> Gather -> ... -> Pad."""
    sides = []
    for axis in (2, 3):
        size = net.add("Gather", [net.add("Shape", [x]), net.constant(axis, np.int64)], axis=0)
        size = net.add("Cast", [size], to=FLOAT)
        steps = net.add("Ceil", [net.add("Div", [size, net.constant(float(stride))])])
        span = net.add("Mul", [net.add("Sub", [steps, net.constant(1.0)]), net.constant(float(stride))])
        total = net.add("Sub", [net.add("Add", [span, net.constant(float(kernel))]), size])
        total = net.add("Cast", [net.add("Max", [total, net.constant(0.0)])], to=INT64)
        before = net.add("Div", [total, net.constant(2, np.int64)])
        sides.append((before, net.add("Sub", [total, before])))
    zeros = net.constant([0, 0], np.int64)
    parts = [net.add("Unsqueeze", [sides[axis][end], net.constant([0], np.int64)]) for end in (0, 1) for axis in (0, 1)]
    pads = net.add("Concat", [zeros, *parts[:2], zeros, *parts[2:]], axis=0)
    return net.add("Pad", [x, pads, net.constant(0.0)], mode="constant")


def mobile_cnn(side: int = 96) -> onnx.ModelProto:
    """Inverted residuals with padding computed from the shape at run time, open batch: x [N,3,side,side] -> [N,10]."""
    net = Net(2)

    def relu6(x: str) -> str:
        return net.add("Clip", [x, net.constant(0.0), net.constant(6.0)])

    x = relu6(net.conv(_same_pad(net, "x", 3, 2), (3, 16), (3, 3), strides=[2, 2], pads=[0] * 4))
    width = 16
    for out, stride in [(16, 1), (24, 2), (24, 1), (32, 2), (32, 1), (64, 2), (64, 1)]:
        wide = width * 4
        inner = relu6(net.conv(x, (width, wide), (1, 1)))
        inner = _same_pad(net, inner, 3, stride)
        inner = relu6(net.conv(inner, (wide, wide), (3, 3), group=wide, strides=[stride, stride], pads=[0] * 4))
        inner = net.conv(inner, (wide, out), (1, 1))
        x = net.add("Add", [x, inner]) if (out, stride) == (width, 1) else inner
        width = out
    x = net.add("GlobalAveragePool", [relu6(net.conv(x, (width, 128), (1, 1)))])
    count = net.add("Gather", [net.add("Shape", [x]), net.constant(0, np.int64)], axis=0)
    count = net.add("Unsqueeze", [count, net.constant([0], np.int64)])
    shape = net.add("Concat", [count, net.constant([-1], np.int64)], axis=0)
    x = net.add("Dropout", [net.add("Reshape", [x, shape])])
    net.nodes.append(helper.make_node("Identity", [net.gemm(x, (128, 10), gain=1.0)], ["y"], "identity"))
    return net.model({"x": ["N", 3, side, side]}, {"y": ["N", 10]}, opset=13)


def _silu(net: Net, x: str, channels: tuple[int, int], kernel: int, stride: int = 1) -> str:
    x = net.conv(x, channels, (kernel, kernel), strides=[stride, stride])
    return net.add("Mul", [x, net.add("Sigmoid", [x])])


def _csp(net: Net, x: str, channels: tuple[int, int], residual: bool) -> str:
    half = channels[1] // 2
    left, right = (_silu(net, x, (channels[0], half), 1) for _ in range(2))
    inner = _silu(net, _silu(net, left, (half, half), 1), (half, half), 3)
    left = net.add("Add", [left, inner]) if residual else inner
    return _silu(net, net.add("Concat", [left, right], axis=1), (channels[1], channels[1]), 1)


def _focus(net: Net, x: str) -> str:
    """Add the 8 Slices + Concat that put every second pixel into channels of its own."""

    def every_second(tensor: str, start: int, axis: int) -> str:
        ends = [np.iinfo(np.int64).max]
        return net.add("Slice", [tensor, *(net.constant(v, np.int64) for v in ([start], ends, [axis], [2]))])

    corners = [(0, 0), (1, 0), (0, 1), (1, 1)]
    return net.add("Concat", [every_second(every_second(x, row, 2), col, 3) for row, col in corners], axis=1)


def _decode(net: Net, heads: list[tuple[str, int]], side: int) -> None:
    """Add the tail: Concat -> Transpose -> boxes in pixels (values far over 100) beside scores in 0..1."""
    flat = [net.add("Reshape", [head, net.constant([0, 7, -1], np.int64)]) for head, _ in heads]
    x = net.add("Transpose", [net.add("Concat", flat, axis=2)], perm=[0, 2, 1])
    grid, strides = [], []
    for _, stride in heads:
        cells = side // stride
        rows, columns = np.mgrid[:cells, :cells]
        grid.append(np.stack([columns, rows], axis=-1).reshape(1, -1, 2))
        strides.append(np.full((1, cells * cells, 1), stride))
    stride_name = net.constant(np.concatenate(strides, axis=1))

    def part(start: int, end: int) -> str:
        return net.add("Slice", [x, *(net.constant([v], np.int64) for v in (start, end, 2))])

    corner = net.add("Mul", [net.add("Add", [part(0, 2), net.constant(np.concatenate(grid, axis=1))]), stride_name])
    size = net.add("Mul", [net.add("Exp", [part(2, 4)]), stride_name])
    net.add("Concat", [corner, size, part(4, 7)], "boxes", axis=2)


def nano_detector(side: int = 160) -> onnx.ModelProto:
    """SiLU detector with Focus stem, pooling pyramid, neck and decoded boxes: x [1,3,side,side] -> [1,cells,7].

    Columns of the output: centre x, y and width, height in pixels, then objectness and two class scores.
    """
    net = Net(3)
    x = _silu(net, _focus(net, "x"), (12, 16), 3)
    c3 = _csp(net, _silu(net, _csp(net, _silu(net, x, (16, 32), 3, 2), (32, 32), True), (32, 64), 3, 2), (64, 64), True)
    c4 = _csp(net, _silu(net, c3, (64, 96), 3, 2), (96, 96), True)
    c5 = _silu(net, _silu(net, c4, (96, 128), 3, 2), (128, 64), 1)
    pools = [net.add("MaxPool", [c5], kernel_shape=[k, k], pads=[k // 2] * 4, strides=[1, 1]) for k in (5, 9, 13)]
    c5 = _silu(net, net.add("Concat", [c5, *pools], axis=1), (256, 96), 1)
    scales = net.constant([1, 1, 2, 2])
    up = net.add("Resize", [c5, "", scales], mode="nearest", coordinate_transformation_mode="asymmetric")
    p4 = _csp(net, net.add("Concat", [up, c4], axis=1), (192, 64), False)
    up = net.add("Resize", [p4, "", scales], mode="nearest", coordinate_transformation_mode="asymmetric")
    p3 = _csp(net, net.add("Concat", [up, c3], axis=1), (128, 64), False)
    p5 = _csp(net, net.add("Concat", [_silu(net, p4, (64, 64), 3, 2), c5], axis=1), (160, 64), False)
    heads = []
    for level, stride in ((p3, 8), (p4, 16), (p5, 32)):
        stem = _silu(net, level, (64, 48), 1)
        box = net.conv(_silu(net, stem, (48, 48), 3), (48, 4), (1, 1))
        seen = net.add("Sigmoid", [net.conv(stem, (48, 1), (1, 1))])
        kind = net.add("Sigmoid", [net.conv(_silu(net, stem, (48, 48), 3), (48, 2), (1, 1))])
        heads.append((net.add("Concat", [box, seen, kind], axis=1), stride))
    _decode(net, heads, side)
    cells = sum((side // stride) ** 2 for _, stride in heads)
    return net.model({"x": [1, 3, side, side]}, {"boxes": [1, cells, 7]}, opset=13)


def _layer_norm(net: Net, x: str, width: int, decomposed: bool) -> str:
    scale = net.constant(net.random.uniform(0.8, 1.2, width))
    bias = net.constant(net.random.normal(0, 0.05, width))
    if not decomposed:
        return net.add("LayerNormalization", [x, scale, bias], axis=-1, epsilon=1e-5)
    centred = net.add("Sub", [x, net.add("ReduceMean", [x], axes=[-1])])
    variance = net.add("ReduceMean", [net.add("Pow", [centred, net.constant(2.0)])], axes=[-1])
    deviation = net.add("Sqrt", [net.add("Add", [variance, net.constant(1e-5)])])
    return net.add("Add", [net.add("Mul", [net.add("Div", [centred, deviation]), scale]), bias])


def _gelu(net: Net, x: str) -> str:
    error = net.add("Erf", [net.add("Div", [x, net.constant(np.sqrt(2.0))])])
    return net.add("Mul", [net.add("Mul", [x, net.add("Add", [error, net.constant(1.0)])]), net.constant(0.5)])


def _attention(net: Net, x: str, length: int, width: int, heads: int) -> str:
    size = width // heads
    split = net.constant([0, length, heads, size], np.int64)

    def projected(perm: list[int]) -> str:
        return net.add("Transpose", [net.add("Reshape", [net.dense(x, (width, width), 1.0), split])], perm=perm)

    query, key, value = projected([0, 2, 1, 3]), projected([0, 2, 3, 1]), projected([0, 2, 1, 3])
    scores = net.add("Div", [net.add("MatMul", [query, key]), net.constant(np.sqrt(size))])
    mixed = net.add("MatMul", [net.add("Softmax", [scores], axis=-1), value])
    mixed = net.add("Transpose", [mixed], perm=[0, 2, 1, 3])
    return net.dense(net.add("Reshape", [mixed, net.constant([0, length, width], np.int64)]), (width, width), 1.0)


def transformer_encoder(
    layers: int = 2, length: int = 32, width: int = 128, decomposed: bool = False
) -> onnx.ModelProto:
    """Post-norm text encoder with erf-Gelu, mean pooled: ids int64 [N,length] in 0..999 -> [N,width].

    Args:
        layers: Encoder layers.
        length: Tokens of a text.
        width: Features of a token, four heads.
        decomposed: Normalize by ReduceMean, Pow, Sqrt … as exporters before opset 17 do.
    """
    net = Net(4)
    words = net.constant(net.random.normal(0, 1, (1000, width)))
    x = net.add("Add", [net.add("Gather", [words, "ids"]), net.constant(net.random.normal(0, 0.3, (1, length, width)))])
    x = _layer_norm(net, x, width, decomposed)
    for _ in range(layers):
        x = _layer_norm(net, net.add("Add", [_attention(net, x, length, width, 4), x]), width, decomposed)
        inner = net.dense(_gelu(net, net.dense(x, (width, 4 * width), 1.0)), (4 * width, width), 1.0)
        x = _layer_norm(net, net.add("Add", [inner, x]), width, decomposed)
    net.add("ReduceMean", [x], "y", axes=[1], keepdims=0)
    return net.model({"ids": ["N", length]}, {"y": ["N", width]}, ids=INT64)


def conv1d() -> onnx.ModelProto:
    """1-D convolutions over a vibration window, PyTorch style: x [N,6,128] -> [N,5]."""
    net = Net(5)
    x = net.add("Relu", [net.conv("x", (6, 24), (7,), strides=[2])])
    x = net.add("MaxPool", [x], kernel_shape=[2], strides=[2])
    x = net.add("Relu", [net.conv(x, (24, 48), (5,))])
    x = net.add("Relu", [net.conv(x, (48, 48), (3,), dilations=[2], pads=[2, 2])])
    x = net.add("GlobalAveragePool", [x])
    net.nodes.append(helper.make_node("Identity", [net.gemm(net.add("Flatten", [x]), (48, 5), 1.0)], ["y"], "identity"))
    return net.model({"x": ["N", 6, 128]}, {"y": ["N", 5]}, opset=13)


def autoencoder() -> onnx.ModelProto:
    """Dense autoencoder with a narrow waist, TensorFlow style: x [N,64] -> [N,64]."""
    net = Net(6)
    x, sizes = "x", [64, 96, 96, 8, 96, 96]
    for pair in itertools.pairwise(sizes):
        x = net.add("Relu", [net.dense(x, pair)])
    net.nodes.append(helper.make_node("Identity", [net.dense(x, (96, 64), 1.0)], ["y"], "identity"))
    return net.model({"x": ["N", 64]}, {"y": ["N", 64]}, opset=13)


def mlp() -> onnx.ModelProto:
    """Sensor values scaled inside the model, three dense layers, PyTorch style: x [N,12] -> [N,3]."""
    net = Net(7)
    x = net.add("Div", [net.add("Sub", ["x", net.constant(np.full(12, 0.5))]), net.constant(np.full(12, 1.5))])
    x = net.add("Relu", [net.gemm(x, (12, 64))])
    x = net.add("Relu", [net.gemm(x, (64, 64))])
    net.add("Softmax", [net.gemm(x, (64, 3), 1.0)], "y", axis=-1)
    return net.model({"x": ["N", 12]}, {"y": ["N", 3]}, opset=13)


def lstm() -> onnx.ModelProto:
    """One LSTM layer and a dense head on its last state: x [N,20,4] -> [N,1]."""
    net, hidden = Net(8), 32
    x = net.add("Transpose", ["x"], perm=[1, 0, 2])
    weights = [net.constant(net.random.uniform(-0.18, 0.18, (1, 4 * hidden, size))) for size in (4, hidden)]
    bias = net.constant(net.random.uniform(-0.18, 0.18, (1, 8 * hidden)))
    net.nodes.append(helper.make_node("LSTM", [x, *weights, bias], ["", "state"], "lstm", hidden_size=hidden))
    last = net.add("Squeeze", ["state", net.constant([0], np.int64)])
    net.nodes.append(helper.make_node("Identity", [net.gemm(last, (hidden, 1), 1.0)], ["y"], "identity"))
    return net.model({"x": ["N", 20, 4]}, {"y": ["N", 1]}, opset=14)


def branching() -> onnx.ModelProto:
    """`If` on the mean of the input, a dense layer before it and one in each branch: x [N,8] -> [N,4]."""
    net = Net(9)
    x = net.add("Relu", [net.dense("x", (8, 16))])
    mean = net.add("ReduceMean", ["x"], axes=[0, 1], keepdims=0)
    positive = net.add("Greater", [mean, net.constant(0.0)])
    branches = []
    for name in ("then", "else"):
        weight = net.he(16, 4, fan_in=16)
        node = helper.make_node("MatMul", [x, weight], [f"{name}_y"], f"{name}_dense")
        output = helper.make_tensor_value_info(f"{name}_y", FLOAT, ["N", 4])
        branches.append(helper.make_graph([node], name, [], [output]))
    net.add("If", [positive], "y", then_branch=branches[0], else_branch=branches[1])
    return net.model({"x": ["N", 8]}, {"y": ["N", 4]}, opset=13)


ZOO: dict[str, Callable[[], onnx.ModelProto]] = {
    "depthwise_cnn": depthwise_cnn,
    "mobile_cnn": mobile_cnn,
    "nano_detector": nano_detector,
    "transformer_encoder": transformer_encoder,
    "conv1d": conv1d,
    "autoencoder": autoencoder,
    "mlp": mlp,
    "lstm": lstm,
    "branching": branching,
}


def feeds_for(model: onnx.ModelProto, count: int = 1, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Return `count` seeded samples (one where the batch is fixed): noise for floats, ids below 1000 for integers."""
    random = np.random.default_rng(seed)
    feeds: dict[str, NDArray[Any]] = {}
    for item in model.graph.input:
        kind = item.type.tensor_type
        shape = [size.dim_value or count for size in kind.shape.dim]
        is_id = kind.elem_type == INT64
        feeds[item.name] = random.integers(0, 1000, shape) if is_id else random.normal(0, 1, shape).astype(np.float32)
    return feeds
