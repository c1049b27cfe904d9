"""Functions the user wrote: found by name, and their failures told apart from ours."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import sys
import threading
import traceback
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from edge_runtime.errors import BadInput, EdgeoptError

_OUR_OWN = frozenset({"benchmarks", "devices", "edge_runtime", "optimizer"})
_importing = threading.Lock()


@dataclass(frozen=True)
class Origin:
    """Where a user's modules are imported from, and which visit to it this is.

    A process may outlive an edit: a worker of a cluster, a notebook. Modules of another visit are imported anew, so
    the function that runs is the one that stands in the file. A visit lasts as long as nothing was edited.

    Attributes:
        folder: Searched first.
        visit: The same in all processes of one run, and in no other run.
    """

    folder: str
    visit: str = field(compare=False)

    @classmethod
    def here(cls) -> Origin:
        """Return the current folder."""
        folder = str(Path.cwd())
        if _last and _last[0].folder == folder and _last[0].digests() == _imported:
            return _last[0]
        return cls(folder, uuid.uuid4().hex)

    @contextlib.contextmanager
    def first_on_path(self) -> Iterator[None]:
        """Let imports, those inside functions too, find the folder's modules."""
        sys.path.insert(0, self.folder)
        try:
            yield
        finally:
            sys.path.remove(self.folder)

    def modules(self) -> dict[str, ModuleType]:
        """Return the modules that were imported from the folder, sorted by name: the user's, not what he installed."""
        return {
            name: module
            for name, module in sorted(sys.modules.items())
            if name.partition(".")[0] not in {*_OUR_OWN, "__main__", "__mp_main__"} and self._holds(module)
        }

    def digests(self) -> dict[str, str]:
        """Return the digests of these modules' files by name; a file that is gone has none."""
        found = {}
        for name, module in self.modules().items():
            with contextlib.suppress(OSError):
                found[name] = hashlib.sha256(Path(str(module.__file__)).read_bytes()).hexdigest()
        return found

    def _holds(self, module: ModuleType) -> bool:
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or not Path(file).is_relative_to(self.folder):
            return False
        return not {"site-packages", "dist-packages"} & set(Path(file).parts)


_last: list[Origin] = []  # the visit that this process knows the user's modules from, if any
_imported: dict[str, str] = {}  # their digests
_of_host: set[str] = set()  # modules that the process, a notebook for one, had of its own: not ours to forget


def import_function(spec: str, origin: Origin) -> Callable[..., Any]:
    """Return the function that ``module:function`` names, the origin's folder searched first.

    Raises:
        BadInput: E-USER-FUNCTION, there is no such module or function, or importing it fails.
    """
    module_name, _, name = spec.partition(":")
    with _importing, origin.first_on_path(), _no_bytecode(), _Guard(spec):
        _forget_other_visits(origin)
        is_new = module_name not in sys.modules
        function: Callable[..., Any] = getattr(importlib.import_module(module_name), name)
        if is_new:
            _imported.update({key: one for key, one in origin.digests().items() if key not in _imported})
    return function


def _forget_other_visits(origin: Origin) -> None:
    if _last and _last[0].visit == origin.visit:
        return
    for known in _last:
        for name in known.modules().keys() - _of_host:
            del sys.modules[name]
    _of_host.clear()
    _of_host.update(origin.modules())
    _last[:] = [origin]
    _imported.clear()
    importlib.invalidate_caches()


@contextlib.contextmanager
def _no_bytecode() -> Iterator[None]:
    """Leave no __pycache__ beside a user's file; and a file edited twice in a second would be taken for the first."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def call(spec: str, function: Callable[..., Any], *arguments: object) -> Any:
    """Call a user's function.

    Raises:
        BadInput: E-USER-FUNCTION, it raised; the message names its file and line.
    """
    with _Guard(spec):
        return function(*arguments)


def fingerprint(spec: str) -> str:
    """Return the digest of the file of ``module:function`` and of those that it imported from the same folder."""
    module = sys.modules.get(spec.partition(":")[0])
    file = getattr(module, "__file__", None)
    digest = hashlib.sha256(Path(file).read_bytes() if file else spec.encode())
    for name, of_module in sorted({name: one for origin in _last for name, one in origin.digests().items()}.items()):
        digest.update(f"{name} {of_module}".encode())
    return digest.hexdigest()


class _Guard:
    """Turn whatever a user's code raises into an error that names the place in his file."""

    def __init__(self, spec: str) -> None:
        self._spec = spec

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, Exception) or isinstance(error, EdgeoptError):
            return
        frame = traceback.extract_tb(trace)[-1]
        raise BadInput(
            "E-USER-FUNCTION",
            f"{self._spec} failed at {frame.filename}:{frame.lineno}: {type(error).__name__}: {error}",
            "write it as `def function(...)` in MODULE.py in the current folder, and name it MODULE:function",
        ) from error
