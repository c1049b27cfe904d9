"""The capacity formulas against queues simulated message by message, and by hand where that is possible."""

from __future__ import annotations

import heapq
import math
import random
from pathlib import Path

import pytest

from benchmarks import capacity
from benchmarks.capacity import Plant, drain_time, plan, simulate, waiting_time


def brute_force_wait(arrivals: float, service: float, messages: int, seed: int) -> float:
    """Return the mean wait from an event list: every arrival and departure in turn, a line of people, one server."""
    source = random.Random(seed)
    events: list[tuple[float, str]] = []
    now = 0.0
    for _ in range(messages):
        now += source.expovariate(arrivals)
        heapq.heappush(events, (now, "arrives"))
    line: list[float] = []
    busy, waited = False, 0.0
    while events:
        now, kind = heapq.heappop(events)
        if kind == "arrives":
            line.append(now)
        else:
            busy = False
        if line and not busy:
            waited += now - line.pop(0)
            busy = True
            heapq.heappush(events, (now + service, "leaves"))
    return waited / messages


@pytest.mark.parametrize("load", [0.1, 0.5, 0.8])
def test_the_mean_wait_is_that_of_simulated_queues(load: float) -> None:
    """Formula, the module's own recursion and an event list agree; the last two to rounding."""
    service = 0.002
    arrivals = load / service
    seen = [simulate(arrivals, service, 1.0, messages=40_000, seed=seed).wait for seed in range(5)]
    forced = [brute_force_wait(arrivals, service, 40_000, seed) for seed in range(5)]
    assert seen == pytest.approx(forced)
    assert sum(seen) / 5 == pytest.approx(waiting_time(arrivals, service), rel=0.1)


@pytest.mark.parametrize("load", [0.05, 0.5, 0.9])
def test_the_time_to_drain_is_that_of_simulated_outages(load: float) -> None:
    """What came in the outage and what comes while it drains; the mean of 30 seeds lies within 10 % of the formula."""
    service, outage = 0.01, 60.0
    arrivals = load / service
    seen = [simulate(arrivals, service, outage, messages=1, seed=seed) for seed in range(30)]
    assert sum(one.rows for one in seen) / 30 == pytest.approx(arrivals * outage, rel=0.05)
    assert sum(one.drain for one in seen) / 30 == pytest.approx(drain_time(arrivals, 1 / service, outage), rel=0.1)


def test_full_load_never_drains() -> None:
    """Infinite, not a large number."""
    assert waiting_time(1000, 0.001) == math.inf
    assert drain_time(1000, 1000, 1) == math.inf


def test_a_plant_by_hand() -> None:
    """1000 sensors, one reading a second each, 1 ms on a core of which half is used: two daemons, one gateway."""
    plant = Plant(
        sensors=1000,
        rate=1,
        daemon_us=250,
        broker_us=100,
        slower=4,
        cores=2,
        load=0.5,
        outage=10,
        row_bytes=100,
        daemon_mb=75,
        asset_bytes=4000,
    )
    found = plan(plant)
    assert (found.messages, found.per_daemon, found.daemons) == (1000, 500, 2)
    assert (found.gateways, found.sensors_per_gateway, found.brokers) == (1, 1000, 1)
    assert found.wait == pytest.approx(0.0005)
    assert (found.rows, found.bytes_stored) == (5000, 500_000)
    assert (found.assets_per_daemon, found.gateway_mb) == (500, 2 * (75 + 500 * 0.004))
    assert found.drain == pytest.approx(10.0)


def test_sensors_that_travel_together_and_windows_that_hop() -> None:
    """Eight sensors in a message make an eighth of the messages and assets; a hop of four a quarter of the rows."""
    alone, together = plan(Plant(sensors=80_000)), plan(Plant(sensors=80_000, together=8, hop=4))
    assert together.messages == alone.messages / 8
    assert together.assets_per_daemon * together.daemons == pytest.approx(10_000, abs=together.daemons)
    assert together.rows * together.daemons == pytest.approx(alone.rows * alone.daemons / 32)


def test_what_is_planned_carries_the_plant() -> None:
    """Random plants: nobody is given more than was planned for, and one daemon or broker less would be too few."""
    source = random.Random(7)
    for _ in range(300):
        plant = Plant(
            sensors=source.randint(1, 2_000_000),
            rate=source.uniform(0.001, 20),
            daemon_us=source.uniform(5, 1000),
            broker_us=source.uniform(5, 200),
            slower=source.uniform(1, 8),
            cores=source.randint(1, 8),
            load=source.uniform(0.1, 0.9),
        )
        found = plan(plant)
        assert found.daemons * found.per_daemon >= found.messages * (1 - 1e-9)
        assert (found.daemons - 1) * found.per_daemon <= found.messages * (1 + 1e-9)
        busy = found.messages * plant.broker_us * plant.slower / 1e6
        assert (found.brokers - 1) * plant.load < busy + 1e-9
        assert busy <= found.brokers * plant.load + 1e-9
        assert found.gateways * plant.cores >= found.daemons
        assert found.drain <= plant.outage * plant.load / (1 - plant.load) * (1 + 1e-9)


def test_the_page_shows_what_the_command_prints() -> None:
    """docs/scaling.md quotes the plan of a million sensors."""
    plant = Plant(together=8.0)
    text = (Path(__file__).resolve().parents[2] / "docs" / "scaling.md").read_text(encoding="utf-8")
    assert f"```text\n{capacity.page(plant, plan(plant))}\n```" in text


@pytest.mark.parametrize(("option", "said"), [("--rate=0", "rate must be"), ("--load=1", "never catches up")])
def test_nonsense_is_refused(option: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2 and a sentence."""
    with pytest.raises(SystemExit) as ended:
        capacity.main([option])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_the_command_prints_inputs_and_results(capsys: pytest.CaptureFixture[str]) -> None:
    """Every input by its name, every result labelled predicted, and the simulation beside it."""
    assert capacity.main(["--sensors", "20000", "--outage", "30", "--simulate"]) == 0
    printed = capsys.readouterr().out
    assert "sensors              20000" in printed
    assert "predicted:" in printed
    assert "simulated, one daemon: wait" in printed
