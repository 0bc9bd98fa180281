"""A wave of links costs what its links cost one by one: writes, events and duplicates are counted, nothing is timed."""

from collections import Counter

import pytest

from support.link_recorder import LinkRecorder
from support.operator_process import OperatorProcess
from support.scale import scaled
from support.service import Service
from support.waiting import stays

pytestmark = pytest.mark.usefixtures("operator", "quiet_cluster")

WAVE = scaled(400, 5000)
OURS, EVENTS = "statefulroute.io", "events.k8s.io"

PINNED, CHOSEN = ["created", "Bound"], ["created", "chosen", "Bound"]

#: What the wave's users do: the rest is the operator's.
CREATED = {"POST podlinks": WAVE}


def test_a_wave_that_names_its_pods_costs_a_write_and_at_most_an_event_each(
    game: Service, recorder: LinkRecorder
) -> None:
    count = game.client.count_requests(OURS)
    names = game.link_each({f"user-{number}": {"podIndex": number % 3} for number in range(WAVE)})
    game.await_all_bound(WAVE)
    game.await_status(links=WAVE)
    assert of_links(count.by_resource("POST", "PATCH", "PUT")) == {**CREATED, "PATCH podlinks/status": WAVE}
    assert recorder.all_transitions() == dict.fromkeys(names, PINNED)
    assert reported_repeatedly(game) == []


def test_a_wave_that_leaves_the_choice_costs_two_writes_and_at_most_an_event_each(
    game: Service, recorder: LinkRecorder
) -> None:
    count = game.client.count_requests(OURS)
    names = game.link_all(f"user-{number}" for number in range(WAVE))
    game.await_all_bound(WAVE)
    game.await_status(links=WAVE)
    made = of_links(count.by_resource("POST", "PATCH", "PUT"))
    assert made == {**CREATED, "PATCH podlinks": WAVE, "PATCH podlinks/status": WAVE}
    assert recorder.all_transitions() == dict.fromkeys(names, CHOSEN)
    assert reported_repeatedly(game) == []
    assert max(game.links_by_pod().values()) <= 1.1 * WAVE / 3


def test_a_restart_among_a_wave_writes_and_tells_nothing(
    game: Service, operator: OperatorProcess, recorder: LinkRecorder
) -> None:
    game.link_all(f"user-{number}" for number in range(WAVE))
    game.await_all_bound(WAVE)
    game.await_status(links=WAVE)
    operator.stop()
    before, count = recorder.all_transitions(), game.client.count_requests(OURS, EVENTS)
    operator.start()
    stays(lambda: count.by_resource("POST", "PATCH", "PUT") == {}, "nothing is written or told after a restart")
    assert recorder.all_transitions() == before


def of_links(requests: dict[str, int]) -> dict[str, int]:
    """Those that were about links."""
    return {request: number for request, number in requests.items() if "podlinks" in request}


def reported_repeatedly(game: Service) -> list[tuple[str, str]]:
    """The links of which the same was told again; a wave tells of some, for events have a budget."""
    events = game.events()
    assert events, "nothing was told at all"
    told = Counter((each["regarding"]["name"], each["reason"]) for each in events)
    return [what for what, number in told.items() if number > 1]
