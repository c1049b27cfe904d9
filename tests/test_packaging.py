"""The wheel: exactly the four packages, with their data and without development tools, and small."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from edge_runtime.cli.group import PACKAGES

ROOT = Path(__file__).resolve().parents[1]
DEVELOPMENT = "benchmarks/peers/"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel, built from the source as pip builds it."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_exactly_the_four_packages(wheel: Path) -> None:
    """Nothing else lands in the user's site-packages: no tests, no docs, no loose files."""
    with zipfile.ZipFile(wheel) as archive:
        top = {name.partition("/")[0] for name in archive.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == set(PACKAGES)
    assert len(top) == len(PACKAGES) + 1


def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    """Modules, types, device profiles, the sample configuration and the demo's model all travel."""
    files = {
        str(file.relative_to(ROOT))
        for package in PACKAGES
        for file in (ROOT / package).rglob("*")
        if file.is_file() and (file.suffix in {".py", ".toml", ".onnx"} or file.name == "py.typed")
    }
    shipped = {name for name in files if not name.startswith(DEVELOPMENT)}
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    assert shipped - held == set()
    assert {"edge_runtime/py.typed", "optimizer/demo/bearing_cnn.onnx"} < files


def test_development_tools_stay_out_of_the_wheel(wheel: Path) -> None:
    """What compares edgeopt with other tools is in the repository and in no user's site-packages."""
    assert (ROOT / DEVELOPMENT).is_dir()
    with zipfile.ZipFile(wheel) as archive:
        assert [name for name in archive.namelist() if name.startswith(DEVELOPMENT)] == []


def test_the_wheel_is_small(wheel: Path) -> None:
    """Under 1 MB: it goes over slow links to many devices."""
    assert wheel.stat().st_size < 1_000_000


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 does not read a wheel's packages from its record")
def test_the_four_names_belong_to_this_distribution_alone(wheel: Path, tmp_path: Path) -> None:
    """Installed, Python's own metadata says that each of the four top-level names is edgeopt's."""
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path), str(wheel)]
    subprocess.run(install, check=True, timeout=280)
    script = (
        f"import sys; sys.path.append({str(tmp_path)!r})\n"
        "import json\n"
        "from importlib import metadata\n"
        "owners = metadata.packages_distributions()\n"
        "commands = {c.name: c.value for c in metadata.distribution('edgeopt').entry_points}\n"
        "print(json.dumps([owners, commands]))\n"
    )
    # -S leaves out site-packages: only what the wheel brought is seen.
    seen = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, check=True, timeout=60)
    owners, commands = json.loads(seen.stdout)
    assert {name: owners[name] for name in PACKAGES} == {name: ["edgeopt"] for name in PACKAGES}
    assert commands == {"edgeopt": "optimizer.cli.main:main", "edge-runtime": "edge_runtime.cli.main:main"}


def test_every_dependency_has_its_reason() -> None:
    """Each library the installed edgeopt asks for, in any extra, has a row in the decision about dependencies."""
    asked = {re.split(r"[^a-z0-9-]", requirement, maxsplit=1)[0] for requirement in metadata.requires("edgeopt") or []}
    page = (ROOT / "docs/decisions/0003-dependencies.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| ([a-z0-9-]+) \| ", page, re.MULTILINE))
    assert asked - {"edgeopt"} - rows == set()
