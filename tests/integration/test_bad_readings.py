"""What sensors get wrong is counted under its own reason, and the daemon goes on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from brokers import Broker, new_broker
from clients import Sensors, Watcher
from daemons import Site, pipeline

PIPELINES = [
    pipeline("fields", "fields/{stream}"),
    pipeline("array", "array/{stream}", source='array = "samples"\nlength = 2'),
    pipeline("timed", "timed/{stream}", source='fields = ["a", "b"]\ntime_field = "t"'),
    pipeline("few", "few/{stream}", source='fields = ["a", "b"]\nmax_streams = 1'),
]
GOOD = {
    "fields": b'{"a": 1, "b": 2}',
    "array": b'{"samples": [1, 2]}',
    "timed": b'{"a": 1, "b": 2, "t": "2026-01-31T12:00:00Z"}',
}


class Service:
    """A daemon that serves all pipelines, and those around it."""

    def __init__(self, broker: Broker, site: Site) -> None:
        self.sensors, self.watcher = Sensors(broker.port), Watcher(broker.port)
        self.sensors.send("fields/retained", GOOD["fields"], retain=True)
        self.daemon = site.start(site.configure(broker.port, *PIPELINES))
        self.watcher.wait_for_state("online")
        self.watcher.wait_for(lambda: self.watcher.health.get("retained", 0) > 0)

    def rejected(self) -> dict[str, dict[str, int]]:
        """Return what the latest health message counts, by pipeline and reason."""
        return {name: one["rejected"] for name, one in self.watcher.health["pipelines"].items()}

    def predict(self, pipeline_name: str, stream: str) -> tuple[int, float]:
        """Send one good reading; return its number in the stream and the value predicted from it."""
        self.sensors.send(f"{pipeline_name}/{stream}", GOOD[pipeline_name])
        topic = f"edgeopt/plant/gateway/pred/{pipeline_name}/{stream}"
        self.watcher.wait_for(lambda: any(one["topic"] == topic for one in self.watcher.predictions))
        got = next(one for one in reversed(self.watcher.predictions) if one["topic"] == topic)
        return got["reading"], got["value"]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Return one daemon for all bad readings: it must outlive them together."""
    folder = tmp_path_factory.mktemp("service")
    for name in ("broker", "site"):
        (folder / name).mkdir()
    broker, site = new_broker(folder / "broker"), Site(folder / "site")
    broker.start()
    one = Service(broker, site)
    yield one
    assert one.daemon.terminate() == 0
    site.close()
    broker.stop()


def nested(depth: int) -> bytes:
    """Return JSON with a list in a list in a list."""
    return b'{"a":' + b"[" * depth + b"]" * depth + b"}"


@pytest.mark.parametrize(
    ("name", "reason", "payload"),
    [
        pytest.param("fields", "not_json", b"temperature=20", id="other words"),
        pytest.param("fields", "not_json", b"", id="empty"),
        pytest.param("fields", "not_json", b'{"a": 1, "b": 2', id="cut off"),
        pytest.param("fields", "not_json", b'{"a": 1, "b": "\xff"}', id="not UTF-8"),
        pytest.param("fields", "not_json", nested(100_000), id="nested without end"),
        pytest.param("fields", "too_large", b'{"a": ' + b"1" * 10_000_000 + b"}", id="10 MB"),
        pytest.param("fields", "wrong_type", b"null", id="null"),
        pytest.param("fields", "wrong_type", b"[1, 2]", id="an array for an object"),
        pytest.param("fields", "wrong_type", b'{"a": 1, "b": "2"}', id="text for a number"),
        pytest.param("fields", "wrong_type", b'{"a": 1, "b": true}', id="true for a number"),
        pytest.param("fields", "missing_field", b'{"a": 1}', id="a field too few"),
        pytest.param("fields", "missing_field", b'{"a": 1, "b": null}', id="null for a number"),
        pytest.param("fields", "not_finite", b'{"a": 1, "b": NaN}', id="NaN"),
        pytest.param("fields", "not_finite", b'{"a": 1, "b": -Infinity}', id="infinity"),
        pytest.param("fields", "not_finite", b'{"a": 1, "b": 1e999}', id="1e999"),
        pytest.param("fields", "not_finite", b'{"a": 1, "b": 1e39}', id="beyond float32"),
        pytest.param("fields", "not_finite", b'{"a": 1, "b": ' + b"9" * 4000 + b"}", id="4000 digits"),
        pytest.param("array", "wrong_length", b'{"samples": [1]}', id="array too short"),
        pytest.param("array", "wrong_length", b'{"samples": [1, 2, 3]}', id="array too long"),
        pytest.param("array", "wrong_type", b'{"samples": [[1], [2]]}', id="array in an array"),
        pytest.param("array", "wrong_type", b'{"samples": 1}', id="a number for an array"),
        pytest.param("array", "not_finite", b'{"samples": [1, NaN]}', id="NaN in an array"),
        pytest.param("timed", "bad_time", b'{"a": 1, "b": 2, "t": "yesterday"}', id="no time"),
        pytest.param("timed", "bad_time", b'{"a": 1, "b": 2, "t": 1767225600000}', id="milliseconds for seconds"),
        pytest.param("timed", "bad_time", b'{"a": 1, "b": 2, "t": -1e11}', id="before the first year"),
        pytest.param("timed", "bad_time", b'{"a": 1, "b": 2, "t": "0001-01-01T00:00:00+14:00"}', id="year 0"),
        pytest.param("timed", "bad_time", b'{"a": 1, "b": 2, "t": true}', id="true for a time"),
        pytest.param("timed", "missing_field", b'{"a": 1, "b": 2}', id="time missing"),
    ],
)
def test_it_is_counted_under_its_reason_and_moves_no_window(
    service: Service, name: str, reason: str, payload: bytes, request: pytest.FixtureRequest
) -> None:
    """Exactly that count goes up; the next good reading of the same sensor is its first, and is predicted."""
    stream = request.node.callspec.id
    before = service.rejected()
    expected = {**before, name: {**before[name], reason: before[name].get(reason, 0) + 1}}
    service.sensors.send(f"{name}/{stream}", payload)
    service.watcher.wait_for(lambda: service.rejected() != before)
    assert service.rejected() == expected
    assert service.predict(name, stream) == (1, 3.0)


def test_one_stream_too_many_is_counted(service: Service) -> None:
    """A wrong topic cannot fill the memory: beyond `max_streams` readings are counted, the known stream is served."""
    for stream in ("known", "strange", "known"):
        service.sensors.send(f"few/{stream}", GOOD["fields"])
    service.watcher.wait_for(lambda: service.watcher.health["pipelines"]["few"]["predictions"] == 2)
    assert service.rejected()["few"] == {"too_many_streams": 1}
    assert {one["stream"] for one in service.watcher.predictions if one["pipeline"] == "few"} == {"known"}


def test_a_retained_reading_is_old_and_not_predicted(service: Service) -> None:
    """The broker sends it at every subscription; it is counted, and its stream begins with the next live reading."""
    assert service.watcher.health["retained"] >= 1
    assert service.predict("fields", "retained") == (1, 3.0)
