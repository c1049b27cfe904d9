"""Memory, as the kernel tells it."""

from __future__ import annotations

from pathlib import Path

from devices import memory


def test_this_process_and_this_machine_have_some() -> None:
    """On Linux all three are known, and a process never has more than it once had."""
    resident, peak, available = memory.resident_bytes(), memory.peak_resident_bytes(), memory.available_bytes()
    assert 1 << 20 < (resident or 0) <= (peak or 0)
    assert (available or 0) > 0


def test_kilobytes_become_bytes_and_the_unknown_is_none(tmp_path: Path) -> None:
    """A missing file, a missing line and another unit are unknown, not 0."""
    status = tmp_path / "status"
    status.write_text("VmHWM:\t   2048 kB\nVmRSS:\t 1024 kB\n")
    assert (memory.resident_bytes(status), memory.peak_resident_bytes(status)) == (1 << 20, 2 << 20)
    status.write_text("VmRSS:\t 1024 MB\n")
    assert (memory.resident_bytes(status), memory.peak_resident_bytes(status)) == (None, None)
    assert memory.available_bytes(tmp_path / "none") is None
