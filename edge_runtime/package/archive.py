"""Reading and writing .edgepkg files: a stored zip in exactly one byte form.

A package is read by checking, in this order: size, zip structure, CRC of every member, the manifest, size and SHA-256
of every member, and last that writing the members again gives the very same bytes. The last step leaves no room for
anything the others do not look at: trailing data, second directories, flipped header bits.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge_runtime.errors import BadInput, EnvironmentFault, Refused
from edge_runtime.files import write_atomically
from edge_runtime.package.manifest import FORMAT, Manifest, Member

SUFFIX = ".edgepkg"
MANIFEST = "manifest.json"
SIGNATURES = "signatures.json"
MAX_PACKAGE_BYTES = 1 << 30
MAX_MANIFEST_BYTES = 1 << 20
NO_SIGNATURES = b'{"format":1,"signatures":[]}\n'

_ZIP_MAGIC = b"PK\x03\x04"
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_REBUILD = "build the package again with `edgeopt quantize`, or copy it again from where it was built"


@dataclass(frozen=True)
class Package:
    """A package whose every byte has been checked against its manifest."""

    manifest: Manifest
    members: Mapping[str, bytes]
    digest: str


class _Header(msgspec.Struct):
    """The one field that must be readable in every format, past and future."""

    format: int


def pack(manifest: Manifest, members: Mapping[str, bytes]) -> bytes:
    """Return the archive's bytes; the same manifest and members always give the same bytes."""
    listed = {name: Member(len(data), hashlib.sha256(data).hexdigest()) for name, data in sorted(members.items())}
    complete = msgspec.structs.replace(manifest, members=listed)
    text = msgspec.json.format(msgspec.json.encode(complete), indent=1) + b"\n"
    return _zip({MANIFEST: text, SIGNATURES: NO_SIGNATURES, **dict(sorted(members.items()))})


def write(path: Path, manifest: Manifest, members: Mapping[str, bytes]) -> None:
    """Write a package in one step; an existing file is replaced whole or not touched."""
    write_atomically(path, pack(manifest, members))


def is_package(path: Path) -> bool:
    """Tell whether a file is meant to be a package, by its name or its first bytes; `read` says whether it is one."""
    if path.suffix == ".edgepkg":
        return True
    try:
        with path.open("rb") as file:
            return file.read(len(_ZIP_MAGIC)) == _ZIP_MAGIC
    except OSError:
        return False


def read(path: Path) -> Package:
    """Read and verify a package.

    Raises:
        BadInput: E-PACKAGE-NOT-FOUND, E-PACKAGE-NOT-A-PACKAGE, E-PACKAGE-VERSION or E-PACKAGE-TOO-LARGE.
        Refused: E-PACKAGE-DAMAGED, something differs from what the manifest says.
        EnvironmentFault: E-FILE-READ, the file exists but cannot be read.
    """
    raw = _read_bytes(path)
    members = _unzip(path, raw)
    manifest = _decode_manifest(path, members)
    _check_members(path, manifest, members)
    if _zip(members) != raw:
        raise _damaged(path, "the archive's structure is not the one edgeopt writes")
    return Package(manifest, members, hashlib.sha256(raw).hexdigest())


def _read_bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_PACKAGE_BYTES:
            raise BadInput("E-PACKAGE-TOO-LARGE", f"{path} is larger than {MAX_PACKAGE_BYTES >> 20} MiB", _REBUILD)
        return path.read_bytes()
    except FileNotFoundError as error:
        raise BadInput(
            "E-PACKAGE-NOT-FOUND", f"there is no package {path}", "make one: edgeopt quantize MODEL.onnx"
        ) from error
    except OSError as error:
        raise EnvironmentFault(
            "E-FILE-READ", f"cannot read {path}: {error.strerror}", "check the path and its permissions"
        ) from error


def _unzip(path: Path, raw: bytes) -> dict[str, bytes]:
    if not raw.startswith(_ZIP_MAGIC):
        raise BadInput("E-PACKAGE-NOT-A-PACKAGE", f"{path} is not an .edgepkg file", _REBUILD)
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            infos = archive.infolist()
            names = [info.filename for info in infos]
            if len(set(names)) != len(names):
                raise _damaged(path, "a member name stands twice")
            if any(info.compress_type != zipfile.ZIP_STORED or info.file_size > len(raw) for info in infos):
                raise _damaged(path, "a member is compressed or claims more bytes than the file has")
            return {name: archive.read(name) for name in names}
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, UnicodeDecodeError, ValueError) as error:
        raise _damaged(path, str(error)) from error


def _decode_manifest(path: Path, members: Mapping[str, bytes]) -> Manifest:
    text = members.get(MANIFEST)
    if text is None or SIGNATURES not in members:
        raise BadInput("E-PACKAGE-NOT-A-PACKAGE", f"{path} has no {MANIFEST} or no {SIGNATURES}", _REBUILD)
    if len(text) > MAX_MANIFEST_BYTES:
        raise _damaged(path, f"{MANIFEST} is larger than {MAX_MANIFEST_BYTES >> 20} MiB")
    try:
        found = msgspec.json.decode(text, type=_Header).format
        if found != FORMAT:
            raise BadInput(
                "E-PACKAGE-VERSION",
                f"{path} has package format {found}; this edgeopt reads format {FORMAT}",
                "build the package again with this version of edgeopt, or upgrade edgeopt: pip install -U edgeopt",
            )
        return msgspec.json.decode(text, type=Manifest)
    except msgspec.DecodeError as error:
        raise _damaged(path, f"{MANIFEST}: {error}") from error


def _check_members(path: Path, manifest: Manifest, members: Mapping[str, bytes]) -> None:
    found = set(members) - {MANIFEST, SIGNATURES}
    if found != set(manifest.members):
        odd = ", ".join(sorted(found ^ set(manifest.members)))
        raise _damaged(path, f"members and manifest disagree about: {odd}")
    for name, member in manifest.members.items():
        data = members[name]
        if len(data) != member.size or hashlib.sha256(data).hexdigest() != member.sha256:
            raise _damaged(path, f"{name} is not what the manifest says (size or SHA-256)")
    needed = {manifest.golden.file, *(variant.file for variant in manifest.variants)}
    if not manifest.variants or not needed <= found:
        raise _damaged(path, "the manifest names a variant or golden file that is not in the package")


def _zip(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, date_time=_ZIP_EPOCH)
            info.create_system = 3  # Unix, also where it is written on another system
            info.external_attr = 0o644 << 16
            archive.writestr(info, data)
    return buffer.getvalue()


def _damaged(path: Path, what: str) -> Refused:
    return Refused("E-PACKAGE-DAMAGED", f"{path} is damaged: {what}", _REBUILD)
