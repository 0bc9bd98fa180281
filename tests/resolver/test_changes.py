"""Tests changes of links by callers: unlinking, renewals and claims."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from localcluster import LocalCluster
from resolver.in_process import Reply, RunningResolver, quote_uid, run_resolver
from resolver.stub_service import StubService, in_thread, uids
from resolver.test_binding import SlowClient
from statefulroute.cluster.client import Client


@pytest_asyncio.fixture
async def changing(cluster: LocalCluster, stub_service: StubService) -> AsyncIterator[RunningResolver]:
    """A resolver whose callers may change links."""
    async with run_resolver(
        cluster.kubeconfig, namespaces=(stub_service.namespace,), link_changes=True, bindings_per_second=1000
    ) as made:
        yield made


class DeafClient(Client):
    """A client whose watches of links bring nothing."""

    @asynccontextmanager
    async def watch(self, path: str, params: Mapping[str, str]) -> AsyncIterator[AsyncIterator[bytes]]:
        async with super().watch(path, params) as lines:
            yield _without_lines() if "/podlinks" in path else lines


async def _without_lines() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


def seconds_left(reply: Reply) -> float:
    """Returns the seconds until the link of a response expires."""
    return (datetime.fromisoformat(reply.json["expireTime"]) - datetime.now(UTC)).total_seconds()


class TestUnlink:
    async def test_removes_a_link_once(self, changing: RunningResolver, stub_service: StubService) -> None:
        path = f"{stub_service.path}/links/alice"
        await in_thread(stub_service.link, "alice", 1)  # perhaps not cached yet: the API server decides
        reply = await changing.http.delete(path)
        assert (reply.status, reply.body) == (204, b"")
        assert await in_thread(stub_service.stored_pods) == {}
        assert (await changing.http.get(path)).status == 404  # the resolver knows at once
        again = await changing.http.delete(path)
        assert again.problem == (404, "not-linked", "'alice' is not linked in StatefulRoute 'game'")
        assert again.headers["Age"] == "0"

    async def test_keeps_a_user_who_is_linked_to_another_pod(
        self, changing: RunningResolver, stub_service: StubService
    ) -> None:
        path = f"{stub_service.path}/links/alice"
        await in_thread(stub_service.link, "alice", 1)
        for other in ("game-2", "game-01", "chess-1", "game-" + "9" * 200):
            assert (await changing.http.delete(f"{path}?ifPodName={other}")).problem == (
                409,
                "linked-to-other-pod",
                f"'alice' is not linked to pod {other!r} in StatefulRoute 'game': it stays linked",
            )
        assert await in_thread(stub_service.stored_pods) == {"alice": 1}
        assert (await changing.http.delete(f"{path}?ifPodName=game-1")).status == 204
        assert (await changing.http.delete(f"{path}?ifPodName=game-1")).problem[:2] == (404, "not-linked")
        assert await in_thread(stub_service.stored_pods) == {}

    async def test_is_decided_by_the_api_server_and_not_by_an_old_cache(
        self, cluster: LocalCluster, stub_service: StubService
    ) -> None:
        await in_thread(stub_service.link, "alice", 1)
        async with run_resolver(
            cluster.kubeconfig, DeafClient, namespaces=(stub_service.namespace,), link_changes=True
        ) as resolver:
            path = f"{stub_service.path}/links/alice"
            await in_thread(stub_service.move, "alice", 2)
            assert (await resolver.http.get(path)).json["podIndex"] == 1
            assert (await resolver.http.delete(f"{path}?ifPodName=game-1")).problem[:2] == (409, "linked-to-other-pod")
            assert await in_thread(stub_service.stored_pods) == {"alice": 2}

    async def test_makes_a_link_temporary_for_the_grace_period(
        self, changing: RunningResolver, stub_service: StubService
    ) -> None:
        await in_thread(stub_service.link, "alice", 1)
        path = f"{stub_service.path}/links/alice"
        assert (await changing.http.delete(f"{path}?graceSeconds=60&ifPodName=game-1")).status == 204
        reply = await changing.http.get(path)
        assert (reply.json["podIndex"], 30 < seconds_left(reply) <= 60) == (1, True)
        assert (await in_thread(stub_service.spec_of, "alice"))["ttlSeconds"] == 60

    @pytest.mark.parametrize(
        ("query", "message"),
        [
            ("graceSecond=60", "graceSecond is unknown here: there are ifPodName and graceSeconds"),
            ("graceSeconds=60&graceSeconds=0", "graceSeconds is repeated"),
            ("graceSeconds=-1", "graceSeconds must be a whole number"),
            ("graceSeconds=1.5", "graceSeconds must be a whole number"),
            ("graceSeconds=", "graceSeconds must be a whole number"),
            ("graceSeconds=%D9%A3", "graceSeconds must be a whole number"),
            ("graceSeconds=" + "9" * 5000, "graceSeconds must be a whole number"),
            ("graceSeconds=2147483648", "grace_seconds must be from 0 to 2147483647"),
            ("ifPodName=", "pod must be a pod's name"),
            ("ifPodName=game-1%0A", "pod must be a pod's name"),
            ("ifPodName=..%2F..%2Fpods%2Fx", "pod must be a pod's name"),
            ("consistency=strong", "consistency is unknown here"),
        ],
    )
    async def test_removes_nothing_for_a_malformed_condition(
        self, changing: RunningResolver, stub_service: StubService, query: str, message: str
    ) -> None:
        await in_thread(stub_service.link, "alice", 1)
        status, kind, detail = (await changing.http.delete(f"{stub_service.path}/links/alice?{query}")).problem
        assert (status, kind) == (400, "invalid-parameter")
        assert detail.startswith(message)
        assert await in_thread(stub_service.stored_pods) == {"alice": 1}


class TestRenew:
    async def test_renews_when_less_than_half_is_left(
        self, resolver: RunningResolver, stub_service: StubService
    ) -> None:
        renewed = datetime.now(UTC) - timedelta(seconds=400)
        await in_thread(stub_service.link, "alice", 0, ttlSeconds=600, renewTime=renewed.isoformat())
        path = f"{stub_service.path}/links/alice/renew"
        reply = await resolver.http.post(f"{path}?consistency=strong")
        assert reply.json == {
            "uid": "alice",
            "podName": "game-0",
            "podIndex": 0,
            "expireTime": reply.json["expireTime"],
        }
        assert 500 < seconds_left(reply) <= 600
        assert reply.headers["Age"] == "0"
        stored = await in_thread(stub_service.get, "alice")
        again = await resolver.http.post(path)
        assert (again.status, again.json) == (200, reply.json)
        assert await in_thread(stub_service.get, "alice") == stored  # a second use writes nothing

    async def test_persistent_waiting_and_unreachable_links_are_kept(
        self, resolver: RunningResolver, stub_service: StubService
    ) -> None:
        await in_thread(stub_service.link, "alice", 1)
        await in_thread(stub_service.link, "bob", None)
        await in_thread(stub_service.link, "carol", 7)
        for uid, pod in (("alice", "game-1"), ("bob", None), ("carol", "game-7")):
            reply = await resolver.http.post(f"{stub_service.path}/links/{uid}/renew?consistency=strong")
            assert (reply.status, reply.json["podName"], reply.json["expireTime"]) == (200, pod, None)

    async def test_missing_link_is_not_created(self, resolver: RunningResolver, stub_service: StubService) -> None:
        path = f"{stub_service.path}/links/nobody/renew"
        for options, has_read in (("", False), ("?consistency=strong", True)):
            reply = await resolver.http.post(path + options)
            assert reply.problem[:2] == (404, "not-linked")
            assert not has_read or reply.headers["Age"] == "0"
        assert (await resolver.http.post(f"{path}?consistency=weak")).problem[:2] == (400, "invalid-parameter")
        assert await in_thread(stub_service.stored_pods) == {}


class TestClaim:
    async def test_binds_to_the_pod_unless_another_one_has_a_persistent_link(
        self, changing: RunningResolver, stub_service: StubService
    ) -> None:
        path = f"{stub_service.path}/links/alice/claim"
        first = await changing.http.post(path, {"podName": "game-1", "persistent": True})
        won = {"uid": "alice", "podName": "game-1", "podIndex": 1, "expireTime": None, "won": True}
        assert (first.status, first.json) == (200, won)
        assert (await in_thread(stub_service.spec_of, "alice")).keys() == {"routeName", "uid", "podIndex"}
        lost = await changing.http.post(path, {"podName": "game-2"})
        assert (lost.status, lost.json) == (200, won | {"won": False})
        again = await changing.http.post(path, {"podName": "game-1", "persistent": True})
        assert again.json == won
        assert (await changing.http.get(f"{stub_service.path}/links/alice")).json["podIndex"] == 1

    async def test_takes_over_a_temporary_link(self, changing: RunningResolver, stub_service: StubService) -> None:
        path = f"{stub_service.path}/links/alice"
        bound = (await changing.http.post(path)).json
        other = "game-2" if bound["podName"] != "game-2" else "game-1"
        reply = await changing.http.post(f"{path}/claim", {"podName": other, "ttlSeconds": 40.0})
        assert (reply.json["won"], reply.json["podName"], 20 < seconds_left(reply) <= 40) == (True, other, True)
        reply = await changing.http.post(f"{path}/claim", {"podName": bound["podName"]})
        assert 200 < seconds_left(reply) <= 300  # the route's default

    async def test_one_of_many_claims_wins(self, cluster: LocalCluster, stub_service: StubService) -> None:
        settings = {"namespaces": (stub_service.namespace,), "link_changes": True, "bindings_per_second": 1000}
        async with (
            run_resolver(cluster.kubeconfig, **settings) as one,
            run_resolver(cluster.kubeconfig, **settings) as other,
        ):
            path = f"{stub_service.path}/links/alice/claim"
            claims = (
                each.http.post(path, {"podName": f"game-{pod}", "persistent": True})
                for each in (one, other)
                for pod in range(3)
            )
            replies: list[Reply] = await asyncio.gather(*claims)
        (holder,) = {reply.json["podIndex"] for reply in replies}
        assert [reply.json["won"] for reply in replies].count(True) == 2  # of each resolver, the claim for the holder
        assert await in_thread(stub_service.stored_pods) == {"alice": holder}

    async def test_counts_as_a_user_of_the_pod(self, changing: RunningResolver, stub_service: StubService) -> None:
        for uid in uids("u", 3):
            await changing.http.post(f"{stub_service.path}/links/{uid}/claim", {"podName": "game-0"})
        assert (await changing.http.get(stub_service.path)).json["bestPod"] == "game-1"

    async def test_pod_must_exist_but_may_deny_new_users(
        self, changing: RunningResolver, stub_service: StubService
    ) -> None:
        path = f"{stub_service.path}/links/alice/claim"
        reply = await changing.http.post(path, {"podName": "game-9"})
        assert reply.problem == (503, "pod-not-found", "the service 'game' has no pod 9 now")
        assert (await changing.http.post(path, {"podName": "chess-1"})).problem[:2] == (503, "pod-not-found")
        stub_service.pods[1]["routingState"] = "DenyNewCall"
        await in_thread(stub_service.patch_route_status)
        await changing.wait_for_reply(stub_service.path, lambda reply: "DenyNewCall" in str(reply.json), "it denies")
        assert (await changing.http.post(path, {"podName": "game-1"})).json["won"]

    @pytest.mark.parametrize(
        ("body", "problem"),
        [
            (b"", "malformed"),
            (b"{}", "malformed"),
            (b'{"podName": 1}', "malformed"),
            (b'{"podName": "GAME-1"}', "malformed"),
            (b'{"podName": "game-1\\n"}', "invalid-parameter"),
            (b'{"podName": "game-1", "pod": 1}', "malformed"),
            (b'{"podName": "game-1", "ttlSeconds": 0}', "malformed"),
            (b'{"podName": "game-1", "ttlSeconds": 1e99}', "malformed"),
            (b'{"podName": "game-1", "ttlSeconds": 9, "persistent": true}', "invalid-parameter"),
            (b'{"podName": "' + b"9" * 5000 + b'"}', "malformed"),
            (b'{"podName": "\xff"}', "malformed"),
            (b'{"podName": "x-' + b"9" * 250 + b'"}', "pod-not-found"),
            (b"[" * 5000, "malformed"),
        ],
    )
    async def test_rejects_malformed_claims(
        self, changing: RunningResolver, stub_service: StubService, body: bytes, problem: str
    ) -> None:
        reply = await changing.http.request(
            "POST",
            f"{stub_service.path}/links/alice/claim",
            data=body,
            headers={"Content-Type": "application/json"},
        )
        assert reply.problem[:2] == (503 if problem == "pod-not-found" else 400, problem)
        assert await in_thread(stub_service.stored_pods) == {}

    async def test_rate_of_bindings_and_number_of_links_are_limited(
        self, cluster: LocalCluster, stub_service: StubService
    ) -> None:
        await in_thread(stub_service.patch_route, links={"max": 40})
        async with run_resolver(
            cluster.kubeconfig, namespaces=(stub_service.namespace,), link_changes=True, bindings_per_second=5
        ) as resolver:
            links = f"{stub_service.path}/links"
            claims = (resolver.http.post(f"{links}/{uid}/claim", {"podName": "game-0"}) for uid in uids("u", 60))
            replies = await asyncio.gather(*claims)
            refused = [reply for reply in replies if reply.status != 200]
            assert {reply.problem[:2] for reply in refused} == {(429, "too-many-bindings")}
            assert len(refused) > 30
            won = next(reply.json["uid"] for reply in replies if reply.status == 200)
            # To go back and forth between two pods is limited, too; to claim a user for the same pod writes nothing.
            assert (await resolver.http.post(f"{links}/{won}/claim", {"podName": "game-0"})).status == 200
            moves = [
                await resolver.http.post(f"{links}/{won}/claim", {"podName": f"game-{n % 2}"}) for n in range(1, 9)
            ]
            assert (429, "too-many-bindings") in {reply.problem[:2] for reply in moves if reply.status != 200}
        await in_thread(stub_service.patch_route, links={"max": 1})
        async with run_resolver(
            cluster.kubeconfig, namespaces=(stub_service.namespace,), link_changes=True
        ) as resolver:
            reply = await resolver.http.post(f"{links}/late/claim", {"podName": "game-0"})
            assert reply.problem[:2] == (429, "link-limit-reached")


async def test_changes_of_invented_uids_leave_connections_for_bindings(
    cluster: LocalCluster, stub_service: StubService
) -> None:
    async with run_resolver(
        cluster.kubeconfig, SlowClient, namespaces=(stub_service.namespace,), link_changes=True
    ) as resolver:
        links = f"{stub_service.path}/links"
        changes = asyncio.gather(
            *(resolver.http.delete(f"{links}/{uid}") for uid in uids("x", 60)),
            *(resolver.http.post(f"{links}/{uid}/renew?consistency=strong") for uid in uids("y", 60)),
        )
        await resolver.wait_until(lambda: resolver.client.reads, "links are being read")  # type: ignore[attr-defined]
        assert (await resolver.http.post(f"{links}/alice")).status == 200
        assert not changes.done()
        assert {reply.status for reply in await changes} == {404}
        assert isinstance(resolver.client, SlowClient)
        assert resolver.client.most_reads <= 16  # of 32 connections
        reads = resolver.client.reads
        assert (await resolver.http.post(f"{links}/nobody/renew")).status == 404
        assert resolver.client.reads == reads  # the cache answers


async def test_unlinking_and_claims_are_off_by_default(resolver: RunningResolver, stub_service: StubService) -> None:
    await in_thread(stub_service.link, "alice", 1)
    path = f"{stub_service.path}/links/alice"
    for reply in (
        await resolver.http.delete(path),
        await resolver.http.delete(f"{path}?graceSeconds=60"),
        await resolver.http.post(f"{path}/claim", {"podName": "game-2"}),
    ):
        assert reply.problem == (
            403,
            "not-allowed",
            "this resolver lets callers look up, bind and renew users only: it was started without --link-changes",
        )
    assert await in_thread(stub_service.stored_pods) == {"alice": 1}


@pytest.mark.parametrize("uid", ["Guest 7", "a/b", "renew", "claim", "a:renew", "日本語", "..", "a%2Frenew"])
async def test_every_valid_uid_can_be_changed(changing: RunningResolver, stub_service: StubService, uid: str) -> None:
    path = f"{stub_service.path}/links/{quote_uid(uid)}"
    reply = await changing.http.post(f"{path}/claim", {"podName": "game-2"})
    assert (reply.json["uid"], reply.json["won"]) == (uid, True)
    assert (await changing.http.post(f"{path}/renew")).json["uid"] == uid
    assert await in_thread(stub_service.stored_pods) == {uid: 2}
    assert (await changing.http.delete(path)).status == 204


@pytest.mark.parametrize("uid", ["a" * 190, "a%0Ab", "%FF", "%C0%AE"])
async def test_rejects_invalid_uids(changing: RunningResolver, stub_service: StubService, uid: str) -> None:
    path = f"{stub_service.path}/links/{uid}"
    for reply in (
        await changing.http.delete(path),
        await changing.http.post(f"{path}/renew"),
        await changing.http.post(f"{path}/renew?consistency=strong"),
        await changing.http.post(f"{path}/claim", {"podName": "game-2"}),
    ):
        assert reply.problem[:2] == (400, "invalid-parameter")


async def test_unknown_routes_methods_and_paths_are_reported(
    changing: RunningResolver, stub_service: StubService
) -> None:
    elsewhere = stub_service.path.replace("game", "chess") + "/links/alice"
    for reply in (
        await changing.http.delete(elsewhere),
        await changing.http.post(f"{elsewhere}/renew"),
        await changing.http.post(f"{elsewhere}/claim", {"podName": "game-2"}),
    ):
        assert reply.problem[:2] == (404, "route-not-found")
    path = f"{stub_service.path}/links/alice"
    assert (await changing.http.get(f"{path}/renew")).headers["Allow"] == "POST"
    assert (await changing.http.delete(f"{path}/claim")).status == 405
    for unknown in (f"{path}/release", f"{path}/renew/", f"{path}/renew/x", f"{stub_service.path}/links//renew"):
        assert (await changing.http.post(unknown)).status == 404, unknown
