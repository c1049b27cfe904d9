"""Topics: matching as the standard has it, streams, and templates that cannot work."""

from __future__ import annotations

import pytest

from edge_runtime.messaging.topics import (
    PREDICTION_PLACEHOLDERS,
    SERVICE_PLACEHOLDERS,
    SourceTopic,
    fill,
    problem_in_source,
    problem_in_template,
)


@pytest.mark.parametrize(
    ("template", "topic", "stream"),
    [
        ("plant/{stream}/vib", "plant/pump-1/vib", "pump-1"),
        ("plant/{stream}/vib", "plant/pump-1/temp", None),
        ("plant/{stream}/vib", "plant/pump-1/vib/x", None),
        ("plant/{stream}/vib", "plant/pump-1", None),
        ("{stream}", "a", "a"),
        ("{stream}", "a/b", None),
        ("+/{stream}", "x/y", "y"),
        ("plant/{stream}/#", "plant/a/b/c", "a"),
        ("plant/{stream}/#", "plant/a", "a"),
        ("plant/{stream}", "/a", None),
        ("/{stream}", "/a", "a"),
    ],
)
def test_matching_and_streams(template: str, topic: str, stream: str | None) -> None:
    """MQTT 3.1.1 section 4.7: + is one level, # is all that follow, its parent included."""
    source = SourceTopic.parse(template)
    assert source.matches(topic) is (stream is not None)
    if stream is not None:
        assert source.stream_of(topic) == stream


def test_a_shared_subscription_matches_plain_topics() -> None:
    """The group stands in what the broker is asked for, and nowhere in the topics that it delivers (MQTT 5, 4.8.2)."""
    source = SourceTopic.parse("plant/{stream}/vib", "line-1")
    assert source.subscription == "$share/line-1/plant/+/vib"
    assert source.matches("plant/pump-1/vib")
    assert source.stream_of("plant/pump-1/vib") == "pump-1"
    assert SourceTopic.parse("plant/{stream}/vib").subscription == "plant/+/vib"


def test_a_group_written_into_the_topic_is_sent_to_its_own_option() -> None:
    """The fix is the two lines to write."""
    problem = problem_in_source("$share/line-1/plant/{stream}")
    assert problem is not None
    assert problem[1] == "write topic = 'plant/{stream}' and share = 'line-1'"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("plant/+/vib", "does not say which level"),
        ("plant/{stream}/{stream}", "does not say which level"),
        ("plant/pump-{stream}", "does not say which level"),
        ("plant/{asset}/vib", "unknown placeholder {asset}"),
        ("plant/{strem}/vib", "unknown placeholder {strem}"),
        ("plant/#/{stream}", "no topic filter"),
        ("plant/x+/{stream}", "no topic filter"),
        ("plant/{stream}/a#", "no topic filter"),
        ("", "does not say which level"),
    ],
)
def test_source_topics_that_cannot_work(template: str, said: str) -> None:
    """Each says what is wrong and how to write it."""
    problem = problem_in_source(template)
    assert problem is not None
    assert said in problem[0]
    assert problem[1]


def test_a_slip_of_the_pen_gets_a_suggestion() -> None:
    """The nearest known placeholder is named."""
    problem = problem_in_source("plant/{strem}/vib")
    assert problem is not None
    assert "did you mean {stream}" in problem[1]


@pytest.mark.parametrize(
    ("template", "allowed", "fine"),
    [
        ("edgeopt/{site}/{node}/status", SERVICE_PLACEHOLDERS, True),
        ("edgeopt/{stream}/status", SERVICE_PLACEHOLDERS, False),
        ("p/{pipeline}/{stream}", PREDICTION_PLACEHOLDERS, True),
        ("p/+/x", PREDICTION_PLACEHOLDERS, False),
        ("p/#", PREDICTION_PLACEHOLDERS, False),
        ("", SERVICE_PLACEHOLDERS, False),
        ("p/{", SERVICE_PLACEHOLDERS, False),
    ],
)
def test_topics_to_publish_on(template: str, allowed: tuple[str, ...], fine: bool) -> None:
    """Wildcards cannot be published on, and only known placeholders are filled."""
    assert (problem_in_template(template, allowed) is None) is fine


def test_filling() -> None:
    """Every placeholder gets its value."""
    assert fill("a/{site}/{node}", {"site": "s", "node": "n"}) == "a/s/n"
