"""`edge-runtime replay` as a user runs it, its rows received by an independent subscriber."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from brokers import Broker, Mosquitto
from clients import Watcher


def start_replay(broker_port: int, *arguments: str) -> subprocess.Popen[str]:
    """Start `edge-runtime replay`."""
    return subprocess.Popen(
        [sys.executable, "-m", "edge_runtime", "replay", *arguments, "--broker", f"mqtt://127.0.0.1:{broker_port}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def write_table(folder: Path, rows: int) -> Path:
    """Write a CSV of two units taking turns."""
    path = folder / "table.csv"
    path.write_text("unit,cycle,t\n" + "".join(f"{row % 2 + 1},{row},{row / 4}\n" for row in range(rows)))
    return path


def test_every_row_arrives_exactly_once_and_in_order(broker: Broker, tmp_path: Path) -> None:
    """Full speed, far more rows than may be unacknowledged at a time, one topic per unit."""
    rows = 5000
    with Watcher(broker.port, "plant/+/telemetry") as watcher:
        table = str(write_table(tmp_path, rows))
        replay = start_replay(broker.port, table, "--topic", "plant/{unit}/telemetry", "--rate", "0")
        said, errors = replay.communicate()
        assert replay.returncode == 0, errors
        assert re.search(rf"sent {rows} messages in [\d.]+ s, [\d.]+/s, all acknowledged", said)
        received = watcher.wait_for_predictions(rows)
        start_replay(broker.port, table, "--topic", "plant/end/telemetry", "--limit", "1").wait()
        assert watcher.wait_for_predictions(rows + 1)[-1]["topic"] == "plant/end/telemetry"
    assert received == [
        {"topic": f"plant/{row % 2 + 1}/telemetry", "unit": row % 2 + 1, "cycle": row, "t": row / 4}
        for row in range(rows)
    ]


def test_limit_and_qos_0(broker: Broker, tmp_path: Path) -> None:
    """A playback can be cut short, and does not claim acknowledgements that QoS 0 has not."""
    with Watcher(broker.port, "x") as watcher:
        options = ["--topic", "x", "--rate", "100", "--limit", "3", "--qos", "0"]
        replay = start_replay(broker.port, str(write_table(tmp_path, 10)), *options)
        said, errors = replay.communicate()
        assert replay.returncode == 0, errors
        assert "sent 3 messages" in said
        assert "unacknowledged, as QoS 0 is" in said
        assert [row["cycle"] for row in watcher.wait_for_predictions(3)] == [0, 1, 2]


def test_it_goes_on_after_the_broker_was_away(broker: Broker, tmp_path: Path) -> None:
    """A broker that restarts in the middle costs time, not rows."""
    with Watcher(broker.port, "x") as watcher:
        replay = start_replay(broker.port, str(write_table(tmp_path, 300)), "--topic", "x", "--rate", "200")
        watcher.wait_for_predictions(20)
        broker.stop()
        broker.start()
        said, errors = replay.communicate()
    assert replay.returncode == 0, errors
    assert "sent 300 messages" in said
    assert "all acknowledged" in said


def test_ctrl_c_says_how_far_it_came(broker: Broker, tmp_path: Path) -> None:
    """An interruption is no failure of anything: a count, exit status 130, no traceback."""
    with Watcher(broker.port, "x") as watcher:
        replay = start_replay(broker.port, str(write_table(tmp_path, 1000)), "--topic", "x", "--rate", "20")
        watcher.wait_for_predictions(3)
        replay.send_signal(signal.SIGINT)
        said, errors = replay.communicate()
    assert replay.returncode == 130
    assert re.search(r"stopped after \d+ messages", said)
    assert "Traceback" not in errors


def test_a_bad_row_stops_it_with_its_line(broker: Broker, tmp_path: Path) -> None:
    """Rows before the bad one have been sent; the error says where to look."""
    path = tmp_path / "bad.csv"
    path.write_text("a,b\n1,2\n3\n")
    with Watcher(broker.port, "x") as watcher:
        replay = start_replay(broker.port, str(path), "--topic", "x")
        errors = replay.communicate()[1]
        assert watcher.wait_for_predictions(1) == [{"topic": "x", "a": 1, "b": 2}]
    assert replay.returncode == 3
    assert "E-REPLAY-ROW" in errors
    assert "bad.csv:3" in errors


@pytest.mark.parametrize(("typed", "status", "word"), [("good\n", 0, "sent 2 messages"), ("bad\n", 5, "E-BROKER-AUTH")])
def test_the_password_comes_from_a_file(
    mosquitto: Callable[..., Mosquitto], tmp_path: Path, typed: str, status: int, word: str
) -> None:
    """The right one lets it in, a wrong one is said to be wrong."""
    broker = mosquitto(credentials=("line3", "good"))
    password = tmp_path / "password"
    password.write_text(typed)
    options = ["--topic", "x", "--rate", "0", "--username", "line3", "--password-file", str(password)]
    replay = start_replay(broker.port, str(write_table(tmp_path, 2)), *options)
    said, errors = replay.communicate()
    assert replay.returncode == status
    assert word in said + errors


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        (["--topic", "plant/{units}"], 3, "E-REPLAY-TOPIC"),
        (["--topic", "plant/#"], 3, "E-REPLAY-TOPIC"),
        (["--topic", "x", "--columns", "a,a,b"], 3, "E-REPLAY-COLUMNS"),
        (["--topic", "x", "--password-file", "/nonexistent"], 5, "E-REPLAY-PASSWORD-FILE"),
        (["--topic", "x"], 5, "E-BROKER-REFUSED"),
        ([], 2, "--topic"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_sent(
    tmp_path: Path, options: list[str], status: int, code: str
) -> None:
    """Usage, topic, table and broker each have their own error."""
    replay = start_replay(1, str(write_table(tmp_path, 2)), *options)
    errors = replay.communicate()[1]
    assert replay.returncode == status
    assert code in errors
    assert "Traceback" not in errors
