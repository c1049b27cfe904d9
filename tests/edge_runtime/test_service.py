"""The systemd unit: how closed it is, and what is refused before it is written."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge_runtime import service
from edge_runtime.cli.main import main
from edge_runtime.config import load_config
from edge_runtime.config_options import Config
from edge_runtime.errors import BadInput, EdgeoptError, EnvironmentFault, Refused
from edge_runtime.service import Wishes
from edge_runtime.service_unit import Plan, is_as_written, unit

SAMPLE = Path(__file__).resolve().parents[2] / "edge_runtime" / "sample.toml"
PLAN = Plan(("/opt/edgeopt/bin/python", "run"), "daemon", Path("/var/lib/edge-runtime"), "192.0.2.1")
MOST_EXPOSED = 2.0
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze, which judges units, is not installed"
)


@pytest.fixture
def configure(tmp_path: Path) -> Callable[..., tuple[Path, Config]]:
    """Return a function that writes the sample configuration, changed, into a folder anybody may read."""

    def write(**changes: str) -> tuple[Path, Config]:
        text = SAMPLE.read_text(encoding="utf-8").replace('folder = "state"', 'folder = "/var/lib/edge-runtime"')
        for old, new in changes.items():
            text = text.replace(f"\n{old} = ", f"\n{new}\n# ")
        (tmp_path / "edge-runtime.toml").write_text(text, encoding="utf-8")
        (tmp_path / "bearing.edgepkg").write_bytes(b"")
        return tmp_path / "edge-runtime.toml", load_config(tmp_path / "edge-runtime.toml")

    return write


@pytest.fixture
def anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let test files, which lie in a temporary folder that is closed to others, count as readable."""
    monkeypatch.setattr(service, "_refuse_unreadable", lambda _file: None)


def exposure(folder: Path, text: str) -> float:
    """Return what systemd-analyze says of a unit, 0 closed to 10 open; it must find no fault in the unit."""
    (folder / "edge-runtime.service").write_text(text, encoding="utf-8")
    asked = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "edge-runtime.service"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.stderr == "", asked.stderr
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", asked.stdout)
    assert found, asked.stdout
    return float(found[1])


@needs_systemd
@pytest.mark.parametrize(
    "plan",
    [
        PLAN,
        Plan(PLAN.command, "by name", PLAN.state, "broker.plant"),
        Plan(PLAN.command, "secret", PLAN.state, "192.0.2.1", (Path("/etc/edge-runtime/mqtt.password"),)),
        Plan(PLAN.command, "gpu", PLAN.state, "broker.plant", in_home=True, gpu=True, makes_code=True),
    ],
    ids=lambda plan: plan.description,
)
def test_the_unit_is_closed(plan: Plan, tmp_path: Path) -> None:
    """At most 2.0 of 10 on systemd's own scale, whatever the service needs."""
    assert exposure(tmp_path, unit(plan)) <= MOST_EXPOSED


@needs_systemd
def test_the_scale_tells_an_open_unit(tmp_path: Path) -> None:
    """A unit that closes nothing is far beyond: the measure measures."""
    assert exposure(tmp_path, "[Service]\nExecStart=/bin/true\n") > 9.0


@pytest.mark.usefixtures("anywhere")
def test_the_unit_is_made_from_the_configuration(configure: Callable[..., tuple[Path, Config]]) -> None:
    """Command, state, password and broker's address stand in it, each where systemd looks for it."""
    path, config = configure(**{"# username": 'username = "g"', "# password_file": 'password_file = "mqtt.password"'})
    text = service.text_of(path, config, Wishes(memory_max="400M"))
    for line in (
        f"ExecStart={sys.executable} -m edge_runtime run {path}",
        "Type=notify",
        "WatchdogSec=30",
        "DynamicUser=yes",
        "StateDirectory=edge-runtime",
        f"LoadCredential=mqtt.password:{path.parent / 'mqtt.password'}",
        "IPAddressAllow=127.0.0.1 localhost",
        "MemoryMax=400M",
    ):
        assert f"\n{line}\n" in text


@pytest.mark.usefixtures("anywhere")
def test_memory_stays_unexecutable_where_no_engine_makes_code(
    configure: Callable[..., tuple[Path, Config]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Onnxruntime on the processor makes none; OpenVINO, where it is installed and allowed, and CUDA do."""
    path, config = configure(engines='engines = ["onnxruntime"]')
    assert "MemoryDenyWriteExecute=yes" in service.text_of(path, config, Wishes())
    assert "MemoryDenyWriteExecute=yes" not in service.text_of(path, config, Wishes(gpu=True))
    path, config = configure()
    monkeypatch.setattr(service, "find_spec", lambda name: name)
    assert "MemoryDenyWriteExecute=yes" not in service.text_of(path, config, Wishes())
    monkeypatch.setattr(service, "find_spec", lambda _name: None)
    assert "MemoryDenyWriteExecute=yes" in service.text_of(path, config, Wishes())


def test_a_word_is_what_it_is() -> None:
    """Spaces, quotes, percent and dollar signs of a path are not systemd's."""
    text = unit(Plan(("/opt/my py/python", '/etc/50%/a"$b.toml'), "100 %", PLAN.state, "h"))
    assert 'ExecStart="/opt/my py/python" "/etc/50%%/a\\"$$b.toml"\n' in text
    assert "Description=100 %%\n" in text


@pytest.mark.usefixtures("anywhere")
def test_a_state_folder_elsewhere_is_refused(configure: Callable[..., tuple[Path, Config]]) -> None:
    """The error says what to write instead; the user's own service may keep it."""
    path, config = configure(folder='folder = "state"')
    with pytest.raises(BadInput) as caught:
        service.text_of(path, config, Wishes())
    assert caught.value.code == "E-SERVICE-STATE"
    assert 'folder = "/var/lib/edge-runtime"' in caught.value.fix
    assert "WantedBy=default.target" in service.text_of(path, config, Wishes(for_user=True))


def test_what_the_service_could_not_read_is_refused(configure: Callable[..., tuple[Path, Config]]) -> None:
    """Its user is nobody's friend: temporary folders, closed folders and closed files are named beforehand."""
    path, config = configure()
    with pytest.raises(EnvironmentFault) as caught:
        service.text_of(path, config, Wishes())
    assert caught.value.code == "E-SERVICE-UNREADABLE"


def test_a_line_feed_in_a_path_is_refused(tmp_path: Path) -> None:
    """It would begin another line of the unit."""
    path = tmp_path / "a\nUser=root.toml"
    path.write_bytes(SAMPLE.read_bytes())
    with pytest.raises(BadInput) as caught:
        service.text_of(path, load_config(path), Wishes(for_user=True))
    assert caught.value.code == "E-SERVICE-NAME"


def test_a_changed_unit_is_left_alone(tmp_path: Path) -> None:
    """One's own older unit is replaced, a foreign or changed one only by force; so it is with removing it."""
    file = tmp_path / "user" / "edge-runtime.service"
    service.install(file, unit(PLAN), force=False)
    service.install(file, unit(Plan(PLAN.command, "newer", PLAN.state, "h")), force=False)
    assert "Description=newer" in file.read_text(encoding="utf-8")
    file.write_text(file.read_text(encoding="utf-8") + "Nice=5\n", encoding="utf-8")
    for attempt in (lambda: service.install(file, unit(PLAN), force=False), lambda: service.uninstall(file, False)):
        with pytest.raises(Refused) as caught:
            attempt()
        assert caught.value.code == "E-SERVICE-CHANGED"
    assert "Nice=5" in file.read_text(encoding="utf-8")
    service.install(file, unit(PLAN), force=True)
    assert is_as_written(file.read_text(encoding="utf-8"))
    assert service.uninstall(file, force=False)
    assert not service.uninstall(file, force=False)


def test_a_folder_of_root_s_is_named(tmp_path: Path) -> None:
    """Where nothing can be written, the error says how to do without root."""
    (tmp_path / "etc").write_text("")
    with pytest.raises(EdgeoptError) as caught:
        service.install(tmp_path / "etc" / "system" / "edge-runtime.service", "", force=False)
    assert caught.value.code == "E-SERVICE-ROOT"
    assert "--user" in caught.value.fix


def test_the_command_writes_and_says_what_comes_next(
    configure: Callable[..., tuple[Path, Config]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user's own service, from nothing to installed and back."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "own"))
    path, _ = configure()
    file = tmp_path / "own" / "systemd" / "user" / "edge-runtime.service"
    done = CliRunner().invoke(main, ["service", "install", str(path), "--user"])
    assert done.exit_code == 0, done.output
    assert f"wrote {file}\n" in done.output
    assert "systemctl --user enable edge-runtime.service" in done.output
    shown = CliRunner().invoke(main, ["service", "print", str(path), "--user"])
    assert shown.output == file.read_text(encoding="utf-8")
    gone = CliRunner().invoke(main, ["service", "uninstall", str(path), "--user"])
    assert f"removed {file}\n" in gone.output
    assert not file.exists()


def test_each_configuration_has_its_own_unit() -> None:
    """Named after the file, in the letters systemd allows."""
    assert service.unit_name(Path("/etc/edge-runtime/edge-runtime.toml")) == "edge-runtime.service"
    assert service.unit_name(Path("/etc/line 2/press%7.toml")) == "edge-runtime-press-7.service"
