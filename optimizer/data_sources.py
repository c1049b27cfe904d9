"""Reading arrays and labels from the forms users have: .npz, .npy, CSV, folders of images, a Python function."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from edge_runtime.errors import BadInput
from edge_runtime.inference.engine import Array, Tensor
from optimizer.user_code import call, import_function

ArraysAndLabels: TypeAlias = tuple[dict[str, Array], Array | None]

_LABEL_NAMES = ("y", "label", "labels", "target")
_IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})
_FORMS = "an .npz, .npy or .csv file, a folder of images, or module:function"


def read(spec: str, inputs: Sequence[Tensor]) -> ArraysAndLabels:
    """Return arrays by name (``x`` for a single unnamed one) and labels.

    Raises:
        BadInput: E-DATA-NOT-FOUND, E-DATA-FORMAT or E-USER-FUNCTION.
    """
    path = Path(spec)
    if path.is_dir():
        return _read_images(path, inputs)
    reader = {".npz": _read_npz, ".npy": _read_npy, ".csv": _read_csv}.get(path.suffix.lower())
    if reader is None:
        if ":" in spec and not path.exists():
            return _call_function(spec)
        raise BadInput("E-DATA-FORMAT", f"{spec}: this form of data is not known", f"give {_FORMS}")
    try:
        return reader(path)
    except FileNotFoundError as error:
        raise BadInput("E-DATA-NOT-FOUND", f"there is no file {spec}", f"check the path; data are {_FORMS}") from error
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, csv.Error) as error:
        raise BadInput(
            "E-DATA-FORMAT", f"{spec} cannot be read: {error}", "store it again; pickles are refused"
        ) from error


def _read_npz(path: Path) -> ArraysAndLabels:
    with np.load(path, allow_pickle=False) as archive:
        return _split_labels({name: archive[name] for name in archive.files})


def _read_npy(path: Path) -> ArraysAndLabels:
    return {"x": np.load(path, allow_pickle=False)}, None


def _read_csv(path: Path) -> ArraysAndLabels:
    """Read a table with a header: one label column by name, all others become the features of input x."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    if not rows:
        return {"x": np.empty((0, 0), np.float32)}, None
    header, body = rows[0], rows[1:]
    ragged = next((number for number, row in enumerate(body, start=2) if len(row) != len(header)), None)
    if ragged is not None:
        raise ValueError(f"line {ragged} has {len(body[ragged - 2])} fields, the header has {len(header)}")
    columns = {name.strip(): np.asarray([row[index] for row in body]) for index, name in enumerate(header)}
    features, labels = _split_labels(columns)
    table = np.stack([_numbers(name, values) for name, values in features.items()], axis=1)
    return {"x": table}, _as_labels(labels) if labels is not None else None


def _numbers(name: str, values: Array) -> Array:
    try:
        return values.astype(np.float64)
    except ValueError as error:
        raise ValueError(f"column {name}: {error}") from error


def _as_labels(values: Array) -> Array:
    """Return numbers where the column holds numbers, else the index of each text in sorted order."""
    try:
        return values.astype(np.float64)
    except ValueError:
        return np.unique(values, return_inverse=True)[1]


def _read_images(folder: Path, inputs: Sequence[Tensor]) -> ArraysAndLabels:
    """Read images resized to the model's input, RGB, 0 to 255; sub-folders in sorted order are the classes."""
    from PIL import Image  # noqa: PLC0415 - only folders of images need it

    height, width, channels_first = _image_layout(inputs)
    classes = sorted(child.name for child in folder.iterdir() if child.is_dir())
    folders = [folder / name for name in classes] or [folder]
    files = [file for place in folders for file in sorted(place.rglob("*")) if file.suffix.lower() in _IMAGE_SUFFIXES]
    pixels = []
    for file in files:
        try:
            with Image.open(file) as image:
                pixels.append(np.asarray(image.convert("RGB").resize((width, height)), dtype=np.uint8))
        except OSError as error:
            raise BadInput(
                "E-DATA-FORMAT", f"{file} is not a readable image: {error}", "repair or remove it"
            ) from error
    batch = np.stack(pixels) if pixels else np.empty((0, height, width, 3), np.uint8)
    labels = np.asarray([classes.index(file.relative_to(folder).parts[0]) for file in files]) if classes else None
    return {"x": batch.transpose(0, 3, 1, 2) if channels_first else batch}, labels


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


def _call_function(spec: str) -> ArraysAndLabels:
    """Call the user's function: it returns arrays by input name, or a pair (arrays or one array, labels)."""
    result = call(spec, import_function(spec))
    labels = None
    if isinstance(result, tuple) and len(result) == 2:
        result, labels = result
    if isinstance(result, np.ndarray):
        result = {"x": result}
    if not isinstance(result, Mapping):
        raise BadInput(
            "E-USER-FUNCTION",
            f"{spec} returned {type(result).__name__}",
            "return a dict of arrays by input name, or a pair (arrays, labels)",
        )
    arrays = {str(name): np.asarray(array) for name, array in result.items()}
    return arrays, np.asarray(labels) if labels is not None else None


def _split_labels(arrays: dict[str, Array]) -> ArraysAndLabels:
    found = next((name for name in _LABEL_NAMES if name in arrays and len(arrays) > 1), None)
    labels = arrays.pop(found) if found else None
    return arrays, labels
