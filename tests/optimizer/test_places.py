"""From `--target` to a place: which one, and what it is not."""

from __future__ import annotations

import pytest

from devices import profile
from devices.host import detect, int8_dot_products_saturate
from edge_runtime.errors import BadInput, EnvironmentFault
from optimizer.places import find
from optimizer.saturation import kernels_saturate

X86 = [name for name in profile.names() if name != profile.LOCAL and profile.load(name).isa == "x86_64"]


def test_this_machine_and_boards_are_their_own_places() -> None:
    """A profile of an aarch64 board is emulated, under the name it has as a place; neither needs a note."""
    assert (find("local").place.name, find("local").notes) == ("local", ())
    assert find("raspberry-pi-4").place.name == find("emulated:raspberry-pi-4").place.name == "emulated:raspberry-pi-4"


@pytest.mark.parametrize("name", X86)
def test_an_x86_profile_is_this_machine_with_a_note_of_how_its_sums_differ(name: str) -> None:
    """Whether sums saturate here and there decides; another architecture cannot stand for it at all."""
    if detect().machine != "x86_64":
        with pytest.raises(EnvironmentFault, match="this host is") as caught:
            find(name)
        assert caught.value.code == "E-PLACE-NONE"
        return
    found = find(name)
    here, there = int8_dot_products_saturate(), kernels_saturate(profile.load(name))
    differs = any(word in found.notes[0] for word in ("has no VNNI", "has VNNI"))
    assert (found.place.name, len(found.notes)) == ("local", 1)
    assert differs == (here != there)


def test_a_name_nobody_knows_is_told_with_the_nearest() -> None:
    """As everywhere a profile is named."""
    with pytest.raises(BadInput, match="raspberry-pi-4") as caught:
        find("raspbery-pi-4")
    assert caught.value.code == "E-TARGET-UNKNOWN"
