"""Which broker the integration tests run on."""

from __future__ import annotations

import os

import pytest
from brokers import find_program


@pytest.mark.skipif("CI" not in os.environ, reason="outside the continuous check the embedded broker may stand in")
def test_the_continuous_check_uses_mosquitto() -> None:
    """There no test is skipped for want of the real broker and its tools."""
    tools = ("mosquitto", "mosquitto_sub", "mosquitto_passwd")
    assert [name for name in tools if find_program(name) is None] == []
