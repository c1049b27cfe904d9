"""What is installed beside us, read from the metadata's plain files: `importlib.metadata` costs 2 MB and 0.25 s."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterator
from importlib import import_module
from pathlib import Path

_OURS = "edgeopt"
_KINDS = (".dist-info", ".egg-info")


def own_version() -> str:
    """Return edgeopt's version; a copy that was not installed, as in an emulated board, has none."""
    for folder in _folders():
        if _is_ours(folder):
            found = re.search(r"^Version: (\S+)", _text(folder / "METADATA") or "", re.MULTILINE)
            if found:
                return found[1]
    try:
        return str(import_module("importlib.metadata").version(_OURS))
    except ModuleNotFoundError:  # what PackageNotFoundError is
        return "not installed"


def may_clash(packages: Collection[str]) -> bool:
    """Tell whether another distribution may have installed one of these top-level packages.

    False is certain; after True, `importlib.metadata.packages_distributions` knows for sure and by name.
    """
    if any(Path(entry).is_file() for entry in sys.path):
        return True  # an archive, which is not looked into here
    names = "|".join(map(re.escape, packages))
    declared, recorded = re.compile(rf"^({names})\s*$", re.MULTILINE), re.compile(rf"^({names})[/.]", re.MULTILINE)
    for folder in _folders():
        if _is_ours(folder):
            continue
        top_level, record = _text(folder / "top_level.txt"), _text(folder / "RECORD")
        if (top_level and declared.search(top_level)) or (not top_level and record and recorded.search(record)):
            return True
    return False


def _folders() -> Iterator[Path]:
    """Yield the folder of every installed distribution's metadata, in the order of the module search path."""
    for entry in sys.path:
        path = Path(entry)
        if path.is_dir():
            yield from (folder for folder in sorted(path.iterdir()) if folder.suffix in _KINDS)


def _is_ours(folder: Path) -> bool:
    return folder.name.partition("-")[0].partition(".")[0].lower() == _OURS


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
