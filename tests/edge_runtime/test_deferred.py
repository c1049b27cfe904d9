"""Deferred modules are the modules themselves, only later."""

from __future__ import annotations

import subprocess
import sys


def _printed(script: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True, timeout=60)
    return done.stdout.split()


def test_a_deferred_module_is_loaded_by_its_first_use_and_for_everybody() -> None:
    """Whoever imported it before holds the same module, complete, after the first look into it."""
    script = (
        "import sys; from edge_runtime.deferred import defer; defer('hashlib', 'urllib.request'); import hashlib\n"
        "import urllib.request; print('_hashlib' in sys.modules, 'http.client' in sys.modules)\n"
        "print(hashlib.sha256(b'').hexdigest()[:4]); from urllib.request import Request; print(Request.__name__)\n"
        "print('http.client' in sys.modules, type(hashlib).__name__, sys.modules['hashlib'] is hashlib)\n"
    )
    assert _printed(script) == ["False", "False", "e3b0", "Request", "True", "module", "True"]


def test_what_is_loaded_or_missing_is_left_alone() -> None:
    """A module in use is not replaced, and one that this Python lacks is missing as before."""
    script = (
        "import sys, hashlib; from edge_runtime.deferred import defer; defer('hashlib', 'no_such_module')\n"
        "print(type(sys.modules['hashlib']).__name__, 'no_such_module' in sys.modules)\n"
    )
    assert _printed(script) == ["module", "False"]


def test_the_daemon_loads_no_tls_library_for_a_plain_connection() -> None:
    """Libcrypto and what comes with it would be a tenth of the daemon's memory."""
    script = (
        "import sys, edge_runtime.cli.main, edge_runtime.cli.run, edge_runtime.daemon\n"
        "print([name for name in ('_ssl', '_hashlib', 'email', 'http.client') if name in sys.modules])\n"
    )
    assert _printed(script) == ["[]"]
