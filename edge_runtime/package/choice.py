"""Which variants of a package a machine can serve, in which order, and why not the others; reads nothing itself."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from devices.gpu import lacks_int8
from devices.host import Host
from edge_runtime.errors import BadInput, EdgeoptError, Refused
from edge_runtime.inference import providers
from edge_runtime.package.manifest import Manifest, Needs, Provider, Variant

Selection: TypeAlias = Literal["first", "fastest"]

# What other systems call the same architectures.
_ALIASES = {"amd64": "x86_64", "arm64": "aarch64"}
_ARM_32 = ("armv6", "armv7", "armv8l")  # as the kernel or a 32-bit system says it


@dataclass(frozen=True)
class Wishes:
    """What the configuration asks of the choice.

    Attributes:
        variant: The only one that may serve, "" for any.
        selection: ``first`` takes the package's order, ``fastest`` times all that are right here.
        engines: The only engines that may execute it; empty for any.
        providers: What it is to run on, the preferred first; empty for whatever its variants name.
        fallback: Whether the processor may stand in where none of those providers is here.
    """

    variant: str = ""
    selection: Selection = "first"
    engines: tuple[str, ...] = ()
    providers: tuple[Provider, ...] = ()
    fallback: bool = False


@dataclass(frozen=True)
class Machine:
    """What the choice needs to know of a machine.

    Attributes:
        host: Its facts.
        engines: Engine -> None where it can be used here, else why not.
        providers: onnxruntime's providers, by its own names.
    """

    host: Host
    engines: Mapping[str, str | None]
    providers: tuple[str, ...]


@dataclass(frozen=True)
class Skipped:
    """A variant that does not serve, and why; `failed` where it was tried here and did not come through."""

    name: str
    reason: str
    failed: bool = False

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@dataclass(frozen=True)
class Choice:
    """The variants worth trying, in order, and the others with their reasons."""

    usable: tuple[Variant, ...]
    skipped: tuple[Skipped, ...]


def choose(manifest: Manifest, machine: Machine, wishes: Wishes) -> Choice:
    """Sort a package's variants by what a machine is and what is asked for.

    Variants of a provider that is asked for come first, in the order of asking; then the package's own order holds.

    Raises:
        BadInput: E-PIPELINE-VARIANT, the package has no variant of the name asked for.
        EnvironmentFault: E-PROVIDER-MISSING, none of the providers asked for is here, and no fallback is allowed.
    """
    if wishes.variant and wishes.variant not in {variant.name for variant in manifest.variants}:
        raise _unknown(manifest, wishes.variant)
    _demand_provider(machine, wishes)
    usable, skipped = [], []
    for variant in manifest.variants:
        reason = next(_against(variant, machine, wishes), None)
        if reason is None:
            usable.append(variant)
        else:
            skipped.append(Skipped(variant.name, reason))
    usable.sort(key=lambda variant: _rank(variant, wishes))
    return Choice(tuple(usable), tuple(skipped))


def nothing_fits(manifest: Manifest, machine: Machine, skipped: Sequence[Skipped], *, unsafe: bool) -> EdgeoptError:
    """Return the error for a package without a variant for a machine.

    Args:
        manifest: The package's.
        machine: The machine.
        skipped: Why each variant cannot serve.
        unsafe: Whether one of them computed something wrong, rather than all of them being for other machines.
    """
    reasons = "; ".join(str(one) for one in skipped)
    message = f"{manifest.label} has nothing to serve on this machine ({machine.host}): {reasons}"
    fix = (
        "build one for it: edgeopt quantize MODEL --target PROFILE, with a profile that `edgeopt quantize --help` "
        "lists, or --target local on this machine; what is missing here can also be installed"
    )
    return (Refused if unsafe else BadInput)("E-PACKAGE-NO-VARIANT", message, fix)


def replaced_provider(wishes: Wishes, machine: Machine, provider: str) -> str | None:
    """Return in words that a provider serves which was not asked for, and why; None where it was, or any would do."""
    if not wishes.providers or provider in wishes.providers:
        return None
    missing = [providers.why_missing(name, machine.providers) for name in wishes.providers]
    reasons = "; ".join(reason for reason in missing if reason) or "no variant for it came through here"
    return f"on {provider} instead of {', '.join(wishes.providers)}: {reasons}"


def _demand_provider(machine: Machine, wishes: Wishes) -> None:
    reasons = [providers.why_missing(name, machine.providers) for name in wishes.providers]
    if reasons and all(reasons) and not wishes.fallback:
        raise providers.missing(wishes.providers[0], "; ".join(reason for reason in reasons if reason))


def _against(variant: Variant, machine: Machine, wishes: Wishes) -> Iterator[str]:
    """Yield why a variant cannot serve, the plainest reason first."""
    if wishes.variant not in {"", variant.name}:
        yield f"the configuration asks for {wishes.variant}"
    if wishes.engines and variant.engine not in wishes.engines:
        yield f"the configuration allows {', '.join(wishes.engines)} only, and it runs in {variant.engine}"
    yield from against_needs(variant.needs, machine.host)
    if variant.engine not in machine.engines:
        yield f"this version of edgeopt knows no engine {variant.engine}"
    unusable = machine.engines.get(variant.engine)
    if unusable:
        yield f"it runs in {variant.engine}, which cannot be used here: {unusable}"
    yield from _against_provider(variant, machine, wishes)


def against_needs(needs: Needs, host: Host) -> Iterator[str]:
    """Yield why a machine cannot compute a variant right, the plainest reason first."""
    machine = _ALIASES.get(host.machine.lower(), host.machine)
    if needs.isa and machine not in needs.isa:
        hint = ""
        if machine.startswith(_ARM_32):
            hint = "; onnxruntime publishes no 32-bit ARM build: install a 64-bit system"
        yield f"it is for {' or '.join(needs.isa)}, and this machine is {machine}{hint}"
    if needs.features and not host.features.intersection(needs.features):
        known = "the kernel names none of this processor" if not host.features else "this processor has not"
        yield f"it needs {' or '.join(needs.features)}, which {known}"


def _against_provider(variant: Variant, machine: Machine, wishes: Wishes) -> Iterator[str]:
    if variant.provider == "tensorrt" and variant.precision.startswith("int8") and lacks_int8(machine.host.board):
        yield "the Jetson Nano's GPU multiplies no 8-bit numbers; it takes float16"
    wanted = not wishes.providers or variant.provider in wishes.providers
    if not wanted and not (wishes.fallback and variant.provider == providers.CPU):
        yield f"the configuration asks for {', '.join(wishes.providers)}, and it runs on {variant.provider}"
    why = providers.why_missing(variant.provider, machine.providers)
    if why and not wishes.fallback:
        yield why


def _rank(variant: Variant, wishes: Wishes) -> int:
    """Return what a variant is sorted by: where its provider stands among those asked for."""
    asked = list(wishes.providers)
    return asked.index(variant.provider) if variant.provider in asked else len(asked)


def _unknown(manifest: Manifest, wanted: str) -> BadInput:
    names = [variant.name for variant in manifest.variants]
    close = difflib.get_close_matches(wanted, names, n=1, cutoff=0.6)
    fix = f"did you mean {close[0]!r}? " if close else ""
    return BadInput(
        "E-PIPELINE-VARIANT",
        f"{manifest.label} has no variant {wanted!r}",
        f'{fix}write one of: {", ".join(names)}; or variant = "" to let the device choose',
    )
