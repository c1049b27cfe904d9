"""Data in: every form that is read, and what each kind of unusable data is told."""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import images, residual_convnet
from numpy.typing import NDArray
from PIL import Image

from edge_runtime.errors import BadInput, EnvironmentFault
from edge_runtime.inference.batch import batches, run_all
from edge_runtime.inference.engine import Tensor
from edge_runtime.inference.ort import OrtEngine
from edge_runtime.inference.preprocess import Preprocess
from optimizer import lazy_arrays
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


ON_DISK = 0  # what load_dataset may hold in memory, to see what large data do on small ones


def _forms(folder: Path, x: NDArray[Any], y: NDArray[Any]) -> dict[str, str]:
    """Write the same samples in every form that can stay on disk."""
    np.save(folder / "c.npy", x)
    np.save(folder / "fortran.npy", np.asfortranarray(x))
    np.save(folder / "swapped.npy", x.astype(x.dtype.newbyteorder()))
    np.savez(folder / "stored.npz", first=y, x=x, y=y)
    np.savez_compressed(folder / "packed.npz", x=x, y=y)
    np.savez_compressed(folder / "packed_fortran.npz", x=np.asfortranarray(x))
    rows = [",".join(map(repr, row.tolist())) for row in x]
    (folder / "d.csv").write_text("a,b,c\n" + "\n".join(rows) + "\n")
    (folder / "one_by_one.py").write_text(
        "import numpy as np\nX = np.load('c.npy')\n\n\ndef samples():\n"
        "    yield from ((x, i) for i, x in enumerate(X))\n\n\ndef batches():\n"
        "    yield from ({'x_in': X[i:i + 7]} for i in range(0, len(X), 7))\n"
    )
    names = ["c.npy", "fortran.npy", "swapped.npy", "stored.npz", "packed.npz", "packed_fortran.npz", "d.csv"]
    return {name: str(folder / name) for name in names} | {
        "samples": "one_by_one:samples",
        "batches": "one_by_one:batches",
    }


@pytest.mark.parametrize("preprocess", [Preprocess(), Preprocess(scale=0.5, mean=(1.0, 2.0, 3.0), std=(2.0,))])
def test_every_form_on_disk_equals_the_arrays_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, preprocess: Preprocess
) -> None:
    """Any slice of data that stay on disk is what the array in memory holds; so are length, head and fingerprint."""
    random = np.random.default_rng(3)
    x, y = random.normal(0, 1, (53, 3)).astype(np.float32), np.arange(53)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "one_by_one", raising=False)
    for name, spec in _forms(tmp_path, x, y).items():
        memory = load_dataset(spec, FEATURES, preprocess)
        disk = load_dataset(spec, FEATURES, preprocess, ON_DISK)
        whole, lazy = memory.feeds["x_in"], disk.feeds["x_in"]
        assert isinstance(whole, np.ndarray), name
        assert not isinstance(lazy, np.ndarray), name
        np.testing.assert_allclose(whole, preprocess.apply(x), rtol=1e-6, err_msg=name)
        assert (lazy.shape, lazy.ndim, lazy.dtype, len(lazy)) == (whole.shape, 2, whole.dtype, 53)
        for _ in range(30):
            start, stop = (int(edge) for edge in random.integers(-60, 61, 2))
            np.testing.assert_array_equal(lazy[start:stop], whole[start:stop], f"{name} {start}:{stop}")
        np.testing.assert_array_equal(lazy[:], whole)
        np.testing.assert_array_equal(disk.head(5)["x_in"], whole[:5])
        assert disk.sha256 == memory.sha256, name
        if memory.labels is not None:
            np.testing.assert_array_equal(memory.labels, y)
            np.testing.assert_array_equal(disk.labels, y)


def test_images_on_disk_equal_those_in_memory(tmp_path: Path) -> None:
    """A folder too large for memory gives the same pixels."""
    random = np.random.default_rng(0)
    for index in range(5):
        Image.fromarray(random.integers(0, 255, (6, 6, 3), dtype=np.uint8)).save(tmp_path / f"{index}.png")
    inputs = (Tensor("image", "float32", ("N", 3, 6, 6)),)
    memory, disk = (load_dataset(str(tmp_path), inputs, Preprocess(scale=1 / 255), size) for size in (10**9, ON_DISK))
    assert not isinstance(disk.feeds["image"], np.ndarray)
    np.testing.assert_array_equal(disk.feeds["image"][1:4], memory.feeds["image"][1:4])


def test_what_is_not_a_plain_slice_of_data_on_disk_is_refused(tmp_path: Path) -> None:
    """Reading all samples for one index or every second one would be slow without a word."""
    np.save(tmp_path / "d.npy", X)
    lazy = load_dataset(str(tmp_path / "d.npy"), FEATURES, Preprocess(), ON_DISK).feeds["x_in"]
    for key in (slice(None, None, 2), 1, np.array([True, False, True, False])):
        with pytest.raises(TypeError, match="start:stop"):
            lazy[key]


@pytest.mark.parametrize("name", ["d.npy", "d.npz"])
def test_data_that_shrink_while_they_are_read_are_told(tmp_path: Path, name: str) -> None:
    """A file cut short after the checks is an error, not zeros."""
    path = tmp_path / name
    if name == "d.npy":
        np.save(path, X)
    else:
        np.savez(path, x=X)
    lazy = load_dataset(str(path), FEATURES, Preprocess(), ON_DISK).feeds["x_in"]
    os.truncate(path, 60)
    with pytest.raises(BadInput) as caught:
        lazy[:]
    assert caught.value.code == "E-DATA-FORMAT"


def test_a_dataset_on_disk_travels_to_another_process(tmp_path: Path) -> None:
    """Pickled, it is a few bytes however many samples there are, and opens its files again."""
    np.savez_compressed(tmp_path / "d.npz", x=np.ones((4000, 3), np.float32), y=np.arange(4000))
    disk = load_dataset(str(tmp_path / "d.npz"), FEATURES, Preprocess(), ON_DISK)
    packed = pickle.dumps(disk)
    assert len(packed) < 2000
    again = pickle.loads(packed)  # noqa: S301 - made above
    assert again.sha256 == disk.sha256
    memory = _load(tmp_path / "d.npz")
    assert pickle.loads(pickle.dumps(memory)).sha256 == memory.sha256  # noqa: S301 - made here


def test_temporary_files_have_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left behind however the process ends: the folder is empty while the samples are there."""
    (tmp_path / "spool").mkdir()
    np.savez_compressed(tmp_path / "d.npz", x=np.ones((10**6, 3), np.float32))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "spool"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    lazy = load_dataset(str(tmp_path / "d.npz"), FEATURES, Preprocess(), ON_DISK).feeds["x_in"]
    assert list((tmp_path / "spool").iterdir()) == []
    np.testing.assert_array_equal(lazy[999_990:], np.ones((10, 3)))


def test_no_room_for_temporary_files_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that cannot be written to is named, with the variable that names another."""
    np.savez_compressed(tmp_path / "d.npz", x=X)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    with pytest.raises(EnvironmentFault, match="absent") as caught:
        load_dataset(str(tmp_path / "d.npz"), FEATURES, Preprocess(), ON_DISK)
    assert (caught.value.code, "TMPDIR" in caught.value.fix) == ("E-FILE-WRITE", True)


@pytest.mark.parametrize("name", ["d.npy", "stored.npz", "packed.npz", "d.csv", "generator"])
def test_memory_does_not_grow_with_the_number_of_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Loading, fingerprinting and running over 50, 500 and 5000 samples of 50 KB take the same memory within 10 %."""
    monkeypatch.chdir(tmp_path)
    peaks = []
    width = 12_500
    if name == "d.csv":  # parsing 60 million numbers takes long, so all is smaller here
        width = 125
        monkeypatch.setattr(lazy_arrays, "_BLOCK_BYTES", 2**14)
    inputs = (Tensor("x_in", "float32", ("N", width)),)
    for count in (50, 500, 5000):
        spec = _large(tmp_path, name, count)
        tracemalloc.start()
        data = load_dataset(spec, inputs, Preprocess(scale=0.5), ON_DISK)
        total = sum(float(batch["x_in"].sum()) for batch in batches(data.feeds, 8))
        assert data.sha256
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert total == count * width * 0.5
        assert len(data) == count
    assert max(peaks) < 1.1 * min(peaks), peaks


def _large(folder: Path, name: str, count: int) -> str:
    path = folder / name
    x = np.broadcast_to(np.float32(1), (count, 12_500))
    if name == "d.npy":
        np.save(path, x)
    elif name == "d.csv":
        line = ",".join(["1"] * 125) + "\n"
        path.write_text(",".join(f"c{i}" for i in range(125)) + "\n" + line * count)
    elif name == "generator":
        module = f"many_{count}"
        (folder / f"{module}.py").write_text(
            "import numpy as np\n\n\ndef one():\n"
            f"    for _ in range({count}):\n        yield np.ones(12_500, 'float32')\n"
        )
        return f"{module}:one"
    else:
        (np.savez if name == "stored.npz" else np.savez_compressed)(path, x=x)
    return str(path)


def _stream(body: str) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        name = f"stream_{hashlib.sha256(body.encode()).hexdigest()[:8]}"
        (folder / f"{name}.py").write_text(f"import numpy as np\n\n\ndef go():\n    {body}\n")
        return f"{name}:go"

    return write


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (_stream("yield np.ones(3); yield np.ones(2)"), "E-DATA-SHAPE"),
        (_stream("yield np.ones(3); yield np.ones(3, 'float32')"), "E-DATA-DTYPE"),
        (_stream("yield np.ones(3), 1; yield np.ones(3)"), "E-DATA-LABELS"),
        (_stream("yield np.ones((2, 3)), [1]"), "E-DATA-LABELS"),
        (_stream("yield {'x': np.ones(3)}; yield {'z': np.ones(3)}"), "E-DATA-INPUTS"),
        (_stream("yield 5"), "E-USER-FUNCTION"),
        (_stream("yield np.ones(3); raise KeyError('no')"), "E-USER-FUNCTION"),
        (_stream("yield np.array([1, np.nan, 2])"), "E-DATA-NOT-FINITE"),
        (_stream("yield np.ones(4)"), "E-DATA-SHAPE"),
        (_stream("yield from ()"), "E-DATA-EMPTY"),
    ],
)
def test_generators_that_do_not_fit_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], str], code: str
) -> None:
    """What a generator yields is held to its first piece, and to the model."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput) as caught:
        _load(make(tmp_path))
    assert caught.value.code == code
    assert caught.value.fix


def _damaged(save: Callable[..., None], at: int) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        save(folder / "d.npz", x=np.arange(3000, dtype=np.float32).reshape(1000, 3))
        data = bytearray((folder / "d.npz").read_bytes())
        data[at] ^= 0xFF
        (folder / "d.npz").write_bytes(bytes(data))
        return folder / "d.npz"

    return write


@pytest.mark.parametrize(
    "make",
    [
        _damaged(np.savez, 4000),
        _damaged(np.savez_compressed, 1000),
        _write(
            "d.npy",
            b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (4, 3), }" + b" " * 60 + b"\n",
        ),
        _write("d.npy", b"\x93NUMPY\x03\x00"),
        _write("d.csv", b"a,b,a\n1,2,3\n"),
    ],
)
def test_damaged_files_are_refused_before_they_are_used(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    """A flipped byte, a file cut short and a column that stands there twice are found when the data are loaded."""
    with pytest.raises(BadInput) as caught:
        load_dataset(str(make(tmp_path)), FEATURES, Preprocess(), ON_DISK)
    assert caught.value.code == "E-DATA-FORMAT"


def test_a_number_too_large_for_the_model_is_refused(tmp_path: Path) -> None:
    """1e300 becomes infinity in float32: it is told like infinity itself."""
    np.save(tmp_path / "d.npy", np.full((4, 3), 1e300))
    with pytest.raises(BadInput) as caught:
        _load(tmp_path / "d.npy")
    assert caught.value.code == "E-DATA-NOT-FINITE"


def test_a_model_runs_over_samples_on_disk(tmp_path: Path) -> None:
    """Running all samples and observing ranges give the same from disk and from memory."""
    x = images(20)
    np.save(tmp_path / "x.npy", x)
    engine = OrtEngine(residual_convnet().SerializeToString())
    disk = load_dataset(str(tmp_path / "x.npy"), engine.inputs, Preprocess(), ON_DISK)
    assert not isinstance(disk.feeds["x"], np.ndarray)
    np.testing.assert_array_equal(run_all(engine, disk.feeds, 7)["y"], run_all(engine, {"x": x}, 7)["y"])
