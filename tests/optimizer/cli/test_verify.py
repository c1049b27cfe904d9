"""`edgeopt verify` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from packaged import EVALUATION, labels, packaged, written

from edge_runtime.package.manifest import Needs
from optimizer.cli.main import main

FOREIGN = Needs(isa=("riscv64",))


def run(*arguments: str | Path) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(main, ["verify", *map(str, arguments)])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return labelled samples in a file."""
    np.savez(tmp_path / "test.npz", x=EVALUATION, y=labels())
    return tmp_path / "test.npz"


def test_the_table_names_place_label_machine_engine_and_metric(tmp_path: Path, data: Path) -> None:
    """Everything a reader needs to judge the figures stands in the output."""
    result = run(written(packaged(), tmp_path / "net.edgepkg"), "--evaluation", data)
    assert result.exit_code == 0, result.output
    for words in ("net v1 at local, measured", "cores", "onnxruntime", "fp32", "cpu-u8s8", "host", "top1", "recorded"):
        assert words in result.output


def test_json_carries_the_same(tmp_path: Path, data: Path) -> None:
    """One object: label, machine, and for every variant golden samples, evidence and scores."""
    result = run(written(packaged(), tmp_path / "net.edgepkg"), "--evaluation", data, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["passed"], found["fault"], found["label"], found["place"]) == (True, None, "measured", "local")
    float32 = found["variants"][0]
    assert float32["evidence"]["exact"] is True
    assert float32["scores"]["there"] == float32["scores"]["recorded"] == 1.0


def test_fewer_samples_can_be_asked_for(tmp_path: Path, data: Path) -> None:
    """--samples takes the first ones, and what was recorded on all is shown but not held against them."""
    result = run(written(packaged(), tmp_path / "net.edgepkg"), "--evaluation", data, "--samples", "7", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [variant["scores"]["samples"] for variant in found["variants"]] == [7, 7]
    assert not any(variant["scores"]["same_samples"] for variant in found["variants"])


def test_without_data_the_golden_samples_alone_are_run(tmp_path: Path) -> None:
    """It says that no metric was computed and how to have one."""
    result = run(written(packaged(), tmp_path / "net.edgepkg"))
    assert result.exit_code == 0, result.output
    assert "no metric was computed" in result.output


@pytest.mark.parametrize("as_json", [False, True])
def test_wrong_golden_values_end_with_status_6(tmp_path: Path, as_json: bool) -> None:
    """The table or object is printed first, then the error with its fix."""
    result = run(written(packaged(tamper=1.0), tmp_path / "net.edgepkg"), *(["--json"] if as_json else []))
    assert result.exit_code == 6
    assert "error E-GOLDEN-MISMATCH: " in result.stderr
    assert "fix: " in result.stderr
    assert "Traceback" not in result.output
    if as_json:
        assert json.loads(result.stdout)["fault"] == "E-GOLDEN-MISMATCH"
    else:
        assert "fail" in result.stdout


def test_a_package_for_other_machines_ends_with_status_3(tmp_path: Path) -> None:
    """Before anything is run, the error names what its variants need."""
    package = packaged({"fp32": FOREIGN, "cpu-u8s8": FOREIGN})
    result = run(written(package, tmp_path / "net.edgepkg"))
    assert result.exit_code == 3
    assert "error E-PACKAGE-NO-VARIANT: " in result.stderr
    assert "riscv64" in result.stderr


def test_an_x86_profile_is_this_machine_with_a_note(tmp_path: Path) -> None:
    """On an x86-64 host it runs here and says how this host differs; elsewhere it is refused."""
    result = run(written(packaged(), tmp_path / "net.edgepkg"), "--target", "x86-64-vnni")
    if result.exit_code == 5:
        assert "error E-PLACE-NONE: " in result.stderr
    else:
        assert result.exit_code == 0, result.output
        assert "ran on this host, which stands for x86-64-vnni" in result.output


def test_an_unknown_target_is_told(tmp_path: Path) -> None:
    """The error lists what there is."""
    result = run(written(packaged(), tmp_path / "net.edgepkg"), "--target", "toaster")
    assert result.exit_code == 3
    assert "error E-TARGET-UNKNOWN: " in result.stderr
    assert "raspberry-pi-4" in result.stderr
