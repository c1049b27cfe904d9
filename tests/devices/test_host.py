"""What a machine says of itself, from small trees that look like the /proc and /sys of known machines."""

from __future__ import annotations

from pathlib import Path

from devices.host import conditions, detect

PI_CPUINFO = "processor\t: 0\nFeatures\t: fp asimd evtstrm aes asimdrdm asimddp\n\nprocessor\t: 1\nFeatures\t: fp\n"


def put(root: Path, path: str, text: str) -> None:
    """Write one file of the tree."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def test_this_machine_has_an_architecture_and_cores() -> None:
    """On a real machine the facts a report needs are there."""
    host = detect()
    assert host.machine
    assert host.cores >= 1
    assert host.memory_bytes is None or host.memory_bytes > 0
    assert host.machine in str(host)


def test_a_raspberry_pi_is_named_by_its_device_tree(tmp_path: Path) -> None:
    """Board, features and memory come from the kernel's files; the device tree's text ends in a NUL."""
    put(tmp_path, "proc/cpuinfo", PI_CPUINFO)
    put(tmp_path, "proc/meminfo", "MemTotal:        8245248 kB\nMemFree: 1 kB\n")
    put(tmp_path, "proc/device-tree/model", "Raspberry Pi 5 Model B Rev 1.0\0")
    host = detect(tmp_path)
    assert host.board == "Raspberry Pi 5 Model B Rev 1.0"
    assert "asimddp" in host.features
    assert host.memory_bytes == 8245248 * 1024
    assert str(host).startswith("Raspberry Pi 5 Model B Rev 1.0, ")


def test_a_machine_without_proc_and_sys_says_nothing_instead_of_zero(tmp_path: Path) -> None:
    """What cannot be read is None, never 0 and never an exception."""
    host = detect(tmp_path)
    assert (host.memory_bytes, host.board, host.features) == (None, None, frozenset())
    found = conditions(tmp_path)
    assert found.load_average is None
    assert found.governor is None
    assert found.temperature_celsius is None
    assert found.throttling is None
    assert found.throttled_since_boot is None


def test_a_throttled_raspberry_pi_is_seen(tmp_path: Path) -> None:
    """The firmware's word is told apart into now (low half) and since boot (high half)."""
    put(tmp_path, "sys/devices/platform/soc/soc:firmware/get_throttled", "50004\n")
    found = conditions(tmp_path)
    assert found.throttling == {"throttled"}
    assert found.throttled_since_boot == {"under-voltage", "throttled"}


def test_a_raspberry_pi_that_is_well_says_so(tmp_path: Path) -> None:
    """Zero in the firmware's word means: nothing holds it back; that is not the same as not knowing."""
    put(tmp_path, "sys/devices/platform/soc/soc:firmware/get_throttled", "0\n")
    found = conditions(tmp_path)
    assert found.throttling == frozenset()
    assert found.throttled_since_boot == frozenset()


def test_the_hottest_zone_counts(tmp_path: Path) -> None:
    """Of several thermal zones the hottest is reported in degrees; one that cannot be read is left out."""
    put(tmp_path, "sys/class/thermal/thermal_zone0/temp", "48312\n")
    put(tmp_path, "sys/class/thermal/thermal_zone1/temp", "61000\n")
    (tmp_path / "sys/class/thermal/thermal_zone2").mkdir()
    assert conditions(tmp_path).temperature_celsius == 61.0


def test_load_and_governor_are_read(tmp_path: Path) -> None:
    """Load average of the last minute and the frequency governor."""
    put(tmp_path, "proc/loadavg", "1.75 0.60 0.30 2/120 4321\n")
    put(tmp_path, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "ondemand\n")
    found = conditions(tmp_path)
    assert found.load_average == 1.75
    assert found.governor == "ondemand"
