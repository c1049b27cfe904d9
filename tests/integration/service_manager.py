"""What stands for systemd: its notify socket, and the closed room its units make."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

from brokers import PATIENCE

_ALLOW, _EPERM = 0x7FFF0000, 0x00050000 | errno.EPERM
_MASKED_EQUAL = 7


class Manager:
    """Listens where a service says how it is.

    Attributes:
        heard: All datagrams, each as its fields.
    """

    def __init__(self, path: Path) -> None:
        self.heard: list[dict[str, str]] = []
        self.environment = {"NOTIFY_SOCKET": str(path)}
        self._changed = threading.Condition()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def __enter__(self) -> Manager:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE)
        self._socket.close()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Return once the condition holds, looking at every new datagram."""
        with self._changed:
            assert self._changed.wait_for(condition, PATIENCE), self.heard[-5:]

    def said(self, name: str, value: str = "1") -> bool:
        """Tell whether a field has been said with this value."""
        return any(fields.get(name) == value for fields in self.heard)

    def meals(self) -> int:
        """Return how often the watchdog was fed."""
        return sum("WATCHDOG" in fields for fields in self.heard)

    def _listen(self) -> None:
        while datagram := self._socket.recv(1 << 16):
            lines = datagram.decode().splitlines()
            with self._changed:
                self.heard.append({name: value for name, _, value in (line.partition("=") for line in lines)})
                self._changed.notify_all()


def allowed_calls(unit: str) -> set[str]:
    """Return the system calls that a unit's SystemCallFilter= lines leave."""
    allowed: set[str] = set()
    for words in re.findall(r"^SystemCallFilter=(.*)$", unit, re.MULTILINE):
        named = {call for word in words.removeprefix("~").split() for call in _calls(word)}
        allowed = allowed - named if words.startswith("~") else allowed | named
    return allowed


def _calls(word: str) -> Iterator[str]:
    if not word.startswith("@"):
        yield word
        return
    listed = subprocess.run(["systemd-analyze", "syscall-filter", word], capture_output=True, text=True, check=True)
    for line in listed.stdout.splitlines()[1:]:
        name = line.strip()
        if name and not name.startswith("#"):
            yield from _calls(name)


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("how", ctypes.c_int),
        ("mask", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
    )


def close_room(unit: str) -> None:
    """Take from this process for good what the unit's filter and MemoryDenyWriteExecute= take, as systemd does it."""
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    if "MemoryDenyWriteExecute=yes" in unit:
        memory = ctypes.c_void_p(library.seccomp_init(_ALLOW))
        both = mmap.PROT_EXEC | mmap.PROT_WRITE
        for call, mask in (("mmap", both), ("mprotect", mmap.PROT_EXEC), ("pkey_mprotect", mmap.PROT_EXEC)):
            comparison = (_Comparison * 1)(_Comparison(2, _MASKED_EQUAL, mask, mask))
            number = library.seccomp_syscall_resolve_name(call.encode())
            assert library.seccomp_rule_add_array(memory, _EPERM, number, 1, comparison) == 0
        assert library.seccomp_load(memory) == 0
    calls = ctypes.c_void_p(library.seccomp_init(_EPERM))
    for name in allowed_calls(unit):
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:  # others are of other architectures
            assert library.seccomp_rule_add_array(calls, _ALLOW, number, 0, None) == 0
    assert library.seccomp_load(calls) == 0


if __name__ == "__main__":
    close_room(Path(sys.argv[1]).read_text(encoding="utf-8"))
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - what the room is for
