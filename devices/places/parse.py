"""From what the user writes to a place."""

from __future__ import annotations

import os
import re
from pathlib import Path

from devices import profile
from devices.errors import WrongUsage
from devices.places.place import Place

SSH_CONFIG = "EDGEOPT_SSH_CONFIG"
_SSH = "ssh://"
_EMULATED = "emulated:"
_FORMS = (
    "write local, ssh://USER@HOST, ssh://USER@HOST:PORT (IPv6 in brackets: ssh://pi@[fe80::1]), or emulated:NAME with"
    " a board of `edgeopt devices list`; 'ssh://USER@HOST?python=PATH' names the Python there"
)
# Stricter than ssh: no name can be taken for an option, or for a word of a shell in somebody's ssh configuration.
_ADDRESS = re.compile(
    r"ssh://(?:(?P<user>[A-Za-z0-9_][\w.-]*)@)?"
    r"(?:(?P<name>[A-Za-z0-9_][\w.-]*)|\[(?P<ipv6>[0-9A-Fa-f.]*:[0-9A-Fa-f:.]+(?:%[\w.-]+)?)\])"
    r"(?::(?P<port>[0-9]{1,5}))?/?(?:\?python=(?P<python>[^-\s][^\n]*))?",
    re.ASCII,
)
_PASSWORD = re.compile(r"(?<=//)([^@/:]*):[^@/]*@")
_PORTS = 65535


def parse(text: str) -> Place:
    """Return the place that `local`, `ssh://user@host:port?python=path` or `emulated:board` names; not opened.

    Of an address over ssh only the host must be there. The environment variable EDGEOPT_SSH_CONFIG names an ssh
    configuration to read instead of the user's own.

    Raises:
        WrongUsage: E-PLACE-UNKNOWN, it names none.
    """
    if text == "local":
        from devices.places.local import LocalPlace  # noqa: PLC0415 - only what is asked for is loaded

        return LocalPlace()
    if text.startswith(_SSH):
        return _ssh(text)
    if text.startswith(_EMULATED):
        return _emulated(text)
    raise _unknown(text, "no place begins like that")


def _emulated(text: str) -> Place:
    from devices.places.emulated import EmulatedPlace  # noqa: PLC0415 - only what is asked for is loaded

    name = text.removeprefix(_EMULATED)
    if name == profile.LOCAL or name not in profile.names():
        raise _unknown(text, f"there is no board {name!r}")
    return EmulatedPlace(profile.load(name))


def _ssh(text: str) -> Place:
    from devices.places.ssh import PYTHON, SshPlace  # noqa: PLC0415 - only what is asked for is loaded

    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise _unknown(text, "user, host, port or what follows them is missing or odd")
    port = int(found["port"]) if found["port"] else None
    if port is not None and not 0 < port <= _PORTS:
        raise _unknown(text, f"there is no port {port}")
    config = os.environ.get(SSH_CONFIG)
    host = found["name"] or found["ipv6"]
    return SshPlace(found["user"], host, port, found["python"] or PYTHON, Path(config) if config else None)


def _unknown(text: str, why: str) -> WrongUsage:
    shown = _PASSWORD.sub(r"\1:…@", text)  # errors are logged, passwords are not
    return WrongUsage("E-PLACE-UNKNOWN", f"{shown!r} is no place: {why}", _FORMS)
