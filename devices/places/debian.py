"""Debian packages unpacked into a folder: the system's own sources, no rights, and nothing of the system touched."""

from __future__ import annotations

import getpass
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from devices.errors import EnvironmentFault
from devices.places.children import Children

SUITE = "bookworm"
MIRROR = "EDGEOPT_DEBIAN_MIRROR"
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


@dataclass(frozen=True)
class Source:
    """Where packages come from: the system's own sources, or a mirror.

    Attributes:
        mirror: The mirror's address, None for the system's own sources.
        suite: The release to take from it.
    """

    mirror: str | None = None
    suite: str = SUITE

    def options(self, work: Path, architecture: str) -> list[str]:
        """Return the options that make apt use this source."""
        if self.mirror is None:
            return []
        listed = work / "sources.list"
        line = f"deb [arch={architecture} signed-by={_KEYRING}] {self.mirror} {self.suite} main\n"
        listed.write_text(line, encoding="utf-8")
        return [f"-oDir::Etc::sourcelist={listed}", "-oDir::Etc::sourceparts=/dev/null"]


def source(root: Path = Path("/")) -> Source:
    """Return the source to use here: what EDGEOPT_DEBIAN_MIRROR names, else the system's own where it is Debian 12.

    Raises:
        EnvironmentFault: E-PLACE-EMULATION-HOST, this system's packages do not fit and no mirror is named.
    """
    named = os.environ.get(MIRROR, "").split()
    if named:
        return Source(named[0], *named[1:2])
    release = _release(root)
    if release.get("VERSION_CODENAME") == SUITE and release.get("ID") == "debian":
        return Source()
    raise EnvironmentFault(
        "E-PLACE-EMULATION-HOST",
        f"the emulated place is made of Debian 12 packages, and this is {release.get('PRETTY_NAME', 'another system')}",
        f"name a mirror: export {MIRROR}='ADDRESS {SUITE}' (needs the package debian-archive-keyring)",
    )


def unpack(packages: Sequence[str], architecture: str, into: Path, origin: Source, children: Children) -> None:
    """Download packages of an architecture and unpack them into a folder; the folder beside it keeps apt's state.

    Raises:
        EnvironmentFault: E-PLACE-EMULATION-SETUP or E-PLACE-EMULATION-DISK.
    """
    work = into.with_name(f"{into.name}.apt")
    for folder in ("lists/partial", "cache/archives/partial", "packages"):
        (work / folder).mkdir(parents=True)
    into.mkdir()
    options = [*_options(work, architecture), *origin.options(work, architecture)]
    # A foreign source that fails is no reason to stop: the download decides.
    children.run(["apt-get", *options, "update"], must_succeed=False)
    children.run(["apt-get", *options, "download", *packages], work / "packages")
    for package in sorted((work / "packages").glob("*.deb")):
        children.run(["dpkg", "-x", str(package), str(into)])


def _options(work: Path, architecture: str) -> list[str]:
    settings = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Sandbox::User": getpass.getuser(),
        "APT::Update::Post-Invoke-Success": "",
        "Acquire::Languages": "none",
        "Acquire::Retries": "2",
        "Acquire::http::Timeout": "30",
        "Dir::State::Lists": str(work / "lists"),
        "Dir::State::status": "/dev/null",
        "Dir::Cache": str(work / "cache"),
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
    }
    return ["-q", *(f"-o{name}={value}" for name, value in settings.items())]


def _release(root: Path) -> dict[str, str]:
    try:
        lines = (root / "etc/os-release").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines)
    return {name: value.strip('"') for name, _, value in pairs}
