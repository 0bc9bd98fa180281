"""Tests that the verification of requests detects misrouted requests and unexpected errors."""

from math import inf

import pytest

from gateways.fake_kubelet import Arrival
from gateways.traffic import SentRequest
from gateways.verification import LAG_SECONDS, BindingInterval, Disruptions, binding_intervals, misrouted
from support.link_recorder import Version

#: Longer than the maximal delay of a watch.
LATER = 3 * LAG_SECONDS


def version(pod: int | None, seen_at: float, event: str = "MODIFIED") -> Version:
    spec = {} if pod is None else {"podIndex": pod}
    return Version(event, {"metadata": {"name": "game.alice"}, "spec": spec}, seen_at)


def request(sent: float, status: int = 200) -> SentRequest:
    return SentRequest("1", "alice", "", sent, sent + 0.1, status, "")


def test_interval_starts_before_the_first_version_with_the_pod_and_ends_at_the_next_one() -> None:
    versions = [version(None, 1.0, "ADDED"), version(0, 2.0), version(0, 3.0), version(2, 4.0)]
    assert binding_intervals(versions) == [BindingInterval(0, 1.0, 4.0), BindingInterval(2, 3.0, inf)]
    assert binding_intervals([*versions, version(2, 5.0, "DELETED")])[-1] == BindingInterval(2, 3.0, 5.0)


@pytest.mark.parametrize(
    ("pod", "sent", "is_misrouted"),
    [
        (0, 10.0, False),
        (1, 10.0, True),
        (0, 20.0 + LATER, True),  # long after the link left the pod
        (0, 20.0 + LAG_SECONDS / 2, False),  # within the delay of a watch
        (2, 20.0 + LATER, False),
        (2, 10.0 - LATER, True),  # long before the link was to the pod
    ],
)
def test_request_is_misrouted_at_a_pod_that_does_not_hold_its_user(pod: int, sent: float, is_misrouted: bool) -> None:
    record = {"alice": [BindingInterval(0, -inf, 20.0), BindingInterval(2, 19.0, inf)]}
    messages = misrouted([Arrival(pod, sent + 0.05, "1", "alice")], {"1": request(sent)}, record)
    assert bool(messages) is is_misrouted


def test_error_is_covered_only_by_a_disruption_of_its_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter((10.0, 12.0))
    monkeypatch.setattr("gateways.verification.monotonic", lambda: next(now))
    disruptions = Disruptions()
    with disruptions.during(1):
        pass
    affected, other = [BindingInterval(1, -inf, inf)], [BindingInterval(0, -inf, inf)]
    assert disruptions.covers(request(11.0, 503), affected)
    assert not disruptions.covers(request(11.0, 503), other)
    assert not disruptions.covers(request(12.0 + LATER, 503), affected)
    assert not disruptions.covers(request(5.0, 503), affected)
