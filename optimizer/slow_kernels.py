"""Shapes and operators for which onnxruntime's CPU kernels are known to be slow."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from edge_runtime.inference.ort import SessionSettings


def slow_kernels(written: onnx.GraphProto, executed: onnx.GraphProto, settings: SessionSettings) -> Iterator[str]:
    """Yield one sentence per slow kernel found, each with what was measured or what would help.

    Args:
        written: The model's graph.
        executed: What onnxruntime makes of it with all optimizations.
        settings: How it is served.
    """
    if not settings.optimize:
        yield "graph optimization is off (ENABLE_ALL missing): measured 2 to 7 x slower for both float32 and int8"
    skips = [node.name for node in executed.node if node.op_type == "SkipLayerNormalization"]
    if skips:
        yield (
            f"{len(skips)} SkipLayerNormalization: its float32 kernel took 98 us where LayerNormalization and Sum took "
            "24; write the Add in front as Sum to keep them apart"
        )
    constants = {item.name: tuple(item.dims) for item in written.initializer}
    restored = {node.output[0]: node.input[0] for node in written.node if node.op_type == "DequantizeLinear"}
    for node in written.node:
        if node.op_type == "Conv" and node.input[0] in restored and node.input[1] in restored:
            yield from _convolution(node, constants.get(restored[node.input[1]], ()))


def _convolution(node: onnx.NodeProto, weight: tuple[int, ...]) -> Iterator[str]:
    if not weight:
        return
    groups = next((int(item.i) for item in node.attribute if item.name == "group"), 1)
    channels = groups * weight[1]
    if groups == channels > 1 and channels % 16:
        yield f"{node.name}: int8 depthwise over {channels} channels, no multiple of 16: 0.14 to 0.31 x float32"
    elif 1 < groups < channels:
        yield f"{node.name}: int8 convolution in {groups} groups has no symmetric kernel"
    elif groups == 1 and channels % 4:
        yield f"{node.name}: int8 over {channels} input channels, no multiple of 4: no symmetric kernel"
