"""Arrays of samples that stay on disk and come into memory slice by slice."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from edge_runtime.errors import BadInput, EnvironmentFault
from edge_runtime.inference.engine import Array, SampleArray

# Below this many bytes an array is held in memory, where a slice costs nothing; from it on, it stays on disk.
IN_MEMORY_BYTES = 64 * 2**20
_BLOCK_BYTES = 2**20  # what a pass over all samples holds at a time


@dataclass(frozen=True)
class FileArray:
    """Values in C order in an open file; a slice reads just its samples.

    Reading is positioned (``pread``), so threads may share the file. Memory mapping would count every page that was
    ever touched as this process' memory.

    Attributes:
        file: Open for reading.
        offset: Where the first value lies, in bytes.
        shape: Samples first.
        dtype: Of the stored values.
    """

    file: IO[bytes]
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: slice) -> Array:
        """Read the samples of a slice.

        Raises:
            BadInput: E-DATA-FORMAT, the file has become shorter since it was opened.
        """
        start, stop = bounds(key, len(self))
        part = np.empty((stop - start, *self.shape[1:]), self.dtype)
        read_into(self.file, part, self.offset + start * sample_bytes(self))
        return part


@dataclass(frozen=True)
class MappedArray:
    """Another array whose slices go through a function of samples that keeps their shape.

    Attributes:
        raw: Where samples come from.
        function: Samples in, samples of `dtype` out.
        dtype: Of what the function returns.
    """

    raw: SampleArray
    function: Callable[[Array], Array]
    dtype: np.dtype[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of all axes, the samples' first."""
        return self.raw.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.raw.ndim

    def __len__(self) -> int:
        return len(self.raw)

    def __getitem__(self, key: slice) -> Array:
        start, stop = bounds(key, len(self))
        return self.function(self.raw[start:stop])


class Spool:
    """Collects samples of one shape: in memory while they are few, from `in_memory` bytes on in a temporary file.

    The file has no name from the start (`tempfile.TemporaryFile`), so it vanishes with the process, however that ends.
    It lies in the folder of TMPDIR, else in /var/tmp, which unlike /tmp is seldom memory itself.
    """

    def __init__(self, sample_shape: tuple[int, ...], dtype: np.dtype[Any], in_memory: int) -> None:
        self._shape, self._dtype, self._in_memory = sample_shape, dtype, in_memory
        self._parts: list[Array] = []
        self._waiting = self._count = 0
        self._file: IO[bytes] | None = None

    def append(self, samples: Array) -> None:
        """Take in samples, along the first axis.

        Raises:
            EnvironmentFault: E-FILE-WRITE, there is no room for the temporary file.
        """
        self._parts.append(np.array(samples, self._dtype, order="C"))
        self._waiting += self._parts[-1].nbytes
        self._count += len(samples)
        if self._waiting >= max(self._in_memory if self._file is None else 0, _BLOCK_BYTES):
            self._flush()

    def finish(self) -> SampleArray:
        """Return all samples; nothing can be appended any more."""
        shape = (self._count, *self._shape)
        if self._file is None and self._waiting < max(self._in_memory, 1):
            return np.concatenate(self._parts) if self._parts else np.empty(shape, self._dtype)
        return FileArray(self._flush(), 0, shape, self._dtype)

    def _flush(self) -> IO[bytes]:
        folder = temporary_folder()
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=folder, prefix="edgeopt-")  # noqa: SIM115 - lives on in the array
            for part in self._parts:
                self._file.write(part.tobytes())
            self._file.flush()
        except OSError as error:
            raise EnvironmentFault(
                "E-FILE-WRITE",
                f"the samples cannot be kept in a temporary file in {folder}: {error.strerror}",
                "name a folder with room: TMPDIR=/path/to/folder edgeopt …",
            ) from error
        self._parts, self._waiting = [], 0
        return self._file


def temporary_folder() -> str:
    """Return where temporary files of many samples go."""
    large = Path("/var/tmp")  # noqa: S108 - only nameless files are made there
    if "TMPDIR" in os.environ or not os.access(large, os.W_OK):
        return tempfile.gettempdir()
    return str(large)


def sample_bytes(array: SampleArray) -> int:
    """Return the size of one sample; at least 1, so that it divides."""
    return max(1, int(np.prod(array.shape[1:], dtype=np.int64)) * array.dtype.itemsize)


def blocks(array: SampleArray) -> Iterator[tuple[int, Array]]:
    """Yield all samples in order, about 1 MiB at a time: index of the first, and the samples."""
    size = max(1, _BLOCK_BYTES // sample_bytes(array))
    for start in range(0, len(array), size):
        yield start, array[start : start + size]


def bounds(key: slice, length: int) -> tuple[int, int]:
    """Return where a slice starts and stops; others than ``start:stop`` are a mistake of the caller."""
    if not isinstance(key, slice) or key.step not in (None, 1):
        raise TypeError(f"arrays on disk are read in slices start:stop, not by {key!r}")
    start, stop, _ = key.indices(length)
    return start, max(start, stop)


def read_into(file: IO[bytes], part: Array, offset: int) -> None:
    """Fill a C-contiguous array from a place in a file.

    Raises:
        BadInput: E-DATA-FORMAT, the file ends before.
    """
    target = part.reshape(-1).view(np.uint8).data if part.size else memoryview(b"")
    done = 0
    while done < len(target):
        count = os.preadv(file.fileno(), [target[done:]], offset + done)
        if count == 0:
            raise BadInput(
                "E-DATA-FORMAT", f"{file.name} became shorter while it was read", "leave the data as they are meanwhile"
            )
        done += count
