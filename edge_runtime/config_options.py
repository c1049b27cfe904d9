"""What can be configured, as frozen structs; sample.toml explains every option."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from edge_runtime.decision_options import AlarmConfig, QualityConfig, ReportConfig
from edge_runtime.delivery_options import DeliveryConfig, OutboxConfig
from edge_runtime.inference.postprocess import Decision
from edge_runtime.option_types import Duration, Size
from edge_runtime.package.choice import Selection
from edge_runtime.package.manifest import Provider
from edge_runtime.sources.reading_queue import Policy
from edge_runtime.stream.decode import Format
from edge_runtime.stream.rules import WhenFull
from edge_runtime.window_options import Count, WindowConfig

# What people write wrongly is explained with the description.
Name: TypeAlias = Annotated[
    str,
    Meta(pattern=r"^[^/+#\x00-\x1f]+\Z", max_length=128, description="1 to 128 characters on one line, without / + #"),
]
ClientId: TypeAlias = Annotated[
    str, Meta(pattern=r"^[^\x00-\x1f]*\Z", max_length=128, description="at most 128 characters on one line")
]


class Node(Struct, frozen=True):
    """Who this device is in topics and messages."""

    name: Name
    site: Name = "default"


class BrokerConfig(Struct, frozen=True):
    """The broker; see `messaging.connection.Broker`."""

    url: str
    client_id: ClientId = ""
    username: str | None = None
    password_file: str | None = None
    keepalive: Duration = "30s"
    reconnect_max: Duration = "60s"
    startup: Literal["error", "retry"] = "error"
    protocol: Literal["3.1.1", "5", "auto"] = "3.1.1"
    session_expiry: Duration = "1h"


class Topics(Struct, frozen=True):
    """Where the daemon publishes; placeholders are filled from node and pipeline."""

    status: str = "edgeopt/{site}/{node}/status"
    health: str = "edgeopt/{site}/{node}/health"
    prediction: str = "edgeopt/{site}/{node}/pred/{pipeline}/{stream}"
    gap: str = "edgeopt/{site}/{node}/gap"
    ack: str = "edgeopt/{site}/{node}/ack"


class Health(Struct, frozen=True):
    """How often health is published."""

    interval: Duration = "10s"


class State(Struct, frozen=True):
    """Where the daemon keeps what must outlive a restart."""

    folder: str = "state"
    save_every: Duration = "60s"


class Source(Struct, frozen=True):
    """Where readings come from and what they look like."""

    topic: str
    fields: tuple[str, ...] = ()
    array: str | None = None
    length: Count | None = None
    time_field: str | None = None
    format: Format = "json"
    qos: Literal[0, 1] = 1
    share: Name | None = None
    max_payload: Size = "1MiB"
    max_streams: Count = 1000
    when_full: WhenFull = "reject"
    idle: Duration | None = None


class Queue(Struct, frozen=True):
    """Readings between network and inference; without a policy QoS 1 readings block and QoS 0 drop the oldest."""

    size: Count = 1000
    policy: Policy | None = None


class Batch(Struct, frozen=True):
    """How many readings that wait are worked on together, and for how long the first of them waits for more."""

    max: Annotated[int, Meta(ge=1, le=1024, description="a whole number from 1 to 1024")] = 32
    linger: Duration = "0ms"


class ModelConfig(Struct, frozen=True):
    """Which of a package's variants serves, and on what; see `package.choice.Wishes`."""

    variant: str = ""
    selection: Selection = "first"
    providers: tuple[Provider, ...] = ()
    fallback: Literal["error", "allowed"] = "error"
    engines: tuple[str, ...] = ()


class PipelineConfig(Struct, frozen=True):
    """One model on one kind of stream."""

    name: Name
    package: str
    source: Source
    window: WindowConfig = WindowConfig()
    decision: Decision | None = None
    output: str | None = None
    queue: Queue = Queue()
    batch: Batch = Batch()
    model: ModelConfig = ModelConfig()
    delivery: DeliveryConfig = DeliveryConfig()
    alarm: AlarmConfig = AlarmConfig()
    report: ReportConfig = ReportConfig()
    quality: QualityConfig = QualityConfig()


class Config(Struct, frozen=True):
    """A whole configuration file."""

    schema: int
    node: Node
    broker: BrokerConfig
    pipeline: Annotated[tuple[PipelineConfig, ...], Meta(min_length=1)]
    topics: Topics = Topics()
    health: Health = Health()
    state: State = State()
    outbox: OutboxConfig = OutboxConfig()
