"""The programs under test, each a process of its own: the naive script, the daemon, and a bare session."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.load import models
from benchmarks.load.broker import HOST
from benchmarks.load.scenario import Place
from devices.process import Memory, memory
from edge_runtime.errors import EnvironmentFault

Process = subprocess.Popen[bytes]
Starter = Callable[[Place], Process]

_HERE = Path(__file__).parent
_PATIENCE = 30.0


def start_naive(place: Place) -> Process:
    """Start the script, every setting at its default."""
    return _start(place, _naive(place))


def start_nodelay(place: Place) -> Process:
    """Start the script with Nagle's algorithm off."""
    return _start(place, [*_naive(place), "nodelay"])


def start_daemon(place: Place) -> Process:
    """Start `edge-runtime run` on a configuration and package made for it."""
    config = place.folder / f"daemon-{place.number}.toml"
    config.write_text(configuration(place), encoding="utf-8")
    package = place.folder / "model.edgepkg"
    if not package.exists():
        models.write_package(package, place.scenario.model, "load")
    return _start(place, [sys.executable, "-m", "edge_runtime", "run", str(config)])


def configuration(place: Place) -> str:
    """Return the daemon's configuration: what a user would write for this load, all else at its default."""
    scenario = place.scenario
    fields = ", ".join(f'"v{index}"' for index in range(models.FEATURES))
    share = f'share = "{place.share}"' if place.share else ""
    return f"""
schema = 1

[node]
name = "{place.prefix.replace("/", "-")}-{place.number}"

[broker]
url = "mqtt://{HOST}:{place.port}"

[topics]
prediction = "{place.topic_out}"

[state]
folder = "state-{place.number}"

[[pipeline]]
name = "load"
package = "model.edgepkg"

[pipeline.source]
topic = "{place.topic_in}"
fields = [{fields}]
qos = {scenario.qos}
{share}

[pipeline.window]
size = {scenario.window}
layout = "features_first"

[pipeline.decision]
kind = "value"
"""


PROGRAMS: Mapping[str, Starter] = {"naive": start_naive, "nodelay": start_nodelay, "daemon": start_daemon}


def bare_memory(model: Path) -> Memory:
    """Return the memory of a process with onnxruntime and one session of a model.

    Raises:
        EnvironmentFault: E-LOAD-PROGRAM, it does not run, or this machine does not tell.
    """
    command = [sys.executable, str(_HERE / "bare.py"), str(model)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        ready = process.stdout.readline() if process.stdout else b""
        found = memory(process.pid) if ready else None
        process.communicate()
    if found is None:
        raise EnvironmentFault(
            "E-LOAD-PROGRAM", "a bare session's memory cannot be read", "run on Linux 4.14 or later, as yourself"
        )
    return found


def stop(process: Process) -> None:
    """End a program; one that does not go in order is killed."""
    process.terminate()
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _naive(place: Place) -> list[str]:
    scenario = place.scenario
    topic_out = place.topic_out.replace("{stream}", "pump")
    values = [place.port, place.filter_in, topic_out, place.folder / "model.onnx", scenario.qos, scenario.window]
    return [sys.executable, str(_HERE / "naive.py"), *map(str, values)]


def _start(place: Place, command: list[str]) -> Process:
    with (place.folder / "programs.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
