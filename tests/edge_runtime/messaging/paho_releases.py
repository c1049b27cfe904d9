"""Hold the wires to their contract with every supported release of paho, each in a folder of its own.

    python tests/edge_runtime/messaging/paho_releases.py [RELEASE ...]

Needs pip and a package index. The releases are those that `paho-mqtt>=2.0,<3` allows; a new one is added here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

RELEASES = ("2.0.0", "2.1.0", "2.2.0")

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
CONTRACT = ("test_scripted_peer.py", "test_packets.py", "test_split_wire.py")


def hold(release: str) -> bool:
    """Install a release beside the environment's own and run the contract's tests with it."""
    with tempfile.TemporaryDirectory() as folder:
        install = ["-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, f"paho-mqtt=={release}"]
        subprocess.run([sys.executable, *install], check=True)
        environment = {**os.environ, "PYTHONPATH": folder}
        asked = [sys.executable, "-c", "import importlib.metadata as m; print(m.version('paho-mqtt'))"]
        found = subprocess.run(asked, env=environment, check=True, capture_output=True, text=True).stdout.strip()
        if found != release:
            raise SystemExit(f"wanted paho-mqtt {release}, but Python finds {found}")
        tests = [str(HERE / name) for name in CONTRACT]
        return not subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *tests], cwd=ROOT, env=environment, check=False
        ).returncode


if __name__ == "__main__":
    results = {release: hold(release) for release in sys.argv[1:] or RELEASES}
    for release, good in results.items():
        sys.stdout.write(f"paho-mqtt {release}: {'holds' if good else 'BREAKS'} the contract\n")
    sys.exit(0 if all(results.values()) else 1)
