"""The emulated place: a real aarch64 Python and onnxruntime on this machine, as the boards of two profiles."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from devices import profile
from devices.errors import BadInput, EnvironmentFault
from devices.places import debian, sandbox
from devices.places.emulated import EmulatedPlace

FACTS = """
import ctypes, json, os, platform, sys
import numpy, onnxruntime
libc = ctypes.CDLL(None)
libc.getauxval.restype = ctypes.c_ulong
libc.getauxval.argtypes = [ctypes.c_ulong]
print(json.dumps({
    "machine": platform.machine(),
    "versions": [numpy.__version__, onnxruntime.__version__],
    "hwcap": libc.getauxval(16),
    "cpuinfo": open("/proc/cpuinfo").read(),
    "given": open("given.txt").read(),
    "environment": sorted(os.environ),
}))
open("made.txt", "w").write("made there")
print("a line", file=sys.stderr)
"""
ASIMDHP, ASIMDDP = 1 << 10, 1 << 20  # bits of the kernel's HWCAP word


@pytest.mark.parametrize(("name", "part", "has"), [("raspberry-pi-4", "0xd08", 0), ("raspberry-pi-5", "0xd0b", 1)])
def test_python_there_runs_on_the_boards_processor(
    sandbox_cache: Path | None, name: str, part: str, has: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Machine, CPU part, what the kernel says of it, and versions are the board's; files and lines come and go."""
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    place, lines = EmulatedPlace(profile.load(name), sandbox_cache), list[str]()
    with place:
        folder = place.folder
        place.put("facts.py", FACTS.encode())
        place.put("given.txt", b"given")
        ended = place.python(["facts.py"], lines.append)
        assert place.get("made.txt") == b"made there"
    assert ended.status == 0, ended.stderr
    facts = json.loads(ended.stdout)
    assert (facts["machine"], facts["given"], lines) == ("aarch64", "given", ["a line"])
    assert facts["versions"] == [metadata.version("numpy"), metadata.version("onnxruntime")]
    assert [bool(facts["hwcap"] & bit) for bit in (ASIMDHP, ASIMDDP)] == [bool(has)] * 2
    assert facts["cpuinfo"].count(part) == 4
    assert not {"USER", "SHELL", "PWD"} & {*facts["environment"]}
    assert not folder.exists()
    assert (place.name, place.label) == (f"emulated:{name}", "emulated")


def test_a_program_that_ends_otherwise_says_how(sandbox_cache: Path | None) -> None:
    """Exit status, signal and time limit are told apart, a file that is not there is named, and the folder goes."""
    with EmulatedPlace(profile.load("raspberry-pi-4"), sandbox_cache) as place:
        folder = place.folder
        assert place.python(["-c", "raise SystemExit(7)"], print).status == 7
        assert place.python(["-c", "import os; os.kill(os.getpid(), 9)"], print).status == -9
        with pytest.raises(EnvironmentFault, match="had not finished after 3 s") as late:
            place.python(["-c", "import time; time.sleep(60)"], print, timeout=3)
        with pytest.raises(EnvironmentFault, match=r"no file nothing\.txt") as absent:
            place.get("nothing.txt")
    assert (late.value.code, absent.value.code) == ("E-PLACE-TIMEOUT", "E-PLACE-NO-FILE")
    assert not folder.exists()


@pytest.mark.parametrize("name", ["x86-64-vnni", "local"])
def test_what_is_no_arm_board_is_refused(name: str) -> None:
    """Only profiles that name a core qemu has can be emulated."""
    with pytest.raises(BadInput, match="cannot be emulated") as error:
        EmulatedPlace(profile.load(name))
    assert error.value.code == "E-PLACE-EMULATION-DEVICE"


def prepared(cache: Path) -> EnvironmentFault:
    """Try to set the sandbox up in an empty cache and return why that failed; nothing may be left but the lock."""
    with pytest.raises(EnvironmentFault) as error:
        sandbox.prepare(cache, profile.load("raspberry-pi-4"), print)
    assert [file.name for file in cache.glob("*") if not file.name.endswith(".lock")] == []
    return error.value


needs_debian = pytest.mark.skipif(
    platform.machine() != "x86_64" or not Path("/usr/bin/dpkg").exists(), reason="needs dpkg on x86-64"
)


@needs_debian
def test_a_mirror_that_does_not_answer_leaves_nothing_half_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error shows what apt or pip said, and the next try begins anew."""
    monkeypatch.setenv(debian.MIRROR, "http://127.0.0.1:9/debian bookworm")
    fault = prepared(tmp_path)
    assert fault.code == "E-PLACE-EMULATION-SETUP"
    assert "apt-get failed" in fault.message
    assert "apt-get update" in fault.fix


@needs_debian
def test_an_interrupted_setup_leaves_nothing_half_made(tmp_path: Path) -> None:
    """SIGINT while packages come in: the program ends soon, and neither folder nor child process is left."""
    code = (
        "import sys; from pathlib import Path; from devices import profile; from devices.places import sandbox; "
        "sandbox.prepare(Path(sys.argv[1]), profile.load('raspberry-pi-4'), lambda line: print(line, flush=True))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        assert b"setting up" in process.stdout.readline()
        process.send_signal(2)
        process.communicate(timeout=60)
    assert process.returncode != 0
    assert [file.name for file in tmp_path.iterdir() if not file.name.endswith(".lock")] == []
    commands = subprocess.run(["ps", "-e", "-o", "args"], capture_output=True, text=True, check=True).stdout
    assert str(tmp_path) not in commands


@needs_debian
def test_what_a_killed_setup_left_is_cleared_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut leaves a partial folder; the next setup removes it, whether or not that one succeeds."""
    monkeypatch.setenv(debian.MIRROR, "http://127.0.0.1:9/debian bookworm")
    prepared(tmp_path)
    (lock,) = tmp_path.glob("*.lock")
    left = tmp_path / f"{lock.name.removesuffix('.lock')}.partial-left"
    left.mkdir()
    prepared(tmp_path)
    assert not left.exists()


@needs_debian
def test_a_disk_without_room_is_said_before_anything_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names how much is needed and where else it may go."""
    monkeypatch.setattr(sandbox, "_ROOM", 1 << 60)
    monkeypatch.setenv(debian.MIRROR, "http://127.0.0.1:9/debian bookworm")
    fault = prepared(tmp_path)
    assert (fault.code, "XDG_CACHE_HOME" in fault.fix) == ("E-PLACE-EMULATION-DISK", True)


def test_another_system_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ubuntu's packages do not fit: the error names the variable for a mirror, and where that is set it is used."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text('ID=ubuntu\nVERSION_CODENAME=noble\nPRETTY_NAME="Ubuntu 24.04"\n')
    monkeypatch.delenv(debian.MIRROR, raising=False)
    with pytest.raises(EnvironmentFault, match=r"Ubuntu 24\.04") as error:
        debian.source(tmp_path)
    assert (error.value.code, debian.MIRROR in error.value.fix) == ("E-PLACE-EMULATION-HOST", True)
    monkeypatch.setenv(debian.MIRROR, "http://mirror/debian")
    assert debian.source(tmp_path) == debian.Source("http://mirror/debian", "bookworm")


def test_a_system_without_apt_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No apt-get on the search path: nothing is tried."""
    monkeypatch.setenv("PATH", str(tmp_path))
    fault = prepared(tmp_path / "cache")
    assert fault.code == "E-PLACE-EMULATION-HOST"
    assert "ssh://" in fault.fix
