"""The manifest: everything a device needs to know about a package before it opens a model."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

from edge_runtime.inference.engine import Tensor
from edge_runtime.inference.features import Features
from edge_runtime.inference.postprocess import Decision
from edge_runtime.inference.preprocess import Preprocess

FORMAT = 1
FEATURES_FORMAT = 2  # of a package whose windows become features: readers of format 1 must not serve it without them
MOST_THREADS = 256

Label: TypeAlias = Literal["measured", "emulated", "predicted", "published"]
Quantity: TypeAlias = Literal["time", "instructions", "formulas"]
Provider: TypeAlias = Literal["cpu", "cuda", "tensorrt"]


class Accuracy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A variant's quality in the user's metric, on his evaluation data.

    Attributes:
        metric: Name of the metric.
        value: The variant's value; `low` and `high` are its bootstrap interval at `confidence`.
        reference: The float32 model's value on the same samples.
        loss: How much worse than that, in the metric's own numbers; negative is better.
        loss_low: Lower end of the paired bootstrap interval of the loss.
        loss_high: Upper end of it.
        samples: Number of evaluation samples.
        confidence: Coverage of the interval, for instance 0.95.
    """

    metric: str
    value: float
    low: float
    high: float
    reference: float
    loss: float
    loss_low: float
    loss_high: float
    samples: int
    confidence: float


class Latency(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Milliseconds of one inference at batch 1, and how it compares with float32 in the same interleaved run.

    Attributes:
        milliseconds: Median time; None where it is not measured: a prediction is a direction, never milliseconds.
        speedup: Median of float32 time / variant time over the rounds; `low` and `high` are its 95 % interval.
        threads: Intra-op threads used.
        label: How the number came about.
        machine: What it was measured on, or predicted for.
        quantity: What `speedup` is the ratio of: time, executed instructions (float32 / variant), or the times that
            formulas predict.
    """

    milliseconds: float | None
    speedup: float
    low: float
    high: float
    threads: int
    label: Label
    machine: str
    quantity: Quantity = "time"


class Tolerance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far an output may lie from its golden value: ``absolute + relative * |golden|``."""

    absolute: float
    relative: float


class Needs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a machine must be so that a variant computes right on it; empty where anything does.

    Attributes:
        isa: Architectures as the kernel names them, one of which it must be: ``x86_64``, ``aarch64``.
        features: Instruction-set words of /proc/cpuinfo, one of which it must have.
    """

    isa: tuple[str, ...] = ()
    features: tuple[str, ...] = ()


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a variant was seen to compute at one place.

    Attributes:
        place: Where: ``local``, ``ssh://…`` or ``emulated:raspberry-pi-4``.
        label: How the figures came about: ``measured`` on a machine, ``emulated`` under its instruction set.
        machine: In words.
        engine: Name and version of what executed it.
        samples: Samples compared.
        exact: Whether every output equals, bit for bit, the one computed where the package was built.
        agreement_db: Signal to noise of the outputs against those, in dB; None where they are equal.
        accuracy: The metric there; None where it was not computed.
    """

    place: str
    label: Label
    machine: str
    engine: str
    samples: int
    exact: bool
    agreement_db: float | None = None
    accuracy: float | None = None


class Variant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One form of the model inside the package.

    Attributes:
        name: Short name such as ``cpu-u8s8``; also the prefix of its golden outputs.
        file: Member that holds the ONNX model.
        precision: What the weights and activations are, in words.
        tolerance: Allowed distance from the golden outputs.
        session: Extra onnxruntime session config entries it was measured with.
        threads: Intra-op threads it was measured with.
        accuracy: None where no evaluation data were given.
        latency: None where nothing was measured.
        engine: What executes it: ``onnxruntime`` or ``openvino``.
        provider: What the engine executes it on: ``cpu``, ``cuda`` or ``tensorrt``.
        needs: Where it computes right.
        evidence: Where it was seen to.
    """

    name: str
    file: str
    precision: str
    tolerance: Tolerance
    session: dict[str, str] = {}
    threads: Annotated[int, msgspec.Meta(ge=1, le=MOST_THREADS)] = 1
    accuracy: Accuracy | None = None
    latency: Latency | None = None
    engine: str = "onnxruntime"
    provider: Provider = "cpu"
    needs: Needs = Needs()
    evidence: tuple[Evidence, ...] = ()


class Golden(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Samples whose outputs a device must reproduce before it serves.

    Attributes:
        file: Member, an .npz with ``input/NAME`` and ``output/VARIANT/NAME`` arrays, all float-safe, no pickles.
        samples: Number of samples, along the first axis of every batched array.
        synthetic: True where the user gave no data and the inputs are seeded noise: good for comparing machines,
            worthless for judging accuracy.
    """

    file: str
    samples: int
    synthetic: bool


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Size in bytes and SHA-256 (lower-case hex) of one member of the archive."""

    size: int
    sha256: str


class Rejected(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A candidate that was tried and not taken, and why."""

    name: str
    reason: str


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the package came from: digests of what went in, versions of what worked on it.

    Attributes:
        model: File name of the user's model.
        model_sha256: Its digest, external data included.
        calibration_sha256: Digest of the calibration arrays, None where none were given.
        evaluation_sha256: Likewise.
        tools: Tool name -> version.
    """

    model: str
    model_sha256: str
    calibration_sha256: str | None
    evaluation_sha256: str | None
    tools: dict[str, str]


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole description of a package; docs/package-format.md explains each field.

    `members` names every member but the manifest itself and the signatures over it. `features` is unset where the
    model takes the window itself; such packages have format 1, the others format 2.
    """

    format: int
    name: str
    version: int
    target: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    preprocess: Preprocess
    variants: tuple[Variant, ...]
    golden: Golden
    chosen_because: str
    rejected: tuple[Rejected, ...]
    source: Source
    decision: Decision | None = None
    members: dict[str, Member] = {}
    features: Features | msgspec.UnsetType = msgspec.UNSET  # left out, not null: packages without are as ever

    @property
    def label(self) -> str:
        """Return name and version as published in messages, for instance ``turbofan v3``."""
        return f"{self.name} v{self.version}"

    @property
    def needed_format(self) -> int:
        """Return the format that says all of it: 2 with features, else 1."""
        return FORMAT if self.computed is None else FEATURES_FORMAT

    @property
    def computed(self) -> Features | None:
        """Return the features that are computed of a window, None where the model takes the window itself."""
        return self.features if isinstance(self.features, Features) else None
