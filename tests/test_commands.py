"""Documentation and commands agree: what a page tells the reader to type exists, and what exists is on a page."""

from __future__ import annotations

import ast
import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from edge_runtime.cli.group import PACKAGES, LazyGroup
from edge_runtime.cli.main import main as edge_runtime
from optimizer.cli.main import main as edgeopt

ROOT = Path(__file__).resolve().parents[1]
GROUPS: dict[str, LazyGroup] = {"edgeopt": edgeopt, "edge-runtime": edge_runtime}
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
VERBS = [(name, verb) for name, group in GROUPS.items() for verb in group.list_commands(click.Context(group))]

SEPARATORS = {"&&", "||", "|", ";", "&", "(", ")"}


def command_of(name: str, verb: str) -> click.Command | None:
    """Return a verb's command, None where there is none."""
    return GROUPS[name].get_command(click.Context(GROUPS[name]), verb)


def typed_commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each of our commands in a page's code: fenced blocks and inline code."""
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    for line in [*lines, *re.findall(r"`([^`]+)`", prose)]:
        yield from commands_in(line)


def commands_in(line: str) -> Iterator[list[str]]:
    """Yield the words of each of our commands in a line of shell, from the command's name on."""
    reader = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=True)
    reader.whitespace_split = True
    try:
        words = list(reader)
    except ValueError:  # a quotation mark alone: program output, not shell
        return
    current: list[str] = []
    for word in [*words, ";"]:
        if word in SEPARATORS:
            if current and Path(current[0]).name in GROUPS and len(current) > 1:
                yield [Path(current[0]).name, *current[1:]]
            current = []
        else:
            current.append(word)


def fault(words: list[str]) -> str | None:
    """Return what is wrong with a command's verb or options, None where it could be typed."""
    name, *rest = words
    group = GROUPS[name]
    verb = next((word for word in rest if not word.startswith("-")), None)
    known = {option for parameter in group.params for option in parameter.opts} | {"--help", "-h", "--version"}
    if verb is not None:
        command = command_of(name, verb)
        if command is None:
            return f"{name} has no verb {verb}"
        known |= {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    options = [word.partition("=")[0] for word in rest if re.match(r"--?[a-zA-Z]", word)]
    unknown = [option for option in options if option not in known]
    return f"{' '.join(words)}: no option {unknown[0]}" if unknown else None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_documented_command_exists(page: Path) -> None:
    """Each verb and option in the page's code can be typed."""
    faults = [fault(words) for words in typed_commands(page.read_text(encoding="utf-8"))]
    assert [found for found in faults if found] == []


def test_commands_are_found_wherever_they_stand() -> None:
    """Prompts, paths, pipes, continued lines and inline code are read; a folder of the same name is no command."""
    page = (
        "Type `edgeopt inspect m.onnx`.\n```bash\n"
        "python3 -m venv ~/edgeopt && ~/edgeopt/bin/pip install . && ~/edgeopt/bin/edgeopt demo\n"
        "$ edgeopt benchmark a \\\n    --rounds 20 # comment --fast\n"
        "cat x | edge-runtime fly --high\n```\n"
    )
    assert list(typed_commands(page)) == [
        ["edgeopt", "demo"],
        ["edgeopt", "benchmark", "a", "--rounds", "20"],
        ["edge-runtime", "fly", "--high"],
        ["edgeopt", "inspect", "m.onnx"],
    ]


def test_a_command_that_does_not_exist_is_a_fault() -> None:
    """Unknown verbs and options are named; known ones pass, the group's own included."""
    assert fault(["edge-runtime", "fly"]) == "edge-runtime has no verb fly"
    assert fault(["edgeopt", "benchmark", "a", "--fast=1"]) == "edgeopt benchmark a --fast=1: no option --fast"
    assert fault(["edgeopt", "--debug", "benchmark", "a", "--shape", "x=1,-1", "--json"]) is None
    assert fault(["edgeopt", "--help"]) is None


# Hold options of other tools (pip, ssh, qemu, npm), or of commands that are no verbs.
OF_OTHER_PROGRAMS = {"peers", "places", "instructions", "load", "daemon_load.py", "capacity.py"}


def spoken_texts() -> Iterator[tuple[str, str]]:
    """Yield (file, text) of every text in the source that is not a docstring: what the program says."""
    shipped = (file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py")))
    for file in (file for file in shipped if not OF_OTHER_PROGRAMS & set(file.parts)):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        silent = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in silent:
                yield file.name, node.value


def test_commands_named_in_errors_exist() -> None:
    """The program's own advice (text that begins with a command, or code inside text) can be typed."""
    faults = []
    for file, text in spoken_texts():
        lines = re.findall(r"`([^`\n]+)`", text) or [text]
        typed = [line for line in lines if re.match(r"(edgeopt|edge-runtime) (-|[a-z]+( |$))", line)]
        faults += [f"{file}: {wrong}" for line in typed for words in commands_in(line) if (wrong := fault(words))]
    assert faults == []


def test_options_named_in_errors_exist() -> None:
    """An option that the program advises is one of its own, where no other program is named beside it."""
    known = {"--debug", "--help", "--version"}
    for name, verb in VERBS:
        command = command_of(name, verb)
        known |= {option for parameter in (command.params if command else ()) for option in parameter.opts}
    unknown = [
        f"{file}: {option}"
        for file, text in spoken_texts()
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)
        if option not in known and "git lfs" not in text
    ]
    assert unknown == []


@pytest.mark.parametrize(("name", "verb"), VERBS)
def test_every_verb_and_option_has_help(name: str, verb: str) -> None:
    """Nobody has to guess: each command says what it does, each option what it is for."""
    command = command_of(name, verb)
    assert command is not None
    assert command.help
    assert command.name == verb
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    assert [option.name for option in options if not option.help] == []


def test_the_reference_page_is_what_the_commands_say() -> None:
    """docs/cli.md is made from the commands; after a change: python docs/make_cli.py."""
    made = runpy.run_path(str(ROOT / "docs/make_cli.py"))["page"]()
    assert (ROOT / "docs/cli.md").read_text(encoding="utf-8") == made
    for name, verb in VERBS:
        assert f"### {name} {verb}\n" in made
