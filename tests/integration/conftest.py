"""Real processes on a real broker: what every integration test starts from."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import sum_package
from brokers import HOST, Broker, Mosquitto, find_program
from clients import Sensors, Watcher
from daemons import Daemon, configuration, pipeline

MOSQUITTO = find_program("mosquitto")
MOSQUITTO_SUB = find_program("mosquitto_sub")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which broker the tests ran on, so that a fallback is seen."""
    broker = MOSQUITTO or "the embedded one (mosquitto is not installed)"
    watcher = MOSQUITTO_SUB or "paho (mosquitto_sub is not installed)"
    terminalreporter.write_line(f"integration tests: broker {broker}, subscriber {watcher}")


def new_broker(folder: Path) -> Broker:
    """Return a broker that is not started: mosquitto, or the embedded one where there is none."""
    if MOSQUITTO:
        return Mosquitto(folder)
    from edge_runtime.messaging.embedded_broker import EmbeddedBroker

    return EmbeddedBroker()


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Return a function that starts a mosquitto with the options given; skips where it is not installed."""
    if not MOSQUITTO:
        pytest.skip("needs mosquitto, which is not installed: the embedded broker cannot do this")
    started: list[Mosquitto] = []

    def start(**options: object) -> Mosquitto:
        folder = tmp_path / f"mosquitto-{len(started)}"
        folder.mkdir()
        started.append(Mosquitto(folder, **options))  # type: ignore[arg-type]
        started[-1].start()
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """Return a running broker that lets everybody in and forgets everything when it stops."""
    folder = tmp_path / "broker"
    folder.mkdir()
    one = new_broker(folder)
    one.start()
    yield one
    one.stop()


@pytest.fixture
def watcher(broker: Broker) -> Iterator[Watcher]:
    """Return a subscriber to everything the daemon says."""
    with Watcher(broker.port) as one:
        yield one


@pytest.fixture
def sensors(broker: Broker) -> Iterator[Sensors]:
    """Return a client that publishes readings."""
    with Sensors(broker.port) as one:
        yield one


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Return a folder with the tiny package, for a configuration."""
    folder = tmp_path / "site"
    folder.mkdir()
    sum_package.write(folder / "sum.edgepkg")
    return folder


@pytest.fixture
def configure(site: Path) -> Callable[..., Path]:
    """Return a function that writes a configuration for a port into `site` and returns its path."""

    def write(port: int, pipelines: Sequence[str] = (pipeline(),), broker: str = "") -> Path:
        path = site / "daemon.toml"
        path.write_text(configuration(f"mqtt://{HOST}:{port}", pipelines, broker), encoding="utf-8")
        return path

    return write


@pytest.fixture
def start_daemon(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Return a function that starts a daemon; none outlives the test, and a failed test shows their logs."""
    started: list[Daemon] = []

    def start(config: Path, environment: dict[str, str] | None = None) -> Daemon:
        started.append(Daemon(config, tmp_path / f"daemon-{len(started)}.log", environment))
        return started[-1]

    yield start
    for number, one in enumerate(started):
        one.kill()
        sys.stdout.write(f"--- log of daemon {number}\n{one.log}")
