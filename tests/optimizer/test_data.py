"""Data in: every form that is read, and what each kind of unusable data is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edge_runtime.errors import BadInput
from edge_runtime.inference.engine import Tensor
from edge_runtime.inference.preprocess import Preprocess
from optimizer.data import load_dataset

FEATURES = (Tensor("x_in", "float32", ("N", 3)),)
X = np.arange(12, dtype=np.float32).reshape(4, 3)
Y = np.array([0, 1, 1, 0])


def _load(path: Path | str, inputs: tuple[Tensor, ...] = FEATURES) -> Any:
    return load_dataset(str(path), inputs, Preprocess())


@pytest.mark.parametrize("name", ["x", "x_in"])
@pytest.mark.parametrize("labels", ["y", "labels", "target"])
def test_npz_by_input_name_or_x(tmp_path: Path, name: str, labels: str) -> None:
    """A single input may be called x or by its name; labels have several usual names."""
    np.savez(tmp_path / "d.npz", **{name: X, labels: Y})
    data = _load(tmp_path / "d.npz")
    np.testing.assert_array_equal(data.feeds["x_in"], X)
    np.testing.assert_array_equal(data.labels, Y)
    assert data.ignored == ()


def test_arrays_that_nothing_uses_are_named(tmp_path: Path) -> None:
    """An extra array is not dropped in silence."""
    np.savez(tmp_path / "d.npz", x=X, y=Y, x_int8=X)
    assert _load(tmp_path / "d.npz").ignored == ("x_int8",)


def test_several_inputs_by_name(tmp_path: Path) -> None:
    """Each input takes the array of its own name."""
    inputs = (Tensor("a", "float32", ("N", 3)), Tensor("b", "int64", ("N", 1)))
    np.savez(tmp_path / "d.npz", a=X, b=Y.reshape(4, 1))
    data = _load(tmp_path / "d.npz", inputs)
    assert (data.feeds["a"].dtype, data.feeds["b"].dtype) == (np.float32, np.int64)
    assert len(data) == 4


def test_npy_has_no_labels(tmp_path: Path) -> None:
    """A bare array is the single input."""
    np.save(tmp_path / "d.npy", X)
    data = _load(tmp_path / "d.npy")
    assert data.labels is None
    np.testing.assert_array_equal(data.feeds["x_in"], X)


def test_csv_with_text_labels(tmp_path: Path) -> None:
    """The label column is found by name; texts become their index in sorted order."""
    (tmp_path / "d.csv").write_text("a,b,label,c\n1,2,ok,3\n4,5,bad,6\n")
    data = _load(tmp_path / "d.csv")
    np.testing.assert_array_equal(data.feeds["x_in"], [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(data.labels, [1, 0])


@pytest.mark.parametrize("channels_first", [True, False])
def test_folder_of_images(tmp_path: Path, channels_first: bool) -> None:
    """Sub-folders are classes, images are resized to the model's input and keep 0 to 255."""
    for name, colour in (("cat", (255, 0, 0)), ("dog", (0, 0, 255))):
        (tmp_path / name).mkdir()
        Image.new("RGB", (10, 6), colour).save(tmp_path / name / "1.png")
    shape = ("N", 3, 4, 8) if channels_first else ("N", 4, 8, 3)
    data = _load(tmp_path, (Tensor("image", "float32", shape),))
    np.testing.assert_array_equal(data.labels, [0, 1])
    first = data.feeds["image"][0] if channels_first else data.feeds["image"][0].transpose(2, 0, 1)
    assert first.shape == (3, 4, 8)
    np.testing.assert_array_equal(first.reshape(3, -1).max(axis=1), [255, 0, 0])


def test_integers_are_widened_to_floats(tmp_path: Path) -> None:
    """8-bit images for a float model are converted exactly."""
    np.savez(tmp_path / "d.npz", x=X.astype(np.uint8))
    assert _load(tmp_path / "d.npz").feeds["x_in"].dtype == np.float32


def test_preprocessing_is_applied(tmp_path: Path) -> None:
    """What the package will do to its inputs is done to calibration and evaluation data."""
    np.savez(tmp_path / "d.npz", x=X)
    data = load_dataset(str(tmp_path / "d.npz"), FEATURES, Preprocess(scale=0.5, mean=(1.0,), std=(2.0,)))
    np.testing.assert_allclose(data.feeds["x_in"], (X * 0.5 - 1) / 2)


def test_user_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """module:function is imported from the current folder and may return (arrays, labels)."""
    (tmp_path / "my_data_source.py").write_text(
        "import numpy as np\n\n\ndef load():\n    return np.ones((2, 3), 'float32'), [0, 1]\n"
    )
    monkeypatch.chdir(tmp_path)
    data = _load("my_data_source:load")
    assert data.feeds["x_in"].shape == (2, 3)
    np.testing.assert_array_equal(data.labels, [0, 1])


def test_user_function_that_raises_is_told_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error inside the user's file names that file and line, and nothing of ours."""
    (tmp_path / "my_broken_source.py").write_text("def load():\n    return 1 / 0\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=r"my_broken_source\.py:2: ZeroDivisionError") as caught:
        _load("my_broken_source:load")
    assert caught.value.code == "E-USER-FUNCTION"


@pytest.mark.parametrize("spec", ["no_such_module:load", "json:no_such_function"])
def test_user_function_that_does_not_exist(spec: str) -> None:
    """A wrong name is an error with the form to write."""
    with pytest.raises(BadInput) as caught:
        _load(spec)
    assert caught.value.code == "E-USER-FUNCTION"


def _with(index: int, value: float) -> NDArray[np.float32]:
    changed = X.copy()
    changed.flat[index] = value
    return changed


def _savez(**arrays: NDArray[Any]) -> Callable[[Path], Path]:
    def save(folder: Path) -> Path:
        np.savez(folder / "d.npz", **arrays)
        return folder / "d.npz"

    return save


def _write(name: str, data: bytes) -> Callable[[Path], Path]:
    def save(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return save


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (_savez(x=X[:, :2]), "E-DATA-SHAPE"),
        (_savez(x=X.reshape(4, 3, 1)), "E-DATA-SHAPE"),
        (_savez(x=X.astype(str)), "E-DATA-DTYPE"),
        (_savez(x=X.astype(np.complex64)), "E-DATA-DTYPE"),
        (_savez(x=_with(7, np.nan)), "E-DATA-NOT-FINITE"),
        (_savez(x=_with(0, np.inf)), "E-DATA-NOT-FINITE"),
        (_savez(x=X[:0]), "E-DATA-EMPTY"),
        (_savez(x=np.float32(1)), "E-DATA-EMPTY"),
        (_savez(x=X, y=Y[:3]), "E-DATA-LABELS"),
        (_savez(other=X), "E-DATA-INPUTS"),
        (_savez(x=np.array([{}], dtype=object)), "E-DATA-FORMAT"),
        (_write("d.npz", b"not a zip"), "E-DATA-FORMAT"),
        (_write("d.npz", b""), "E-DATA-FORMAT"),
        (_write("d.npy", b"\x93NUMPY"), "E-DATA-FORMAT"),
        (_write("d.csv", b""), "E-DATA-EMPTY"),
        (_write("d.csv", b"a,b,c\n"), "E-DATA-EMPTY"),
        (_write("d.csv", b"a,b,c\n1,2\n"), "E-DATA-FORMAT"),
        (_write("d.csv", b"a,b,c\n1,two,3\n"), "E-DATA-FORMAT"),
        (_write("d.csv", b"\xff\xfe\x00"), "E-DATA-FORMAT"),
        (_write("d.parquet", b"PAR1"), "E-DATA-FORMAT"),
        (lambda folder: folder / "none.npz", "E-DATA-NOT-FOUND"),
        (lambda folder: folder, "E-DATA-FORMAT"),
    ],
)
def test_unusable_data_are_told_apart(tmp_path: Path, make: Callable[[Path], Path], code: str) -> None:
    """Each kind of unusable data has its own code and a fix, before anything is computed."""
    path = make(tmp_path)
    with pytest.raises(BadInput) as caught:
        _load(path)
    assert caught.value.code == code
    assert caught.value.fix


def test_floats_for_an_integer_input_are_refused(tmp_path: Path) -> None:
    """Rounding the user's numbers would change them."""
    np.savez(tmp_path / "d.npz", x=X)
    with pytest.raises(BadInput) as caught:
        _load(tmp_path / "d.npz", (Tensor("tokens", "int64", ("N", 3)),))
    assert caught.value.code == "E-DATA-DTYPE"


def test_digest_follows_the_values(tmp_path: Path) -> None:
    """The fingerprint is the same for the same arrays and another for a changed bit."""
    np.savez(tmp_path / "a.npz", x=X, y=Y)
    np.savez_compressed(tmp_path / "b.npz", y=Y, x=X)
    np.savez(tmp_path / "c.npz", x=_with(3, 3.0000002), y=Y)
    a, b, c = (_load(tmp_path / f"{name}.npz").sha256 for name in "abc")
    assert a == b != c
