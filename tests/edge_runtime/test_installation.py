"""What the plain files of the metadata say."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from edge_runtime.installation import may_clash, own_version


def _install(folder: Path, monkeypatch: pytest.MonkeyPatch, **files: str) -> None:
    info = folder / "other_dist-1.0.dist-info"
    info.mkdir()
    for name, text in files.items():
        (info / name.replace("_txt", ".txt")).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))


def test_the_version_is_that_of_the_metadata() -> None:
    """As `importlib.metadata` says it."""
    assert own_version() == metadata.version("edgeopt")


def test_this_installation_is_clean() -> None:
    """Nothing here needs the expensive answer."""
    assert not may_clash(("devices", "optimizer"))


@pytest.mark.parametrize(
    ("files", "clashes"),
    [
        ({"top_level_txt": "optimizer\n"}, True),
        ({"RECORD": "a.py,,\noptimizer/__init__.py,,\n"}, True),
        ({"RECORD": "optimizer.py,,\n"}, True),
        ({"top_level_txt": "other\n", "RECORD": "other/optimizer/__init__.py,,\n"}, False),
        ({"RECORD": "optimizers/__init__.py,,\n../bin/optimizer,,\n"}, False),
    ],
)
def test_a_name_of_another_distribution_is_seen(
    files: dict[str, str], clashes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Declared or found among its files, on the top level only."""
    _install(tmp_path, monkeypatch, **files)
    assert may_clash(("devices", "optimizer")) is clashes


def test_an_archive_on_the_path_is_not_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not looked into may clash."""
    archive = tmp_path / "other.zip"
    archive.write_bytes(b"")
    monkeypatch.syspath_prepend(str(archive))
    assert may_clash(("optimizer",))
