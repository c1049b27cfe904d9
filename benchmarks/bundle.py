"""The runner as one file: a zip of our own modules that any Python can run, for places where edgeopt is not."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from importlib import resources

# Folders of ours that the runner imports from: all their modules, but none of the folders below them.
_FOLDERS = ("benchmarks", "devices", "edge_runtime", "edge_runtime.inference")
_START = "benchmarks/start.py"
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same sources give the same bytes


def packed() -> bytes:
    """Return the bytes of a file to run as ``python FILE job.json``, made of the modules that are installed here."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in _modules():
            file.writestr(zipfile.ZipInfo(name, _LONG_AGO), text, zipfile.ZIP_DEFLATED)
            if name == _START:
                file.writestr(zipfile.ZipInfo("__main__.py", _LONG_AGO), text, zipfile.ZIP_DEFLATED)
    return archive.getvalue()


def _modules() -> Iterator[tuple[str, bytes]]:
    for package in _FOLDERS:
        for module in sorted(resources.files(package).iterdir(), key=lambda file: file.name):
            if module.name.endswith(".py"):
                yield f"{package.replace('.', '/')}/{module.name}", module.read_bytes()
