"""From what the user writes to a place, or to the forms it may have."""

from __future__ import annotations

from pathlib import Path

import pytest

from devices.errors import WrongUsage
from devices.places.parse import SSH_CONFIG, parse


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("ssh://pi@line3", ["-l", "pi", "--", "line3"]),
        ("ssh://pi@line3:2222", ["-p", "2222", "-l", "pi", "--", "line3"]),
        ("ssh://line3", ["--", "line3"]),
        ("ssh://Line_3.local:22", ["-p", "22", "--", "Line_3.local"]),
        ("ssh://pi@10.0.0.7", ["-l", "pi", "--", "10.0.0.7"]),
        ("ssh://pi@[fe80::1%eth0]:22", ["-p", "22", "-l", "pi", "--", "fe80::1%eth0"]),
        ("ssh://[::1]", ["--", "::1"]),
    ],
)
def test_an_address_becomes_what_ssh_takes(text: str, arguments: list[str]) -> None:
    """User and port go to ssh only where they are given: the rest is the user's ssh configuration's to say."""
    from devices.places.ssh import SshPlace

    place = parse(text)
    assert isinstance(place, SshPlace)
    assert place._destination.arguments == arguments
    assert place.name == text
    assert place.label == "measured"


def test_the_python_there_can_be_named() -> None:
    """It stays in the place's name: another interpreter may be another onnxruntime."""
    assert parse("ssh://pi@line3?python=~/edgeopt/bin/python").name == "ssh://pi@line3?python=~/edgeopt/bin/python"


def test_another_ssh_configuration_can_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The environment variable names a file that ssh reads instead of the user's."""
    from devices.places.ssh import SshPlace

    monkeypatch.setenv(SSH_CONFIG, str(tmp_path / "config"))
    place = parse("ssh://line3")
    assert isinstance(place, SshPlace)
    assert place._destination.arguments == ["-F", str(tmp_path / "config"), "--", "line3"]


def test_local_and_emulated_places_have_names() -> None:
    """Places are named as the user writes them."""
    assert parse("local").name == "local"
    assert parse("emulated:raspberry-pi-4").name == "emulated:raspberry-pi-4"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "raspberry-pi-4",
        "Local",
        "ssh:",
        "ssh://",
        "ssh://@line3",
        "ssh://pi@",
        "ssh://pi@line3:0",
        "ssh://pi@line3:65536",
        "ssh://pi@line3:port",
        "ssh://pi@line3:",
        "ssh://pi@line3/home",
        "ssh://pi@line3?shell=sh",
        "ssh://pi@line3?python=",
        "ssh://pi@line3?python=-c",
        "ssh://pi@line3?python=a\nb",
        "ssh://::1",
        "ssh://[line3]",
        "ssh://[::1",
        "ssh://[]",
        "ssh://-oProxyCommand=sh@line3",
        "ssh://-oProxyCommand=sh",
        "ssh://pi@line3;sh",
        "ssh://$(sh)@line3",
        "ssh://pi@line 3",
        "ssh://pi@line3\n",
        "sftp://pi@line3",
        "emulated:",
        "emulated:commodore-64",
        "emulated:local",
        "emulated:../raspberry-pi-4",
    ],
)
def test_what_is_no_place_is_told_the_forms(text: str) -> None:
    """Nothing odd reaches ssh, where it could be taken for an option or a command."""
    with pytest.raises(WrongUsage) as raised:
        parse(text)
    assert raised.value.code == "E-PLACE-UNKNOWN"
    assert repr(text) in raised.value.message
    for form in ("local", "ssh://USER@HOST:PORT", "emulated:NAME"):
        assert form in raised.value.fix


def test_a_password_is_refused_and_not_shown() -> None:
    """An error is logged, a password is not."""
    with pytest.raises(WrongUsage) as raised:
        parse("ssh://pi:raspberry@line3")
    assert raised.value.code == "E-PLACE-UNKNOWN"
    assert "raspberry" not in str(raised.value)
