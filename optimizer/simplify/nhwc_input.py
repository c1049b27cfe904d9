"""Conv(Transpose(x)) over an NHWC image = Conv(Reshape(x)): columns and channels are read as one long row.

1. Transpose(0, 3, 1, 2) of [N, H, W, C], C <= 4, read by one convolution only (one group, no dilation along W).
2. The image becomes [N, 1, H, W * C]; kernel, stride and padding along W grow by C.
3. weight'[o, 0, i, j * C + c] = weight[o, c, i, j].
"""

from __future__ import annotations

import numpy as np

from optimizer.simplify.editor import Editor, rewrite
from optimizer.simplify.window import Window

_MOST_CHANNELS = 4  # images; with more, the blocked kernels gain more from channels than the Transpose costs


def apply(data: bytes) -> bytes:
    """Return the model without the Transpose."""
    return rewrite(data, _once)


def _once(graph: Editor) -> bool:
    for transpose in graph.find("Transpose"):
        image = graph.sizes(transpose.input[0], 4)
        conv = graph.only_user(transpose.output[0], "Conv")
        window = Window.of(conv, 2) if conv else None
        weight = graph.constant(conv.input[1]) if conv else None
        if list(transpose.attribute[0].ints if transpose.attribute else []) != [0, 3, 1, 2]:
            continue
        if conv is None or window is None or weight is None or image is None or image[2] > _MOST_CHANNELS:
            continue
        if window.group != 1 or window.dilations[1] != 1:
            continue
        height, width, channels = image
        shape = graph.add_constant(np.array([-1, 1, height, width * channels], np.int64), "rows_of_pixels")
        wide = weight.transpose(0, 2, 3, 1).reshape(len(weight), 1, weight.shape[2], -1)
        rows = graph.node("Reshape", [transpose.input[0], shape])
        top, left, bottom, right = window.pads
        new = graph.node(
            "Conv",
            [rows.output[0], graph.add_constant(wide, f"{conv.input[1]}/rows"), *conv.input[2:]],
            conv.output[0],
            kernel_shape=wide.shape[2:],
            strides=[window.strides[0], window.strides[1] * channels],
            pads=[top, left * channels, bottom, right * channels],
            dilations=window.dilations,
        )
        graph.replace([transpose, conv], [rows, new])
        return True
    return False
