"""The composition root: builds the parts, owns threads and signals, and takes them down in order."""

#   network thread ──readings──► [bounded queue] ──► worker (per pipeline) ──► outbox ──► network thread,
#   one loop over                policy named,       decode, window,           memory,    or the worker itself
#   socket and bell              drops counted       infer, judge              then disk  while that waits

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Literal

from edge_runtime.assemble import Assembled, Loaded, assemble
from edge_runtime.broker_settings import broker_of, client_id
from edge_runtime.config_options import Config
from edge_runtime.errors import EnvironmentFault
from edge_runtime.installation import own_version
from edge_runtime.judge_store import JudgeStore
from edge_runtime.messaging.connection import Connection, Session, Will
from edge_runtime.messaging.json_payload import Status, encode, rfc3339
from edge_runtime.messaging.message import Message
from edge_runtime.messaging.outbox.build import Outboxes, gap_message
from edge_runtime.messaging.outbox.row import Gap
from edge_runtime.messaging.topics import fill
from edge_runtime.monitoring.caretaker import Caretaker
from edge_runtime.monitoring.health import DaemonHealth
from edge_runtime.monitoring.reporter import Run, Seen
from edge_runtime.option_types import seconds
from edge_runtime.sources.mqtt import Intake
from edge_runtime.state_folder import StateFolder, socket_file
from edge_runtime.window_saver import WindowSaver
from edge_runtime.window_store import WindowStore
from edge_runtime.worker import Surroundings, Worker, log_choice

log = logging.getLogger(__name__)

_FINISH_SECONDS = 3.5  # how long a clean stop waits for queued readings and for acknowledgements
_GOODBYE_SECONDS = 0.5
_LOOK_SECONDS = 0.01
_FIRST_RETRY_SECONDS = 1.0


class Daemon:
    """Serves the pipelines of one configuration.

    Args:
        path: The configuration file.
        config: What it says.
        state: Its state folder, held.

    Raises:
        EdgeoptError: A package or the broker's settings cannot be used; nothing was started.
    """

    def __init__(self, path: Path, config: Config, state: StateFolder) -> None:
        self._config, self._state_folder = config, state
        self._boot = uuid.uuid4().hex[:12]
        self._began = time.monotonic()
        self._since = rfc3339(time.time())
        self._stop_wishes: SimpleQueue[None] = SimpleQueue()  # its put, unlike Event.set, may interrupt its own get
        self._failure: Exception | None = None
        self._connects = self._bad_acks = 0
        self._state: Literal["online", "stopped"] = "online"
        self._caretaker = self._make_caretaker(socket_file(state.folder, path.stem))
        self._caretaker.begins()
        loaded: Loaded = {}
        self._assembled = [assemble(pipeline, path.parent, loaded, state.folder) for pipeline in config.pipeline]
        self._store = WindowStore(state.folder / f"{path.stem}.windows")
        self._judges = JudgeStore(state.folder / f"{path.stem}.judged")
        names = [pipeline.name for pipeline in config.pipeline]
        self._saver = WindowSaver(self._store, seconds(config.state.save_every), names, self._supervise)
        self._intake = Intake()
        self._ack_topic = self._topic("ack")
        self._outboxes = Outboxes(self._config, state.folder, self._boot, wake=self._offer, on_gap=self._publish_gaps)
        self._connection = self._make_connection(path.parent)
        self._workers = {one.config.name: self._make_worker(one) for one in self._assembled}
        self._caretaker.pulses.watch("network", self._network_turns)

    def stop(self) -> None:
        """Ask for a clean stop; `run` returns soon after. Safe to call from a signal handler."""
        self._stop_wishes.put(None)

    def run(self) -> None:
        """Serve until `stop` is called.

        Raises:
            EnvironmentFault: The broker cannot be reached at start and `broker.startup` is "error"; or
                E-DAEMON-WORKER, a thread met an error nobody foresaw.
        """
        before, threading.excepthook = threading.excepthook, self._note_failure
        try:
            self._serve()
        finally:
            threading.excepthook = before
            self._caretaker.ends()
        if self._failure is not None:
            raise EnvironmentFault(
                "E-DAEMON-WORKER",
                f"stopped by an unforeseen error: {type(self._failure).__name__}: {self._failure}",
                "run with --debug and report what it shows",
            ) from self._failure

    def _serve(self) -> None:
        self._store.restore({one.config.name: one.pipeline.gatherer.windows for one in self._assembled})
        self._judges.restore(self._assembled, time.monotonic())
        for assembled in self._assembled:
            log_choice(assembled.config.name, assembled.served)
        takers = [(one.topic, self._workers[one.config.name].queue) for one in self._assembled]
        self._intake.open(takers, self._connection.acknowledge)
        self._outboxes.start()
        for worker in self._workers.values():
            worker.start()
        self._caretaker.opens()
        if self._connect():
            self._store.begin()
            self._judges.begin()
            self._saver.start()
            self._caretaker.is_ready()
            self._keep_house()
            self._caretaker.stops()
            self._shut_down()

    def _keep_house(self) -> None:
        """Publish health and feed the watchdog until the stop."""
        due = 0.0
        while True:
            health = self._caretaker.feed()
            if health.uptime_s >= due:
                self._publish_health(health)
                due = health.uptime_s + health.interval_s
            if self._stopped_within(self._caretaker.tick_seconds):
                return

    def _make_caretaker(self, socket: Path) -> Caretaker:
        health = self._config.health
        run = Run(
            boot=self._boot,
            began=self._began,
            version=own_version(),
            interval_s=seconds(health.interval),
            silence_s=seconds(health.silence),
            unclean_starts=self._state_folder.unclean_starts,
        )
        return Caretaker(run, self._see, socket, self._supervise)

    def _see(self, now: float) -> Seen:
        return Seen(
            link=self._connection.health(),
            pipelines={name: worker.health(now) for name, worker in self._workers.items()},
            unacknowledged=self._connection.unacknowledged(),
            duplicates=self._intake.duplicates,
            retained=self._intake.retained,
            unclaimed=self._intake.unclaimed,
            unreadable_acks=self._bad_acks,
            refused_subscriptions=self._connection.refused_subscriptions,
            state_files_damaged=self._store.damaged + self._judges.damaged,
            fallbacks=sum(one.served.fallback is not None for one in self._assembled),
        )

    def _network_turns(self) -> int | None:
        """Let the network thread turn, and return how often it has; without a connection it may wait for one."""
        self._connection.wake()
        return self._connection.turns if self._connection.connected else None

    def _make_connection(self, folder: Path) -> Connection:
        config = self._config
        wanted: dict[str, int] = {}
        for one in self._assembled:
            asked = one.topic.subscription
            wanted[asked] = max(wanted.get(asked, 0), one.config.source.qos)
        if self._outboxes.wants_acks:
            wanted[self._ack_topic] = 1
        session = Session(
            client_id=client_id(config),
            clean=False,  # the broker keeps readings while the daemon is away
            will=Will(self._topic("status"), encode(Status("offline", self._boot, self._since))),
            subscriptions=tuple(wanted.items()),
            reconnect_max_seconds=round(seconds(config.broker.reconnect_max)),
            protocol=config.broker.protocol,
            expiry_seconds=round(seconds(config.broker.session_expiry)),
        )
        return Connection(
            broker_of(config, folder),
            session,
            on_messages=lambda messages: self._supervise(partial(self._receive, messages)),
            on_connected=lambda: self._supervise(self._announce),
            supplies=self._outboxes.supplies,
            may_read=lambda: self._intake.may_read,
        )

    def _receive(self, messages: Sequence[Message]) -> None:
        """Take in what was read from the network: readings, and what subscribers say they have."""
        if self._outboxes.wants_acks:
            acks = [message for message in messages if message.topic == self._ack_topic]
            for message in acks:
                self._bad_acks += not self._outboxes.acknowledge(message.payload)
            if acks:
                self._connection.acknowledge(acks)
                messages = [message for message in messages if message.topic != self._ack_topic]
        self._intake.receive(messages)

    def _publish_gaps(self, gaps: Sequence[Gap]) -> None:
        if not self._connection.publish(self._topic("gap"), gap_message(gaps)):
            log.error("not announced, as too much waits for the broker: %d gaps in what was predicted", len(gaps))

    def _offer(self) -> None:
        self._connection.offer()  # made after the outboxes, which it takes from

    def _make_worker(self, assembled: Assembled) -> Worker:
        around = Surroundings(
            outbox=self._outboxes.of[assembled.config.name],
            done=self._intake.done,
            room=self._connection.wake,
            topic_of=partial(self._prediction_topic, assembled.config.name),
            boot=self._boot,
            between=self._saver.offer,
            supervise=self._supervise,
            pulse=self._caretaker.pulses.add(f"pipeline {assembled.config.name}"),
        )
        return Worker(assembled, around)

    def _connect(self) -> bool:
        """Connect for the first time; False where the stop came before the broker did."""
        pause = _FIRST_RETRY_SECONDS
        while True:
            try:
                self._connection.start()
                return True
            except EnvironmentFault as error:
                if self._config.broker.startup == "error":
                    raise
                log.warning("%s; next try in %.0f s", error, pause)
                self._caretaker.waits(error.message, pause)
            if self._stopped_within(pause):
                return False
            pause = min(2 * pause, seconds(self._config.broker.reconnect_max))

    def _stopped_within(self, duration: float) -> bool:
        """Wait so many seconds for the wish to stop."""
        try:
            self._stop_wishes.get(timeout=duration)
        except Empty:
            return False
        return True

    def _announce(self) -> None:
        """Say the state after every connect: the broker may have published the will, or forgotten everything."""
        self._connects += 1
        log.info("connected to the broker, %s", "first time" if self._connects == 1 else f"time {self._connects}")
        self._publish_status()
        self._publish_health(self._caretaker.report())
        self._outboxes.reconnected()

    def _publish_status(self) -> None:
        status = Status(self._state, self._boot, rfc3339(time.time()))
        self._connection.publish_state(self._topic("status"), encode(status))

    def _publish_health(self, health: DaemonHealth) -> None:
        self._connection.publish_state(self._topic("health"), encode(health))

    def _shut_down(self) -> None:
        """Finish what was taken in, say so, and go; what was not taken in stays with the broker."""
        end = time.monotonic() + _FINISH_SECONDS
        self._intake.close()
        for name, worker in self._workers.items():
            left = worker.finish(max(end - time.monotonic(), 0.0))
            if left:
                log.error("%s had no time for %d readings; those of QoS 1 stay with the broker", name, left)
        # A worker that hangs in its model may still change its windows.
        settled = [one for one in self._assembled if not self._workers[one.config.name].is_running]
        self._saver.stop()
        self._store.save({one.config.name: one.pipeline.gatherer.windows.tails() for one in settled}, clean=True)
        self._judges.save(settled, time.monotonic())
        self._deliver(end)
        last = self._caretaker.report()
        self._publish_health(last)
        self._state_folder.last_words = encode(last)
        self._state = "stopped"  # also what a reconnect says from here on
        self._publish_status()
        self._connection.flush(_GOODBYE_SECONDS)
        self._connection.stop()
        log.info("stopped")

    def _deliver(self, end: float) -> None:
        """Send what waits in memory until so many monotonic seconds; store the rest, or say that it is lost."""
        while self._connection.connected and self._outboxes.waiting() and time.monotonic() < end:
            time.sleep(_LOOK_SECONDS)
        if not self._outboxes.close(max(end - time.monotonic(), _GOODBYE_SECONDS)):
            log.error("lost: %d predictions that could not be stored", self._outboxes.waiting())

    def _supervise(self, work: Callable[[], None]) -> None:
        """Run what a thread is for; whatever ends it early ends the daemon, with the reason, not in silence."""
        try:
            work()
        except Exception as error:  # noqa: BLE001 - the one place that must see every failure of a thread
            self._failure = error
            self.stop()

    def _note_failure(self, failed: threading.ExceptHookArgs) -> None:
        """Do the same for threads that others begin: network and disk."""
        if isinstance(failed.exc_value, Exception):
            self._failure = failed.exc_value
        self.stop()

    def _topic(self, kind: str) -> str:
        node = self._config.node
        return fill(getattr(self._config.topics, kind), {"site": node.site, "node": node.name})

    def _prediction_topic(self, pipeline: str, stream: str) -> str:
        node = self._config.node
        values = {"site": node.site, "node": node.name, "pipeline": pipeline, "stream": stream}
        return fill(self._config.topics.prediction, values)
