"""What both commands share: verbs imported only when called, and errors shown as code, cause and fix."""

from __future__ import annotations

import contextlib
import importlib
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from types import FrameType

import click

from edge_runtime.errors import EdgeoptError, EnvironmentFault

PACKAGES = ("benchmarks", "devices", "edge_runtime", "optimizer")

# Libraries that only an extra brings, by import name.
_EXTRAS = {"PIL": "optimizer", "amqtt": "demo", "google": "optimizer", "onnx": "optimizer", "rich": "optimizer"}


class LazyGroup(click.Group):
    """A click group that imports a verb's module when the verb is used, so `--help` stays instant.

    Args:
        verbs: verb name -> ("module:attribute", one-line help). The help stands here so that listing imports nothing.
    """

    def __init__(self, name: str, help_text: str, verbs: Mapping[str, tuple[str, str]]) -> None:
        super().__init__(name=name, help=help_text, context_settings={"help_option_names": ["-h", "--help"]})
        self._verbs = verbs
        self.params.append(click.Option(["--debug"], is_flag=True, help="Show the Python traceback of an error."))
        click.version_option(package_name="edgeopt")(self)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the verbs in the order they are usually needed."""
        del ctx
        return list(self._verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of one verb and return its command.

        Raises:
            EnvironmentFault: E-INSTALL-CLASH, another distribution has written into our packages; E-HOST-32-BIT-ARM.
        """
        del ctx
        if cmd_name not in self._verbs:
            return None
        from devices.host import detect, refuse_32_bit_arm
        from edge_runtime.installation import may_clash

        refuse_32_bit_arm(detect())  # before a verb's imports fail for want of a library that cannot be had there
        if may_clash(PACKAGES):
            from importlib import metadata  # costs half of what --help may cost on a small board

            refuse_clash(metadata.packages_distributions())
        module_name, attribute = self._verbs[cmd_name][0].split(":")
        command: click.Command = getattr(importlib.import_module(module_name), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verb table from the help lines given, importing nothing."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(verb, text) for verb, (_, text) in self._verbs.items()])

    def invoke(self, ctx: click.Context) -> object:
        """Run the verb; an EdgeoptError becomes its message on stderr and its exit status."""
        try:
            with _cleaning_up_when_terminated():
                return self._invoke_with_extras(ctx)
        except EdgeoptError as error:
            if ctx.params.get("debug"):
                raise
            click.echo(f"error {error}", err=True)
            sys.exit(error.exit_status)
        except KeyboardInterrupt:
            click.echo("interrupted; nothing half-written was left behind", err=True)
            sys.exit(130)

    def _invoke_with_extras(self, ctx: click.Context) -> object:
        """Run the verb; a library that only an extra brings is named with that extra."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            library = (error.name or "").partition(".")[0]
            if library not in _EXTRAS:
                raise
            raise EnvironmentFault(
                "E-INSTALL-EXTRA",
                f"this needs the library {library}, which is not installed",
                f"pip install 'edgeopt[{_EXTRAS[library]}]'",
            ) from error


@contextlib.contextmanager
def _cleaning_up_when_terminated() -> Iterator[None]:
    """Let SIGTERM end the command as Ctrl-C does, temporary files and processes included; the daemon sets its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminated(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # a second one must not stop the cleaning up
    click.echo("terminated; nothing half-written was left behind", err=True)
    sys.exit(128 + number)


def refuse_clash(owners: Mapping[str, list[str]]) -> None:
    """Refuse to run where another distribution installs one of our top-level names: whose code would run is luck.

    Args:
        owners: Import name -> distributions, as `importlib.metadata.packages_distributions` gives it.

    Raises:
        EnvironmentFault: E-INSTALL-CLASH.
    """
    for name in PACKAGES:
        others = sorted(set(owners.get(name, [])) - {"edgeopt"})
        if others:
            raise EnvironmentFault(
                "E-INSTALL-CLASH",
                f"the package '{name}' is also installed by '{others[0]}', and one has overwritten the other",
                "install edgeopt in its own environment: pipx install 'edgeopt[all]'",
            )
