"""The text of the systemd unit: what the daemon needs, and nothing else."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_MARK = "# Written by edge-runtime service install; the rest has SHA-256 "


@dataclass(frozen=True)
class Plan:
    """What a unit is made from.

    Attributes:
        command: Program and arguments, paths absolute.
        description: One line.
        state: The state folder, absolute; below /var/lib for a service of the system.
        broker_host: Name or address of the broker.
        secrets: Files that only root may read, handed over as credentials of the same name.
        in_home: Whether program or configuration lie in somebody's home.
        for_user: For the user's own service manager, which can close less.
        gpu: Whether the model runs on an NVIDIA graphics processor.
        makes_code: Whether an engine makes machine code at run time, as OpenVINO and CUDA do; onnxruntime does not.
        memory_max: Most memory, as systemd writes it, "" for no limit.
    """

    command: Sequence[str]
    description: str
    state: Path
    broker_host: str
    secrets: Sequence[Path] = ()
    in_home: bool = False
    for_user: bool = False
    gpu: bool = False
    makes_code: bool = False
    memory_max: str = ""


def unit(plan: Plan) -> str:
    """Return the unit; its first line tells whether somebody has changed the rest."""
    body = "\n".join([*_head(plan), *_process(plan), *_closed(plan), *_foot(plan)]) + "\n"
    return f"{_MARK}{_digest(body)}\n{body}"


def is_as_written(text: str) -> bool:
    """Tell whether a unit is still what some version of `unit` has written."""
    first, _, body = text.partition("\n")
    return first == f"{_MARK}{_digest(body)}"


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


def _head(plan: Plan) -> Iterator[str]:
    yield "# Changes belong into a drop-in: systemctl edit UNIT"
    yield ""
    yield "[Unit]"
    yield f"Description={_plain(plan.description)}"
    if not plan.for_user:
        yield "Wants=network-online.target"
        yield "After=network-online.target mosquitto.service"
    yield "StartLimitIntervalSec=0"  # a daemon that was given up needs somebody to go there
    yield ""


def _process(plan: Plan) -> Iterator[str]:
    yield "[Service]"
    yield "Type=notify"
    yield f"ExecStart={' '.join(map(_quoted, plan.command))}"
    yield "Environment=PYTHONFAULTHANDLER=1 PYTHONDONTWRITEBYTECODE=1"  # a killed hang leaves its stacks in the log
    yield "# Loading and trying the models; while it waits for the broker, the daemon asks for more."
    yield "TimeoutStartSec=5min"
    yield "TimeoutStopSec=30"
    yield "WatchdogSec=30"
    yield "Restart=on-failure"
    yield "RestartSec=10"
    yield "# Wrong usage, bad input, damaged package: starting again would not help."
    yield "RestartPreventExitStatus=2 3 6"
    yield "IOSchedulingPriority=6"
    yield "TasksMax=512"
    if plan.memory_max:
        yield f"MemoryMax={_plain(plan.memory_max)}"
    if plan.for_user:
        return
    yield "DynamicUser=yes"
    yield f"StateDirectory={_plain(str(plan.state.relative_to('/var/lib')))}"
    yield "StateDirectoryMode=0700"
    yield from (f"LoadCredential={_plain(secret.name)}:{_plain(str(secret))}" for secret in plan.secrets)
    yield ""


def _closed(plan: Plan) -> Iterator[str]:
    """Yield what is closed to the process; the names are explained in systemd.exec(5)."""
    yield "NoNewPrivileges=yes"
    if not plan.for_user:  # namespaces and capabilities are the system manager's
        yield from _closed_by_the_system(plan)
    yield "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX"
    for name in ("Namespaces", "Realtime", "SUIDSGID"):
        yield f"Restrict{name}=yes"
    yield "LockPersonality=yes"
    if not plan.makes_code:
        yield "MemoryDenyWriteExecute=yes"
    yield "UMask=0077"
    yield "KeyringMode=private"
    yield "SystemCallArchitectures=native"
    yield "SystemCallFilter=@system-service"
    yield "SystemCallFilter=~@privileged @resources"
    yield "SystemCallErrorNumber=EPERM"


def _closed_by_the_system(plan: Plan) -> Iterator[str]:
    yield "ProtectSystem=strict"
    yield f"ProtectHome={'read-only' if plan.in_home else 'yes'}"
    yield "PrivateTmp=yes"
    if plan.gpu:
        yield "DevicePolicy=closed"
        for device in ("nvidia", "nvidia-uvm", "nvidia-frontend", "nvhost", "nvmap"):
            yield f"DeviceAllow=char-{device} rw"
    else:
        yield "PrivateDevices=yes"
    yield "PrivateUsers=yes"
    yield "ProtectProc=invisible"
    yield "# ProcSubset=pid would hide /proc/cpuinfo, by which the daemon knows what this processor computes right."
    for name in ("Clock", "Hostname", "KernelTunables", "KernelModules", "KernelLogs", "ControlGroups"):
        yield f"Protect{name}=yes"
    yield "RemoveIPC=yes"
    yield "CapabilityBoundingSet="
    yield "AmbientCapabilities="
    if address := _address(plan.broker_host):
        yield "IPAddressDeny=any"
        yield f"IPAddressAllow={address} localhost"


def _foot(plan: Plan) -> Iterator[str]:
    yield ""
    yield "[Install]"
    yield f"WantedBy={'default' if plan.for_user else 'multi-user'}.target"


def _address(host: str) -> str | None:
    """Return the broker's address where it is written as one; for a name the resolver must be reachable as well."""
    try:
        return str(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        return None


def _plain(text: str) -> str:
    """Return a value in which systemd expands nothing."""
    return text.replace("%", "%%")


def _quoted(word: str) -> str:
    """Return a word of a command line that systemd takes as it is (systemd.syntax(7), systemd.service(5))."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if set(word) & set(" \t'\";\\") else escaped
