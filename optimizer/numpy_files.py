""".npy files and the members of .npz archives as arrays that stay on disk."""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from edge_runtime.inference.engine import SampleArray
from optimizer.lazy_arrays import FileArray, Spool, read_into

_LOCAL_HEADER = struct.Struct("<26xHH")  # APPNOTE.TXT 4.3.7: the lengths of name and extra field close the fixed part
_CHUNK = 2**20


def read_npy(path: Path, in_memory: int) -> SampleArray:
    """Return the array of a .npy file.

    Raises:
        ValueError: it is none, holds pickles, or is shorter than it says.
        OSError: it cannot be read.
    """
    file = path.open("rb")
    return _on_disk(file, os.fstat(file.fileno()).st_size, in_memory)


def read_npz(path: Path, wanted: Collection[str], in_memory: int) -> dict[str, SampleArray]:
    """Return the arrays of an .npz archive by name; those that are not wanted have no samples.

    Stored members are read where they lie. Compressed ones are unpacked once, to a temporary file where they are large.

    Raises:
        ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError: the archive or a member is damaged,
            holds pickles or is encrypted.
        OSError: it cannot be read.
    """
    arrays: dict[str, SampleArray] = {}
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.flag_bits & 1:
                raise ValueError(f"{info.filename} is encrypted")
            name = info.filename.removesuffix(".npy")
            if name in wanted and info.filename.endswith(".npy"):
                arrays[name] = _member(path, archive, info, in_memory)
            else:
                _refuse_pickles(archive, info)
                arrays[name] = np.empty(0)
    return arrays


def _refuse_pickles(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    if info.filename.endswith(".npy"):
        with archive.open(info) as stream:
            _header(stream)


def _member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, in_memory: int) -> SampleArray:
    if info.compress_type != zipfile.ZIP_STORED:
        with archive.open(info) as stream:
            return _unpacked(stream, in_memory)
    with archive.open(info) as stream:
        while stream.read(_CHUNK):  # at its end zipfile compares the checksum
            pass
    file = path.open("rb")
    file.seek(info.header_offset)
    file.seek(sum(_LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))), os.SEEK_CUR)
    return _on_disk(file, file.tell() + info.file_size, in_memory)


def _on_disk(file: IO[bytes], end: int, in_memory: int) -> SampleArray:
    """Return the array whose header begins here; `end` is where the bytes that belong to it end."""
    shape, fortran, dtype = _header(file)
    offset = file.tell()
    needed = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if offset + needed > end:
        raise ValueError(f"{needed} bytes of values are announced, {end - offset} are there")
    if fortran and len(shape) > 1:
        return _in_c_order(FileArray(file, offset, shape[::-1], dtype), in_memory)
    return FileArray(file, offset, shape, dtype)


def _unpacked(stream: IO[bytes], in_memory: int) -> SampleArray:
    """Unpack a compressed array, sample by sample; one in Fortran order is turned afterwards."""
    shape, fortran, dtype = _header(stream)
    if not shape:
        return np.frombuffer(_exactly(stream, dtype.itemsize), dtype).reshape(())
    stored = shape[::-1] if fortran else shape
    spool = Spool(stored[1:], dtype, in_memory)
    size = int(np.prod(stored[1:], dtype=object)) * dtype.itemsize
    step = max(1, _CHUNK // max(1, size))
    for start in range(0, stored[0], step):
        count = min(step, stored[0] - start)
        values = np.frombuffer(_exactly(stream, count * size), dtype) if size else np.empty(0, dtype)
        spool.append(values.reshape(count, *stored[1:]))
    stream.read(1)  # at its end zipfile compares the checksum
    return _in_c_order(spool.finish(), in_memory) if fortran and len(shape) > 1 else spool.finish()


def _in_c_order(stored: SampleArray, in_memory: int) -> SampleArray:
    """Return the array with its axes reversed, samples first: as many samples at a time as fit into memory."""
    if not isinstance(stored, FileArray):
        return np.ascontiguousarray(stored[:].transpose())
    samples, rows = stored.shape[-1], int(np.prod(stored.shape[:-1]))
    item = stored.dtype.itemsize
    spool = Spool(stored.shape[:-1][::-1], stored.dtype, in_memory)
    step = max(1, max(in_memory, _CHUNK) // max(1, rows * item))
    for start in range(0, samples, step):
        part = np.empty((rows, min(step, samples - start)), stored.dtype)
        for row in range(rows):
            read_into(stored.file, part[row], stored.offset + (row * samples + start) * item)
        spool.append(part.reshape(*stored.shape[:-1], -1).transpose())
    return spool.finish()


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(stream)
    if version not in ((1, 0), (2, 0)):  # 3.0 differs in the names of structured fields alone
        raise ValueError(f"format {version} of .npy is not read")
    shape, fortran, dtype = (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(stream)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    if min(shape, default=0) < 0:
        raise ValueError(f"it announces the shape {shape}")
    return shape, fortran, dtype


def _exactly(stream: IO[bytes], count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise EOFError(f"{count} bytes of values are announced, {len(data)} are there")
    return data
