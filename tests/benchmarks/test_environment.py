"""Doubts about a measurement, from what the machine said around it."""

from __future__ import annotations

from benchmarks.environment import Environment, observed
from devices.host import Conditions, Host

QUIET = Conditions(0.1, "performance", 45.0, frozenset(), frozenset())
HOST = Host("aarch64", "Cortex-A72", frozenset(), 4, None, None, "Linux")


def around(before: Conditions, after: Conditions) -> Environment:
    """Return the record of a measurement between two moments."""
    environment = Environment(HOST, "1.32.0", before)
    environment.after = after
    return environment


def test_a_quiet_machine_raises_no_doubt() -> None:
    """No load, fixed frequency, nothing throttled: nothing to say."""
    assert around(QUIET, QUIET).doubts() == []


def test_a_machine_that_cannot_tell_raises_no_doubt() -> None:
    """Unknown is not bad: a virtual machine without sensors gets no warning made from None."""
    silent = Conditions(None, None, None, None, None)
    assert around(silent, silent).doubts() == []


def test_other_work_is_doubted() -> None:
    """A load above half the cores was not ours: it was there before."""
    busy = Conditions(2.5, "performance", 45.0, frozenset(), frozenset())
    assert "load average 2.50 on 4 cores" in around(busy, QUIET).doubts()[0]


def test_a_changing_frequency_is_doubted() -> None:
    """Any governor but performance lets the frequency move."""
    saving = Conditions(0.1, "powersave", 45.0, frozenset(), frozenset())
    assert "powersave" in around(saving, saving).doubts()[0]


def test_throttling_is_doubted_whenever_it_happened() -> None:
    """At the start, at the end, or only in between (seen by the bit that stays set)."""
    hot = Conditions(0.1, "performance", 85.0, frozenset({"throttled"}), frozenset({"throttled"}))
    was_hot = Conditions(0.1, "performance", 70.0, frozenset(), frozenset({"throttled"}))
    for before, after in ((hot, was_hot), (QUIET, hot), (QUIET, was_hot)):
        assert "throttled" in around(before, after).doubts()[0]
    assert around(was_hot, was_hot).doubts() == []


def test_observed_records_before_and_after() -> None:
    """Around a block the real machine is read twice and onnxruntime's version is kept."""
    with observed() as environment:
        pass
    assert environment.after is not None
    assert environment.onnxruntime[0].isdigit()
