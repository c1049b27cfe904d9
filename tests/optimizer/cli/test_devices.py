"""`edgeopt devices` as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from commands import run, with_environment

from devices import profile
from devices.host import detect

# The machine's name is all that differs on 32-bit Arm before any library is imported.
ON_ARMV7 = (
    sys.executable,
    "-c",
    "import platform; platform.machine = lambda: 'armv7l'\n"
    "from {package}.cli.main import main; main(prog_name='{name}')",
)


def devices(*arguments: str, folder: Path, status: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder, with a configuration folder of its own."""
    variables = with_environment(XDG_CONFIG_HOME=str(folder), **environment)
    done = run("devices", *arguments, folder=folder, env=variables)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_the_list_names_every_profile(tmp_path: Path) -> None:
    """As a table whose figures carry their label, and as JSON."""
    table = devices("list", folder=tmp_path).stdout
    names = [name for name in profile.names() if name != profile.LOCAL]
    assert [line.split()[0] for line in table.splitlines()[1 : len(names) + 1]] == names
    (pi,) = [line for line in table.splitlines() if line.startswith("raspberry-pi-5")]
    assert "4 x Cortex-A76 at 2.4 GHz" in pi
    assert pi.endswith("published")
    listed = json.loads(devices("list", "--json", folder=tmp_path).stdout)["devices"]
    assert [device["name"] for device in listed] == names


def test_every_fact_is_shown_with_its_source(tmp_path: Path) -> None:
    """One line each; JSON has the same."""
    device = profile.load("jetson-nano")
    text = devices("show", "jetson-nano", folder=tmp_path).stdout
    assert text.startswith(f"jetson-nano: {device.title}\n")
    for fact in device.facts:
        assert any(fact.name in line and fact.source in line and str(fact) in line for line in text.splitlines())
    shown = json.loads(devices("show", "jetson-nano", "--json", folder=tmp_path).stdout)
    assert {fact["name"]: fact["source"] for fact in shown["facts"]} == {f.name: f.source for f in device.facts}


def test_this_machine_is_detected(tmp_path: Path) -> None:
    """What it is, how it fares, and which profile describes it."""
    host = detect()
    text = devices("detect", folder=tmp_path).stdout
    assert f"machine     {host}" in text
    assert "measured" in text
    found = json.loads(devices("detect", "--json", folder=tmp_path).stdout)
    best = profile.best_profile_of(host)
    assert found["profile"] == (best.name if best else None)
    assert (found["label"], found["host"]["machine"], found["host"]["cores"]) == ("measured", host.machine, host.cores)
    assert found["conditions"].keys() >= {"temperature_celsius", "throttling", "clock_synchronised"}
    assert "read from this machine" in devices("show", "local", folder=tmp_path).stdout


def test_a_profile_of_ones_own_is_listed(tmp_path: Path) -> None:
    """From the user's configuration folder; a broken one is named with its file."""
    own = tmp_path / "edgeopt/devices"
    own.mkdir(parents=True)
    lines = ['title = "Mine"']
    for key, value in (("isa", '"aarch64"'), ("features", "[]"), ("int8_kernels", '""')):
        lines.append(f'{key} = {{ value = {value}, source = "measured: here" }}')
    (own / "mine.toml").write_text("\n".join(lines), encoding="utf-8")
    assert "\nmine " in devices("list", folder=tmp_path).stdout
    (own / "mine.toml").write_text("\n".join([*lines, "colour = 4"]), encoding="utf-8")
    failed = devices("list", folder=tmp_path, status=3).stderr
    assert "E-PROFILE-KEY" in failed
    assert str(own / "mine.toml") in failed


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("show", "rasberry-pi-4"), 3, "did you mean raspberry-pi-4?"),
        (("show",), 2, "E-OPTION-DEVICE"),
        (("list", "jetson-nano"), 2, "edgeopt devices show jetson-nano"),
        (("fly",), 2, "list"),
        ((), 2, "list"),
    ],
)
def test_a_wrong_line_is_told_what_to_type(tmp_path: Path, arguments: tuple[str, ...], status: int, said: str) -> None:
    """No traceback, and the next command."""
    assert said in devices(*arguments, folder=tmp_path, status=status).stderr


@pytest.mark.parametrize(
    ("package", "name", "arguments"),
    [
        ("optimizer", "edgeopt", ("quantize", "net.onnx")),
        ("edge_runtime", "edge-runtime", ("run", "pump.toml")),
        ("edge_runtime", "edge-runtime", ("check", "pump.toml")),
    ],
)
def test_32_bit_arm_is_refused_before_anything_is_imported(
    tmp_path: Path, package: str, name: str, arguments: tuple[str, ...]
) -> None:
    """Where onnxruntime cannot be had, the way out is said instead of which module is missing; help still answers."""
    command = tuple(part.format(package=package, name=name) for part in ON_ARMV7)
    done = run(*arguments, folder=tmp_path, command=command)
    assert done.returncode == 5
    assert "E-HOST-32-BIT-ARM" in done.stderr
    assert "install 64-bit Raspberry Pi OS" in done.stderr
    assert run("--help", folder=tmp_path, command=command).returncode == 0
