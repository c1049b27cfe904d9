"""A zip of stored (uncompressed) members in exactly one byte form: any tool can list it, none can hide in it."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping

MAGIC = b"PK\x03\x04"

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the zip format's first moment: a real date would make every build differ

# What Python's zipfile is seen to raise on damaged archives (tests flip every bit of one).
_ZIP_ERRORS = (EOFError, NotImplementedError, OSError, RuntimeError, ValueError, struct.error, zipfile.BadZipFile)


def pack(members: Mapping[str, bytes]) -> bytes:
    """Return the archive's bytes, members in the order given; the same members always give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, date_time=_EPOCH)
            info.create_system = 3  # Unix, also where it is written on another system
            info.external_attr = 0o644 << 16
            archive.writestr(info, data)
    return buffer.getvalue()


def unpack(raw: bytes) -> dict[str, bytes]:
    """Return the members by name; whether the bytes are the ones `pack` writes is for `is_canonical` to say.

    Raises:
        ValueError: The bytes are no zip, a member is compressed, stands twice, is cut off or fails its CRC.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            infos = archive.infolist()
            if len({info.filename for info in infos}) != len(infos):
                raise ValueError("a member name stands twice")
            if any(info.compress_type != zipfile.ZIP_STORED or info.file_size > len(raw) for info in infos):
                raise ValueError("a member is compressed or claims more bytes than the file has")
            return {info.filename: archive.read(info) for info in infos}
    except _ZIP_ERRORS as error:
        raise ValueError(str(error) or type(error).__name__) from error


def is_canonical(members: Mapping[str, bytes], raw: bytes) -> bool:
    """Tell whether `raw` is exactly what `pack` writes: no trailing data, second directory, flipped header bit."""
    return pack(members) == raw
