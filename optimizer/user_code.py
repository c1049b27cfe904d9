"""Functions the user wrote: found by name, and their failures told apart from ours."""

from __future__ import annotations

import hashlib
import importlib
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from edge_runtime.errors import BadInput, EdgeoptError


def import_function(spec: str) -> Callable[..., Any]:
    """Return the function that ``module:function`` names, the current folder searched first.

    Raises:
        BadInput: E-USER-FUNCTION, there is no such module or function, or importing it fails.
    """
    module_name, _, name = spec.partition(":")
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        with _Guard(spec):
            function: Callable[..., Any] = getattr(importlib.import_module(module_name), name)
    finally:
        sys.path.remove(folder)
    return function


def call(spec: str, function: Callable[..., Any], *arguments: object) -> Any:
    """Call a user's function.

    Raises:
        BadInput: E-USER-FUNCTION, it raised; the message names its file and line.
    """
    with _Guard(spec):
        return function(*arguments)


def fingerprint(spec: str) -> str:
    """Return the digest of the file that ``module:function`` is written in; the name alone where there is no file."""
    module_name, _, _ = spec.partition(":")
    file = getattr(sys.modules.get(module_name), "__file__", None)
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else spec


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
