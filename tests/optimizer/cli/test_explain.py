"""`edgeopt explain` and `edgeopt compare` as a user types them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from models import images, mlp, residual_convnet

from edge_runtime.package import archive
from optimizer.report.record import MEMBER

EDGEOPT = [sys.executable, "-c", "from optimizer.cli.main import main; main(prog_name='edgeopt')"]


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run edgeopt in a folder, as a child process."""
    return subprocess.run([*EDGEOPT, *arguments], capture_output=True, text=True, cwd=folder, check=False)


def repacked(folder: Path, name: str, report: bytes | None) -> None:
    """Write a copy of the package with another report.json, or with none, as older versions made it."""
    package = archive.read(folder / "net.edgepkg")
    members = {key: data for key, data in package.members.items() if key in package.manifest.members and key != MEMBER}
    archive.write(folder / name, package.manifest, members if report is None else {**members, MEMBER: report})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a model, a package made from it by the command, and packages with odd reports."""
    folder = tmp_path_factory.mktemp("explain")
    onnx.save_model(residual_convnet(), folder / "net.onnx")
    onnx.save_model(mlp(), folder / "mlp.onnx")
    np.savez(folder / "calib.npz", x=images(40))
    done = run(
        "quantize", "net.onnx", "--calibration", "calib.npz", "--max-drop", "20pt", "--effort", "quick", folder=folder
    )
    assert done.returncode == 0, done.stderr
    repacked(folder, "old.edgepkg", None)
    repacked(folder, "broken.edgepkg", b'{"schema":1')
    repacked(folder, "newer.edgepkg", b'{"schema":99}')
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """Return a copy that a test may write to."""
    return shutil.copytree(made, tmp_path / "copy")


def test_explain_tells_why(folder: Path) -> None:
    """Choice, losers, layers, warnings and what to type next, from the package alone."""
    (folder / "net.onnx").unlink()
    done = run("explain", "net.edgepkg", folder=folder)
    assert done.returncode == 0, done.stderr
    manifest = archive.read(folder / "net.edgepkg").manifest
    assert manifest.chosen_because in done.stdout
    for lost in manifest.rejected:
        assert f"{lost.name}: {lost.reason}" in done.stdout
    for said in ("conv1", "conv2", "classifier", "optimistic", "measured on", "--layer NAME"):
        assert said in done.stdout


def test_explain_one_layer(folder: Path) -> None:
    """As text and as JSON."""
    done = run("explain", "net.edgepkg", "--layer", "conv2", folder=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("layer     conv2, Conv\nprecision ")
    plain = json.loads(run("explain", "net.edgepkg", "--layer", "conv2", "--json", folder=folder).stdout)
    assert (plain["name"], plain["operator"]) == ("conv2", "Conv")


def test_explain_writes_the_page(folder: Path) -> None:
    """One file, whole; a page that was there before is replaced; JSON goes to stdout beside it."""
    (folder / "report.html").write_text("old")
    done = run("explain", "net.edgepkg", "--html", "report.html", folder=folder)
    assert (done.returncode, done.stdout) == (0, "wrote     report.html\n"), done.stderr
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert page.endswith("</html>\n")
    assert "conv1" in page
    both = run("explain", "net.edgepkg", "--html", "again.html", "--json", folder=folder)
    assert json.loads(both.stdout)["schema"] == 1
    assert (folder / "again.html").read_text(encoding="utf-8") == page


def test_explain_prints_the_report(folder: Path) -> None:
    """The JSON is the member, laid out for reading."""
    done = run("explain", "net.edgepkg", "--json", folder=folder)
    member = archive.read(folder / "net.edgepkg").members[MEMBER]
    assert json.loads(done.stdout) == json.loads(member)


def test_inspect_counts(folder: Path) -> None:
    """Parameters, multiplications and operator sets of a model; the layers of a package, with or without a report."""
    model = run("inspect", "net.onnx", folder=folder).stdout
    assert "parameters   2,816" in model
    assert "multiplies   700,480 multiply-adds a sample" in model
    assert "opsets       ai.onnx 17" in model
    assert "layers       3 with weights" in run("inspect", "net.edgepkg", folder=folder).stdout
    old = run("inspect", "old.edgepkg", folder=folder)
    assert (old.returncode, "layers  " in old.stdout) == (0, False), old.stderr


def test_compare_tells_what_differs(folder: Path) -> None:
    """A package against its model: text with the answers on its golden samples, and the same as JSON."""
    done = run("compare", "net.onnx", "net.edgepkg", folder=folder)
    assert done.returncode == 0, done.stderr
    for said in ("net.edgepkg", "parameters", "answers of B against A, on the golden samples", "y, 16 samples", "Conv"):
        assert said in done.stdout
    plain = json.loads(run("compare", "net.onnx", "net.edgepkg", "--json", folder=folder).stdout)
    assert (plain["a"]["kind"], plain["b"]["kind"]) == ("model", "package")
    assert plain["outputs"][0]["argmax_agreement"] >= 0.5
    assert plain["b"]["latency"]["label"] == "measured"


def test_compare_takes_a_shape(folder: Path) -> None:
    """Where the noise should have another shape than the one found by trying."""
    done = run("compare", "net.onnx", "net.onnx", "--shape", "x=3,3,16,16", folder=folder)
    assert "y, 3 samples: identical" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (("explain", "none.edgepkg"), 3, "E-PACKAGE-NOT-FOUND"),
        (("explain", "net.onnx"), 3, "E-PACKAGE-NOT-A-PACKAGE"),
        (("explain", "flipped.edgepkg"), 6, "E-PACKAGE-DAMAGED"),
        (("explain", "old.edgepkg"), 3, "E-PACKAGE-NO-REPORT"),
        (("explain", "old.edgepkg", "--html", "x.html"), 3, "E-PACKAGE-NO-REPORT"),
        (("explain", "broken.edgepkg"), 3, "E-REPORT-DAMAGED"),
        (("explain", "newer.edgepkg"), 3, "E-REPORT-VERSION"),
        (("explain", "net.edgepkg", "--layer", "conv"), 3, "E-LAYER-UNKNOWN"),
        (("explain", "net.edgepkg", "--layer", "conv", "--html", "x.html"), 3, "E-LAYER-UNKNOWN"),
        (("explain", "net.edgepkg", "--html", "no/such/x.html"), 5, "E-FILE-WRITE"),
        (("compare", "net.onnx", "none.onnx"), 3, "E-MODEL-NOT-FOUND"),
        (("compare", "none.edgepkg", "net.onnx"), 3, "E-PACKAGE-NOT-FOUND"),
        (("compare", "net.onnx", "text.onnx"), 3, "E-MODEL-NOT-ONNX"),
        (("compare", "net.onnx", "flipped.edgepkg"), 6, "E-PACKAGE-DAMAGED"),
        (("compare", "net.onnx", "net.onnx", "--shape", "x"), 2, "E-OPTION-SHAPE"),
        (("compare", "net.onnx", "net.onnx", "--shape", "z=1,2"), 3, "E-MODEL-SHAPE"),
    ],
)
def test_bad_input(folder: Path, arguments: tuple[str, ...], status: int, code: str) -> None:
    """Each has its own code, exit status and fix, no traceback, and writes nothing."""
    (folder / "text.onnx").write_text("hello, this is text\n")
    flipped = bytearray((folder / "net.edgepkg").read_bytes())
    flipped[len(flipped) // 2] ^= 1
    (folder / "flipped.edgepkg").write_bytes(flipped)
    before = sorted(folder.rglob("*"))
    done = run(*arguments, folder=folder)
    assert done.returncode == status, done.stdout + done.stderr
    assert f"error {code}:" in done.stderr
    assert "fix:" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(folder.rglob("*")) == before


def test_a_wrong_layer_brings_the_right_one(folder: Path) -> None:
    """The fix names what was probably meant."""
    assert "did you mean conv1" in run("explain", "net.edgepkg", "--layer", "Conv1", folder=folder).stderr
