"""Every device profile that is shipped, and this machine."""

from __future__ import annotations

import pytest

from devices import profile


@pytest.mark.parametrize("name", profile.names())
def test_every_profile_loads_and_names_its_source(name: str) -> None:
    """Each profile states architecture, kernels and where the facts come from."""
    device = profile.load(name)
    assert device.name == name
    assert device.isa in {"x86_64", "aarch64"}
    assert device.title
    assert device.source


def test_an_unknown_name_is_a_key_error() -> None:
    """A name that is no profile is told apart; a path is no name."""
    for name in ("raspberry-pi-99", "../host", ""):
        with pytest.raises(KeyError):
            profile.load(name)
