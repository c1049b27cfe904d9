"""A real sshd on loopback, with its own port, keys and temporary folder; it runs as whoever runs the tests."""

from __future__ import annotations

import contextlib
import getpass
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from devices.places.ssh import SshPlace

HOST = "127.0.0.1"
PATIENCE = 30.0
INSTALL = "the tests of places over ssh need a real sshd: apt-get install -y openssh-server openssh-client"
TOOLS = ("sh", "cat", "mkdir", "sleep")


def find_program(name: str) -> str:
    """Return the path of one of openssh's programs, or skip and say what to install: nothing stands in for them."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
    if not found:
        pytest.skip(INSTALL)
    return found


def wait_until(what: str, happens: Callable[[], object]) -> None:
    """Return once the function returns something true."""
    end = time.monotonic() + PATIENCE
    while not happens():
        assert time.monotonic() < end, f"after {PATIENCE:g} s still not: {what}"
        time.sleep(0.02)


def children(process: int) -> list[int]:
    """Return the processes that this one started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(after_name[1]) == process and after_name[0] != "Z":
            found.append(int(stat.parent.name))
    return found


class Sshd:
    """The remote machine: its commands see only the PATH and the temporary folder made here.

    Args:
        folder: For its files and keys; `remote` in it is the remote machine's temporary folder and home.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.remote = folder / "remote"
        self.config = folder / "ssh_config"
        self.known_hosts = folder / "known hosts"
        self.authorized_keys = folder / "authorized_keys"
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.remote.mkdir()
        (folder / "bin").mkdir()
        for tool in TOOLS:
            (folder / "bin" / tool).symlink_to(find_program(tool))
        self.set_python(f'exec {shlex.quote(sys.executable)} "$@"')
        self.set_login("")
        self.make_key("key")
        shutil.copy(folder / "key.pub", self.authorized_keys)
        self.make_key("host_key")
        self.start()
        self.learn_host_key()
        self.config.write_text(
            "Host behind\n  ProxyJump board\n"
            f"Host board behind\n  HostName {HOST}\n  Port {self.port}\n  User {getpass.getuser()}\n"
            f'Host *\n  IdentityFile {folder}/key\n  IdentitiesOnly yes\n  IdentityAgent none\n  UserKnownHostsFile "'
            f'{self.known_hosts}"\n  GlobalKnownHostsFile none\n',
            encoding="utf-8",
        )

    def place(self, host: str = HOST) -> SshPlace:
        """Return the place for it; `board` and `behind` (a jump host) are names of the configuration."""
        if host != HOST:
            return SshPlace(None, host, config=self.config)
        return SshPlace(getpass.getuser(), host, self.port, config=self.config)

    def make_key(self, name: str) -> None:
        """Make a key, or another one of the same name."""
        (self.folder / name).unlink(missing_ok=True)
        command = [find_program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", self.folder / name]
        subprocess.run(command, check=True, capture_output=True)

    def learn_host_key(self) -> None:
        """Put its key among the known hosts."""
        key = (self.folder / "host_key.pub").read_text()
        self.known_hosts.write_text(f"[{HOST}]:{self.port} {key}")

    def set_python(self, line: str) -> None:
        """Let the remote python3 be a program of this one line."""
        self._program(self.folder / "bin/python3", line)

    def set_login(self, lines: str) -> None:
        """Let these lines of shell run before each command."""
        environment = f"PATH={self.folder}/bin TMPDIR={self.remote} HOME={self.remote}"
        self._program(self.folder / "login", f'export {environment}\n{lines}\nexec /bin/sh -c "$SSH_ORIGINAL_COMMAND"')

    def start(self, *options: str) -> None:
        """Start, with further lines of configuration, on the same port as before; it accepts connections then."""
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it gives up its rights, as root
        if not self.port:
            with socket.create_server((HOST, 0)) as listener:
                self.port = int(listener.getsockname()[1])
        lines = [
            f"ListenAddress {HOST}:{self.port}",
            f"HostKey {self.folder}/host_key",
            f"AuthorizedKeysFile {self.authorized_keys}",
            f"ForceCommand {self.folder}/login",
            *("PidFile none", "StrictModes no", "UsePAM no", "PermitRootLogin prohibit-password"),
            *("PasswordAuthentication no", "KbdInteractiveAuthentication no", "PrintMotd no"),
            "SetEnv SHLVL=1",  # or bash would read the .bashrc of whoever runs the tests
            *options,
        ]
        (self.folder / "sshd_config").write_text("\n".join(lines) + "\n", encoding="utf-8")
        command = [find_program("sshd"), "-D", "-e", "-f", str(self.folder / "sshd_config")]
        with (self.folder / "sshd.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(f"sshd accepts connections ({self.folder}/sshd.log)", self._accepts)

    def stop(self) -> None:
        """Stop listening, and cut what is connected; harmless when it is not running."""
        if self._process is not None:
            self.cut()
            self._process.terminate()
            self._process.wait(PATIENCE)
            self._process = None

    def cut(self) -> None:
        """Cut every connection: the processes that serve it are killed, what they started is not."""
        assert self._process is not None
        todo = children(self._process.pid)
        while todo:
            process = todo.pop()
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended by itself
                if Path(f"/proc/{process}/comm").read_text().startswith("sshd"):
                    todo += children(process)
                    os.kill(process, signal.SIGKILL)

    def running(self) -> list[str]:
        """Return the command lines of what our side has running there."""
        found = []
        for environ in Path("/proc").glob("[0-9]*/environ"):
            try:
                if f"EDGEOPT_PLACE={self.remote}/".encode() in environ.read_bytes():
                    found.append((environ.parent / "cmdline").read_text().replace("\0", " "))
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
        return found

    def left(self) -> list[str]:
        """Return what lies in the remote temporary folder."""
        return sorted(path.name for path in self.remote.iterdir())

    def wait_until_nothing_is_left(self) -> None:
        """Return once no file and no process of ours is there."""
        wait_until("nothing of ours is left on the remote", lambda: not self.left() and not self.running())

    def _accepts(self) -> bool:
        assert self._process is not None
        log = self.folder / "sshd.log"
        assert self._process.poll() is None, f"sshd ended: {log.read_text()}"
        return "Server listening" in log.read_text(encoding="utf-8", errors="replace").rpartition("terminating")[2]

    @staticmethod
    def _program(path: Path, lines: str) -> None:
        path.write_text(f"#!/bin/sh\n{lines}\n", encoding="utf-8")
        path.chmod(0o755)
