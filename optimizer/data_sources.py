"""Reading arrays and labels from the forms users have: .npz, .npy, CSV, folders of images, a Python function.

Whatever is larger than fits into memory stays on disk, where it is or in a temporary file: see lazy_arrays.py.
"""

from __future__ import annotations

import csv
import lzma
import tokenize
import zipfile
import zlib
from array import array as numbers
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from edge_runtime.errors import BadInput
from edge_runtime.inference.engine import Array, SampleArray, Tensor
from optimizer.lazy_arrays import IN_MEMORY_BYTES, Spool
from optimizer.numpy_files import read_npy, read_npz
from optimizer.sample_stream import collect
from optimizer.user_code import Origin, call, import_function

ArraysAndLabels: TypeAlias = tuple[dict[str, SampleArray], Array | None]

_LABEL_NAMES = ("y", "label", "labels", "target")
_IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})
_FORMS = "an .npz, .npy or .csv file, a folder of images, or module:function"
_FIELDS = 2**12  # of a table that are parsed before they are stored
# What the standard library and numpy raise on files that are not what they seem.
_DAMAGED = (
    *(ValueError, EOFError, OSError, SyntaxError, NotImplementedError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, csv.Error, tokenize.TokenError),
)


def read(spec: str, inputs: Sequence[Tensor], in_memory: int = IN_MEMORY_BYTES) -> ArraysAndLabels:
    """Return arrays by name (``x`` for a single unnamed one) and labels.

    Args:
        spec: As the user wrote it.
        inputs: The model's inputs.
        in_memory: Arrays of fewer bytes may be held in memory.

    Raises:
        BadInput: E-DATA-NOT-FOUND, E-DATA-FORMAT, E-DATA-SHAPE, E-DATA-DTYPE or E-USER-FUNCTION.
        EnvironmentFault: E-FILE-WRITE, there is no room for a temporary file.
    """
    path = Path(spec)
    if path.is_dir():
        return _read_images(path, inputs, in_memory)
    suffix = path.suffix.lower()
    if suffix not in {".npz", ".npy", ".csv"}:
        if ":" in spec and not path.exists():
            return _call_function(spec, inputs, in_memory)
        raise BadInput("E-DATA-FORMAT", f"{spec}: this form of data is not known", f"give {_FORMS}")
    try:
        if suffix == ".csv":
            return _read_csv(path, in_memory)
        if suffix == ".npy":
            return {"x": read_npy(path, in_memory)}, None
        wanted = {*(tensor.name for tensor in inputs), "x", *_LABEL_NAMES}
        return _split_labels(read_npz(path, wanted, in_memory))
    except FileNotFoundError as error:
        raise BadInput("E-DATA-NOT-FOUND", f"there is no file {spec}", f"check the path; data are {_FORMS}") from error
    except _DAMAGED as error:
        raise BadInput(
            "E-DATA-FORMAT", f"{spec} cannot be read: {error}", "store it again; pickles are refused"
        ) from error


def _read_csv(path: Path, in_memory: int) -> ArraysAndLabels:
    """Read a table with a header: one label column by name, all others become the features of input x."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        header = [name.strip() for name in next(rows, [])]
        if not header:
            return {"x": np.empty((0, 0), np.float32)}, None
        twice = [name for name, count in Counter(header).items() if count > 1]
        if twice:
            raise ValueError(f"there are several columns {', '.join(twice)}")
        label = next((name for name in _LABEL_NAMES if name in header and len(header) > 1), None)
        texts = _Texts()
        kept = [index for index, name in enumerate(header) if name != label]
        spool = Spool((len(kept),), np.dtype(np.float64), in_memory)
        for block in _blocks_of(rows, len(header)):
            spool.append(_table(np.asarray(block)[:, kept], [header[index] for index in kept]))
            if label is not None:
                texts.extend(row[header.index(label)] for row in block)
    return {"x": spool.finish()}, texts.labels() if label is not None else None


def _blocks_of(rows: Iterator[list[str]], fields: int) -> Iterator[list[list[str]]]:
    block: list[list[str]] = []
    for number, row in enumerate(rows, start=2):
        if len(row) != fields:
            raise ValueError(f"line {number} has {len(row)} fields, the header has {fields}")
        block.append(row)
        if len(block) * fields >= _FIELDS:
            yield block
            block = []
    if block:
        yield block


def _table(texts: Array, names: Sequence[str]) -> Array:
    try:
        return texts.astype(np.float64)
    except ValueError:
        for name, column in zip(names, texts.T, strict=True):
            _check_numbers(name, column)
        raise


def _check_numbers(name: str, column: Array) -> None:
    try:
        column.astype(np.float64)
    except ValueError as error:
        raise ValueError(f"column {name}: {error}") from error


class _Texts:
    """A column of labels: each different text once, and its number for every row."""

    def __init__(self) -> None:
        self._number_of: dict[str, int] = {}
        self._rows = numbers("q")

    def extend(self, texts: Iterator[str]) -> None:
        self._rows.extend(self._number_of.setdefault(text, len(self._number_of)) for text in texts)

    def labels(self) -> Array:
        """Return numbers where all texts are numbers, else the index of each text in sorted order."""
        rows = np.array(self._rows, np.int64)
        texts = np.asarray(list(self._number_of), str)
        try:
            values: Array = texts.astype(np.float64)
        except ValueError:
            values = np.unique(texts, return_inverse=True)[1]
        return values[rows]


def _read_images(folder: Path, inputs: Sequence[Tensor], in_memory: int) -> ArraysAndLabels:
    """Read images resized to the model's input, RGB, 0 to 255; sub-folders in sorted order are the classes.

    Each is decoded once: every later pass, and there are many, reads its pixels.
    """
    from PIL import Image  # noqa: PLC0415 - only folders of images need it

    height, width, channels_first = _image_layout(inputs)
    classes = sorted(child.name for child in folder.iterdir() if child.is_dir())
    folders = [folder / name for name in classes] or [folder]
    files = [file for place in folders for file in sorted(place.rglob("*")) if file.suffix.lower() in _IMAGE_SUFFIXES]
    spool = Spool((3, height, width) if channels_first else (height, width, 3), np.dtype(np.uint8), in_memory)
    for file in files:
        try:
            with Image.open(file) as image:
                pixels = np.asarray(image.convert("RGB").resize((width, height)), dtype=np.uint8)
        except OSError as error:
            raise BadInput(
                "E-DATA-FORMAT", f"{file} is not a readable image: {error}", "repair or remove it"
            ) from error
        spool.append((pixels.transpose(2, 0, 1) if channels_first else pixels)[np.newaxis])
    labels = np.asarray([classes.index(file.relative_to(folder).parts[0]) for file in files]) if classes else None
    return {"x": spool.finish()}, labels


def _image_layout(inputs: Sequence[Tensor]) -> tuple[int, int, bool]:
    """Return height, width and whether channels come first, from the single image input."""
    shape = inputs[0].shape if len(inputs) == 1 else ()
    if len(shape) == 4 and shape[1] == 3 and isinstance(shape[2], int) and isinstance(shape[3], int):
        return shape[2], shape[3], True
    if len(shape) == 4 and shape[3] == 3 and isinstance(shape[1], int) and isinstance(shape[2], int):
        return shape[1], shape[2], False
    raise BadInput(
        "E-DATA-FORMAT",
        "a folder of images needs a model with one input [N,3,H,W] or [N,H,W,3] of fixed size",
        "store the arrays yourself: numpy.savez('data.npz', INPUT_NAME=..., y=...)",
    )


def _call_function(spec: str, inputs: Sequence[Tensor], in_memory: int) -> ArraysAndLabels:
    """Call the user's function: it returns arrays by input name, or a pair (arrays or one array, labels).

    A generator yields such values for one sample or one batch after the other.
    """
    origin = Origin.here()
    function = import_function(spec, origin)
    with origin.first_on_path():
        result = call(spec, function)
        if isinstance(result, Iterator):
            return collect(spec, result, inputs, in_memory)
    labels = None
    if isinstance(result, tuple) and len(result) == 2:
        result, labels = result
    if isinstance(result, np.ndarray):
        result = {"x": result}
    if not isinstance(result, Mapping):
        raise BadInput(
            "E-USER-FUNCTION",
            f"{spec} returned {type(result).__name__}",
            "return a dict of arrays by input name, or a pair (arrays, labels); or yield them sample by sample",
        )
    arrays: dict[str, SampleArray] = {str(name): np.asarray(array) for name, array in result.items()}
    return arrays, np.asarray(labels) if labels is not None else None


def _split_labels(arrays: dict[str, SampleArray]) -> ArraysAndLabels:
    found = next((name for name in _LABEL_NAMES if name in arrays and len(arrays) > 1), None)
    labels = arrays.pop(found) if found else None
    return arrays, _whole(labels) if labels is not None else None


def _whole(labels: SampleArray) -> Array:
    """Return labels in memory; a single number labels no sample."""
    return labels[: len(labels)] if labels.ndim else np.empty(0)
