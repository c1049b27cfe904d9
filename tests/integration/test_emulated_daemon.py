"""The daemon itself on a board's processor: what it predicts there is what it predicts here, message for message."""

from __future__ import annotations

import io
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bearing
import pytest
from brokers import HOST, Broker
from clients import Sensors, Watcher
from daemons import Daemon, Site
from turbofan import Fleet

from devices import profile
from devices.places.emulated import EmulatedPlace
from edge_runtime.package import archive

ROOT = Path(__file__).resolve().parents[2]
ROWS = 1500  # of the turbofan engines, which is some dozen of them
START_SECONDS = 120.0  # importing onnxruntime takes 5 s under emulation, and much longer on a busy machine
BOARD = "raspberry-pi-4"

_START = "import sys; sys.path.insert(0, {ours!r}); from edge_runtime.cli.main import main; main()"


def ours() -> bytes:
    """Return the daemon's packages as a zip, which Python imports from."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for package in ("edge_runtime", "devices"):
            for source in sorted((ROOT / package).rglob("*")):
                if source.suffix in {".py", ".toml"}:
                    file.write(source, source.relative_to(ROOT))
    return packed.getvalue()


@dataclass(frozen=True)
class Side:
    """A daemon and who listens to it alone."""

    daemon: Daemon
    watcher: Watcher

    def predictions(self, count: int) -> list[dict[str, Any]]:
        """Return what it predicted, without what differs from run to run, once it has stopped in order."""
        self.watcher.wait_for_predictions(count, START_SECONDS)
        assert self.daemon.terminate() == 0
        self.watcher.wait_for_state("stopped")
        changing = {"id", "boot", "ts", "latency_ms", "topic"}
        return [{key: one[key] for key in one.keys() - changing} for one in self.watcher.predictions]


@pytest.fixture
def both(broker: Broker, site: Site, sandbox_cache: Path | None) -> Iterator[Callable[[Path], tuple[Side, Side]]]:
    """Return a function that starts a configuration twice, here and on the board, and waits until both serve."""
    with EmulatedPlace(profile.load(BOARD), sandbox_cache) as place:
        place.put("ours.zip", ours())
        emulated = place.command(["-c", _START.format(ours=str(place.folder / "ours.zip"))])

        def start(config: Path) -> tuple[Side, Side]:
            board = _other_node(config, "board")
            here = Side(site.start(config), Watcher(broker.port, "edgeopt/plant/gateway/#"))
            there = Side(site.start(board, command=emulated), Watcher(broker.port, "edgeopt/plant/board/#"))
            started.extend((here, there))
            for side in started:
                side.watcher.wait_for(lambda states=side.watcher.states: bool(states), START_SECONDS)
                side.watcher.wait_for_state("online")
            return here, there

        started: list[Side] = []
        yield start
        for side in started:
            side.watcher.__exit__(None, None, None)


def _other_node(config: Path, name: str) -> Path:
    """Write the same configuration for another node, with a folder of its own, and return its path."""
    text = config.read_text(encoding="utf-8")
    assert 'name = "gateway"' in text
    folder = config.parent / name
    folder.mkdir()
    (package,) = config.parent.glob("[!s]*.edgepkg")  # not the site's own sum.edgepkg
    (folder / package.name).symlink_to(package)
    path = folder / config.name
    path.write_text(text.replace('name = "gateway"', f'name = "{name}"', 1), encoding="utf-8")
    return path


def test_bearing_alarms_are_the_same_on_the_board(
    both: Callable[[Path], tuple[Side, Side]], broker: Broker, sensors: Sensors, site: Site
) -> None:
    """Every burst of two pumps, of every kind of damage: the int8 model says the same to the last bit."""
    here, there = both(bearing.configure(site.folder, f"mqtt://{HOST}:{broker.port}"))
    count = 60
    for topic, payload in bearing.readings(count):
        sensors.send(topic, payload)
    expected, found = here.predictions(count), there.predictions(count)
    assert found == expected
    assert {one["label"] for one in found} == {"normal", "imbalance", "outer_race_fault"}


def test_turbofan_lives_are_the_same_on_the_board(
    both: Callable[[Path], tuple[Side, Side]], broker: Broker, site: Site, fleet: Fleet
) -> None:
    """The recorded engines' rows go to both daemons at once: each predicts every row, and as the other does.

    Where a float layer stands before an int8 one, its sums differ in the last bit between processors, and one in a
    thousand falls on the other side of a rounding: that moves a prediction within the package's tolerance.
    """
    url = f"mqtt://{HOST}:{broker.port}"
    here, there = both(fleet.configure(site.folder, url))
    subprocess.run(fleet.replay(url, limit=ROWS), check=True, capture_output=True)
    expected, found = here.predictions(ROWS), there.predictions(ROWS)
    values = [[one.pop("value") for one in side] for side in (expected, found)]
    assert found == expected
    assert {(one["stream"], one["reading"]) for one in found} == fleet.pairs(ROWS)
    tolerance = archive.read(fleet.package).manifest.variants[0].tolerance
    assert values[1] == pytest.approx(values[0], abs=tolerance.absolute, rel=tolerance.relative)
    moved = [there for here, there in zip(*values, strict=True) if there != pytest.approx(here, rel=1e-4)]
    assert len(moved) < 0.01 * ROWS
