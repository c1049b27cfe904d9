"""Every device profile that is shipped, profiles of one's own, and what is said of a wrong one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from devices import profile
from devices.errors import BadInput
from devices.host import Host
from devices.profile_file import facts_in

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = [name for name in profile.names() if name != profile.LOCAL]
WHOLE = """title = "A board"
isa = { value = "aarch64", source = "measured: uname" }
features = { value = ["asimd"], source = "measured: cpuinfo" }
int8_kernels = { value = "asimd", source = "measured: cpuinfo" }
cores = { value = 4, source = "measured: lscpu" }
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a user's own profiles, empty."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    folder = tmp_path / "edgeopt/devices"
    folder.mkdir(parents=True)
    return folder


def host(machine: str = "aarch64", features: str = "fp asimd", board: str | None = None, part: str = "") -> Host:
    """Return a machine as it would describe itself."""
    return Host(machine, "a processor", frozenset(features.split()), 4, None, board, "Linux", part)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_fact_of_every_profile_names_its_source(name: str) -> None:
    """Nothing is stated without saying who says so and how it came about."""
    device = profile.load(name)
    assert (device.name, bool(device.title)) == (name, True)
    assert {fact.label for fact in device.facts} <= {"published", "measured", "emulated"}
    for fact in device.facts:
        assert len(fact.source.partition(": ")[2]) > 8, fact
        assert getattr(device, fact.name) == fact.value


@pytest.mark.parametrize("name", SHIPPED)
def test_the_facts_of_a_profile_agree_with_each_other(name: str) -> None:
    """Kernels and float16 follow from the instructions, the emulated processor from the core, GPU words from a GPU."""
    device = profile.load(name)
    measured = profile.of_host(host(device.isa, " ".join(device.features)))
    assert device.int8_kernels == measured.int8_kernels
    assert device.float16 == measured.float16
    assert bool(device.boards) == bool(device.core) == bool(device.cores) == bool(device.cpu_part)
    if device.boards:
        assert device.emulator_cpu.startswith("cortex-a")
        assert 512 <= device.memory_mb <= 65536
        assert 1000 <= device.clock_mhz <= 3000
    if device.tensorrt or device.cuda or device.gpu_float16 or device.gpu_int8:
        assert device.gpu


def test_the_boards_that_were_promised_are_there() -> None:
    """And none for 32-bit Arm."""
    boards = {"raspberry-pi-3", "raspberry-pi-4", "raspberry-pi-5", "raspberry-pi-zero-2-w"}
    jetsons = {"jetson-nano", "jetson-orin-nano", "jetson-agx-orin"}
    assert {*SHIPPED} == boards | jetsons | {"x86-64-avx2", "x86-64-avx512", "x86-64-vnni"}
    assert profile.names()[0] == profile.LOCAL
    assert {profile.load(name).isa for name in SHIPPED} == {"aarch64", "x86_64"}


def test_a_jetson_nano_computes_in_float16_but_not_in_int8() -> None:
    """Its GPU; an Orin's does both."""
    nano, orin = profile.load("jetson-nano"), profile.load("jetson-orin-nano")
    assert (nano.gpu_float16, nano.gpu_int8, nano.tensorrt) == (True, False, False)
    assert (orin.gpu_float16, orin.gpu_int8, orin.tensorrt) == (True, True, True)


def test_this_machine_is_a_target() -> None:
    """What it says of itself is measured."""
    device = profile.load(profile.LOCAL)
    assert device.cores >= 1
    assert {fact.label for fact in device.facts} == {"measured"}


@pytest.mark.parametrize(
    ("name", "meant"),
    [("rasberry-pi-4", "raspberry-pi-4"), ("Raspberry Pi 5", "raspberry-pi-5"), ("jetson_nano", "jetson-nano")],
)
def test_an_unknown_name_is_refused_with_the_nearest(name: str, meant: str) -> None:
    """And with all there are."""
    with pytest.raises(BadInput, match=f"did you mean {meant}\\?") as caught:
        profile.load(name)
    assert caught.value.code == "E-TARGET-UNKNOWN"
    assert "x86-64-avx2" in caught.value.fix


@pytest.mark.parametrize("name", ["toaster", "../host", "", "raspberry-pi-4.toml/"])
def test_a_path_is_no_name(name: str) -> None:
    """Nothing outside the profiles is read."""
    with pytest.raises(BadInput) as caught:
        profile.load(name)
    assert caught.value.code == "E-TARGET-UNKNOWN"


def test_a_32_bit_board_is_not_taken_for_a_similar_name() -> None:
    """The Zero is a letter away from the Zero 2 W and cannot run anything here."""
    with pytest.raises(BadInput, match="32-bit") as caught:
        profile.load("raspberry-pi-zero-w")
    assert "did you mean" not in str(caught.value)


def test_a_profile_of_ones_own_is_a_target(own: Path) -> None:
    """A file in the user's folder, and nothing else."""
    (own / "my-board.toml").write_text(WHOLE, encoding="utf-8")
    assert "my-board" in profile.names()
    device = profile.load("my-board")
    assert (device.isa, device.cores, device.features) == ("aarch64", 4, ("asimd",))
    assert device.source == "measured: uname; measured: cpuinfo; measured: lscpu"


@pytest.mark.parametrize("name", ["raspberry-pi-4", profile.LOCAL])
def test_a_name_that_exists_is_not_given_twice(own: Path, name: str) -> None:
    """Whose facts would count would be luck."""
    (own / f"{name}.toml").write_text(WHOLE, encoding="utf-8")
    with pytest.raises(BadInput, match=name) as caught:
        profile.names()
    assert caught.value.code == "E-PROFILE-TWICE"
    assert profile.load(profile.LOCAL).name == profile.LOCAL


def test_a_profile_that_cannot_be_read_is_an_error(own: Path) -> None:
    """A folder in its place, or a file of another user."""
    (own / "my-board.toml").mkdir()
    with pytest.raises(BadInput, match="cannot be read") as caught:
        profile.load("my-board")
    assert caught.value.code == "E-PROFILE-SYNTAX"


@pytest.mark.parametrize(
    ("old", "new", "code", "said"),
    [
        ('"A board"', '"A board', "E-PROFILE-SYNTAX", "line 1"),
        ("cores =", "isa =", "E-PROFILE-SYNTAX", "line 5"),
        ("isa =", "ias =", "E-PROFILE-KEY", "did you mean isa?"),
        ("isa =", "cores2 =", "E-PROFILE-KEY", "did you mean cores?"),
        ('title = "A board"', "", "E-PROFILE-KEY", "must: title"),
        ("features = { value", "boards = { value", "E-PROFILE-KEY", "must: features"),
        ("{ value = 4,", "{ count = 4,", "E-PROFILE-KEY", "cores must have a value and its source"),
        (', source = "measured: lscpu"', "", "E-PROFILE-KEY", "cores must have a value and its source"),
        ('title = "A board"', "title = 4", "E-PROFILE-TYPE", "title must be a text, and is a whole number"),
        ("value = 4", 'value = "4"', "E-PROFILE-TYPE", "cores must be a whole number, and is a text"),
        ("value = 4", "value = true", "E-PROFILE-TYPE", "cores must be a whole number, and is true or false"),
        ("value = 4", "value = 4.5", "E-PROFILE-TYPE", "cores must be a whole number, and is a number with a point"),
        ("value = 4", "value = 2026-01-01", "E-PROFILE-TYPE", "cores must be a whole number, and is a date"),
        ('["asimd"]', '["asimd", 4]', "E-PROFILE-TYPE", "features must be a list of texts"),
        ('["asimd"]', '"asimd"', "E-PROFILE-TYPE", "features must be a list of texts, and is a text"),
        ('{ value = 4, source = "measured: lscpu" }', "4", "E-PROFILE-TYPE", "cores must be a table"),
        ('"aarch64"', '"armv7l"', "E-PROFILE-VALUE", "armv7l"),
        ('value = "asimd"', 'value = "neon"', "E-PROFILE-VALUE", "neon"),
        ("value = 4", "value = 0", "E-PROFILE-VALUE", "cores = 0"),
        ("measured: lscpu", "somebody said so", "E-PROFILE-VALUE", "cores does not say where its value comes from"),
        ("measured: lscpu", "measured: ", "E-PROFILE-VALUE", "cores does not say where its value comes from"),
    ],
)
def test_a_wrong_profile_is_refused_with_what_is_wrong(old: str, new: str, code: str, said: str) -> None:
    """Each fault has its code, the file, the key, and the way to write it."""
    text = WHOLE.replace(old, new, 1)
    with pytest.raises(BadInput) as caught:
        facts_in(text.encode(), "board.toml")
    assert (caught.value.code, said in caught.value.message) == (code, True), caught.value
    assert "board.toml" in caught.value.message
    assert caught.value.fix


def test_a_profile_in_another_encoding_is_refused() -> None:
    """And one with the mark some editors begin files with is read."""
    with pytest.raises(BadInput, match="utf-8"):
        facts_in(WHOLE.replace("A board", "Gerät").encode("latin-1"), "board.toml")
    assert facts_in(WHOLE.encode("utf-8-sig"), "board.toml")[0] == "A board"


def test_the_example_on_the_page_is_a_whole_profile(own: Path) -> None:
    """docs/adding-a-device.md: what a reader copies loads, and every key is explained there."""
    page = (ROOT / "docs/adding-a-device.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (own / "my-gateway.toml").write_text(example, encoding="utf-8")
    device = profile.load("my-gateway")
    assert device.core == "Cortex-A53"
    used = {fact.name for name in SHIPPED for fact in profile.load(name).facts}
    assert [key for key in used if f"`{key}`" not in page] == []


@pytest.mark.parametrize(
    ("machine", "name"),
    [
        (host(board="Raspberry Pi 4 Model B Rev 1.4", part="0xd08"), "raspberry-pi-4"),
        (host(board="Raspberry Pi 400 Rev 1.0", part="0xd08"), "raspberry-pi-4"),
        (host(board="Raspberry Pi Compute Module 3 Plus Rev 1.0"), "raspberry-pi-3"),
        (host(board="Raspberry Pi Zero 2 W Rev 1.0"), "raspberry-pi-zero-2-w"),
        (host(board="Raspberry Pi 5 Model B Rev 1.0", features="asimd asimdhp asimddp"), "raspberry-pi-5"),
        (host(board="NVIDIA Jetson Nano 2GB Developer Kit"), "jetson-nano"),
        (host(board="NVIDIA Jetson Orin Nano Developer Kit", features="asimd asimdhp asimddp"), "jetson-orin-nano"),
        (host("x86_64", "avx2 fma"), "x86-64-avx2"),
        (host("x86_64", "avx2 avx512f"), "x86-64-avx512"),
        (host("x86_64", "avx2 avx512f avx512_vnni"), "x86-64-vnni"),
        (host("x86_64", "sse4_2"), None),
        (host(board="Raspberry Pi 4 Model B Rev 1.4", features=""), None),
        (host("armv7l", "half thumb neon", "Raspberry Pi 4 Model B Rev 1.4"), None),
        (host(board="Raspberry Pi 40"), None),
        (host(part="0xd08"), None),
    ],
)
def test_a_machine_is_told_by_its_board_or_its_instructions(machine: Host, name: str | None) -> None:
    """A profile is named only where every fact in it should hold; the same core alone makes no board."""
    found = profile.best_profile_of(machine)
    assert (found.name if found else None) == name


def test_boards_with_the_same_core_are_named() -> None:
    """For a board that no profile describes."""
    assert [device.name for device in profile.with_the_same_core(host(part="0xd08"))] == ["raspberry-pi-4"]
    assert profile.with_the_same_core(host("x86_64", "avx2")) == []


def test_ones_own_folder_is_where_xdg_says() -> None:
    """A relative path does not count, and without a home there is none."""
    assert profile.own_folder({"XDG_CONFIG_HOME": "/c", "HOME": "/h"}) == Path("/c/edgeopt/devices")
    assert profile.own_folder({"XDG_CONFIG_HOME": "c", "HOME": "/h"}) == Path("/h/.config/edgeopt/devices")
    assert profile.own_folder({"HOME": "/h"}) == Path("/h/.config/edgeopt/devices")
    assert profile.own_folder({}) is None
