"""What stops the daemon from starting: each with its code and exit status, nothing written, nothing half-started."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sum_package
from brokers import HOST, Broker, Mosquitto, free_port
from clients import Sensors, Watcher
from daemons import Site, run_verb


def files_in(folder: Path) -> dict[Path, bytes | None]:
    """Return everything below a folder with its content, except the daemon's own state."""
    kept = [path for path in folder.rglob("*") if folder / "state" not in (path, *path.parents)]
    return {path: path.read_bytes() if path.is_file() else None for path in kept}


def refuse(config: Path, code: str, status: int) -> str:
    """Make sure that `run` and `check` end with this code and status and change nothing; return what `run` said."""
    before = files_in(config.parent)
    with ThreadPoolExecutor() as both:
        run, check = both.map(lambda verb: run_verb(verb, config), ("run", "check"))
    for ended in (run, check):
        output = ended.stdout + ended.stderr
        assert ended.returncode == status, output
        assert f"{code}:" in output
        assert "fix: " in output
        assert "Traceback" not in output
    assert files_in(config.parent) == before
    return run.stderr


@pytest.fixture
def silent_port() -> Iterator[socket.socket]:
    """Return a listening socket that never says a word."""
    with socket.create_server((HOST, 0)) as listener:
        yield listener


def test_no_broker(site: Site) -> None:
    """Nothing listens there: the message names the address and how to start a broker."""
    port = free_port()
    said = refuse(site.configure(port), "E-BROKER-REFUSED", 5)
    assert f"{HOST}:{port}" in said


def test_unknown_host(site: Site) -> None:
    """The name means nothing to the resolver."""
    config = site.configure(1883)
    text = config.read_text(encoding="utf-8").replace(HOST, "no-such-host.invalid")
    config.write_text(text, encoding="utf-8")
    assert "no-such-host.invalid" in refuse(config, "E-BROKER-UNREACHABLE", 5)


def test_something_that_is_no_broker(site: Site, silent_port: socket.socket) -> None:
    """A port that takes connections and never answers is not waited for without end."""
    config = site.configure(silent_port.getsockname()[1])
    assert "does not answer as an MQTT broker" in refuse(config, "E-BROKER-UNREACHABLE", 5)


def test_a_wrong_password_is_refused_and_the_right_one_lets_in(mosquitto: Callable[..., Mosquitto], site: Site) -> None:
    """The password is read from its file, beside the configuration, and shown nowhere."""
    broker = mosquitto(credentials=("gateway", "right"))
    secret = site.folder / "password"
    config = site.configure(broker.port, broker='username = "gateway"\npassword_file = "password"')
    secret.write_text("wr0ng-secret\n", encoding="utf-8")
    assert "wr0ng-secret" not in refuse(config, "E-BROKER-AUTH", 5)
    refuse(site.configure(broker.port), "E-BROKER-AUTH", 5)
    config = site.configure(broker.port, broker='username = "gateway"\npassword_file = "password"')
    secret.write_text("right\n", encoding="utf-8")
    checked = run_verb("check", config)
    assert checked.returncode == 0, checked.stdout
    assert "lets this client in" in checked.stdout


def test_a_check_leaves_a_running_daemon_alone(broker: Broker, watcher: Watcher, site: Site) -> None:
    """It connects under a name of its own; the daemon does not notice."""
    config = site.configure(broker.port)
    daemon = site.start(config)
    boot = watcher.wait_for_state("online")
    assert run_verb("check", config).returncode == 0
    uptime = watcher.health.get("uptime_s", 0)
    watcher.wait_for(lambda: watcher.health.get("uptime_s", 0) > uptime)
    assert watcher.health["connects"] == 1
    assert watcher.states == [("online", boot)]
    assert daemon.terminate() == 0


def test_on_request_it_waits_for_its_broker(broker: Broker, site: Site) -> None:
    """With startup = "retry" a gateway that boots before its broker serves as soon as that is there."""
    broker.stop()
    daemon = site.start(site.configure(broker.port, broker='startup = "retry"'))
    while "next try" not in daemon.log:
        assert daemon.is_running, daemon.log
    broker.start()
    with Watcher(broker.port) as watcher, Sensors(broker.port) as sensors:
        watcher.wait_for_state("online")
        sensors.send_numbers("sensors/pump/reading", a=1, b=2)
        assert watcher.wait_for_predictions(1)[0]["value"] == 3.0
        assert daemon.terminate() == 0


def test_it_can_be_stopped_while_it_waits_for_its_broker(site: Site) -> None:
    """SIGTERM ends the waiting in good order."""
    daemon = site.start(site.configure(free_port(), broker='startup = "retry"'))
    while "next try" not in daemon.log:
        assert daemon.is_running, daemon.log
    assert daemon.terminate() == 0
    assert "Traceback" not in daemon.log


def cut_off(package: Path) -> None:
    """Keep the first half of the file."""
    package.write_bytes(package.read_bytes()[: package.stat().st_size // 2])


def flip_a_bit(package: Path) -> None:
    """Change one bit in the middle of the file."""
    content = bytearray(package.read_bytes())
    content[len(content) // 2] ^= 1
    package.write_bytes(content)


def make_newer(package: Path) -> None:
    """Give it the number of a format of the future."""
    sum_package.write(package, manifest_format=99)


def make_wrong(package: Path) -> None:
    """Let its golden samples say what its model does not compute: whole, but not right on this machine."""
    sum_package.write(package, golden_error=1.0)


@pytest.mark.parametrize(
    ("spoil", "code", "status"),
    [
        (Path.unlink, "E-PACKAGE-NOT-FOUND", 3),
        (cut_off, "E-PACKAGE-DAMAGED", 6),
        (flip_a_bit, "E-PACKAGE-DAMAGED", 6),
        (make_newer, "E-PACKAGE-VERSION", 3),
        (make_wrong, "E-GOLDEN-MISMATCH", 6),
    ],
)
def test_a_package_that_is_not_right_never_gets_to_the_broker(
    site: Site, silent_port: socket.socket, spoil: Callable[[Path], None], code: str, status: int
) -> None:
    """The daemon refuses it before it opens a connection, so nobody ever hears of it being online."""
    spoil(site.folder / "sum.edgepkg")
    config = site.configure(silent_port.getsockname()[1])
    before = files_in(site.folder)
    ended = run_verb("run", config)
    assert ended.returncode == status
    assert re.search(rf"^error {code}: .*\n  fix: ", ended.stderr, re.MULTILINE)
    assert "Traceback" not in ended.stderr
    assert files_in(site.folder) == before
    silent_port.setblocking(False)
    with pytest.raises(BlockingIOError):
        silent_port.accept()
    checked = run_verb("check", "--offline", config)
    assert checked.returncode == status
    assert f"{code}:" in checked.stdout


def test_the_daemon_never_imports_onnx(broker: Broker, watcher: Watcher, sensors: Sensors, site: Site) -> None:
    """A device that serves needs no onnx, no optimizer and nothing else that only a workstation has."""
    daemon = site.start(site.configure(broker.port), {"PYTHONPROFILEIMPORTTIME": "1"})
    watcher.wait_for_state("online")
    sensors.send_numbers("sensors/pump/reading", a=1, b=2)
    watcher.wait_for_predictions(1)
    assert daemon.terminate() == 0
    imported = {found.partition(".")[0] for found in re.findall(r"^import time:.*\| +(\S+)$", daemon.log, re.MULTILINE)}
    assert {"edge_runtime", "onnxruntime", "paho"} <= imported
    assert imported & {"onnx", "optimizer", "benchmarks", "rich", "PIL", "amqtt", "google"} == set()
