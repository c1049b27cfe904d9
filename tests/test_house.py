"""The rules of the house (docs/architecture.md), read from the source: floors, doors, limits, codes."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_runtime import errors

ROOT = Path(__file__).resolve().parents[1]

# Package -> what it may import besides itself and the standard library.
FLOORS = {
    "devices": {"tomli"},
    "edge_runtime": {
        "devices",
        "amqtt",
        "click",
        "cryptography",
        "msgspec",
        "numpy",
        "onnxruntime",
        "openvino",
        "paho",
        "tomli",
    },
    "benchmarks": {"edge_runtime", "devices", "numpy"},
    "optimizer": {"benchmarks", "edge_runtime", "devices"}
    | {"PIL", "click", "google", "msgspec", "numpy", "onnx", "onnxruntime", "rich"},
}

# Development tools, not in the wheel: they compare with other tools, each in an environment of its own.
PEERS = "benchmarks/peers/"
PEERS_MAY_IMPORT = {"optimizer", "edge_runtime", "devices", "numpy", "onnx", "onnxruntime", "nncf", "olive", "quark"}
PEERS_MAY_IMPORT |= {"sklearn"}  # the labelled digits that come with it

# What the daemon is compared with: scripts as a user would write them, with nothing of ours in them.
USERS = ("benchmarks/load/naive.py", "benchmarks/load/bare.py")
USERS_MAY_IMPORT = {"numpy", "onnxruntime", "paho"}

# Library -> the only place that may import it, as the beginning of a path.
DOORS = {
    "PIL": ("optimizer/data_sources.py",),
    "amqtt": ("edge_runtime/messaging/embedded_broker.py",),
    "click": ("edge_runtime/cli/", "optimizer/cli/"),
    "cryptography": ("edge_runtime/package/",),
    "dask": ("optimizer/dask_cluster.py",),
    "distributed": ("optimizer/dask_cluster.py",),
    "onnxruntime": ("edge_runtime/inference/ort.py", "optimizer/", PEERS, *USERS),
    "onnxruntime.InferenceSession": ("edge_runtime/inference/ort.py", *USERS),
    "openvino": ("edge_runtime/inference/openvino.py",),
    "paho": ("edge_runtime/messaging/paho_wire.py", USERS[0]),
    "rich": ("optimizer/cli/", "optimizer/report/"),
}

LONGEST_FILE = 400
LONGEST_FUNCTION = 60
MOST_PARAMETERS = 6

CODE = re.compile(r"E(-[A-Z0-9]+)+")
# Written so that this file does not hold what it looks for.
NOT_IN_THE_REPOSITORY = re.compile(
    r"(/wor" + r"k/\w|/hom" + r"e/\w+/|/tm" + r"p/w/|py" + r"pi\.org|pythonhost" + r"ed)"
)


class Source:
    """One Python file: its path from the repository root and its syntax tree."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.lines = text.count("\n")
        self.tree = ast.parse(text)

    def imports(self) -> Iterator[str]:
        """Yield every module and name imported, wherever in the file, and sessions reached through their module."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)
            elif isinstance(node, ast.Attribute) and node.attr == "InferenceSession":
                yield "onnxruntime.InferenceSession"

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Yield all functions, methods and inner functions."""
        yield from (n for n in ast.walk(self.tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))

    def strings(self) -> Iterator[str]:
        """Yield all text constants."""
        yield from (n.value for n in ast.walk(self.tree) if isinstance(n, ast.Constant) and isinstance(n.value, str))


def read(*folders: str) -> list[Source]:
    """Read all Python files below the folders."""
    files = [file for folder in folders for file in sorted((ROOT / folder).rglob("*.py"))]
    return [Source(str(file.relative_to(ROOT)), file.read_text(encoding="utf-8")) for file in files]


SOURCES = read(*FLOORS)
TESTS = read("tests")
each_source = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.path)
each_test = pytest.mark.parametrize("source", TESTS, ids=lambda source: source.path)


def floor_faults(source: Source) -> list[str]:
    """Return imports that point up, sideways, or to a library the floor does not know."""
    package = source.path.partition("/")[0]
    standard = {*sys.stdlib_module_names, "tomllib"}  # Python 3.10 does not know it yet
    floor = PEERS_MAY_IMPORT if source.path.startswith(PEERS) else FLOORS[package]
    allowed = USERS_MAY_IMPORT | standard if source.path in USERS else floor | {package} | standard
    return sorted({name for name in source.imports() if name.partition(".")[0] not in allowed})


def door_faults(source: Source) -> list[str]:
    """Return imports of a library that has its own door elsewhere."""
    return sorted(
        f"{name} (only in {', '.join(places)})"
        for name in source.imports()
        for library, places in DOORS.items()
        if f"{name}.".startswith(f"{library}.") and not source.path.startswith(places)
    )


def limit_faults(source: Source) -> list[str]:
    """Return what is too long or takes too many parameters."""
    faults = [f"{source.lines} lines"] if source.lines > LONGEST_FILE else []
    for function in source.functions():
        length = (function.end_lineno or 0) - function.lineno + 1
        if length > LONGEST_FUNCTION:
            faults.append(f"{function.name} has {length} lines")
        is_command = "/cli/" in source.path and function.decorator_list
        arguments = function.args
        names = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
        count = len([name for name in names if name not in {"self", "cls"}])
        if count > MOST_PARAMETERS and not is_command:
            faults.append(f"{function.name} has {count} parameters")
    return faults


def broad_excepts(source: Source) -> list[int]:
    """Return the lines where everything is caught."""
    found = []
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ExceptHandler):
            names = {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)} if node.type else {"Exception"}
            if names & {"Exception", "BaseException"}:
                found.append(node.lineno)
    return found


def undocumented(source: Source) -> list[str]:
    """Return public functions, methods and classes without docstring, and functions without full annotations."""
    faults = []
    for node in _public(source.tree.body):
        if not ast.get_docstring(node):
            faults.append(f"{node.name} has no docstring")
    for function in source.functions():
        arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
        bare = [a.arg for a in arguments if a.annotation is None and a.arg not in {"self", "cls"}]
        if bare or function.returns is None:
            faults.append(f"{function.name} is not fully annotated")
    return faults


def _public(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from _public(node.body)


@each_source
def test_imports_point_down(source: Source) -> None:
    """A floor imports only what lies below it, and only the libraries it is allowed."""
    assert floor_faults(source) == []


@each_source
def test_each_library_has_one_door(source: Source) -> None:
    """Paho, onnxruntime sessions, click and the optional libraries are imported where they live and nowhere else."""
    assert door_faults(source) == []


@each_source
def test_only_devices_reads_proc_and_sys(source: Source) -> None:
    """The kernel's files are named in devices/ alone."""
    named = [text for text in source.strings() if re.match(r"/?(proc|sys)/", text)]
    assert named == [] or source.path.startswith("devices/")


@each_source
def test_files_and_functions_stay_small(source: Source) -> None:
    """At most 400 lines a file, 60 a function, 6 parameters; a command takes what its options are."""
    assert limit_faults(source) == []


@each_source
def test_nothing_catches_everything(source: Source) -> None:
    """Only the daemon's supervisor, which must outlive any fault, may."""
    assert broad_excepts(source) == [] or source.path == "edge_runtime/daemon.py"


@each_source
def test_what_is_public_is_documented_and_annotated(source: Source) -> None:
    """Every module, public class and function says what it is for; every function is annotated in full."""
    assert ast.get_docstring(source.tree)
    assert undocumented(source) == []


@each_test
def test_every_test_says_what_it_shows(source: Source) -> None:
    """Each test function has a docstring."""
    tests = [f for f in source.functions() if f.name.startswith("test_")]
    assert [f.name for f in tests if not ast.get_docstring(f)] == []


def test_the_rules_find_what_breaks_them() -> None:
    """Each rule, on a file made to break it: a rule that cannot fail holds nothing."""
    up = Source("devices/x.py", "def f() -> None:\n    from optimizer import load\n    import requests\n")
    assert floor_faults(up) == ["optimizer.load", "requests"]
    assert floor_faults(Source("benchmarks/x.py", "import optimizer, onnx\n")) == ["onnx", "optimizer"]
    assert floor_faults(Source(USERS[0], "import paho, numpy, edge_runtime, benchmarks\n")) == [
        "benchmarks",
        "edge_runtime",
    ]
    assert floor_faults(Source("benchmarks/peers/x.py", "import optimizer, onnx, click\n")) == ["click"]
    doors = Source("optimizer/x.py", "import paho.mqtt\nfrom onnxruntime import InferenceSession\nimport click\n")
    assert [fault.partition(" ")[0] for fault in door_faults(doors)] == [
        "click",
        "onnxruntime.InferenceSession",
        "paho.mqtt",
    ]
    hidden = Source("optimizer/x.py", "import onnxruntime\nonnxruntime.InferenceSession(b'')\n")
    assert len(door_faults(hidden)) == 1
    long = Source("optimizer/x.py", "def f(a, b, c, d, e, g, h):\n" + "    pass\n" * 400)
    assert limit_faults(long) == ["401 lines", "f has 401 lines", "f has 7 parameters"]
    for handler in ("except:", "except Exception:", "except (ValueError, BaseException) as e:"):
        assert broad_excepts(Source("optimizer/x.py", f"try:\n    pass\n{handler}\n    pass\n")) == [3]
    bare = Source("optimizer/x.py", "class A:\n    def f(self, x):\n        pass\n")
    assert undocumented(bare) == ["A has no docstring", "f has no docstring", "f is not fully annotated"]


def test_the_layout_on_the_page_is_the_layout_on_disk() -> None:
    """Every path in docs/architecture.md exists, and every folder of the packages stands there."""
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    layout = page.partition("## Layout")[2].partition("## What flows")[0]
    named = re.findall(r"^([a-z_/]+(?:/|\.py)) ", layout, re.MULTILINE)
    assert [path for path in named if not (ROOT / path).exists()] == []
    folders = {f"{file.parent.relative_to(ROOT)}/" for package in FLOORS for file in (ROOT / package).glob("*/*.py")}
    assert folders - set(named) == set()


def raised_codes() -> dict[str, set[int]]:
    """Return every error code in the source with the exit statuses of the classes it is raised with."""
    statuses = {kind.__name__: kind.exit_status for kind in errors.EdgeoptError.__subclasses__()}
    codes: dict[str, set[int]] = {
        text: set() for source in SOURCES for text in source.strings() if CODE.fullmatch(text)
    }
    for source in SOURCES:
        for node in ast.walk(source.tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in statuses
                and node.args
            ):
                first = node.args[0]
                for constant in ast.walk(first):
                    if isinstance(constant, ast.Constant) and constant.value in codes:
                        codes[constant.value].add(statuses[node.func.id])
    return codes


def documented_codes() -> dict[str, set[int]]:
    """Return every code in the table of docs/errors.md with its exit statuses."""
    rows = re.findall(
        r"^\| `(E-[A-Z0-9-]+)` \| ([\d, ]+) \|", (ROOT / "docs/errors.md").read_text("utf-8"), re.MULTILINE
    )
    return {code: {int(status) for status in statuses.split(",")} for code, statuses in rows}


def test_every_error_code_is_documented_and_every_documented_one_exists() -> None:
    """docs/errors.md and the source name the same codes."""
    assert sorted(documented_codes()) == sorted(raised_codes())


def test_documented_exit_statuses_are_the_raised_ones() -> None:
    """Where the source names class and code together, the table's status is that class's."""
    documented = documented_codes()
    wrong = {code: (found, documented[code]) for code, found in raised_codes().items() if not found <= documented[code]}
    assert wrong == {}


def test_nothing_names_a_machine_or_a_registry() -> None:
    """No path of somebody's machine and no package registry's host stands in any file of the repository."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("needs a git checkout to know which files belong to the repository")
    found = []
    for name in listed.stdout.decode().split("\0"):
        file = ROOT / name
        text = file.read_text(encoding="utf-8", errors="ignore") if file.is_file() else ""
        found += [f"{name}: {match.group()}" for match in NOT_IN_THE_REPOSITORY.finditer(text)]
    assert found == []


def modules_after(code: str, folder: Path) -> set[str]:
    """Run code in a fresh Python, as installed, and return the top-level modules it has imported."""
    script = f"import sys\n{code}\nprint('\\n' + ' '.join(sorted(sys.modules)))"
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=True, timeout=120
    )
    return {name.partition(".")[0] for name in ended.stdout.splitlines()[-1].split()}


@pytest.mark.parametrize("package", ["optimizer", "edge_runtime"])
def test_help_imports_nothing_heavy(package: str, tmp_path: Path) -> None:
    """`edgeopt --help` and `edge-runtime --help` answer at once: no onnx, onnxruntime, numpy, paho or rich."""
    code = f"from {package}.cli.main import main\nmain(['--help'], standalone_mode=False)"
    assert modules_after(code, tmp_path) & {"onnx", "onnxruntime", "numpy", "paho", "rich", "msgspec"} == set()


def test_the_daemon_never_imports_onnx(tmp_path: Path) -> None:
    """Every module of edge_runtime, but the embedded broker of the demo, loads where no extra is installed."""
    code = (
        "for name in ('onnx', 'rich', 'PIL', 'amqtt', 'google', 'openvino'):\n"
        "    sys.modules[name] = None\n"
        "import importlib, pkgutil, edge_runtime\n"
        "skipped = ('edge_runtime.__main__', 'edge_runtime.messaging.embedded_broker')\n"
        "for found in pkgutil.walk_packages(edge_runtime.__path__, 'edge_runtime.'):\n"
        "    if found.name not in skipped:\n"
        "        importlib.import_module(found.name)\n"
    )
    assert {"numpy", "onnxruntime", "msgspec"} <= modules_after(code, tmp_path)
