"""The judge of the storm convicts: each of these would be a defect of a gateway or a resolver."""

from math import inf

import pytest

from gateways.fake_kubelet import Arrival
from gateways.traffic import SentRequest
from gateways.verification import LAG_SECONDS, BindingInterval, Disruptions, binding_intervals, misrouted
from support.link_recorder import Version

#: Long enough that nobody can say that word was still on its way.
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
    ("pod", "sent", "is_astray"),
    [
        (0, 10.0, False),
        (1, 10.0, True),
        (0, 20.0 + LATER, True),  # it has left long ago
        (0, 20.0 + LAG_SECONDS / 2, False),  # word of that may be on its way
        (2, 20.0 + LATER, False),
        (2, 10.0 - LATER, True),  # it has not come yet
    ],
)
def test_request_is_misrouted_at_a_pod_that_does_not_hold_its_user(pod: int, sent: float, is_astray: bool) -> None:
    record = {"alice": [BindingInterval(0, -inf, 20.0), BindingInterval(2, 19.0, inf)]}
    found = misrouted([Arrival(pod, sent + 0.05, "1", "alice")], {"1": request(sent)}, record)
    assert bool(found) is is_astray


def test_error_is_covered_only_by_a_disruption_of_its_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter((10.0, 12.0))
    monkeypatch.setattr("gateways.verification.monotonic", lambda: next(now))
    unrest = Disruptions()
    with unrest.during(1):
        pass
    mine, other = [BindingInterval(1, -inf, inf)], [BindingInterval(0, -inf, inf)]
    assert unrest.covers(request(11.0, 503), mine)
    assert not unrest.covers(request(11.0, 503), other)
    assert not unrest.covers(request(12.0 + LATER, 503), mine)
    assert not unrest.covers(request(5.0, 503), mine)
