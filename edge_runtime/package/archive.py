"""Reading and writing .edgepkg files.

A package is read by checking, in this order: size, zip structure, CRC of every member, the manifest, size and SHA-256
of every member, and last that writing the members again gives the very same bytes. The last step leaves no room for
anything the others do not look at: trailing data, second directories, flipped header bits.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from edge_runtime.digest import sha256
from edge_runtime.errors import BadInput, EnvironmentFault, Refused
from edge_runtime.files import write_atomically
from edge_runtime.inference.engine import Tensor
from edge_runtime.package import stored_zip
from edge_runtime.package.manifest import FEATURES_FORMAT, FORMAT, Manifest, Member

SUFFIX = ".edgepkg"
MANIFEST = "manifest.json"
SIGNATURES = "signatures.json"
MAX_PACKAGE_BYTES = 1 << 30
MAX_MANIFEST_BYTES = 1 << 20
NO_SIGNATURES = b'{"format":1,"signatures":[]}\n'

# A relative path of plain names: whoever extracts a package, with any tool, gets these files and no other.
_SAFE_NAME = re.compile(r"(?=.{1,200}\Z)\w[\w.-]*(/\w[\w.-]*)*", re.ASCII)
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
    listed = {name: Member(len(data), sha256(data).hexdigest()) for name, data in sorted(members.items())}
    complete = msgspec.structs.replace(manifest, members=listed)
    text = msgspec.json.format(msgspec.json.encode(complete), indent=1) + b"\n"
    return stored_zip.pack({MANIFEST: text, SIGNATURES: NO_SIGNATURES, **dict(sorted(members.items()))})


def write(path: Path, manifest: Manifest, members: Mapping[str, bytes]) -> None:
    """Write a package in one step; an existing file is replaced whole or not touched."""
    write_atomically(path, pack(manifest, members))


def is_package(path: Path) -> bool:
    """Tell whether a file is meant to be a package, by its name or its first bytes; `read` says whether it is one."""
    if path.suffix == SUFFIX:
        return True
    try:
        with path.open("rb") as file:
            return file.read(len(stored_zip.MAGIC)) == stored_zip.MAGIC
    except OSError:
        return False


def read(path: Path) -> Package:
    """Read and verify a package.

    Raises:
        BadInput: E-PACKAGE-NOT-FOUND, E-PACKAGE-NOT-A-PACKAGE, E-PACKAGE-VERSION or E-PACKAGE-TOO-LARGE.
        Refused: E-PACKAGE-DAMAGED, something differs from what the manifest says.
        EnvironmentFault: E-FILE-READ, the file exists but cannot be read.
    """
    return parse(path, _read_bytes(path))


def parse(path: Path, raw: bytes) -> Package:
    """Verify a package's bytes; `path` only names it in errors, which are those of `read`."""
    members = _unzip(path, raw)
    manifest = _decode_manifest(path, members)
    _check_members(path, manifest, members)
    if not stored_zip.is_canonical(members, raw):
        raise _damaged(path, "the archive's structure is not the one edgeopt writes")
    return Package(manifest, members, sha256(raw).hexdigest())


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
    if not raw.startswith(stored_zip.MAGIC):
        raise BadInput("E-PACKAGE-NOT-A-PACKAGE", f"{path} is not an .edgepkg file", _REBUILD)
    try:
        return stored_zip.unpack(raw)
    except ValueError as error:
        raise _damaged(path, str(error)) from error


def _decode_manifest(path: Path, members: Mapping[str, bytes]) -> Manifest:
    text = members.get(MANIFEST)
    if text is None or SIGNATURES not in members:
        raise BadInput("E-PACKAGE-NOT-A-PACKAGE", f"{path} has no {MANIFEST} or no {SIGNATURES}", _REBUILD)
    if len(text) > MAX_MANIFEST_BYTES:
        raise _damaged(path, f"{MANIFEST} is larger than {MAX_MANIFEST_BYTES >> 20} MiB")
    try:
        _refuse_odd_tensors(json.loads(text, object_pairs_hook=_refuse_twins))
        found = msgspec.json.decode(text, type=_Header).format
        if found not in {FORMAT, FEATURES_FORMAT}:
            raise BadInput(
                "E-PACKAGE-VERSION",
                f"{path} has package format {found}; this edgeopt reads formats {FORMAT} and {FEATURES_FORMAT}",
                "build the package again with this version of edgeopt, or upgrade edgeopt: pip install -U edgeopt",
            )
        manifest = msgspec.json.decode(text, type=Manifest)
        if manifest.format != manifest.needed_format:
            raise ValueError(f"format {found} where its features make it {manifest.needed_format}")
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise _damaged(path, f"{MANIFEST}: {error}") from error
    return manifest


def _refuse_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that stands twice in one object: readers disagree about which one counts."""
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError(f"a key stands twice in {names}")
    return dict(pairs)


def _refuse_odd_tensors(manifest: Any) -> None:
    """Refuse unknown keys of tensors; those of all other objects are refused where they are decoded."""
    for side in ("inputs", "outputs"):
        for tensor in manifest.get(side, []):
            if strange := set(tensor) - {field.name for field in dataclasses.fields(Tensor)}:
                raise ValueError(f"{side} hold the unknown key {', '.join(sorted(strange))}")


def _check_members(path: Path, manifest: Manifest, members: Mapping[str, bytes]) -> None:
    found = set(members) - {MANIFEST, SIGNATURES}
    odd_names = [name for name in found if not _SAFE_NAME.fullmatch(name)]
    if odd_names or len({name.casefold() for name in members}) != len(members):
        raise _damaged(path, f"member names that other tools could misread: {', '.join(sorted(odd_names or found))}")
    if found != set(manifest.members):
        odd = ", ".join(sorted(found ^ set(manifest.members)))
        raise _damaged(path, f"members and manifest disagree about: {odd}")
    for name, member in manifest.members.items():
        data = members[name]
        if len(data) != member.size or sha256(data).hexdigest() != member.sha256:
            raise _damaged(path, f"{name} is not what the manifest says (size or SHA-256)")
    needed = {manifest.golden.file, *(variant.file for variant in manifest.variants)}
    if not manifest.variants or not needed <= found:
        raise _damaged(path, "the manifest names a variant or golden file that is not in the package")


def _damaged(path: Path, what: str) -> Refused:
    return Refused("E-PACKAGE-DAMAGED", f"{path} is damaged: {what}", _REBUILD)
