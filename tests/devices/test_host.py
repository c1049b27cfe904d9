"""What a machine says of itself, from small trees that look like the /proc and /sys of known machines."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest

from devices import clock
from devices.errors import EnvironmentFault
from devices.host import Host, conditions, detect, refuse_32_bit_arm

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


def test_a_machine_full_of_garbage_says_nothing(tmp_path: Path) -> None:
    """Text where a number should be, half a line, bytes that are no text, a folder in a file's place: never raised."""
    for path in ("proc/meminfo", "proc/cpuinfo", "proc/loadavg", "proc/self/cgroup"):
        put(tmp_path, path, "MemTotal: lots kB\nCPU part\n:::\ncpu MHz : fast\n0::/../x\n")
    put(tmp_path, "proc/self/cgroup", "0::/a\0b\nmemory\n4:memory\n0::/" + "long" * 100)
    put(tmp_path, "sys/fs/cgroup/memory.max", "some")
    put(tmp_path, "sys/fs/cgroup/x/memory.max", "-5")
    put(tmp_path, "sys/class/thermal/thermal_zone0/temp", "warm\n")
    put(tmp_path, "sys/class/thermal/thermal_zone1/temp", "nan\n")
    put(tmp_path, "sys/class/thermal/cooling_device0/type", "cpufreq-cpu0")
    put(tmp_path, "sys/class/thermal/cooling_device0/cur_state", "?")
    put(tmp_path, "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "0x")
    put(tmp_path, "sys/devices/platform/soc/soc:firmware/get_throttled", "-1")
    put(tmp_path, "sys/class/hwmon/hwmon0/name", "soctherm_oc")
    put(tmp_path, "sys/class/hwmon/hwmon0/oc1_event_cnt", "many")
    put(tmp_path, "proc/driver/nvidia/gpus/0000:01:00.0/information", "Model")
    (tmp_path / "proc/device-tree").mkdir()
    (tmp_path / "proc/device-tree/model").write_bytes(b"\xff\xfe board\0")
    (tmp_path / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").mkdir()
    host, now = detect(tmp_path), conditions(tmp_path)
    assert (host.memory_bytes, host.memory_limit_bytes, host.clock_mhz, host.gpu) == (None, None, None, "")
    assert host.board is not None
    assert (now.load_average, now.governor, now.temperature_celsius) == (None, None, None)
    assert (now.throttling, now.throttled_since_boot) == (None, None)


def test_files_that_may_not_be_read_are_as_if_absent(tmp_path: Path) -> None:
    """In a container much of /sys is closed; a link in a circle is no text either."""
    put(tmp_path, "proc/meminfo", "MemTotal: 1024 kB\n")
    (tmp_path / "proc/cpuinfo").symlink_to("cpuinfo")
    put(tmp_path, "sys/class/thermal/thermal_zone0/temp", "50000")
    (tmp_path / "sys/class/thermal").chmod(0)
    try:
        host = detect(tmp_path)
        now = conditions(tmp_path)
    finally:
        (tmp_path / "sys/class/thermal").chmod(0o755)
    assert (host.features, host.memory_bytes) == (frozenset(), 1024 * 1024)
    assert now.temperature_celsius == (50.0 if os.geteuid() == 0 else None)  # nothing is closed to root


def test_an_arm_core_is_named_by_its_number(tmp_path: Path) -> None:
    """AArch64 kernels give the number alone; another maker's core of the same number is another core."""
    put(tmp_path, "proc/cpuinfo", "CPU implementer : 0x41\nCPU part\t: 0xd08\n\nCPU part\t: 0xd03\n")
    assert (detect(tmp_path).cpu, detect(tmp_path).cpu_part) == ("Cortex-A72", "0xd08")
    put(tmp_path / "other", "proc/cpuinfo", "model name: A chip\nCPU implementer : 0x51\nCPU part\t: 0xd08\n")
    assert detect(tmp_path / "other").cpu == "A chip"


def test_the_highest_frequency_is_read_else_the_present_one(tmp_path: Path) -> None:
    """Boards say both; a virtual machine shows only what it runs at."""
    put(tmp_path, "proc/cpuinfo", "cpu MHz : 2445.426\n")
    assert detect(tmp_path).clock_mhz == 2445
    put(tmp_path / "board", "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "1800000\n")
    assert detect(tmp_path / "board").clock_mhz == 1800


@pytest.mark.parametrize(
    ("group", "files", "limit"),
    [
        ("0::/edge", {"edge/memory.max": "268435456", "memory.max": "max"}, 268435456),
        ("0::/a/b", {"a/b/memory.max": "max", "a/memory.max": "1000"}, 1000),
        ("0::/", {"memory.max": "5000"}, 5000),
        ("0::/not/here", {"memory.max": "5000"}, 5000),
        ("0::/../../up", {"memory.max": "max"}, None),
        ("4:cpu,memory:/edge\n0::/", {"memory/edge/memory.limit_in_bytes": "7000"}, 7000),
        ("4:memory:/", {"memory/memory.limit_in_bytes": "9223372036854771712"}, None),
        ("3:cpu:/", {"memory/memory.limit_in_bytes": "7000"}, None),
    ],
)
def test_a_limit_on_memory_is_found(tmp_path: Path, group: str, files: dict[str, str], limit: int | None) -> None:
    """Of the control group or one around it, in both versions; a container has that and not the board's memory."""
    put(tmp_path, "proc/self/cgroup", f"{group}\n")
    for path, text in files.items():
        put(tmp_path, f"sys/fs/cgroup/{path}", f"{text}\n")
    assert detect(tmp_path).memory_limit_bytes == limit


def test_a_raspberry_pi_5_is_asked_under_its_own_name(tmp_path: Path) -> None:
    """Its device tree puts the address behind the name of the bus."""
    put(tmp_path, "sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled", "1\n")
    assert conditions(tmp_path).throttling == {"under-voltage"}


def test_a_processor_slowed_by_its_cooling_is_seen(tmp_path: Path) -> None:
    """A Jetson's alert or Linux's own cooling above state 0; a fan is none."""
    for number, (kind, state) in enumerate([("pwm-fan", 3), ("cpufreq-cpu0", 0), ("gpu-throttle-alert", 0)]):
        put(tmp_path, f"sys/class/thermal/cooling_device{number}/type", f"{kind}\n")
        put(tmp_path, f"sys/class/thermal/cooling_device{number}/cur_state", f"{state}\n")
    assert conditions(tmp_path).throttling == frozenset()
    put(tmp_path, "sys/class/thermal/cooling_device2/cur_state", "1\n")
    put(tmp_path, "sys/class/thermal/cooling_device1/cur_state", "4\n")
    assert conditions(tmp_path).throttling == {"cooling by cpufreq-cpu0", "cooling by gpu-throttle-alert"}


def test_a_jetson_counts_its_over_current_alarms(tmp_path: Path) -> None:
    """One more alarm is another entry, so that what happened during a measurement stands out."""
    put(tmp_path, "sys/class/hwmon/hwmon0/name", "ina3221\n")
    put(tmp_path, "sys/class/hwmon/hwmon3/name", "soctherm_oc\n")
    put(tmp_path, "sys/class/hwmon/hwmon3/oc1_event_cnt", "0\n")
    assert conditions(tmp_path).throttled_since_boot == frozenset()
    put(tmp_path, "sys/class/hwmon/hwmon3/oc3_event_cnt", "2\n")
    before = conditions(tmp_path).throttled_since_boot
    put(tmp_path, "sys/class/hwmon/hwmon3/oc3_event_cnt", "3\n")
    after = conditions(tmp_path).throttled_since_boot
    assert before == {"over-current alarm oc3: 2 events"}
    assert (after or frozenset()) - (before or frozenset()) == {"over-current alarm oc3: 3 events"}


def test_a_graphics_processor_is_named_by_its_driver(tmp_path: Path) -> None:
    """As NVIDIA's driver writes it."""
    put(tmp_path, "proc/driver/nvidia/gpus/0000:01:00.0/information", "Model: \t\t NVIDIA T4\nIRQ: 42\n")
    assert detect(tmp_path).gpu == "NVIDIA T4"


def test_the_clock_is_asked_of_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Yes or no on Linux; nothing where there is no such call or it is forbidden."""
    assert clock.synchronised() in {True, False}

    class Forbidding:
        """A C library whose call fails."""

        def adjtimex(self, _buffer: object) -> int:
            """Fail as under seccomp."""
            return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda _name: Forbidding())
    assert clock.synchronised() is None
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    assert clock.synchronised() is None


def as_arm(machine: str, word_bits: int, board: str | None = None) -> Host:
    """Return an Arm machine with so wide a kernel and Python."""
    return Host(machine, "a core", frozenset(), 4, None, board, "Linux", word_bits=word_bits)


@pytest.mark.parametrize(
    ("machine", "word_bits"), [("armv6l", 32), ("armv7l", 32), ("armv8l", 32), ("aarch64", 32), ("arm", 32)]
)
def test_32_bit_arm_is_refused_with_the_way_out(machine: str, word_bits: int) -> None:
    """Also where only the system is 32-bit: Raspberry Pi OS pairs it with a 64-bit kernel."""
    with pytest.raises(EnvironmentFault, match="publishes no 32-bit Arm build") as caught:
        refuse_32_bit_arm(as_arm(machine, word_bits, "Raspberry Pi 4 Model B Rev 1.4"))
    assert caught.value.code == "E-HOST-32-BIT-ARM"
    assert "Raspberry Pi 4 Model B Rev 1.4" in caught.value.message
    assert "64-bit Raspberry Pi OS" in caught.value.fix


def test_64_bit_machines_are_let_in() -> None:
    """Arm and others; also a 32-bit Python on x86, for which this is not the reason to refuse."""
    for machine, word_bits in [("aarch64", 64), ("arm64", 64), ("x86_64", 64), ("i686", 32)]:
        refuse_32_bit_arm(as_arm(machine, word_bits))
    refuse_32_bit_arm(detect())
