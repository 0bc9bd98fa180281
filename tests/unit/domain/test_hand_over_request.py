"""The request of a hand-over."""

from datetime import timedelta

import pytest

from statefulroute.domain.hand_over_request import HandOverRequest, HandOverResult, request_hand_over
from statefulroute.domain.link import HandOver, Link
from statefulroute.domain.operations import Binding, MoveResult, Put, Step, move_link
from statefulroute.domain.times import TimeInterval
from unit.domain.builders import NOON, link

EARLIER, LATER = NOON - timedelta(seconds=1), NOON + timedelta(seconds=600)
NOW = TimeInterval(EARLIER, NOON)
EARLY = HandOver(1, "2026-01-01T11:59:00Z")
ASKED = HandOver(2, "2026-01-01T12:00:00Z")
TEMPORARY = link(0, ttl_seconds=600, expire_time=LATER)


def request(
    current: Link | None, *, only_from: int | None = None, ttl_seconds: int | None = None
) -> Step[HandOverResult]:
    return request_hand_over(current, NOW, pod=2, only_from=only_from, ttl_seconds=ttl_seconds)


@pytest.mark.parametrize(
    ("current", "binding"),
    [
        pytest.param(link(0), Binding(0, None, None, ASKED), id="persistent"),
        pytest.param(TEMPORARY, Binding(0, 600, NOON, ASKED), id="temporary links are renewed"),
        pytest.param(link(0, hand_over=EARLY), Binding(0, None, None, ASKED), id="replaces a hand-over to another pod"),
    ],
)
def test_link_keeps_its_pod_and_asks_for_the_hand_over(current: Link, binding: Binding) -> None:
    assert request(current) == Step(Put(binding), HandOverResult(HandOverRequest.STARTED, 0, ASKED))


def test_ttl_of_the_request_is_that_of_the_link_afterwards() -> None:
    assert request(TEMPORARY, ttl_seconds=60).write == Put(Binding(0, 60, NOON, ASKED))


@pytest.mark.parametrize(
    ("current", "only_from", "result"),
    [
        (None, None, HandOverResult(HandOverRequest.NO_LINK)),
        (link(0, ttl_seconds=600, expire_time=EARLIER), None, HandOverResult(HandOverRequest.NO_LINK)),
        (link(), None, HandOverResult(HandOverRequest.NO_POD)),
        (link(2), None, HandOverResult(HandOverRequest.ALREADY_THERE, 2)),
        (link(2, hand_over=EARLY), None, HandOverResult(HandOverRequest.ALREADY_THERE, 2, EARLY)),
        (link(0, hand_over=HandOver(2, "x")), None, HandOverResult(HandOverRequest.IN_PROGRESS, 0, HandOver(2, "x"))),
        (link(0), 1, HandOverResult(HandOverRequest.ELSEWHERE, 0)),
        (link(), 1, HandOverResult(HandOverRequest.ELSEWHERE)),
    ],
)
def test_nothing_is_written_if_there_is_nothing_to_hand_over(
    current: Link | None, only_from: int | None, result: HandOverResult
) -> None:
    assert request(current, only_from=only_from) == Step(None, result)


def test_request_is_limited_to_the_pod_that_it_names() -> None:
    assert request(link(0), only_from=0).result.outcome is HandOverRequest.STARTED


@pytest.mark.parametrize("pod", [0, 1, 2])
def test_move_ends_a_hand_over_and_returns_its_pod(pod: int) -> None:
    step = move_link(link(0, hand_over=EARLY), NOW, pod=pod, only_from=None, ttl_seconds=None)
    assert step == Step(Put(Binding(pod)), MoveResult(won=True, had_link=True, previous=0, withdrawn=1))
