"""The same input gives the same bytes: with one cache, with the times of a first package, wherever forms are judged."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import EDGEOPT, IN_PROCESSES, SEARCH, dask_cluster, prepared, run, with_environment

from edge_runtime.package import archive
from optimizer.report.record import MEMBER

_MEASURED = re.compile(r"\d+\.\d+ x( \(\d+\.\d+ to \d+\.\d+\))?( float32)?")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with model, data, the cache of a first run and its package first.edgepkg."""
    folder = prepared(tmp_path_factory.mktemp("first"))
    done = run(*SEARCH, "--cache", "cache", "--executor", "inline", "-o", "first.edgepkg", folder=folder)
    assert done.returncode == 0, done.stderr
    assert len(list((folder / "cache").glob("judged-*"))) > 10, "the ladder of repairs was climbed"
    return folder


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Run a Dask cluster for this module."""
    yield from dask_cluster()


def _bytes(folder: Path, *arguments: str, command: tuple[str, ...] = EDGEOPT, seed: str = "random") -> bytes:
    environment = with_environment(PYTHONHASHSEED=seed)
    done = run(*SEARCH, "-o", "again.edgepkg", *arguments, folder=folder, command=command, env=environment)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return (folder / "again.edgepkg").read_bytes()


def test_the_same_cache_gives_the_same_bytes(first: Path) -> None:
    """A second run takes everything from the cache, says so, and writes the same package."""
    done = run(*SEARCH, "--cache", "cache", "-o", "again.edgepkg", folder=first)
    found = re.search(r"taken from the cache: (\d+) of (\d+)", done.stdout)
    assert found, done.stdout
    assert found[1] == found[2] != "0"
    assert (first / "again.edgepkg").read_bytes() == (first / "first.edgepkg").read_bytes()


@pytest.mark.parametrize("seed", ["1", "2"])
def test_the_times_of_a_package_give_its_bytes(first: Path, seed: str) -> None:
    """With nothing but the first package's times, all else computed again, another hash order changes nothing."""
    again = _bytes(first, "--no-cache", "--measurements", "first.edgepkg", "--executor", "inline", seed=seed)
    assert again == (first / "first.edgepkg").read_bytes()


def test_other_processes_give_the_same_bytes(first: Path) -> None:
    """Forms that processes of this machine made and judged are the same to the last bit."""
    again = _bytes(first, "--no-cache", "--measurements", "first.edgepkg", command=IN_PROCESSES)
    assert again == (first / "first.edgepkg").read_bytes()


def test_a_cluster_gives_the_same_bytes(first: Path, cluster: str) -> None:
    """So are those of a Dask cluster, which goes on when the command has ended."""
    for _ in range(2):
        again = _bytes(first, "--no-cache", "--measurements", "first.edgepkg", "--executor", cluster)
        assert again == (first / "first.edgepkg").read_bytes()


def test_where_the_files_lie_changes_nothing(first: Path, tmp_path: Path) -> None:
    """Run from another folder, with absolute paths and less memory for activations: the package does not show it."""
    model, *options = SEARCH[1:]
    moved = [str(first / word) if word.endswith((".npz", ".onnx")) else word for word in (model, *options)]
    package = str(first / "first.edgepkg")
    done = run("quantize", *moved, "--no-cache", "--memory", "1", "--measurements", package, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    again = (tmp_path / "net.edgepkg").read_bytes()
    assert again == (first / "first.edgepkg").read_bytes()
    assert str(first).encode() not in again


def test_without_data_the_report_names_no_folder(first: Path, tmp_path: Path) -> None:
    """The command that would verify holds the whole path on the terminal and the file's name in the package."""
    done = run("quantize", str(first / "net.onnx"), "--no-cache", folder=tmp_path)
    assert f"edgeopt quantize {first / 'net.onnx'} --calibration" in done.stdout
    report = archive.read(tmp_path / "net.edgepkg").members[MEMBER]
    assert b"edgeopt quantize net.onnx --calibration" in report
    assert str(first).encode() not in report


def test_two_measured_runs_differ_in_times_alone(first: Path) -> None:
    """Without anything taken over, manifests agree but for measured numbers, and models and samples to the last bit."""
    packages = []
    for number in range(2):
        done = run(*SEARCH, "--no-cache", "--effort", "quick", "-o", f"{number}.edgepkg", folder=first)
        assert done.returncode == 0, done.stderr
        packages.append(archive.read(first / f"{number}.edgepkg"))
    one, other = packages
    if one.manifest.variants[0].name != other.manifest.variants[0].name:
        pytest.skip("the measured times chose another form this time")
    assert _timeless(one) == _timeless(other)
    files = [one.manifest.variants[0].file, one.manifest.golden.file]
    assert [one.members[name] == other.members[name] for name in files] == [True, True]


def test_measurements_that_do_not_fit_are_said(first: Path) -> None:
    """Times of another evaluation's package are not passed off as this run's: what was measured anew is counted."""
    done = run(
        *("quantize", "net.onnx", "--calibration", "test.npz", "--no-cache", "--effort", "quick"),
        *("--measurements", "first.edgepkg", "-o", "other.edgepkg"),
        folder=first,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"\d+ of \d+ comparisons were not among the given measurements", done.stdout)


def _timeless(package: archive.Package) -> dict[str, object]:
    import msgspec

    plain = msgspec.to_builtins(package.manifest)
    del plain["members"]
    for variant in plain["variants"]:
        del variant["latency"]
    plain["rejected"] = sorted(
        (one["name"], _MEASURED.sub("", one["reason"]))
        for one in plain["rejected"]
        if "shown to be" not in one["reason"]
    )
    plain["chosen_because"] = _MEASURED.sub("", plain["chosen_because"])
    return dict(plain)
