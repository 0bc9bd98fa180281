"""The operator meets statuses with the messages of a version that words them in another way."""

from collections import Counter
from typing import Any

import pytest

from support.independent_client import PodLink
from support.link_recorder import LinkRecorder
from support.operator_process import OperatorProcess
from support.scale import scaled
from support.service import SHUT_DOWN, Service, condition_of
from support.waiting import eventually, stays

PART = scaled(10, 20)
LIMIT = 3 * PART
OTHER_WORDS = "words of another version"

#: The numbers of links, by the reason of their status.
REASONS = {
    "Bound": 2 * LIMIT,
    "PodLost": 2 * PART,
    "AtCapacity": 2 * PART,
    "PodNotFound": 2 * PART,
    "RouteNotFound": PART,
}


@pytest.fixture
def waiting(service: Service) -> Service:
    """A service whose links are bound, lost, and waiting for several reasons."""
    service.start(placement={"maxLinksPerPod": LIMIT})
    service.set_on_pod_lost("Keep")
    service.link_all((f"lost-{number}" for number in range(REASONS["PodLost"])), podIndex=2)
    service.await_all_bound(REASONS["PodLost"])
    service.annotate(2, SHUT_DOWN)
    service.link_all((f"missing-{number}" for number in range(REASONS["PodNotFound"])), podIndex=7)
    service.link_all(f"chosen-{number}" for number in range(REASONS["Bound"] + REASONS["AtCapacity"]))
    other = Service(service.kubectl, service.client, "other")
    other.link_all(f"alone-{number}" for number in range(REASONS["RouteNotFound"]))
    eventually(lambda: reasons(service) == REASONS, "every link has its status", seconds=90)
    return service


def reasons(service: Service) -> Counter[str]:
    """Returns the number of links by the reason of their status."""
    return Counter(condition_of(link)["reason"] for link in service.links() if "status" in link)


def messages(service: Service, reason: str) -> set[str]:
    """Returns the messages of the links with this reason."""
    return {condition_of(link)["message"] for link in service.links() if has_reason(link, reason)}


def has_reason(link: dict[str, Any], reason: str) -> bool:
    """Returns whether the status of a link has this reason."""
    return bool(condition_of(link)["reason"] == reason)


def write_other_words(service: Service) -> None:
    """Gives each status another message, as an operator of another version would have written it."""

    def write(link: dict[str, Any]) -> None:
        condition = condition_of(link) | {"message": OTHER_WORDS}
        service.client.patch_status(PodLink, link["metadata"]["name"], service.namespace, {"conditions": [condition]})

    service.client.in_parallel(write, service.links())


def versions(service: Service) -> dict[str, str]:
    """Returns the resourceVersion of each link."""
    return {link["metadata"]["name"]: link["metadata"]["resourceVersion"] for link in service.links()}


def test_operator_with_other_words_rewrites_no_status(own_operator: OperatorProcess, waiting: Service) -> None:
    own_operator.stop()
    write_other_words(waiting)
    before = versions(waiting)
    own_operator.start()
    waiting.await_bound(waiting.link("new", podIndex=0))
    stays(lambda: before.items() <= versions(waiting).items(), "no status is written", seconds=5, poll_seconds=5)


def test_changed_fact_is_written_in_the_words_of_this_version(
    own_operator: OperatorProcess, waiting: Service, recorder: LinkRecorder
) -> None:
    own_operator.stop()
    write_other_words(waiting)
    before = versions(waiting)
    waiting.edit_route(placement={"maxLinksPerPod": LIMIT - 1})
    own_operator.start()
    limit = f"at the limit of {LIMIT - 1} links"
    eventually(lambda: all(limit in each for each in messages(waiting, "AtCapacity")), "the new limit is written")
    written = {name for name, version in versions(waiting).items() if before[name] != version}
    assert written == {link["metadata"]["name"] for link in waiting.links() if has_reason(link, "AtCapacity")}
    for reason in ("Bound", "PodLost", "PodNotFound", "RouteNotFound"):
        assert messages(waiting, reason) == {OTHER_WORDS}
    versions_of = recorder.all_versions()
    assert {len(versions_of[name]) for name in written} == {3}, "as it was, in other words, with the new limit"
    assert reasons(waiting) == REASONS


def test_statuses_of_a_version_without_hashes_are_rewritten_in_their_turn(
    own_operator: OperatorProcess, waiting: Service
) -> None:
    own_operator.stop()
    write_other_words(waiting)
    hashed = [link for link in waiting.links() if "factsHash" in link["status"]]
    assert {condition_of(link)["reason"] for link in hashed} == {"PodLost", "AtCapacity", "PodNotFound"}
    names = [link["metadata"]["name"] for link in hashed]
    remove = {"factsHash": None}
    waiting.client.in_parallel(
        lambda name: waiting.client.patch_status(PodLink, name, waiting.namespace, remove), names
    )
    own_operator.start()
    waiting.await_bound(waiting.link("new", podIndex=0))
    assert OTHER_WORDS in messages(waiting, "AtCapacity"), "a new link does not wait for them"
    eventually(
        lambda: all(
            OTHER_WORDS not in messages(waiting, reason) for reason in ("PodLost", "AtCapacity", "PodNotFound")
        ),
        "the messages are those of this version",
    )
    assert messages(waiting, "Bound") <= {OTHER_WORDS, "bound to pod 'game-0'"}
    assert reasons(waiting) == REASONS | {"Bound": REASONS["Bound"] + 1}
