"""A wave of links costs as much as its links one by one: writes, events and duplicates are counted, not timed."""

from collections import Counter

import pytest

from support.link_recorder import LinkRecorder
from support.operator_process import OperatorProcess
from support.scale import scaled
from support.service import Service
from support.waiting import stays

pytestmark = pytest.mark.usefixtures("operator", "quiet_cluster")

WAVE = scaled(90, 5000)
OWN_GROUP, EVENTS = "statefulroute.io", "events.k8s.io"

NAMED, CHOSEN = ["created", "Bound"], ["created", "chosen", "Bound"]

#: The requests of the users; all others are the operator's.
CREATED = {"POST podlinks": WAVE}


def test_wave_of_links_that_name_their_pods_costs_one_write_and_one_event_at_most_each(
    game: Service, recorder: LinkRecorder
) -> None:
    count = game.client.count_requests(OWN_GROUP)
    names = game.link_each({f"user-{number}": {"podIndex": number % 3} for number in range(WAVE)})
    game.await_all_bound(WAVE)
    game.await_status(links=WAVE)
    assert link_requests(count.by_resource("POST", "PATCH", "PUT")) == {**CREATED, "PATCH podlinks/status": WAVE}
    assert recorder.all_transitions() == dict.fromkeys(names, NAMED)
    assert repeated_events(game) == []


def test_wave_of_links_that_leave_the_choice_costs_two_writes_and_one_event_at_most_each(
    game: Service, recorder: LinkRecorder
) -> None:
    count = game.client.count_requests(OWN_GROUP)
    names = game.link_all(f"user-{number}" for number in range(WAVE))
    game.await_all_bound(WAVE)
    game.await_status(links=WAVE)
    requests = link_requests(count.by_resource("POST", "PATCH", "PUT"))
    assert requests == {**CREATED, "PATCH podlinks": WAVE, "PATCH podlinks/status": WAVE}
    assert recorder.all_transitions() == dict.fromkeys(names, CHOSEN)
    assert repeated_events(game) == []
    assert max(game.links_by_pod().values()) <= 1.1 * WAVE / 3


def test_restart_after_a_wave_writes_nothing_and_records_no_event(
    game: Service, operator: OperatorProcess, recorder: LinkRecorder
) -> None:
    game.link_all(f"user-{number}" for number in range(WAVE))
    game.await_all_bound(WAVE)
    game.await_status(links=WAVE)
    operator.stop()
    before, count = recorder.all_transitions(), game.client.count_requests(OWN_GROUP, EVENTS)
    operator.start()
    stays(
        lambda: count.by_resource("POST", "PATCH", "PUT") == {},
        "nothing is written and no event is recorded after a restart",
        poll_seconds=3.0,
    )
    assert recorder.all_transitions() == before


def link_requests(requests: dict[str, int]) -> dict[str, int]:
    """Returns the requests for links."""
    return {request: number for request, number in requests.items() if "podlinks" in request}


def repeated_events(game: Service) -> list[tuple[str, str]]:
    """Returns the repeated events of links. Only some links of a wave have events, because events are rate-limited."""
    events = game.events()
    assert events, "no event was recorded"
    counts = Counter((event["regarding"]["name"], event["reason"]) for event in events)
    return [event for event, number in counts.items() if number > 1]
