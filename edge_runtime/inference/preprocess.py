"""What is done to an input before the model sees it; the same code runs in calibration, evaluation and serving."""

from __future__ import annotations

import msgspec
import numpy as np

from edge_runtime.inference.engine import Array


class Preprocess(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``(x * scale - mean) / std``, the form nearly every trained model expects.

    Attributes:
        scale: Factor on the raw values, for instance 1/255 for 8-bit images.
        mean: One value per channel, or one for all; in the units after scaling.
        std: Likewise; never zero.
        channel_axis: The axis that `mean` and `std` run along, counted with the batch dimension.
    """

    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    channel_axis: int = 1

    def __post_init__(self) -> None:
        if not all(self.std):
            raise ValueError("std must not be zero")

    def is_identity(self) -> bool:
        """Tell whether applying changes nothing."""
        return self.scale == 1.0 and not any(self.mean) and set(self.std) == {1.0}

    def apply(self, batch: Array) -> Array:
        """Return the processed float32 batch; the identity keeps the array as it is, whatever its dtype."""
        if self.is_identity():
            return batch
        values = batch.astype(np.float32) * np.float32(self.scale)
        return (values - self._along_channels(self.mean, batch.ndim)) / self._along_channels(self.std, batch.ndim)

    def _along_channels(self, values: tuple[float, ...], dimensions: int) -> Array:
        shape = [1] * dimensions
        if len(values) > 1:
            shape[self.channel_axis] = len(values)
        return np.asarray(values, dtype=np.float32).reshape(shape)
