"""Features of raw windows, declared in a package's manifest; the same code runs in calibration, evaluation and serving.

The order of steps is: raw window [size, channels] -> features -> the model's shape -> preprocess -> model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import msgspec
import numpy as np

from edge_runtime.errors import BadInput
from edge_runtime.inference.engine import Array
from edge_runtime.inference.feature_kinds import Feature
from edge_runtime.inference.log_mel import LogMel
from edge_runtime.inference.signals import Signals

READINGS_AT_A_TIME = 2**15  # their copies in float64, and spectra, stay in a processor's second cache, nearly
_MOST_READINGS = 2**22  # in a window, so that a manifest cannot make a device allocate what it likes
_LARGEST = float(np.finfo(np.float32).max)


class Features(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which raw windows are expected, and what is computed of them.

    Attributes:
        size: Readings in a window.
        compute: The features, in the order in which the model takes them.
        channels: Numbers in a reading.
        sample_rate: Readings a second, Hz; 0 where no feature needs it.
    """

    size: Annotated[int, msgspec.Meta(ge=2, le=1 << 20)]
    compute: Annotated[tuple[Feature, ...], msgspec.Meta(min_length=1, max_length=256)]
    channels: Annotated[int, msgspec.Meta(ge=1, le=1 << 12)] = 1
    sample_rate: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.sample_rate < math.inf:
            raise ValueError(f"sample_rate must be a finite number of Hz, not {self.sample_rate}")
        if self.size < 2 or self.channels < 1 or not self.compute:
            raise ValueError("a window has at least 2 readings and 1 channel, and at least 1 feature is computed")
        if self.size * self.channels > _MOST_READINGS:
            raise ValueError(f"{self.size} readings x {self.channels} channels are more than {_MOST_READINGS} numbers")
        for feature in self.compute:
            if fault := feature.fault(self.size, self.sample_rate):
                raise ValueError(fault)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one window's features.

        Frames and mels, after the channels where there are several, where a single log_mel is all that is computed;
        else one axis: feature by feature, in each the channels in order, of each channel its bands or the like.
        """
        if len(self.compute) == 1 and isinstance(self.compute[0], LogMel):
            own = self.compute[0].shape(self.size)
            return own if self.channels == 1 else (self.channels, *own)
        return (sum(self.channels * math.prod(feature.shape(self.size)) for feature in self.compute),)

    def of(self, windows: Array) -> Array:
        """Return the features, float32 [n, …] with `shape` behind the first axis.

        Computed in float64 of the readings as float32. A window gives the same bits alone and in any batch. Where all
        readings are finite so are all features: what is too large for float32 becomes its largest number. Of a window
        that holds NaN or infinity all features are NaN, so that no decision is taken on it.

        Args:
            windows: Any numbers [n, size, channels].

        Raises:
            BadInput: E-FEATURES-WINDOW, windows of another shape.
        """
        if windows.shape[1:] != (self.size, self.channels):
            raise BadInput(
                "E-FEATURES-WINDOW",
                f"features are declared for windows of {self.size} readings x {self.channels} channels at "
                f"{self.sample_rate:g} Hz, these have shape {list(windows.shape[1:])}",
                "bring windows and the declaration of the features together: size, channels",
            )
        found = np.empty((len(windows), math.prod(self.shape)), np.float32)
        step = max(1, READINGS_AT_A_TIME // (self.size * self.channels))
        for start in range(0, len(windows), step):
            found[start : start + step] = self._joined(windows[start : start + step])
        return found.reshape((len(windows), *self.shape))

    def _joined(self, windows: Array) -> Array:
        with np.errstate(all="ignore"):  # of NaN and infinity; what comes of them is replaced below
            signals = Signals(windows, self.sample_rate)
            parts = [feature.of(signals).reshape((len(windows), -1)) for feature in self.compute]
            joined = np.clip(np.concatenate(parts, axis=1), -_LARGEST, _LARGEST).astype(np.float32)
        joined[~np.isfinite(signals.values).all(axis=(1, 2))] = np.nan
        return np.asarray(joined)

    def fed(self, windows: Array, sizes: Sequence[int | str]) -> Array:
        """Return the features in the shape of a model's input, float32 [n, …].

        Args:
            windows: Any numbers [n, size, channels].
            sizes: The input's dimensions behind the batch, as `Tensor.shape` has them.

        Raises:
            BadInput: E-FEATURES-WINDOW; E-FEATURES-SHAPE, the input is of another shape.
        """
        shape = self.fitted(sizes)
        return self.of(windows).reshape((len(windows), *shape))

    def fitted(self, sizes: Sequence[int | str]) -> tuple[int, ...]:
        """Return `shape` as an input with these dimensions takes it: axes of size 1 may be added, or all made one.

        Raises:
            BadInput: E-FEATURES-SHAPE, it does not fit; axes are never mixed, which would run on scrambled values.
        """
        own, fixed = self.shape, tuple(size for size in sizes if isinstance(size, int))
        flat = (math.prod(own),)
        if len(fixed) == len(sizes) and _longer_than_one(fixed) in (_longer_than_one(own), _longer_than_one(flat)):
            return fixed
        for shape in (own, (1, *own), (*own, 1), flat):
            if len(shape) == len(sizes) and all(
                isinstance(b, str) or a == b for a, b in zip(shape, sizes, strict=True)
            ):
                return shape
        raise BadInput(
            "E-FEATURES-SHAPE",
            f"the features of a window have shape {list(own)}, the model takes {list(sizes)}",
            "declare the features the model was trained on, in its order; log_mel has layout, n_mels, frame and hop",
        )

    def __str__(self) -> str:
        kinds = ", ".join(str(msgspec.to_builtins(feature)["kind"]) for feature in self.compute)
        return f"{self.size} readings x {self.channels} at {self.sample_rate:g} Hz -> {list(self.shape)}: {kinds}"


def _longer_than_one(sizes: Sequence[int]) -> tuple[int, ...]:
    return tuple(size for size in sizes if size != 1)
