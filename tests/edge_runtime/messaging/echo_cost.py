"""What one echoed message costs, with the naive script and each wire in turn, on a private mosquitto.

    python tests/edge_runtime/messaging/echo_cost.py [ROUNDS]

Closed loop: at most 100 messages are on their way; each is 149 bytes and is published again on another topic by the
echoing process, whose processor time is what is counted. The wires echo without inference, so this is the cost of MQTT.
docs/decisions/0006-mqtt-wire.md has the results.
"""

from __future__ import annotations

import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from edge_runtime.messaging import connection as connection_module
from edge_runtime.messaging.broker import Broker
from edge_runtime.messaging.connection import Connection, Session
from edge_runtime.messaging.message import Message, Outgoing
from edge_runtime.messaging.packets import Encoder, Splitter, puback
from edge_runtime.messaging.paho_wire import PahoWire
from edge_runtime.messaging.split_wire import SplitWire

HOST = "127.0.0.1"
READING = (
    b'{"ts":1700000000.000,"values":[' + b",".join(b"%.9f" % (n / 7) for n in range(8)) + b'],"n":"abcdefghijklmn"}'
)
MESSAGES = 6000
IN_FLIGHT = 100
VARIANTS = ("naive", "paho", "split")


class Echo:
    """A supply of what came in."""

    def __init__(self, qos: int) -> None:
        self._qos = qos
        self._waiting: list[Outgoing] = []
        self.connection: Connection | None = None

    def receive(self, messages: Sequence[Message]) -> None:
        """Take in a batch and acknowledge it."""
        self._waiting += [Outgoing("out", message.payload, self._qos) for message in messages]
        if self._qos and self.connection is not None:
            self.connection.acknowledge(messages)

    def take(self, room: int) -> Sequence[Outgoing]:
        """Return the next ones."""
        taken, self._waiting = self._waiting[:room], self._waiting[room:]
        return taken

    def settle(self, tickets: Sequence[int]) -> None:
        """Nothing is kept."""

    def lose(self, tickets: Sequence[int]) -> None:
        """Take it as done."""
        self.settle(tickets)


def echo(variant: str, port: int, qos: int, protocol: str) -> None:
    """Be the echoing process, until its input ends; report its processor seconds at each line of input."""
    if variant == "naive":
        client = Client(CallbackAPIVersion.VERSION2, client_id="echo")
        client.on_message = lambda c, _user, message: c.publish("out", message.payload, qos)
        client.on_connect = lambda c, *_: c.subscribe("in", qos)
        client.connect(HOST, port)
        client.loop_start()
    else:
        made = {"paho": PahoWire, "split": SplitWire}[variant]
        connection_module.make_wire = made  # type: ignore[assignment]
        supply = Echo(qos)
        session = Session("echo", subscriptions=[("in", qos)], protocol=protocol)  # type: ignore[arg-type]
        connection = Connection(Broker(HOST, port), session, on_messages=supply.receive, supplies=[supply])
        supply.connection = connection
        connection.start()
    for _ in sys.stdin:
        used = resource.getrusage(resource.RUSAGE_SELF)
        sys.stdout.write(f"{used.ru_utime + used.ru_stime}\n")
        sys.stdout.flush()


class Driver:
    """Publishes readings and counts the echoes, over a plain socket."""

    def __init__(self, port: int, qos: int) -> None:
        self._qos = qos
        self._socket = socket.create_connection((HOST, port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._splitter, self._encoder = Splitter(with_properties=False, limit=1 << 20), Encoder(with_properties=False)
        self._socket.sendall(b"\x10\x12\x00\x04MQTT\x04\x02\x00\x00\x00\x06driver" + bytes([0x82, 8, 0, 1, 0, 3]))
        self._socket.sendall(b"out" + bytes([qos]))
        self._mid = 0
        seen: list[bytes] = []
        while not any(packet[0] == 0x90 for packet in seen):
            seen += self._splitter.split(self._socket.recv(65536)).others

    def run(self, count: int) -> None:
        """Let so many readings go round."""
        sent = back = 0
        while back < count:
            batch = []
            while sent < count and sent - back < IN_FLIGHT:
                self._mid = self._mid % 0x7FFF + 1
                batch.append((0x8000 | self._mid, Outgoing("in", READING, self._qos)))
                sent += 1
            if batch:
                self._socket.sendall(self._encoder.publish(batch))
            messages = self._splitter.split(self._socket.recv(1 << 16)).messages
            back += len(messages)
            if self._qos:
                self._socket.sendall(puback([message.mid for message in messages]))


def measure(variant: str, port: int, qos: int, protocol: str) -> tuple[float, float]:
    """Return processor microseconds a message and messages a second of one run."""
    command = [sys.executable, __file__, "--echo", variant, str(port), str(qos), protocol]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def used() -> float:
            process.stdin.write("\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            return float(process.stdout.readline())  # type: ignore[union-attr]

        used()
        time.sleep(0.5)  # its subscription
        driver = Driver(port, qos)
        driver.run(500)
        before, begin = used(), time.monotonic()
        driver.run(MESSAGES)
        seconds, cost = time.monotonic() - begin, used() - before
        process.stdin.close()
    return cost / MESSAGES * 1e6, MESSAGES / seconds


def main(rounds: int) -> None:
    """Print the median of each variant, the rounds interleaved."""
    say: Callable[[str], object] = sys.stdout.write
    with tempfile.TemporaryDirectory() as folder:
        with socket.create_server((HOST, 0)) as free:
            port = int(free.getsockname()[1])
        config = Path(folder) / "mosquitto.conf"
        config.write_text(
            f"listener {port} {HOST}\nallow_anonymous true\nuser root\nset_tcp_nodelay true\n"
            "max_inflight_messages 0\nmax_queued_messages 0\npersistence false\n"
        )
        broker = subprocess.Popen(["/usr/sbin/mosquitto", "-c", config], stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        try:
            for qos, protocol, variants in _cases():
                found: dict[str, list[tuple[float, float]]] = {variant: [] for variant in variants}
                for _ in range(rounds):
                    for variant in variants:
                        found[variant].append(measure(variant, port, qos, protocol))
                for variant, runs in found.items():
                    cost, rate = (statistics.median(column) for column in zip(*runs, strict=True))
                    low, high = min(run[0] for run in runs), max(run[0] for run in runs)
                    line = f"QoS {qos} MQTT {protocol:5} {variant:6} {cost:6.1f} us/message ({low:.1f} to {high:.1f}), "
                    say(f"{line}{rate:.0f}/s, load {os.getloadavg()[0]:.1f}\n")
        finally:
            broker.terminate()
            broker.wait()


def _cases() -> Iterator[tuple[int, str, tuple[str, ...]]]:
    yield 0, "3.1.1", VARIANTS
    yield 1, "3.1.1", VARIANTS
    yield 0, "5", ("paho", "split")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--echo"]:
        echo(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
