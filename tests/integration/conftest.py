"""Real processes on a real broker: what every integration test starts from."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from brokers import Broker, Mosquitto, find_program
from clients import Sensors, Watcher
from daemons import Site

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

    def start(**options: Any) -> Mosquitto:
        folder = tmp_path / f"mosquitto-{len(started)}"
        folder.mkdir()
        started.append(Mosquitto(folder, **options))
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
def site(tmp_path: Path) -> Iterator[Site]:
    """Return a folder to configure and start daemons in."""
    folder = tmp_path / "site"
    folder.mkdir()
    one = Site(folder)
    yield one
    one.close()
