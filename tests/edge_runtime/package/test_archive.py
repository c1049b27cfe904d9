"""Packages: what is written is read back, and whatever else the bytes could be is refused."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge_runtime.errors import BadInput, EdgeoptError, EnvironmentFault, Refused
from edge_runtime.inference.postprocess import Argmax, Decision, Threshold, Value
from edge_runtime.inference.preprocess import Preprocess
from edge_runtime.package import archive, stored_zip


def refusal(path: Path, raw: bytes) -> EdgeoptError:
    """Write the bytes, read them as a package and return the error that must come."""
    path.write_bytes(raw)
    with pytest.raises(EdgeoptError) as caught:
        archive.read(path)
    return caught.value


def rewritten(file: Path, change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return the package with its manifest changed and everything else made to fit: only the manifest is wrong."""
    members = stored_zip.unpack(file.read_bytes())
    manifest = json.loads(members[archive.MANIFEST])
    change(manifest)
    members[archive.MANIFEST] = json.dumps(manifest).encode()
    return stored_zip.pack(members)


def with_manifest(file: Path, text: bytes) -> bytes:
    """Return the package with other manifest bytes."""
    return stored_zip.pack({**stored_zip.unpack(file.read_bytes()), archive.MANIFEST: text})


def test_a_package_reads_back_as_it_was_written(parts: Any, file: Path) -> None:
    """Manifest and members come back; the manifest now lists every member with size and digest."""
    package = archive.read(file)
    assert {name: package.members[name] for name in parts.members} == parts.members
    assert msgspec.structs.replace(package.manifest, members={}) == parts.manifest
    for name, data in parts.members.items():
        assert package.manifest.members[name].size == len(data)
        assert package.manifest.members[name].sha256 == hashlib.sha256(data).hexdigest()
    assert package.digest == hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "decision",
    [
        Argmax(labels=("ok", "outer race"), alarm_on=("outer race",)),
        Threshold(above=0.5),
        Threshold(below=-1.5, index=0),
        Value(unit="cycles"),
        None,
    ],
)
def test_every_decision_survives_the_manifest(parts: Any, file: Path, decision: Decision | None) -> None:
    """Each kind of decision comes back equal; limits that are not set stay unset."""
    manifest = msgspec.structs.replace(parts.manifest, decision=decision)
    archive.write(file, manifest, parts.members)
    assert archive.read(file).manifest.decision == decision


def test_any_tool_can_list_a_package(file: Path) -> None:
    """It is a plain zip: manifest and signatures first, members stored and in order, dates fixed."""
    with zipfile.ZipFile(file) as listed:
        infos = listed.infolist()
    names = [info.filename for info in infos]
    assert names == ["manifest.json", "signatures.json", "golden.npz", "variants/fp32.onnx"]
    assert {info.compress_type for info in infos} == {zipfile.ZIP_STORED}
    assert {info.date_time for info in infos} == {(1980, 1, 1, 0, 0, 0)}


def test_the_same_parts_give_the_same_bytes(parts: Any) -> None:
    """Building twice gives one and the same file, whatever the order the members came in."""
    reordered = dict(reversed(parts.members.items()))
    assert parts.packed() == parts.packed() == archive.pack(parts.manifest, reordered)


def test_the_byte_form_of_format_1_never_changes() -> None:
    """Packages in the field are read by later versions, on other Pythons: this digest is fixed with the format."""
    packed = stored_zip.pack({"manifest.json": b"{}\n", "variants/é.onnx": bytes(range(256))})
    assert hashlib.sha256(packed).hexdigest() == "2cd91867b91daa62026b86692876312a6f935d0a29252a260bd9ab0053da66f7"


def test_every_flipped_bit_is_noticed(file: Path) -> None:
    """Each bit of the whole file, one at a time: header, manifest, member, directory."""
    good = file.read_bytes()
    accepted = []
    for position in range(len(good)):
        for bit in range(8):
            bad = bytearray(good)
            bad[position] ^= 1 << bit
            try:
                archive.parse(file, bytes(bad))
            except (BadInput, Refused):
                continue
            accepted.append((position, bit))
    assert accepted == []


def test_every_cut_is_noticed(file: Path) -> None:
    """A file that ends early, at any 64th length and one byte short, is refused."""
    good = file.read_bytes()
    for length in [*range(0, len(good), 64), len(good) - 1]:
        assert refusal(file, good[:length]).code in {"E-PACKAGE-DAMAGED", "E-PACKAGE-NOT-A-PACKAGE"}


@pytest.mark.parametrize("tail", [b"\0", b"PK", b"\n" * 100])
def test_bytes_behind_the_archive_are_noticed(file: Path, tail: bytes) -> None:
    """Zip readers look for the directory from the end and forgive a tail; a package has none."""
    assert refusal(file, file.read_bytes() + tail).code == "E-PACKAGE-DAMAGED"


def test_bytes_before_the_archive_are_noticed(file: Path) -> None:
    """Zip readers forgive a head as well; here the file must begin with the first member."""
    assert refusal(file, b"#!/bin/sh\n" + file.read_bytes()).code == "E-PACKAGE-NOT-A-PACKAGE"
    assert refusal(file, stored_zip.MAGIC + file.read_bytes()).code == "E-PACKAGE-DAMAGED"


def test_two_archives_in_one_file_are_noticed(parts: Any, file: Path) -> None:
    """A second directory behind the first could show one reader another content."""
    assert refusal(file, parts.packed() + parts.packed()).code == "E-PACKAGE-DAMAGED"


def test_an_archive_comment_is_noticed(file: Path) -> None:
    """A comment is content nobody has checked."""
    with zipfile.ZipFile(file, "a") as archived:
        archived.comment = b"hidden"
    assert refusal(file, file.read_bytes()).code == "E-PACKAGE-DAMAGED"


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_stands_twice_is_noticed(file: Path) -> None:
    """Two members of one name: readers disagree about which one counts."""
    with zipfile.ZipFile(file, "a") as archived:
        archived.writestr("golden.npz", b"other")
    assert "stands twice" in refusal(file, file.read_bytes()).message


def test_a_member_the_manifest_does_not_name_is_noticed(file: Path) -> None:
    """What the manifest does not list is not in the package."""
    raw = stored_zip.pack({**stored_zip.unpack(file.read_bytes()), "more.bin": b"more"})
    assert "disagree about: more.bin" in refusal(file, raw).message


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/etc/evil",
        "C:\\evil",
        "variants/../../evil",
        "variants//evil",
        "./evil",
        "evil/",
        "Golden.NPZ",
        "é" * 10,
        "e" * 201,
        "evil\n",
        "",
    ],
)
def test_a_member_name_that_climbs_or_confuses_is_refused(parts: Any, file: Path, name: str) -> None:
    """Also when the manifest names it: paths out of the folder, drives, case twins, names of other alphabets."""
    raw = archive.pack(parts.manifest, {**parts.members, name: b"evil"})
    assert "could misread" in refusal(file, raw).message


def test_a_compressed_member_is_refused(file: Path) -> None:
    """A package is stored: nothing can grow while it is read."""
    members = stored_zip.unpack(file.read_bytes())
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archived:
        for name, data in members.items():
            archived.writestr(name, data)
    assert "compressed" in refusal(file, buffer.getvalue()).message


@pytest.mark.parametrize("missing", [archive.MANIFEST, archive.SIGNATURES])
def test_a_zip_of_something_else_is_not_a_package(file: Path, missing: str) -> None:
    """Without a manifest or signatures it is some other zip."""
    members = stored_zip.unpack(file.read_bytes())
    del members[missing]
    assert refusal(file, stored_zip.pack(members)).code == "E-PACKAGE-NOT-A-PACKAGE"


@pytest.mark.parametrize("missing", ["golden.npz", "variants/fp32.onnx"])
def test_a_package_without_its_golden_samples_or_variant_is_refused(parts: Any, file: Path, missing: str) -> None:
    """Also when the manifest agrees that the member is not there."""
    del parts.members[missing]
    assert "variant or golden file" in refusal(file, parts.packed()).message


def test_a_package_without_variants_is_refused(parts: Any, file: Path) -> None:
    """There must be something to serve."""
    assert "variant" in refusal(file, rewritten(file, lambda manifest: manifest.update(variants=[]))).message


@pytest.mark.parametrize("version", [0, 3, 10**6])
def test_another_format_says_what_to_do(file: Path, version: int) -> None:
    """A package of another format is no damage: it names both formats and the upgrade, also with unknown keys in it."""
    error = refusal(file, rewritten(file, lambda manifest: manifest.update(format=version, news={})))
    assert error.code == "E-PACKAGE-VERSION"
    assert str(version) in error.message
    assert "pip install" in error.fix


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.update(surprise=1), "unknown field `surprise`"),
        (lambda m: m["variants"][0].update(surprise=1), "unknown field `surprise`"),
        (lambda m: m.update(version="1"), "Expected `int`, got `str`"),
        (lambda m: m.pop("name"), "missing required field `name`"),
        (lambda m: m["preprocess"].update(std=[0.0]), "std"),
        (lambda m: m.update(decision={"kind": "threshold"}), "above, below or both"),
        (lambda m: m.update(decision={"kind": "oracle"}), "oracle"),
        (lambda m: m["members"]["golden.npz"].update(size=1), "not what the manifest says"),
        (lambda m: m["members"]["golden.npz"].update(sha256="0" * 64), "not what the manifest says"),
        (lambda m: m["members"].update({"more.bin": {"size": 0, "sha256": ""}}), "disagree about: more.bin"),
    ],
)
def test_a_manifest_that_is_wrong_is_refused_and_says_where(
    file: Path, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    """Each kind of wrong manifest, in an archive that is otherwise whole."""
    error = refusal(file, rewritten(file, change))
    assert error.code == "E-PACKAGE-DAMAGED"
    assert words in error.message


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xef\xbb\xbf{}",
        b'{"format": 1, "format": 2}',
        b'{"format": NaN}',
        b'{"format": 1.0}',
        b'{"\xff": 1}',
        b"[" * 100_000,
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=["empty", "byte-order mark", "twin keys", "NaN", "float", "not UTF-8", "deep and open", "deep"],
)
def test_a_manifest_that_is_no_sound_json_is_refused(file: Path, text: bytes) -> None:
    """Hostile JSON ends in the same refusal as damage, without a traceback."""
    assert refusal(file, with_manifest(file, text)).code == "E-PACKAGE-DAMAGED"


def test_a_huge_manifest_is_refused_unread(file: Path) -> None:
    """More than 1 MiB of manifest is never parsed."""
    text = b'{"format": 1, "name": "' + b"x" * archive.MAX_MANIFEST_BYTES + b'"}'
    assert "larger than 1 MiB" in refusal(file, with_manifest(file, text)).message


def test_a_huge_file_is_refused_unread(file: Path) -> None:
    """A file above the limit is refused by its size; a sparse one costs nothing to make."""
    with file.open("r+b") as opened:
        opened.truncate(archive.MAX_PACKAGE_BYTES + 1)
    with pytest.raises(BadInput) as caught:
        archive.read(file)
    assert caught.value.code == "E-PACKAGE-TOO-LARGE"


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    """No file, and a path that cannot be read as one."""
    with pytest.raises(BadInput) as missing:
        archive.read(tmp_path / "nothing.edgepkg")
    assert missing.value.code == "E-PACKAGE-NOT-FOUND"
    with pytest.raises(EnvironmentFault) as folder:
        archive.read(tmp_path)
    assert folder.value.code == "E-FILE-READ"


def test_is_package_goes_by_name_or_content(file: Path, tmp_path: Path) -> None:
    """A renamed package is one, a damaged one still is meant to be one, a model and a missing file are not."""
    renamed = tmp_path / "renamed.bin"
    renamed.write_bytes(file.read_bytes())
    words = tmp_path / "words.edgepkg"
    words.write_text("words", encoding="utf-8")
    model = tmp_path / "m.onnx"
    model.write_bytes(b"\x08\x09")
    assert archive.is_package(renamed)
    assert archive.is_package(words)
    assert not archive.is_package(model)
    assert not archive.is_package(tmp_path / "nothing.onnx")


def test_the_manifest_and_preprocessing_refuse_values_that_make_no_sense() -> None:
    """A zero divisor, a number that is none, and lists without values are refused when the structure is made."""
    for wrong in ({"std": (1.0, 0.0)}, {"mean": (float("nan"),)}, {"scale": float("inf")}, {"mean": ()}):
        with pytest.raises(ValueError, match=r"mean|std|scale"):
            Preprocess(**wrong)


def test_the_label_names_model_and_version(parts: Any) -> None:
    """Messages carry name and version in one short form."""
    assert msgspec.structs.replace(parts.manifest, name="pump", version=3).label == "pump v3"
