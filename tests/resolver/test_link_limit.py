"""Tests that a resolver links no more users than a route or a namespace may have."""

import asyncio

from resolver.in_process import RunningResolver
from resolver.stub_service import StubService, in_thread, uids
from support.quotas import link_quota

_FULL = (
    429,
    "link-limit-reached",
    "StatefulRoute 'game' takes no new users: it has as many links as its spec.links.max allows (5)",
)


async def test_links_no_more_users_than_the_route_may_have(
    resolver: RunningResolver, stub_service: StubService
) -> None:
    await in_thread(stub_service.patch_route, links={"max": 5})
    await resolver.wait_until(lambda: limit_of(resolver, stub_service) == 5, "the limit is known")
    replies = await asyncio.gather(*(resolver.http.post(f"{stub_service.path}/links/{uid}") for uid in uids("u", 40)))
    refused = [reply for reply in replies if reply.status != 200]
    assert {reply.problem for reply in refused} == {_FULL}
    assert {reply.headers["Retry-After"] for reply in refused} == {"30"}
    stored = await in_thread(stub_service.stored_pods)
    assert (len(stored), len(refused)) == (5, 35)
    # A gateway's request gets the same answer, and users who are linked are served.
    reply = await resolver.http.get(stub_service.ext_authz_path, headers={"x-user-id": "new"})
    assert reply.problem == _FULL
    linked = next(iter(stored))
    assert (await resolver.http.post(f"{stub_service.path}/links/{linked}")).status == 200
    assert (await resolver.http.get(stub_service.ext_authz_path, headers={"x-user-id": linked})).status == 200
    metrics = [
        sample for each in resolver.components.collectors for family in each.collect() for sample in family.samples
    ]
    limited = [
        sample.value
        for sample in metrics
        if sample.labels.get("outcome") == "limited" and sample.name.endswith("_total")
    ]
    assert limited == [36]
    # A link that goes makes room.
    await in_thread(stub_service.unlink, linked)
    await resolver.wait_for_reply(
        f"{stub_service.path}/links/{linked}", lambda reply: reply.status == 404, "it is gone"
    )
    assert (await resolver.http.post(f"{stub_service.path}/links/new")).status == 200


async def test_binds_a_user_whose_link_waits_for_a_pod_at_the_limit(
    resolver: RunningResolver, stub_service: StubService
) -> None:
    await in_thread(stub_service.patch_route, links={"max": 1})
    await in_thread(stub_service.link, "alice", None)
    path = f"{stub_service.path}/links/alice"
    await resolver.wait_for_reply(path, lambda reply: reply.status == 503, "alice is known")
    await resolver.wait_until(lambda: limit_of(resolver, stub_service) == 1, "the limit is known")
    assert (await resolver.http.post(path)).status == 200
    assert (await resolver.http.post(f"{stub_service.path}/links/bob")).problem[1] == "link-limit-reached"


async def test_answers_a_quota_with_a_sentence(resolver: RunningResolver, stub_service: StubService) -> None:
    quota = link_quota(stub_service.independent_client, stub_service.namespace, links=1)
    await in_thread(quota.__enter__)
    try:
        assert (await resolver.http.post(f"{stub_service.path}/links/alice")).status == 200
        reply = await resolver.http.post(f"{stub_service.path}/links/bob")
    finally:
        await in_thread(quota.__exit__, None, None, None)
    assert reply.problem == (
        429,
        "link-limit-reached",
        (
            f"namespace {stub_service.namespace!r} takes no new links: it has as many as its ResourceQuota 'links' "
            "allows (count/podlinks.statefulroute.io=1)"
        ),
    )
    assert await in_thread(stub_service.stored_pods) == {"alice": 0}


def limit_of(resolver: RunningResolver, stub_service: StubService) -> int | None:
    """Returns the limit of the route in the resolver's cache."""
    route = resolver.components.cache.routes.cache.get(stub_service.namespace, stub_service.name)
    return None if route is None else route.spec.links.max
