"""Whether the clock is right: time stamps of a daemon on a board without battery are worth as much as that."""

from __future__ import annotations

import ctypes
import struct
from pathlib import Path

_TIMEX = "@Illl"  # how struct timex of adjtimex(2) begins: modes, offset, freq, maxerror
_TIMEX_BYTES = 512  # more than it has on any architecture
_UNSYNCHRONISED_US = 16_000_000  # the kernel counts the largest possible error up to this, and stops there
_TIMESYNC = Path("/run/systemd/timesync")  # of systemd-timesyncd; its file `synchronized` appears with the first answer


def synchronised(timesync: Path = _TIMESYNC) -> bool | None:
    """Tell whether something keeps this machine's clock right, None where nothing says.

    A service that may not set the clock may not ask the kernel either, as adjtimex does both: then systemd-timesyncd's
    own word counts, where that is what keeps the clock.

    The largest error is asked for and not the flag STA_UNSYNC, as systemd does since 239: chrony leaves that flag set
    where it does not write the hardware clock.
    """
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)
    try:
        state = ctypes.CDLL(None).adjtimex(buffer)
    except (OSError, AttributeError):  # no C library to load, or none with this function
        state = -1
    if state >= 0:
        return bool(struct.unpack_from(_TIMEX, buffer)[3] < _UNSYNCHRONISED_US)
    return (timesync / "synchronized").exists() if timesync.is_dir() else None
