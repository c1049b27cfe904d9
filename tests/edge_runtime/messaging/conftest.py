"""The wires, a peer that follows a script, and connections that do not wait long."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from scripted_peer import Line, Peer

from edge_runtime.messaging import connection, reconnects
from edge_runtime.messaging.paho_wire import PahoWire
from edge_runtime.messaging.split_wire import SplitWire

WIRES = {"split": SplitWire, "paho": PahoWire}


@pytest.fixture(params=WIRES)
def wire(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let connections use each wire in turn."""
    monkeypatch.setattr(connection, "make_wire", WIRES[request.param])
    return str(request.param)


@pytest.fixture
def peer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Peer]:
    """Return a broker that does what the test says; whoever loses it tries again soon."""
    monkeypatch.setattr(reconnects, "FIRST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(reconnects, "SLOW_PAUSE_SECONDS", 0.05)
    with Peer() as one:
        yield one


@pytest.fixture
def line(peer: Peer) -> Iterator[Callable[..., Line]]:
    """Return a function that makes a started connection to the peer."""
    made: list[Line] = []

    def make(**options: Any) -> Line:
        made.append(Line(peer, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()
