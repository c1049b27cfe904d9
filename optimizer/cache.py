"""What was computed once is not computed again: a folder of results, each named by the digest of all that went in.

A run that was killed goes on where it was, and the same work gives the same package. Nothing here is trusted further
than a result file of the user's own: entries are written whole or not at all, and one that cannot be read is a miss.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from edge_runtime.errors import EnvironmentFault
from edge_runtime.files import write_atomically

Parts: TypeAlias = Mapping[str, Any]

_LIMIT_BYTES = 1 << 30
_CHECK = 4  # bytes of CRC-32 in front of every entry: a torn or damaged file is told from a whole one
_FORMAT = 2  # of keys and entries; a change makes all older entries misses
_OURS = re.compile(r"\.?[a-z]+-[0-9a-f]{32}(\.\w+)?")  # entries, and the temporary names of those that a kill cut off


@dataclass
class Cache:
    """A folder of results.

    Attributes:
        folder: Where entries live; None keeps them for this process only.
        hits: Entries found that an earlier run had left.
        misses: Entries that had to be computed; what one run asks for again is neither.
        trouble: Why the folder could not be written to, None while it could.
    """

    folder: Path | None = None
    hits: int = 0
    misses: int = 0
    trouble: str | None = None
    _kept: dict[str, bytes] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)

    def get(self, kind: str, parts: Parts) -> bytes | None:
        """Return the entry of a kind for what went into it, None where there is none."""
        name = f"{kind}-{key(parts)}"
        if name in self._kept:
            return self._kept[name]
        found = self._read(name)
        if name not in self._seen:
            self._seen.add(name)
            self.hits, self.misses = self.hits + (found is not None), self.misses + (found is None)
        return found

    def put(self, kind: str, parts: Parts, entry: bytes) -> None:
        """Keep an entry; a folder that is full or read-only costs the next run its time, and is said as `trouble`."""
        name = f"{kind}-{key(parts)}"
        if self.folder is None or self.trouble:
            self._kept[name] = entry
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self.folder / name, zlib.crc32(entry).to_bytes(_CHECK, "big") + entry)
        except (EnvironmentFault, OSError) as error:
            self.trouble = str(error).splitlines()[0]
            self._kept[name] = entry

    def pin(self, kind: str, digest: str, entry: bytes) -> None:
        """Answer with this entry from now on, whatever the folder holds."""
        self._kept[f"{kind}-{digest}"] = entry

    def trim(self, limit: int = _LIMIT_BYTES) -> int:
        """Remove the entries not used for longest until they take less than `limit` bytes; return how many went.

        Whatever else lies in the folder is neither counted nor touched, and another run may trim it meanwhile.
        """
        found = sorted(self._entries(), key=lambda entry: entry[0].st_mtime)
        excess, removed = sum(stat.st_size for stat, _ in found) - limit, 0
        for stat, file in found:
            if excess <= 0:
                break
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)
                excess, removed = excess - stat.st_size, removed + 1
        return removed

    def _entries(self) -> Iterator[tuple[os.stat_result, Path]]:
        try:
            names = os.listdir(self.folder) if self.folder is not None else []
        except OSError:
            return
        for name in names:
            file = Path(self.folder or "", name)
            with contextlib.suppress(OSError):
                if _OURS.fullmatch(name) and file.is_file():
                    yield file.stat(), file

    def _read(self, name: str) -> bytes | None:
        if self.folder is None:
            return None
        file = self.folder / name
        try:
            raw = file.read_bytes()
            os.utime(file)  # trim() removes what was not used for longest
        except OSError:
            return None
        check, entry = raw[:_CHECK], raw[_CHECK:]
        return entry if zlib.crc32(entry).to_bytes(_CHECK, "big") == check else None


def key(parts: Parts) -> str:
    """Return the digest of named values: numbers, text, bytes' digests, lists and structs of them."""
    encoder = msgspec.json.Encoder(order="deterministic")
    return hashlib.sha256(encoder.encode({"format": _FORMAT, **parts})).hexdigest()[:32]


def default_folder() -> Path | None:
    """Return where entries go unless told otherwise: ``$XDG_CACHE_HOME/edgeopt`` (XDG Base Directory), ~/.cache.

    None for a user without a home, such as a service's: a folder that others can write to would not do.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    if Path(base).is_absolute():
        return Path(base) / "edgeopt"
    try:
        return Path.home() / ".cache" / "edgeopt"
    except RuntimeError:
        return None
