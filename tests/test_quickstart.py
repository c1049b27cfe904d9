"""The quickstart's code blocks, run as they stand."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[1] / "docs" / "quickstart.md"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.skipif(
    not shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin") or not shutil.which("mosquitto_sub"),
    reason="the quickstart uses mosquitto and mosquitto_sub, which are not installed here",
)
def test_every_block_of_the_quickstart_runs(tmp_path: Path) -> None:
    """One shell runs the blocks in order, on a port of its own; the alarm is seen, and 16 windows were predicted."""
    blocks = re.findall(r"```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 6
    port = str(_free_port())
    script = "set -eumo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null' EXIT\n" + "".join(blocks)
    for written, here in (
        ("mosquitto -p 1883 -d", f"mosquitto -p {port} &\nsed -i 's/:1883/:{port}/' edge-runtime.toml\nsleep 1"),
        ("mosquitto_sub ", f"mosquitto_sub -p {port} "),
        ("--rate 4000", f"--rate 4000 --broker mqtt://127.0.0.1:{port}"),
    ):
        assert written in script
        script = script.replace(written, here)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "This command" in done.stdout, "the model alone is not the end of the way"
    assert '"stream":"pump-2"' in done.stdout
    assert '"stream":"pump-1"' not in done.stdout
    assert done.stdout.strip().splitlines()[-1] == "16", (tmp_path / "quickstart" / "seen.txt").read_text()
