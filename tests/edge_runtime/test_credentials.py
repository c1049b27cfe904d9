"""Secrets that systemd hands over."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.credentials import secret_file


def test_a_credential_of_the_same_name_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside a service, and where the service has no such credential, the file itself is read."""
    file = Path("/etc/edge-runtime/mqtt.password")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert secret_file(file) == file
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert secret_file(file) == file
    (tmp_path / "mqtt.password").write_text("secret")
    assert secret_file(file) == tmp_path / "mqtt.password"
