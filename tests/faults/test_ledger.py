"""The ledger finds what is planted: an account that cannot be wrong proves nothing."""

from __future__ import annotations

from typing import Any

from faults.ledger import Key, Ledger, unaccounted
from faults.result import Result
from faults.rig import judge


def prediction(seq: int, number: int, *, boot: str = "b1", stream: str = "s", **more: object) -> dict[str, Any]:
    """Return a message of the daemon."""
    return {"pipeline": "sum", "stream": stream, "boot": boot, "seq": seq, "value": float(number), **more}


def filled(count: int, *, skip: tuple[int, ...] = (), stream: str = "s") -> Ledger:
    """Return a ledger of so many readings, each acknowledged, and predicted unless skipped."""
    ledger = Ledger()
    for number in range(1, count + 1):
        ledger.sent(number, stream)
        ledger.acknowledged(number)
        if number not in skip:
            ledger.received(prediction(number, number))
    return ledger


def problems(ledger: Ledger, most_repeated: int = 0) -> list[str]:
    """Return what is judged wrong."""
    result = Result("F00", "", 1, 0)
    judge(result, ledger.verdict(), most_repeated)
    return result.problems


def test_a_faultless_run_has_no_problem() -> None:
    """What is complete passes."""
    ledger = filled(10)
    assert problems(ledger) == []
    assert ledger.outstanding() == 0
    assert (ledger.verdict().accepted, ledger.verdict().predicted) == (10, 10)


def test_a_loss_is_found() -> None:
    """A reading that was acknowledged and never predicted is lost, at the end of the run as well."""
    assert filled(10, skip=(10,)).verdict().lost == [10]
    assert "1 acknowledged readings lost, among [10]" in problems(filled(10, skip=(10,)))


def test_a_reading_not_acknowledged_is_not_lost() -> None:
    """The sensor still has it."""
    ledger = filled(3)
    ledger.sent(4, "s")
    assert problems(ledger) == []


def test_a_gap_is_found_in_its_stream_and_run_only() -> None:
    """Numbers are counted for each stream of each run from 1."""
    ledger = filled(5, skip=(3,))
    assert ledger.verdict().gaps == {Key("sum", "s", "b1"): [3]}
    ledger.received(prediction(2, 3, boot="b2"))
    assert ledger.verdict().gaps == {Key("sum", "s", "b1"): [3], Key("sum", "s", "b2"): [1]}
    assert any("2 sequence numbers missing" in problem for problem in problems(ledger))


def test_an_announced_gap_is_explained() -> None:
    """What the daemon says it dropped is no unknown loss, and does not hold the watermark."""
    ledger = filled(5, skip=(3,))
    key = Key("sum", "s", "b1")
    assert ledger.watermark(key) == 2
    assert problems(ledger) != []
    ledger.announce(key, 3, 3)
    assert problems(ledger) == []
    assert ledger.watermark(key) == 5
    assert (ledger.verdict().gaps, ledger.verdict().announced) == ({}, 1)


def test_repeats_are_told_apart_and_bounded() -> None:
    """A message may come twice, a reading may be predicted again after a crash; beyond the window it is a problem."""
    ledger = filled(5)
    assert not ledger.received(prediction(5, 5))
    assert ledger.received(prediction(1, 5, boot="b2"))
    verdict = ledger.verdict()
    assert (verdict.repeated_messages, verdict.repeated_readings) == (1, 1)
    assert problems(ledger, 2) == []
    assert problems(ledger, 1) == ["2 repeats, more than the windows of 1"]


def test_contradictions_are_found() -> None:
    """One message with two values; a value nobody sent; one sent on another stream; order turned round."""
    ledger = filled(5)
    ledger.received(prediction(5, 4))
    ledger.received(prediction(6, 77))
    ledger.received(prediction(1, 2, stream="t"))
    found = problems(ledger, 9)
    assert len(found) == 3
    late = filled(5, skip=(3,))
    late.received(prediction(3, 3))
    assert any("came after 5" in problem for problem in problems(late))
    flagged = filled(5, skip=(3,))
    flagged.received(prediction(3, 3, historical=True))
    assert problems(flagged) == []


def test_what_is_not_accounted_for_is_found() -> None:
    """Accepted = delivered + stored + waiting + dropped."""
    account = {"accepted": 10, "delivered": 5, "stored": 2, "waiting": 1, "dropped": {"disk_full": 2}}
    assert unaccounted(account) == 0
    assert unaccounted({**account, "stored": 1}) == 1
