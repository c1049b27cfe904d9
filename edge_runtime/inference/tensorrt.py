"""How TensorRT is asked through onnxruntime, and the private folder for the engines it builds on this device."""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import stat
from pathlib import Path

from devices.gpu import name as gpu_name
from edge_runtime.errors import EnvironmentFault, Refused

# The library under the names that TensorRT 8 and later install; the plain one is there with its development files.
_LIBRARIES = ("libnvinfer.so.11", "libnvinfer.so.10", "libnvinfer.so.8", "libnvinfer.so")


def options(model: bytes, engine_cache: str, *, int8: bool) -> dict[str, str]:
    """Return onnxruntime's options for the TensorRT provider.

    int8 is never asked for alone: a layer without an int8 kernel would then run in float32. A float32 model stays so.

    Args:
        model: The model's bytes.
        engine_cache: Folder for built engines, "" for none: then each start builds them anew, which takes minutes.
        int8: Whether the model is quantized.

    Raises:
        Refused: E-PROVIDER-CACHE, others may write into the folder; an engine is code.
        EnvironmentFault: E-PROVIDER-CACHE, the folder cannot be made.
    """
    chosen = {"trt_fp16_enable": "1" if int8 or stores_float16(model) else "0", "trt_int8_enable": "1" if int8 else "0"}
    if engine_cache:
        folder = private_folder(Path(engine_cache) / _key(model))
        chosen |= {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(folder)}
    return chosen


def stores_float16(model: bytes) -> bool:
    """Tell whether a node converts to float16, as a form with float32 inputs does at its border.

    Read from the bytes, as a device has no onnx: the attribute `to` of a Cast is its name (field 1), then the number
    10 (field 3; onnx.proto, TensorProto.FLOAT16).
    """
    return b"\x0a\x02to\x18\x0a" in model


def private_folder(folder: Path) -> Path:
    """Return a folder that only this user can enter, made where it is missing.

    Raises:
        Refused: E-PROVIDER-CACHE, it belongs to somebody else or others may write into it.
        EnvironmentFault: E-PROVIDER-CACHE, it cannot be made.
    """
    for part in (folder.parent, folder):
        try:
            part.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = part.lstat()
        except OSError as error:
            fix = "let state.folder name a folder that the daemon's user may write to"
            raise EnvironmentFault("E-PROVIDER-CACHE", f"cannot make {part}: {error.strerror}", fix) from error
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise Refused(
                "E-PROVIDER-CACHE",
                f"{part} is not a folder of this user alone, and what lies in it would be executed",
                f"remove it, its engines are built again: rm -r {part}",
            )
    return folder


def version() -> str:
    """Return the number of the TensorRT library that can be loaded here, ``unknown`` where none is found."""
    for library in _LIBRARIES:
        try:
            return str(ctypes.CDLL(library).getInferLibVersion())
        except (OSError, AttributeError):
            continue
    return "unknown"


def _key(model: bytes) -> str:
    """Return the folder's name: an engine is right for one model, one TensorRT and one kind of GPU."""
    gpu = re.sub(r"[^A-Za-z0-9]+", "-", gpu_name() or "unknown")
    return f"{hashlib.sha256(model).hexdigest()[:16]}-trt{version()}-{gpu}"
