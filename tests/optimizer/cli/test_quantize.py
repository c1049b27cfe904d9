"""`edgeopt quantize` and `edgeopt inspect` as a user types them: exit status, what is said, what is written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from models import images, mlp, residual_convnet, tree

from edge_runtime.package import archive

EDGEOPT = [sys.executable, "-c", "from optimizer.cli.main import main; main(prog_name='edgeopt')"]


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run edgeopt in a folder, as a child process."""
    return subprocess.run([*EDGEOPT, *arguments], capture_output=True, text=True, cwd=folder, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with two models and good data for the first."""
    onnx.save_model(residual_convnet(), tmp_path / "net.onnx")
    onnx.save_model(tree(), tmp_path / "tree.onnx")
    np.savez(tmp_path / "calib.npz", x=images(40))
    np.savez(tmp_path / "test.npz", x=images(60, seed=1), y=np.arange(60) % 4)
    return tmp_path


def test_with_data(folder: Path) -> None:
    """The default package name is MODEL.edgepkg; before and after, the metric with interval and the choice are said."""
    done = run(
        *("quantize", "net.onnx", "--calibration", "calib.npz", "--evaluation", "test.npz"),
        *("--metric", "top1", "--max-drop", "5pt", "--name", "line-3", "--model-version", "7"),
        folder=folder,
    )
    assert done.returncode == 0, done.stderr
    manifest = archive.read(folder / "net.edgepkg").manifest
    assert manifest.label == "line-3 v7"
    accuracy = manifest.variants[0].accuracy
    assert accuracy is not None
    assert f"top1     {accuracy.value:.4f} (95% interval {accuracy.low:.4f} to {accuracy.high:.4f})" in done.stdout
    for said in ("chosen", "before", "after", "cpu-u8s8", "measured on", "wrote    net.edgepkg"):
        assert said in done.stdout
    assert "UNVERIFIED" not in done.stdout


def test_with_the_model_alone(folder: Path) -> None:
    """It works, and says what is not proved with the command that would prove it."""
    done = run("quantize", "net.onnx", "-o", "out.edgepkg", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "edgeopt quantize net.onnx --calibration" in done.stdout
    assert archive.read(folder / "out.edgepkg").manifest.golden.synthetic


def test_a_tree_is_packaged_as_it_is(folder: Path) -> None:
    """Nothing to quantize is no error: exit 0, said, packaged."""
    done = run("quantize", "tree.onnx", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "passed through unchanged" in done.stdout
    package = archive.read(folder / "tree.edgepkg")
    assert package.members[package.manifest.variants[0].file] == (folder / "tree.onnx").read_bytes()


def test_class_names_reach_the_package(folder: Path) -> None:
    """Labels given once are in the decision that the daemon applies."""
    (folder / "labels.txt").write_text("ok\nbent\ncracked\nmissing\n")
    run("quantize", "net.onnx", "--labels", "labels.txt", "--scale", "0.5", "--mean", "1,2,3", folder=folder)
    manifest = archive.read(folder / "net.edgepkg").manifest
    assert manifest.decision is not None
    assert manifest.decision.labels == ("ok", "bent", "cracked", "missing")  # type: ignore[union-attr]
    assert (manifest.preprocess.scale, manifest.preprocess.mean) == (0.5, (1.0, 2.0, 3.0))


def test_inspect_tells_models_and_packages(folder: Path) -> None:
    """A model: inputs, operators, the next command. A package: what is inside, verified on the way."""
    model = run("inspect", "net.onnx", folder=folder)
    assert model.returncode == 0
    assert "x: float32[N, 3, 16, 16]" in model.stdout
    assert "edgeopt quantize net.onnx" in model.stdout
    run("quantize", "net.onnx", folder=folder)
    package = run("inspect", "net.edgepkg", folder=folder)
    assert package.returncode == 0
    for said in ("golden", "reproduced here", "sha256", "signatures", "unverified"):
        assert said in package.stdout


NO_LABELS = ("--calibration", "calib.npz", "--evaluation", "calib.npz", "--metric", "top1")


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (("none.onnx",), 3, "E-MODEL-NOT-FOUND"),
        (("text.onnx",), 3, "E-MODEL-NOT-ONNX"),
        (("truncated.onnx",), 3, "E-MODEL-CORRUPT"),
        (("outside.onnx",), 3, "E-MODEL-EXTERNAL-DATA"),
        (("future.onnx",), 3, "E-MODEL-OPSET"),
        (("net.onnx", "--calibration", "shape.npz"), 3, "E-DATA-SHAPE"),
        (("net.onnx", "--calibration", "text.npz"), 3, "E-DATA-DTYPE"),
        (("net.onnx", "--calibration", "nan.npz"), 3, "E-DATA-NOT-FINITE"),
        (("net.onnx", "--calibration", "empty.npz"), 3, "E-DATA-EMPTY"),
        (("net.onnx", *NO_LABELS), 3, "E-METRIC-NEEDS-LABELS"),
        (("net.onnx", "--metric", "topp1"), 3, "E-METRIC-UNKNOWN"),
        (("net.onnx", "--max-drop", "1"), 3, "E-BUDGET-FORMAT"),
        (("net.onnx", "--target", "toaster"), 3, "E-TARGET-UNKNOWN"),
        (("net.onnx", "--shape", "x"), 2, "E-OPTION-SHAPE"),
        (("net.onnx", "--shape", "z=1,3,16,16"), 3, "E-MODEL-SHAPE"),
        (("net.onnx", "--std", "0"), 2, "E-OPTION-NUMBERS"),
        (("net.onnx", "--labels", "none.txt"), 3, "E-LABELS-FILE"),
        (("tree.onnx", "--require", "int8"), 4, "E-BUDGET-INT8"),
        (("net.onnx", "-o", "no/such/folder/x.edgepkg"), 5, "E-FILE-WRITE"),
    ],
)
def test_bad_input(folder: Path, arguments: tuple[str, ...], status: int, code: str) -> None:
    """Each has its own code, exit status and fix, no traceback, and writes nothing."""
    (folder / "text.onnx").write_text("hello, this is text\n")
    (folder / "truncated.onnx").write_bytes((folder / "net.onnx").read_bytes()[:-100])
    onnx.save_model(mlp(), folder / "outside.onnx", save_as_external_data=True, size_threshold=0, location="w.bin")
    (folder / "w.bin").unlink()
    future = mlp()
    future.opset_import[0].version = 999
    (folder / "future.onnx").write_bytes(future.SerializeToString())
    np.savez(folder / "shape.npz", x=np.ones((4, 16, 16, 3), np.float32))
    np.savez(folder / "text.npz", x=np.array([["a"]]))
    np.savez(folder / "nan.npz", x=np.full((4, 3, 16, 16), np.nan, np.float32))
    np.savez(folder / "empty.npz", x=images(40)[:0])
    before = sorted(folder.rglob("*"))
    done = run("quantize", *arguments, folder=folder)
    assert done.returncode == status, done.stdout + done.stderr
    assert f"error {code}:" in done.stderr
    assert "fix:" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(folder.rglob("*")) == before


def test_debug_shows_the_traceback(folder: Path) -> None:
    """Only who asks for it sees Python's own account."""
    assert "Traceback" in run("--debug", "quantize", "none.onnx", folder=folder).stderr


@pytest.mark.parametrize(
    ("target", "status", "code", "says"),
    [
        ("raspbery-pi-4", 3, "E-TARGET-UNKNOWN", "did you mean raspberry-pi-4?"),
        ("emulated:x86-64-vnni", 3, "E-PLACE-EMULATION-DEVICE", "cannot be emulated"),
        ("ssh://nobody@127.0.0.1:1", 5, "E-PLACE-", "127.0.0.1"),
        ("ssh://", 2, "E-PLACE-UNKNOWN", "ssh://USER@HOST"),
    ],
)
def test_targets_that_cannot_be(folder: Path, target: str, status: int, code: str, says: str) -> None:
    """Each is said at once, before any work, with what to type instead, though it is the second of two targets."""
    done = run("quantize", "net.onnx", "--target", "local", "--target", target, folder=folder)
    assert done.returncode == status, done.stdout + done.stderr
    assert f"error {code}" in done.stderr
    assert says in done.stderr
    assert not (folder / "net.edgepkg").exists()


def test_several_targets_and_float32_behind_them(folder: Path) -> None:
    """The summary has a table for each target, and the package names both."""
    here = "x86-64-avx2"
    done = run("quantize", "net.onnx", "--target", "local", "--target", here, "--also", "fp32", folder=folder)
    assert done.returncode == 0, done.stderr
    manifest = archive.read(folder / "net.edgepkg").manifest
    assert manifest.target == f"local, {here}"
    assert manifest.variants[-1].name.startswith("fp32")
    for name in ("local", here):
        assert f"net v1 for {name}" in done.stdout
