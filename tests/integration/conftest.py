"""Real processes on a real broker: what every integration test starts from."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import turbofan
from brokers import MOSQUITTO, MOSQUITTO_SUB, Broker, Mosquitto, new_broker
from clients import Sensors, Watcher
from daemons import Site
from turbofan import Fleet


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which broker the tests ran on, so that a fallback is seen."""
    broker = MOSQUITTO or "the embedded one (mosquitto is not installed)"
    watcher = MOSQUITTO_SUB or "paho (mosquitto_sub is not installed)"
    terminalreporter.write_line(f"integration tests: broker {broker}, subscriber {watcher}")


@pytest.fixture
def needs_mosquitto() -> None:
    """Skip where the embedded broker stands in: it keeps nothing over a restart, and nothing for who is away."""
    if not MOSQUITTO:
        pytest.skip("needs mosquitto, which is not installed: the embedded broker cannot do this")


@pytest.fixture
def mosquitto(needs_mosquitto: None, tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Return a function that starts a mosquitto with the options given."""
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


@pytest.fixture(scope="session")
def fleet(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    """Return the engines and the package that was optimized for them."""
    return turbofan.prepare(assets, tmp_path_factory.mktemp("fleet"))
