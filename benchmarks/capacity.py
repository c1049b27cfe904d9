"""`python -m benchmarks.capacity`: how many daemons, brokers and bytes a plant needs, by formula and by simulation.

Everything is worked out from named inputs, which are measured, published or assumed elsewhere (docs/scaling.md): what
comes out is predicted. The formulas are those of a queue with one server, whose service time is the processor time of
one message (Pollaczek-Khinchine for M/D/1: L. Kleinrock, Queueing Systems vol. 1, 1975, section 5.7).
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields

_MICRO = 1e-6
_MEBI = 1 << 20
_MOST_SIMULATED = 1e6  # messages of a simulated outage: seconds of computing, not hours


@dataclass(frozen=True)
class Plant:
    """What is planned for, and what one message costs.

    Attributes:
        sensors: Sources of readings.
        rate: Readings per second of each.
        together: Sensors whose numbers travel in one message: those of one asset.
        hop: Readings of an asset for one prediction.
        daemon_us: Processor time of the daemon for one reading, on the reference machine, in µs.
        broker_us: Processor time of the broker for one reading and its prediction, there, in µs.
        slower: How many times slower a core of the planned machine is than the reference machine's.
        cores: Cores of one gateway that daemons may use.
        broker_cores: Cores that one broker can use: mosquitto has one thread.
        load: Share of a core's time that is planned for; the rest is for peaks and for draining after an outage.
        outage: Seconds without a broker that nothing may be lost in.
        row_bytes: Bytes of one prediction in the outbox, on disk.
        payload_bytes: Bytes of a reading and its prediction on the network, topics and headers included.
        daemon_mb: Resident memory of a daemon without assets, in MB.
        asset_bytes: Memory of one asset in it: its window, and what is kept of it besides.
    """

    sensors: int = 1_000_000
    rate: float = 0.1
    together: float = 1.0
    hop: float = 1.0
    daemon_us: float = 60.0
    broker_us: float = 45.0
    slower: float = 4.0
    cores: int = 3
    broker_cores: int = 1
    load: float = 0.5
    outage: float = 86_400.0
    row_bytes: float = 600.0
    payload_bytes: float = 700.0
    daemon_mb: float = 75.0
    asset_bytes: float = 2350.0


@dataclass(frozen=True)
class Capacity:
    """What the plant needs.

    Attributes:
        messages: Messages with readings per second of the whole plant.
        per_daemon: Messages per second that one daemon is given at most.
        daemons: Daemons, one core each.
        gateways: Machines with `cores` daemons each.
        sensors_per_gateway: Sensors of one of them.
        assets_per_daemon: Streams that one daemon knows: its `max_streams` must allow them.
        gateway_mb: Memory of the daemons of one gateway, in MB.
        brokers: Broker processes.
        wait: Mean seconds that a reading waits for its daemon.
        rows: Predictions that one daemon stores in an outage.
        bytes_stored: Their bytes.
        drain: Seconds until a daemon has sent them, live readings going on; infinite where it never does.
        network: Bytes per second of the whole plant.
    """

    messages: float
    per_daemon: float
    daemons: int
    gateways: int
    sensors_per_gateway: int
    assets_per_daemon: int
    gateway_mb: float
    brokers: int
    wait: float
    rows: float
    bytes_stored: float
    drain: float
    network: float


def plan(plant: Plant) -> Capacity:
    """Work out what a plant needs.

    Raises:
        ValueError: An input is not greater than 0, or `load` is not less than 1.
    """
    _refuse_nonsense(plant)
    messages = plant.sensors * plant.rate / plant.together
    service = plant.daemon_us * plant.slower * _MICRO
    broker_rate = plant.load * plant.broker_cores / (plant.broker_us * plant.slower * _MICRO)
    daemons = math.ceil(messages * service / plant.load)
    gateways = math.ceil(daemons / plant.cores)
    live = messages / daemons
    rows = live * plant.outage / plant.hop
    assets = math.ceil(plant.sensors / plant.together / daemons)
    return Capacity(
        messages=messages,
        per_daemon=plant.load / service,
        daemons=daemons,
        gateways=gateways,
        sensors_per_gateway=math.ceil(plant.sensors / gateways),
        assets_per_daemon=assets,
        gateway_mb=min(daemons, plant.cores) * (plant.daemon_mb + assets * plant.asset_bytes / 1e6),
        brokers=math.ceil(messages / broker_rate),
        wait=waiting_time(live, service),
        rows=rows,
        bytes_stored=rows * plant.row_bytes,
        drain=drain_time(live, 1 / service, plant.outage),
        network=messages * plant.payload_bytes,
    )


def waiting_time(arrivals: float, service: float) -> float:
    """Return the mean wait before service in an M/D/1 queue, in seconds; infinite from full load on.

    Args:
        arrivals: Per second, at random and independent.
        service: Seconds for each.
    """
    load = arrivals * service
    return math.inf if load >= 1 else load * service / (2 * (1 - load))


def drain_time(arrivals: float, capacity: float, outage: float) -> float:
    """Return the seconds from the end of an outage until nothing is left over from it, live arrivals going on.

    Args:
        arrivals: Messages per second, during and after the outage.
        capacity: Messages per second that can be sent, greater than 0.
        outage: Seconds.
    """
    return math.inf if arrivals >= capacity else arrivals * outage / (capacity - arrivals)


@dataclass(frozen=True)
class Observed:
    """What a simulated queue did: mean wait in seconds without an outage, rows left by it, seconds to drain them."""

    wait: float
    rows: int
    drain: float


def simulate(arrivals: float, service: float, outage: float, *, messages: int = 20_000, seed: int = 1) -> Observed:
    """Send messages one by one through a queue with one server, undisturbed, and then with an outage before them.

    Args:
        arrivals: Per second, at random and independent; times `service` less than 1.
        service: Seconds for each.
        outage: Seconds, at the beginning of the second pass, in which nothing is served.
        messages: Of the undisturbed pass.
        seed: Of the arrivals.
    """
    source = random.Random(seed)  # noqa: S311 - arrivals, not secrets
    now = free = waited = 0.0
    for _ in range(messages):
        now += source.expovariate(arrivals)
        waited += max(free - now, 0.0)
        free = max(free, now) + service
    return Observed(waited / messages, *_simulated_outage(source, arrivals, service, outage))


def _simulated_outage(source: random.Random, arrivals: float, service: float, outage: float) -> tuple[int, float]:
    """Return how many messages came in the outage, and the seconds until the queue was empty for the first time."""
    coming, waiting = source.expovariate(arrivals), 0
    while coming < outage:
        waiting += 1
        coming += source.expovariate(arrivals)
    rows, now = waiting, outage
    while waiting:
        waiting -= 1
        now += service
        while coming <= now:
            waiting += 1
            coming += source.expovariate(arrivals)
    return rows, now - outage


def page(plant: Plant, found: Capacity) -> str:
    """Return inputs and results as lines."""
    given = [f"  {field.name:<20} {getattr(plant, field.name):g}" for field in fields(plant)]
    lines = [
        ("messages per second", f"{found.messages:.0f}"),
        ("messages per second and daemon, at most", f"{found.per_daemon:.0f}"),
        ("daemons", f"{found.daemons}"),
        ("gateways", f"{found.gateways}"),
        ("sensors per gateway", f"{found.sensors_per_gateway}"),
        ("assets (streams) per daemon", f"{found.assets_per_daemon}"),
        ("memory of a gateway's daemons", f"{found.gateway_mb:.0f} MB"),
        ("brokers", f"{found.brokers}"),
        ("mean wait of a reading for its daemon", f"{found.wait * 1e6:.0f} µs"),
        ("rows stored per daemon in the outage", f"{found.rows:.0f}"),
        ("outbox per daemon", f"{found.bytes_stored / _MEBI:.1f} MiB"),
        ("time to drain it", f"{found.drain:.0f} s ({found.drain / plant.outage:.2f} x the outage)"),
        ("network, all of the plant", f"{found.network * 8 / 1e6:.1f} Mbit/s"),
    ]
    return "\n".join(["given:", *given, "predicted:", *(f"  {name:<42} {value}" for name, value in lines)])


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what a plant needs; with ``--simulate`` also what one simulated daemon of it did."""
    parser = argparse.ArgumentParser("python -m benchmarks.capacity", description="How many daemons and brokers.")
    for field in fields(Plant):
        kind = int if isinstance(field.default, int) else float
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=field.default, help="%(default)s")
    parser.add_argument("--simulate", action="store_true", help="send one daemon's messages through, one by one")
    options = vars(parser.parse_args(arguments))
    with_simulation = options.pop("simulate")
    plant = Plant(**options)
    try:
        found = plan(plant)
    except ValueError as error:
        parser.error(str(error))
    sys.stdout.write(page(plant, found) + "\n")
    if with_simulation:
        live = found.messages / found.daemons
        outage = min(plant.outage, _MOST_SIMULATED / live)
        seen = simulate(live, plant.daemon_us * plant.slower * _MICRO, outage)
        drained = f"{seen.rows} rows in an outage of {outage:.0f} s, drained in {seen.drain:.0f} s"
        words = f"wait {seen.wait * 1e6:.0f} µs; {drained} ({seen.drain / outage:.2f} x the outage)"
        sys.stdout.write(f"simulated, one daemon: {words}\n")
    return 0


def _refuse_nonsense(plant: Plant) -> None:
    odd = [field.name for field in fields(plant) if not getattr(plant, field.name) > 0]
    if odd:
        raise ValueError(f"{', '.join(odd)} must be greater than 0")
    if plant.load >= 1:
        raise ValueError("load must be less than 1: a core that is full never catches up")


if __name__ == "__main__":
    sys.exit(main())
