"""`edgeopt devices`: the machines a model can be built for, and which of them this one is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from edge_runtime.errors import WrongUsage

if TYPE_CHECKING:
    from devices.host import Conditions, Host
    from devices.profile import Device


@click.command()
@click.argument("action", type=click.Choice(["list", "show", "detect"]))
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the text.")
def devices(action: str, name: str | None, as_json: bool) -> None:
    """List the machines that are known, show one with the source of every fact, or detect what this one is.

    `edgeopt devices show NAME` takes a name from `edgeopt devices list`, or `local` for this machine. Profiles of your
    own are read from ~/.config/edgeopt/devices.
    """
    from devices.host import conditions, detect
    from devices.profile import every, load

    if action == "show" and name is None:
        raise WrongUsage("E-OPTION-DEVICE", "show needs the name of a device", "edgeopt devices list shows all")
    if action != "show" and name is not None:
        raise WrongUsage("E-OPTION-DEVICE", f"{action} takes no name", f"edgeopt devices show {name}")
    if action == "list":
        known = every()
        _print(_list_record(known) if as_json else _list_text(known))
    elif action == "show":
        device = load(str(name))
        _print(_record(device) if as_json else _show_text(device))
    else:
        host, now = detect(), conditions()
        _print(_detected_record(host, now) if as_json else _detected_text(host, now))


def _print(found: dict[str, Any] | Iterator[str]) -> None:
    if isinstance(found, dict):
        click.echo(json.dumps(found, indent=1))
        return
    for line in found:
        click.echo(line)


def _list_text(known: Sequence[Device]) -> Iterator[str]:
    head = ("name", "processor", "memory", "int8 by", "float16", "graphics processor", "figures")
    rows = [head, *(_row(device) for device in known)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    yield ""
    yield "memory is the smallest that is sold; `edgeopt devices show NAME` names the source of every fact"


def _row(device: Device) -> tuple[str, ...]:
    clock = f" at {device.clock_mhz / 1000:.1f} GHz" if device.clock_mhz else ""
    processor = f"{device.cores} x {device.core}{clock}" if device.core else f"any with {', '.join(device.features)}"
    memory = f"{device.memory_mb / 1024:g} GB" if device.memory_mb else "-"
    float16 = "yes" if device.float16 else "no"
    labels = {fact.label for fact in device.facts if fact.name in {"cores", "clock_mhz", "memory_mb"}}
    figures = ", ".join(sorted(labels)) or "-"
    return device.name, processor, memory, device.int8_kernels or "-", float16, device.gpu or "-", figures


def _list_record(known: Sequence[Device]) -> dict[str, Any]:
    return {"devices": [_record(device) for device in known]}


def _show_text(device: Device) -> Iterator[str]:
    yield f"{device.name}: {device.title}"
    width = max(len(fact.name) for fact in device.facts)
    values = max(len(str(fact)) for fact in device.facts)
    for fact in device.facts:
        yield f"{fact.name.ljust(width)}  {str(fact).ljust(min(values, 24))}  {fact.source}"


def _record(device: Device) -> dict[str, Any]:
    return {"name": device.name, "title": device.title, "facts": [asdict(fact) for fact in device.facts]}


def _detected_text(host: Host, now: Conditions) -> Iterator[str]:
    from devices.profile import best_profile_of, of_host, with_the_same_core

    device = best_profile_of(host)
    alike = ", ".join(found.name for found in with_the_same_core(host))
    rows = [
        ("machine", str(host)),
        ("system", host.system),
        ("board", host.board or "no device tree names one"),
        ("features", ", ".join(of_host(host).features) or "none that matter here"),
        ("memory", _size(host.memory_bytes)),
        ("limit", _size(host.memory_limit_bytes) if host.memory_limit_bytes else "none for this process"),
        ("gpu", host.gpu or "no NVIDIA driver is loaded"),
        ("temperature", _said(now.temperature_celsius, "°C")),
        ("throttled", _held_back(now.throttling)),
        ("since boot", _held_back(now.throttled_since_boot)),
        (
            "clock",
            {True: "kept right", False: "not synchronised", None: "the kernel does not say"}[now.clock_synchronised],
        ),
        ("profile", f"{device.name}: {device.title}" if device else "none describes this machine"),
        *([("same core", alike)] if alike and not device else []),
    ]
    for key, value in rows:
        yield f"{key:<11} {value}"
    yield ""
    yield "measured: read from this machine just now"


def _detected_record(host: Host, now: Conditions) -> dict[str, Any]:
    from devices.profile import best_profile_of, with_the_same_core

    device = best_profile_of(host)
    return {
        "label": "measured",
        "host": {key: _plain(value) for key, value in asdict(host).items()},
        "conditions": {key: _plain(value) for key, value in asdict(now).items()},
        "profile": device.name if device else None,
        "same_core": [found.name for found in with_the_same_core(host)],
    }


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, frozenset) else value


def _size(size: int | None) -> str:
    return f"{size / 2**20:.0f} MB" if size else "the kernel does not say"


def _said(value: float | None, unit: str) -> str:
    return "no sensor is readable" if value is None else f"{value:.1f} {unit}"


def _held_back(by: frozenset[str] | None) -> str:
    if by is None:
        return "this machine does not say"
    return ", ".join(sorted(by)) or "no"
