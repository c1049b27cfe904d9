"""Which Pythons can run models, and what a user types where one cannot."""

from __future__ import annotations

from dataclasses import replace

import pytest

from devices.places.ssh_python import RemotePython, unfit

PLACE = "ssh://pi@line3"
GOOD = RemotePython(
    version=(3, 11),
    machine="aarch64",
    bits=64,
    executable="/usr/bin/python3",
    missing=(),
    in_venv=False,
    takes_packages=False,
    makes_venvs=True,
    folder="/tmp/edgeopt-x",  # noqa: S108 - a name, no folder
    fault="",
)
NAMING = "'ssh://pi@line3?python=edgeopt/bin/python'"


def said(**changes: object) -> tuple[str, str]:
    """Return code and fix for a Python that differs from a good one in this."""
    fault = unfit(PLACE, replace(GOOD, **changes))  # type: ignore[arg-type]
    assert fault is not None
    assert PLACE in fault.message
    return fault.code, fault.fix


def test_a_python_with_both_packages_is_fit() -> None:
    """Nothing is said of it."""
    assert unfit(PLACE, GOOD) is None


@pytest.mark.parametrize("machine", ["armv6l", "armv7l", "aarch64"])
def test_32_bit_arm_is_refused_with_the_way_out(machine: str) -> None:
    """Also where the kernel has 64 bits and only the system has not: that is the usual 32-bit Raspberry Pi OS."""
    code, fix = said(machine=machine, bits=32, missing=("onnxruntime",), version=(3, 9))
    assert code == "E-PLACE-ARM32"
    assert "64-bit Raspberry Pi OS" in fix


def test_a_system_that_keeps_its_python_for_itself_gets_the_line_for_a_venv() -> None:
    """PEP 668: pip would refuse, so the line makes a virtual environment, and says how to name it."""
    code, fix = said(missing=("onnxruntime",))
    assert code == "E-PLACE-ONNXRUNTIME"
    assert "/usr/bin/python3 -m venv ~/edgeopt && ~/edgeopt/bin/pip install numpy onnxruntime;" in fix
    assert fix.endswith(NAMING)


def test_debian_without_venv_gets_its_package_first() -> None:
    """`python3 -m venv` fails there without it."""
    assert (
        "sudo apt-get install -y python3-venv && /usr/bin/python3 -m venv"
        in said(missing=("numpy",), makes_venvs=False)[1]
    )


def test_a_python_of_its_own_gets_the_line_for_its_pip() -> None:
    """Where pip may install, that is the shortest way; Python 3.10 gets the last release that has a wheel for it."""
    code, fix = said(missing=("numpy", "onnxruntime"), takes_packages=True, version=(3, 10))
    assert code == "E-PLACE-ONNXRUNTIME"
    assert fix.endswith("/usr/bin/python3 -m pip install --user numpy onnxruntime==1.23.2")
    fix = said(missing=("numpy",), takes_packages=True, in_venv=True)[1]
    assert fix.endswith("/usr/bin/python3 -m pip install numpy onnxruntime")


@pytest.mark.parametrize("version", [(3, 6), (3, 8), (3, 9)])
def test_an_old_python_is_told_the_oldest_that_will_do(version: tuple[int, int]) -> None:
    """Whatever its packages are; how a newer one is named stands in the way out."""
    for takes_packages in (False, True):
        code, fix = said(version=version, takes_packages=takes_packages, missing=("onnxruntime",))
        assert code == "E-PLACE-PYTHON"
        assert NAMING in fix


def test_a_machine_that_takes_no_folder_says_why() -> None:
    """A full or read-only disk shows when the working folder is made."""
    assert said(folder="", fault="No space left on device")[0] == "E-PLACE-FOLDER"
