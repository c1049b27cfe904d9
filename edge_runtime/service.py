"""The daemon as a systemd service: what its unit needs, checked before it is written."""

from __future__ import annotations

import os
import re
import stat
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from edge_runtime.config_options import Config
from edge_runtime.errors import BadInput, EnvironmentFault, Refused
from edge_runtime.messaging.broker import Broker
from edge_runtime.service_unit import Plan, is_as_written, unit

_STATE = Path("/var/lib")
_HIDDEN = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - not used: a service has its own, empty ones
_HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
_LONGEST_NAME = 200


@dataclass(frozen=True)
class Wishes:
    """What the user chooses.

    Attributes:
        for_user: The user's own service manager instead of the system's.
        gpu: Let the service use an NVIDIA graphics processor.
        memory_max: Most memory, as systemd writes it, "" for no limit.
    """

    for_user: bool = False
    gpu: bool = False
    memory_max: str = ""


def unit_name(config_path: Path) -> str:
    """Return the unit's name: edge-runtime, and the configuration's name where that says more."""
    stem = re.sub(r"[^A-Za-z0-9_.-]", "-", config_path.stem)[:_LONGEST_NAME]
    return "edge-runtime.service" if stem in {"edge-runtime", ""} else f"edge-runtime-{stem}.service"


def unit_folder(for_user: bool) -> Path:
    """Return where the service manager looks for units of the administrator, or of this user."""
    if not for_user:
        return Path("/etc/systemd/system")
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"


def plan(path: Path, config: Config, wishes: Wishes) -> Plan:
    """Work out what the service needs.

    Args:
        path: The configuration file.
        config: What it says.
        wishes: What the user chose.

    Raises:
        BadInput: E-SERVICE-STATE, the state folder is not where a service may write; E-SERVICE-NAME.
        EnvironmentFault: E-SERVICE-UNREADABLE, the service's user could not read a file it needs.
    """
    path = path.resolve()
    state = path.parent / config.state.folder
    secret = config.broker.password_file
    program = Path(sys.executable)  # not resolved: through a link it would leave its virtual environment
    needed = [program, Path(sys.prefix), path, *(path.parent / one.package for one in config.pipeline)]
    for file in [*needed, state, *([path.parent / secret] if secret else [])]:
        _refuse_control_characters(file)
    if not wishes.for_user:
        _refuse_state_elsewhere(state, path)
        for file in needed:
            _refuse_unreadable(file)
    return Plan(
        command=(str(program), "-m", "edge_runtime", "run", str(path)),
        description=f"edge-runtime: {', '.join(one.name for one in config.pipeline)} ({config.node.name})",
        state=state,
        broker_host=Broker.parse(config.broker.url).host,
        secrets=(path.parent / secret,) if secret else (),
        in_home=any(file.is_relative_to(home) for file in needed for home in _HOMES),
        for_user=wishes.for_user,
        gpu=wishes.gpu,
        makes_code=wishes.gpu or _may_take_openvino(config),
        memory_max=wishes.memory_max,
    )


def install(file: Path, text: str, force: bool) -> None:
    """Write a unit; one that somebody has changed is left alone.

    Raises:
        Refused: E-SERVICE-CHANGED.
        EnvironmentFault: E-SERVICE-ROOT, this user may not write there.
    """
    _refuse_changed(file, force)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise _not_allowed(file, error) from error


def uninstall(file: Path, force: bool) -> bool:
    """Remove a unit; False where there is none.

    Raises:
        Refused: E-SERVICE-CHANGED.
        EnvironmentFault: E-SERVICE-ROOT, this user may not remove it.
    """
    _refuse_changed(file, force)
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _not_allowed(file, error) from error
    return True


def text_of(path: Path, config: Config, wishes: Wishes) -> str:
    """Return the unit for a configuration; `plan` says what may be wrong with it."""
    return unit(plan(path, config, wishes))


def _may_take_openvino(config: Config) -> bool:
    """Tell whether a pipeline may be executed by OpenVINO, which makes machine code at run time."""
    if find_spec("openvino") is None:
        return False
    return any(not one.model.engines or "openvino" in one.model.engines for one in config.pipeline)


def _refuse_changed(file: Path, force: bool) -> None:
    try:
        found = file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    except OSError as error:
        raise _not_allowed(file, error) from error
    if not force and not is_as_written(found):
        fix = f"move your changes into a drop-in (systemctl edit {file.name}), or give --force to lose them"
        raise Refused("E-SERVICE-CHANGED", f"{file} was changed by hand, or is not from edge-runtime", fix)


def _refuse_state_elsewhere(state: Path, path: Path) -> None:
    if state.is_relative_to(_STATE) and state != _STATE and ".." not in state.parts:
        return
    name = unit_name(path).removesuffix(".service")
    raise BadInput(
        "E-SERVICE-STATE",
        f"the state folder {state} is not below {_STATE}, the only place where the service may write",
        f'set folder = "{_STATE}/{name}" under [state] in {path}; systemd makes it. Or use --user',
    )


def _refuse_unreadable(file: Path) -> None:
    """Refuse what a user without any rights of its own could not read, or what the service does not see at all."""
    if any(file.is_relative_to(hidden) for hidden in _HIDDEN):
        raise _unreadable(file, "lies in a folder for temporary files, of which the service has its own")
    if not file.exists():
        raise _unreadable(file, "does not exist")
    for folder in file.absolute().parents:
        if not folder.stat().st_mode & stat.S_IXOTH:
            raise _unreadable(file, f"lies in {folder}, which is closed to other users")
    wanted = stat.S_IROTH | (stat.S_IXOTH if file.is_dir() else 0)
    if file.stat().st_mode & wanted != wanted:
        raise _unreadable(file, "may not be read by other users")


def _unreadable(file: Path, why: str) -> EnvironmentFault:
    return EnvironmentFault(
        "E-SERVICE-UNREADABLE",
        f"the service has a user of its own, and {file} {why}",
        "install edgeopt under /opt, put configuration and packages into /etc/edge-runtime (chmod a+rX), or use --user",
    )


def _refuse_control_characters(file: Path) -> None:
    if re.search(r"[\x00-\x1f]", str(file)):
        raise BadInput("E-SERVICE-NAME", f"{str(file)!r} holds a control character", "rename it")


def _not_allowed(file: Path, error: OSError) -> EnvironmentFault:
    fix = "put sudo before the command, or use --user for a service of your own"
    return EnvironmentFault("E-SERVICE-ROOT", f"cannot change {file}: {error.strerror}", fix)
