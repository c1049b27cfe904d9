"""Writes docs/cli.md from the commands themselves: python docs/make_cli.py."""

from __future__ import annotations

import inspect
from pathlib import Path

import click

from edge_runtime.cli.group import LazyGroup
from edge_runtime.cli.main import main as edge_runtime
from optimizer.cli.main import main as edgeopt

PAGE = Path(__file__).with_name("cli.md")

HEAD = """# Commands

Every verb and option, as `--help` names them. This page is made by `python docs/make_cli.py`; a test holds it against
the code. Errors and exit statuses stand in [errors.md](errors.md). `--debug` before the verb shows the Python traceback
of an error; `--version` prints the version.
"""


def page() -> str:
    """Return the whole page."""
    return "\n".join([HEAD, *_group(edgeopt), *_group(edge_runtime)])


def _group(group: LazyGroup) -> list[str]:
    context = click.Context(group)
    parts = [f"## {group.name}\n\n{group.help}\n"]
    for verb in group.list_commands(context):
        command = group.get_command(context, verb)
        if command is None:
            raise LookupError(f"{group.name} lists the verb {verb} but has no command for it")
        parts.append(_verb(f"{group.name} {verb}", command))
    return parts


def _verb(name: str, command: click.Command) -> str:
    arguments = [parameter for parameter in command.params if isinstance(parameter, click.Argument)]
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    words = [name, *(argument.metavar or (argument.name or "").upper() for argument in arguments)]
    usage = " ".join([*words, "[OPTIONS]"] if options else words)
    text = inspect.cleandoc(command.help or "").replace("\b\n", "")
    table = ["| option | what it does |", "|---|---|", *map(_row, options)] if options else []
    return "\n".join([f"### {name}\n", f"    {usage}\n", f"{text}\n", *table]) + "\n"


def _row(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    value = "" if option.is_flag else f" {_value(option)}"
    default = f" (default: {option.default})" if option.show_default and not option.is_flag else ""
    return f"| {names}{value} | {option.help}{default} |".replace("\n", " ")


def _value(option: click.Option) -> str:
    if isinstance(option.type, click.Choice):
        return " \\| ".join(map(str, option.type.choices))
    return option.metavar or option.type.name.upper().removesuffix(" RANGE")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
