"""Standard modules that a library imports and most runs never use: loaded by the first look into them, not before."""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec
from threading import RLock
from types import ModuleType
from typing import Any

_loading = RLock()


class _Deferred(ModuleType):
    """A module that has its name and place, and executes itself when asked for anything else."""

    def __getattr__(self, name: str) -> Any:
        with _loading:
            if self.__class__ is _Deferred:
                object.__setattr__(self, "__class__", ModuleType)
                spec = self.__spec__
                if spec is None or spec.loader is None:
                    raise ImportError(f"{self.__name__} has no loader")
                spec.loader.exec_module(self)
        return getattr(self, name)


def defer(*names: str) -> None:
    """Have these modules loaded at their first use; those that are loaded already stay as they are.

    To whoever imports one it is the module itself, now and after it was loaded. What costs memory is for instance
    libcrypto, 4 MB, which both `ssl` and `hashlib` bring.
    """
    for name in names:
        spec = None if name in sys.modules else find_spec(name)
        if spec is None:
            continue  # a Python built without it: whoever needs it says so
        module = module_from_spec(spec)
        module.__class__ = _Deferred
        sys.modules[name] = module
        parent, _, last = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], last, module)
