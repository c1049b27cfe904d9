"""A plant, a broker, a daemon and a control room, each real, wired up for a fault to be done to them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import sum_package
from daemons import COMMAND, Daemon
from faults.gauges import disk_kib, rss_mib
from faults.kept_broker import KeptBroker
from faults.ledger import Verdict, unaccounted
from faults.plant import WINDOW, Plant
from faults.proxy import HOST, Proxy
from faults.result import Result
from faults.settings import configuration
from faults.subscriber import Subscriber
from faults.witness import Witness

READY_SECONDS = 30.0
_QUIET_SECONDS = 30.0  # without any progress for so long, what is still missing counts as lost; longest pause: 20 s
IN_FLIGHT = 100  # messages between the daemon and the broker at most
UNACKNOWLEDGED = 1000  # messages sent and not acknowledged end to end at most; sent again after a crash or reconnect


@dataclass(frozen=True)
class Setup:
    """How a rig is wired.

    Attributes:
        delivery: What the pipeline promises.
        proxied: Whether a fault proxy stands between daemon and broker.
        rate: Readings per second.
        keepalive: The daemon's, as configured.
        state: Where the daemon keeps its state, None for a folder beside its configuration.
        disk_bound: Most the outbox may keep on disk, as configured; None for the default.
        when_full: What happens at that bound.
        broker: Arguments of `KeptBroker`.
        environment: For the daemon.
        command: What is called as the daemon, in front of its arguments.
    """

    delivery: str = "broker"
    proxied: bool = False
    rate: float = 100.0
    keepalive: str = "30s"
    state: Path | None = None
    disk_bound: str | None = None
    when_full: str | None = None
    broker: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    command: Sequence[str] = tuple(COMMAND)


class Rig:
    """Everything running, from `with` on: the daemon ready, the sensors sending.

    Attributes:
        max_rss_mib: Highest resident set of the daemon seen.
        base_rss_mib: The same once it was first ready.
        max_disk_kib: Most bytes seen in its state folder.
        ready_seconds: How long its starts took.
    """

    def __init__(self, folder: Path, setup: Setup, seed: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.setup, self.folder = setup, folder
        self.broker = KeptBroker(folder / "broker", **setup.broker)
        self.state = setup.state or folder / "state"
        self.log_file = folder / "daemon.log"
        self.max_rss_mib = self.base_rss_mib = self.max_disk_kib = 0.0
        self.ready_seconds: list[float] = []
        self.daemon: Daemon | None = None
        self.witness = Witness()
        self._seed = seed
        self._ending = contextlib.ExitStack()

    def __enter__(self) -> Rig:
        with contextlib.ExitStack() as ending:
            self.broker.start()
            ending.callback(self.broker.stop)
            self.proxy = Proxy(self.broker.port, self._seed)
            self.proxy.rule = self.witness
            ending.callback(self.proxy.close)
            self._configure()
            self.subscriber = ending.enter_context(
                Subscriber(self.broker.port, acknowledging=self.setup.delivery == "end_to_end")
            )
            ending.callback(self._kill_daemon)
            if self.start_daemon() is None:
                raise RuntimeError(f"the daemon does not start: {self.log[-500:]}")
            ending.callback(threading.Event.set, self._watch())
            self.plant = ending.enter_context(
                Plant(self.broker.port, self.subscriber.sent, self.subscriber.acknowledged, self.setup.rate)
            )
            self._ending = ending.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.close()

    @property
    def log(self) -> str:
        """Return what the daemons have written."""
        return self.log_file.read_text(encoding="utf-8", errors="replace") if self.log_file.exists() else ""

    def start_daemon(self, *, wait: bool = True, environment: Mapping[str, str] | None = None) -> float | None:
        """Start the daemon and return the seconds until it said online, None where it did not."""
        known = {boot for _, boot, _ in self.subscriber.states}
        begin = time.monotonic()
        variables = {"PYTHONFAULTHANDLER": "1", **self.setup.environment, **(environment or {})}
        self.daemon = Daemon(self.config, self.log_file, variables, self.setup.command)
        if not wait:
            return None

        def is_ready() -> bool:
            return any(state == "online" and boot not in known for state, boot, _ in self.subscriber.states)

        daemon = self.daemon
        self.subscriber.wait_for(lambda: is_ready() or not daemon.is_running, READY_SECONDS)
        if not is_ready():
            return None
        taken = time.monotonic() - begin
        self.ready_seconds.append(taken)
        self.base_rss_mib = self.base_rss_mib or rss_mib(self.running.process_id)
        return taken

    def kill_daemon(self) -> None:
        """End the daemon by SIGKILL."""
        self._kill_daemon()

    def stop_daemon(self) -> int | None:
        """End the daemon by SIGTERM and return its exit status; where it hangs, its stacks go to the log first."""
        try:
            return self.running.terminate()
        except subprocess.TimeoutExpired:
            os.kill(self.running.process_id, signal.SIGABRT)
            return self.running.wait()

    @property
    def running(self) -> Daemon:
        """Return the daemon."""
        assert self.daemon is not None
        return self.daemon

    def outbox(self) -> dict[str, Any] | None:
        """Return the outbox's account in the latest health message, None where there is none."""
        pipeline = self.subscriber.health.get("pipelines", {}).get("sum", {})
        found = pipeline.get("outbox")
        return found if isinstance(found, dict) else None

    def arrivals(self) -> int:
        """Return how many different predictions have arrived."""
        return len(self.subscriber.latencies)

    def wait_for_arrivals(self, more: int, seconds: float) -> bool:
        """Tell whether so many more predictions arrived in time."""
        wanted = self.arrivals() + more
        return self.subscriber.wait_for(lambda: self.arrivals() >= wanted, seconds)

    def drain(self) -> None:
        """Stop the sensors and wait until everything has come, or nothing comes any more."""
        self.plant.stop()
        seen, since = -1, time.monotonic()
        while time.monotonic() - since < _QUIET_SECONDS:
            if not (self.plant.unacknowledged or self.subscriber.ledger.outstanding() or self._stored()):
                return
            progress = self.arrivals() - self.plant.unacknowledged - self._stored()
            if progress != seen:
                seen, since = progress, time.monotonic()
            time.sleep(0.1)

    def settle(self, result: Result, *, faults: int, window: int | None = None, broker_loses: bool = False) -> Verdict:
        """Let everything come, stop the daemon, and write the account and the judgement into the result.

        Args:
            result: What to write to.
            faults: How many were done.
            window: Most repeats for each; None for what can be on its way between daemon and control room.
            broker_loses: Whether the broker was made to lose things; then the witness tells whose loss it is.
        """
        self.drain()
        status = self.stop_daemon()
        result.expect(status == 0, f"the daemon ended with {status} at the end: {self.log[-1500:]!r}")
        self.subscriber.wait_for(lambda: bool(self.subscriber.states) and self._last_state() == "stopped", 5.0)
        verdict = self.subscriber.ledger.verdict()
        if broker_loses:
            self._part(result, verdict)
        on_its_way = UNACKNOWLEDGED if self.setup.delivery == "end_to_end" else IN_FLIGHT
        # Mosquitto hands out more than its window of what queued up while the daemon started (107 seen with a window of
        # 20), so that the next kill repeats as many.
        queued = round(self.setup.rate * sum(self.ready_seconds[1:]))
        judge(result, verdict, faults * (WINDOW + on_its_way if window is None else window) + queued)
        self._judge_account(result)
        result.highest("ready s", max(self.ready_seconds, default=None))
        result.highest("max RSS MiB", self.max_rss_mib)
        result.highest("max disk KiB", self.max_disk_kib)
        result.expect(
            self.max_rss_mib <= self.base_rss_mib + 30,
            f"memory grew from {self.base_rss_mib:.0f} to {self.max_rss_mib:.0f} MiB",
        )
        return verdict

    def _part(self, result: Result, verdict: Verdict) -> None:
        """Take the broker's losses out of the verdict, counted."""
        blame = self.witness.blame(verdict, end_to_end=self.setup.delivery == "end_to_end")
        result.add("readings lost in the broker", len(blame.broker))
        result.add("predictions lost in the broker", verdict.missing - len(blame.gaps_by_daemon))
        verdict.lost = blame.daemon
        verdict.gaps = {}
        for key, sequence in blame.gaps_by_daemon:
            verdict.gaps.setdefault(key, []).append(sequence)

    def _judge_account(self, result: Result) -> None:
        outbox = self.outbox()
        if outbox is None:
            result.expect(False, "the health message has no account of the outbox")
            return
        result.expect(unaccounted(outbox) == 0, f"unaccounted: {unaccounted(outbox)} of {outbox}")
        for reason, count in outbox["dropped"].items():
            result.add(f"dropped {reason}", count)

    def _last_state(self) -> str:
        return self.subscriber.states[-1][0]

    def _stored(self) -> int:
        outbox = self.outbox()
        return int(outbox["stored"] + outbox["waiting"]) if outbox else 0

    def _configure(self) -> None:
        sum_package.write(self.folder / "sum.edgepkg")
        self.config = self.folder / "daemon.toml"
        port = self.proxy.port if self.setup.proxied else self.broker.port
        self.config.write_text(configuration(self.setup, f"mqtt://{HOST}:{port}", self.state), encoding="utf-8")

    def _kill_daemon(self) -> None:
        if self.daemon is not None:
            self.daemon.kill()

    def _watch(self) -> threading.Event:
        """Begin to look at memory and disk; setting the event ends it."""
        ending = threading.Event()

        def look() -> None:
            while not ending.wait(0.25):
                with contextlib.suppress(OSError):
                    self.max_rss_mib = max(self.max_rss_mib, rss_mib(self.running.process_id))
                    self.max_disk_kib = max(self.max_disk_kib, disk_kib(self.state))

        threading.Thread(target=look, daemon=True).start()
        return ending


def judge(result: Result, verdict: Verdict, most_repeated: int) -> None:
    """Write a verdict into the result; repeats beyond `most_repeated` are a problem."""
    result.add("accepted", verdict.accepted)
    result.add("lost", verdict.unexplained)
    result.add("dropped and announced", verdict.announced)
    result.add("repeated messages", verdict.repeated_messages)
    result.add("repeated readings", verdict.repeated_readings)
    result.add("gaps", verdict.missing)
    result.expect(
        verdict.unexplained == 0, f"{verdict.unexplained} acknowledged readings lost, among {verdict.lost[:5]}"
    )
    shown = {f"{key.stream}/{key.boot}": holes[:5] for key, holes in verdict.gaps.items()}
    result.expect(not verdict.gaps, f"{verdict.missing} sequence numbers missing unannounced: {shown}")
    repeated = verdict.repeated_messages + verdict.repeated_readings
    result.expect(repeated <= most_repeated, f"{repeated} repeats, more than the windows of {most_repeated}")
    result.problems += verdict.problems[: 30 - len(result.problems)]
