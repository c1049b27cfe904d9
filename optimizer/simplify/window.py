"""The geometry of a convolution or pooling, read from its attributes."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from optimizer.simplify.editor import attribute


@dataclass(frozen=True)
class Window:
    """Kernel, strides and dilations per spatial axis; pads at all beginnings, then at all ends, as ONNX lists them."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]
    group: int

    @staticmethod
    def of(node: onnx.NodeProto, axes: int) -> Window | None:
        """Return the window over `axes` spatial axes; None where padding is computed or the rank is another one."""
        kernel = attribute(node, "kernel_shape")
        if kernel is None or len(kernel) != axes or attribute(node, "auto_pad", b"NOTSET") != b"NOTSET":
            return None
        return Window(
            tuple(kernel),
            tuple(attribute(node, "strides", [1] * axes)),
            tuple(attribute(node, "pads", [0] * (2 * axes))),
            tuple(attribute(node, "dilations", [1] * axes)),
            attribute(node, "group", 1),
        )

    @property
    def is_pointwise(self) -> bool:
        """Tell whether every output pixel reads the one input pixel at its place, and only that."""
        return not any(self.pads) and all(size == 1 for size in (*self.kernel, *self.strides)) and self.group == 1
