"""What is done to an input before the model sees it; the same code runs in calibration, evaluation and serving."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from edge_runtime.errors import BadInput
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
        if not all(math.isfinite(number) for number in (self.scale, *self.mean, *self.std)):
            raise ValueError("scale, mean and std must be finite")
        if not self.mean or not self.std or not all(self.std):
            raise ValueError("mean and std need at least one value each, and no std may be zero")

    def is_identity(self) -> bool:
        """Tell whether applying changes nothing."""
        return self.scale == 1.0 and not any(self.mean) and set(self.std) == {1.0}

    def apply(self, batch: Array) -> Array:
        """Return the processed float32 batch; the identity keeps the array as it is, whatever its dtype.

        Raises:
            BadInput: E-PREPROCESS-CHANNELS, the batch has not as many channels as `mean` or `std` has values.
        """
        if self.is_identity():
            return batch
        values = batch.astype(np.float32) * np.float32(self.scale)
        return (values - self._along_channels(self.mean, batch)) / self._along_channels(self.std, batch)

    def _along_channels(self, values: tuple[float, ...], batch: Array) -> Array:
        """Return the values in a shape that spreads over the batch along its channels."""
        shape = [1] * batch.ndim
        if len(values) > 1:
            if not -batch.ndim <= self.channel_axis < batch.ndim or batch.shape[self.channel_axis] != len(values):
                raise BadInput(
                    "E-PREPROCESS-CHANNELS",
                    f"an input of shape {batch.shape} has not {len(values)} channels along axis {self.channel_axis}",
                    "give mean and std one value per channel, or one for all, and name the axis the channels are on",
                )
            shape[self.channel_axis] = len(values)
        return np.asarray(values, dtype=np.float32).reshape(shape)
