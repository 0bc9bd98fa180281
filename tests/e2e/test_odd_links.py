"""Odd or hostile links that the API server has stored: each gets its status, and the others get theirs."""

import pytest
from pykube.exceptions import HTTPError

from support.independent_client import PodLink
from support.operator_process import OperatorProcess
from support.service import Service, has_status, is_bound
from support.waiting import eventually

pytestmark = pytest.mark.usefixtures("operator")

UIDS = [
    "Älice",
    "漢字かな",
    "🦊🦊🦊",
    "a\u202eb",
    "../../etc/passwd",
    "a b?c=d&e#f%2F",
    "x-616c696365",
    "UPPER_case:1",
    "Z" * 93,
    "-",
]

TIMES = [
    "2026-01-01T00:00:00Z",
    "2026-01-01T00:00:00.123456789Z",
    "2026-01-01T00:00:00.1+09:30",
    "2026-01-01t00:00:00z",
    "2026-01-01T00:00:60Z",
    "2026-01-01T24:00:00Z",
    "2026-02-30T00:00:00Z",
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59-23:59",
    "2026-01-01T00:00:00-00:00",
    "2026-01-01 00:00:00Z",
    "2026-01-01T00:00:00",
    "2026-01-01",
    "tomorrow",
]


def test_uid_may_be_any_text(game: Service) -> None:
    names = [game.link_encoded(uid, podIndex=1) for uid in UIDS]
    for name, uid in zip(names, UIDS, strict=True):
        assert game.await_bound(name)["host"] == f"game-1.game.{game.namespace}.svc"
        assert game.get(name)["spec"]["uid"] == uid
    game.await_status(links=len(UIDS))


def test_uid_may_be_as_long_as_a_name_allows(game: Service) -> None:
    game.await_bound(game.link("a" * 189))


def test_operator_handles_every_renew_time_that_the_api_server_accepts(
    game: Service, operator: OperatorProcess
) -> None:
    accepted = []
    for number, (time, ttl) in enumerate((time, ttl) for time in TIMES for ttl in (1_000, 2**31 - 1)):
        try:
            accepted.append(game.link(f"user-{number}", podIndex=1, ttlSeconds=ttl, renewTime=time))
        except HTTPError as refusal:
            assert "date-time" in str(refusal)  # noqa: PT017 - any other refusal is a failure
    assert len(accepted) >= 10
    game.await_bound(game.link("afterwards", podIndex=0))
    eventually(lambda: all(is_bound(link) for link in game.links()), "each link is bound or expired")
    existing = {link["metadata"]["name"] for link in game.links()}
    assert "game.user-0" not in existing  # renewed on the first of January
    assert "game.user-1" in existing  # valid for 68 years
    assert operator.errors() == []


def test_links_that_cannot_be_bound_delay_no_others(game: Service) -> None:
    game.set_on_pod_lost("Rebind")
    game.link_all((f"far-{number}" for number in range(100)), podIndex=2**31 - 1)
    game.await_bound(game.link("alice"))
    expected = ("Pending", "PodNotFound")
    eventually(lambda: sum(has_status(link, *expected) for link in game.links()) == 100, "the others wait")


def test_link_that_is_recreated_repeatedly_ends_in_its_last_state(game: Service) -> None:
    for round_ in range(30):
        game.link("alice", podIndex=round_ % 3)
        if round_ % 4 == 0:
            game.await_bound("game.alice")
        game.client.delete(PodLink, "game.alice", game.namespace)
    game.link("alice", podIndex=2)
    assert game.await_bound("game.alice")["podName"] == "game-2"
    game.await_status(links=1)


def test_link_that_is_moved_repeatedly_ends_on_its_last_pod(game: Service) -> None:
    name = game.link("alice", podIndex=0)
    for round_ in range(40):
        game.client.patch(PodLink, name, game.namespace, {"spec": {"podIndex": round_ % 3}})
    game.client.patch(PodLink, name, game.namespace, {"spec": {"podIndex": 2}})
    assert game.await_bound(name)["podName"] == "game-2"
    game.await_pod(2, links=1)
    game.await_status(links=1)


def test_link_whose_pod_is_removed_from_its_spec_gets_a_pod_again(game: Service) -> None:
    name = game.link("alice", podIndex=0)
    game.await_bound(name)
    game.client.patch(PodLink, name, game.namespace, {"spec": {"podIndex": None}})
    game.await_bound(name)
    assert game.get(name)["spec"]["podIndex"] in {0, 1, 2}


def test_deleted_link_with_a_foreign_finalizer_is_left_alone(game: Service) -> None:
    name = game.link("alice", podIndex=0)
    game.await_bound(name)
    game.client.patch(PodLink, name, game.namespace, {"metadata": {"finalizers": ["example.com/hold"]}})
    game.client.delete(PodLink, name, game.namespace)
    game.await_bound(game.link("bob", podIndex=0))
    game.client.patch(PodLink, name, game.namespace, {"metadata": {"finalizers": None}})
    eventually(lambda: not game.exists(PodLink, name), "the link is gone")
    game.await_status(links=1)
