"""The GPU's name, from a made-up root folder."""

from __future__ import annotations

from pathlib import Path

from devices import gpu


def test_the_driver_names_the_gpu(tmp_path: Path) -> None:
    """Its own words, without the spaces around."""
    folder = tmp_path / "proc/driver/nvidia/gpus/0000:01:00.0"
    folder.mkdir(parents=True)
    (folder / "information").write_text("Model: \t\t NVIDIA L4\nIRQ:   \t\t 16\n")
    assert gpu.name(tmp_path) == "NVIDIA L4"


def test_a_jetson_is_named_by_its_board(tmp_path: Path) -> None:
    """Its GPU is part of it and has no file of its own."""
    model = tmp_path / "proc/device-tree/model"
    model.parent.mkdir(parents=True)
    model.write_text("NVIDIA Jetson Orin Nano Developer Kit\0")
    assert gpu.name(tmp_path) == "NVIDIA Jetson Orin Nano Developer Kit"


def test_a_machine_without_one_has_no_name(tmp_path: Path) -> None:
    """None, and no exception."""
    assert gpu.name(tmp_path) is None


def test_only_the_jetson_nano_lacks_int8() -> None:
    """The Orin Nano has nearly the same name."""
    assert gpu.lacks_int8("NVIDIA Jetson Nano Developer Kit")
    assert not gpu.lacks_int8("NVIDIA Jetson Orin Nano Developer Kit")
    assert not gpu.lacks_int8(None)
