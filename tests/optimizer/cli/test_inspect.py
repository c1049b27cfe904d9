"""`edgeopt inspect` of packages with several variants, and of packages for other machines."""

from __future__ import annotations

from pathlib import Path

import msgspec
from commands import prepared, run

import optimizer
from edge_runtime.package import archive
from edge_runtime.package.manifest import Needs

FOREIGN = Needs(isa=("riscv64",), features=("v",))


def _package(folder: Path, needs: Needs) -> Path:
    """Write a package whose one variant needs something."""
    result = optimizer.optimize(prepared(folder) / "net.onnx", folder / "calib.npz", effort="quick")
    [variant] = result.manifest.variants
    changed = msgspec.structs.replace(result.manifest, variants=(msgspec.structs.replace(variant, needs=needs),))
    archive.write(folder / "net.edgepkg", changed, result.members)
    return folder / "net.edgepkg"


def test_what_serves_here_is_shown_with_the_reason(tmp_path: Path) -> None:
    """Engine and provider, which variant this machine would take, and that its golden samples are reproduced."""
    shown = run("inspect", str(_package(tmp_path, Needs())), folder=tmp_path).stdout
    assert "onnxruntime, cpu" in shown
    assert "serves: the package's only variant" in shown
    assert "samples reproduced here" in shown


def test_a_package_for_another_machine_can_be_looked_at(tmp_path: Path) -> None:
    """Everything it says is shown, and why this machine cannot serve it."""
    ended = run("inspect", str(_package(tmp_path, FOREIGN)), folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "needs riscv64, v" in ended.stdout
    assert "nothing to serve on this machine" in ended.stdout
    assert "sha256" in ended.stdout
