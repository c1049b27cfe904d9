"""What both commands share: errors as a user sees them, and the guards of the installation."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from edge_runtime.cli.group import PACKAGES, LazyGroup, refuse_clash
from edge_runtime.errors import EdgeoptError, EnvironmentFault, Refused


def command_that(action: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> LazyGroup:
    """Return a group with one verb, `act`, that runs the action."""
    module = types.ModuleType("verb_for_test")
    module.act = click.command("act")(action)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "verb_for_test", module)
    return LazyGroup("group", "For tests.", {"act": ("verb_for_test:act", "Act.")})


def failing(error: BaseException, monkeypatch: pytest.MonkeyPatch, *options: str) -> Result:
    """Run a verb that raises the error."""

    def raise_it() -> None:
        raise error

    return CliRunner().invoke(command_that(raise_it, monkeypatch), [*options, "act"])


def test_an_error_is_its_code_cause_and_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two lines on stderr, the class's exit status, nothing on stdout."""
    result = failing(Refused("E-TEST", "the file is damaged", "copy it again"), monkeypatch)
    assert result.stderr == "error E-TEST: the file is damaged\n  fix: copy it again\n"
    assert result.stdout == ""
    assert result.exit_code == 6


@pytest.mark.parametrize("kind", EdgeoptError.__subclasses__())
def test_every_class_of_error_has_its_own_exit_status(
    kind: type[EdgeoptError], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status tells a script what kind of fault it was; 0 and 1 are never used for one."""
    result = failing(kind("E-TEST", "what", "fix"), monkeypatch)
    assert result.exit_code == kind.exit_status
    assert result.exit_code not in {0, 1}
    statuses = [other.exit_status for other in EdgeoptError.__subclasses__()]
    assert len(set(statuses)) == len(statuses)


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """With --debug the exception itself comes through."""
    result = failing(Refused("E-TEST", "what", "fix"), monkeypatch, "--debug")
    assert isinstance(result.exception, Refused)


def test_an_interrupt_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is no error: one line, the shell's status for SIGINT, no traceback."""
    result = failing(KeyboardInterrupt(), monkeypatch)
    assert result.exit_code == 130
    assert result.stderr.startswith("interrupted")


@pytest.mark.parametrize(("library", "extra"), [("onnx", "optimizer"), ("rich.table", "optimizer"), ("amqtt", "demo")])
def test_a_library_of_an_extra_is_named_with_the_extra(
    library: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where only the daemon's dependencies are installed, the fix is the pip command that brings the rest."""
    result = failing(ModuleNotFoundError("No module", name=library), monkeypatch)
    assert result.exit_code == 5
    assert "E-INSTALL-EXTRA" in result.stderr
    assert f"pip install 'edgeopt[{extra}]'" in result.stderr


def test_any_other_missing_module_is_a_bug_and_shows_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of our own that is missing is not blamed on the installation."""
    result = failing(ModuleNotFoundError("No module", name="optimizer.nowhere"), monkeypatch)
    assert isinstance(result.exception, ModuleNotFoundError)


def test_an_unknown_verb_is_wrong_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verb that does not exist ends with status 2 and names the group's help."""
    result = CliRunner().invoke(command_that(lambda: None, monkeypatch), ["fly"])
    assert result.exit_code == 2
    assert "No such command 'fly'" in result.stderr


def test_help_lists_the_verbs_without_importing_them() -> None:
    """The table comes from the group's own lines: the verb's module need not even exist."""
    group = LazyGroup("group", "For tests.", {"fly": ("module_that_does_not_exist:fly", "Take off.")})
    result = CliRunner().invoke(group, ["--help"])
    assert result.exit_code == 0
    assert "fly  Take off." in result.output


@pytest.mark.parametrize("name", PACKAGES)
def test_a_clash_of_top_level_names_is_refused(name: str) -> None:
    """Whichever of the four names another distribution brings, it is named, and so is the way out."""
    with pytest.raises(EnvironmentFault) as caught:
        refuse_clash({name: ["edgeopt", "other-dist"], "numpy": ["numpy"]})
    assert caught.value.code == "E-INSTALL-CLASH"
    assert f"the package '{name}' is also installed by 'other-dist'" in caught.value.message
    assert "pipx install" in caught.value.fix


def test_an_installation_of_ours_alone_is_no_clash() -> None:
    """Our own distribution, or none (an editable install lists nothing), is as it should be."""
    refuse_clash({name: ["edgeopt"] for name in PACKAGES})
    refuse_clash({})


def test_a_second_distribution_on_the_path_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a real foreign distribution's metadata on the path, a verb ends with the clash instead of running."""
    info = tmp_path / "other_dist-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-dist\nVersion: 1.0\n", encoding="utf-8")
    (info / "top_level.txt").write_text("optimizer\n", encoding="utf-8")
    (info / "RECORD").write_text("optimizer/__init__.py,,\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "other-dist" in metadata.packages_distributions()["optimizer"]
    result = CliRunner().invoke(command_that(lambda: None, monkeypatch), ["act"])
    assert result.exit_code == 5
    assert "E-INSTALL-CLASH" in result.stderr
