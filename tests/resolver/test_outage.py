"""Look-ups while the API server is away: it is killed or frozen, in a cluster of this module's own."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.kubectl import Kubectl
from harness.patience import eventually
from harness.witness import Witness
from localcluster import LocalCluster
from resolver.place import Place, in_thread, uids
from resolver.running import Running, running

ROOT = Path(__file__).parents[2]

#: How long the API server is away, at the least.
AWAY_SECONDS = 60.0 if os.environ.get("STATEFULROUTE_LONG") else 3.0

#: What a binding may take that cannot be written: the deadline of two seconds, and this machine's own slowness.
REFUSAL_SECONDS = 10.0

NAMESPACE = "outage"


@pytest.fixture(scope="module")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A cluster whose API server may be killed."""
    with LocalCluster.start(name=f"resolver-outage-{os.getpid()}", nodes=0) as started:
        kubectl = Kubectl(started.kubectl, started.kubeconfig, tmp_path_factory.mktemp("kubectl-cache"))
        kubectl.run("apply", "--filename", str(ROOT / "crds")).expect_success()
        kubectl.run("create", "namespace", NAMESPACE).expect_success()
        here = kubectl.within(NAMESPACE)
        eventually(lambda: not here.run("get", "podlinks,statefulroutes").code, "both kinds can be listed")
        yield started


@pytest.fixture
def place(fragile: LocalCluster) -> Iterator[Place]:
    """A service with twenty users."""
    made = Place(Witness(fragile.kubeconfig), NAMESPACE)
    made.make()
    for number, uid in enumerate(uids("user", 20)):
        made.link(uid, number % 3)
    yield made
    made.clear()


async def known_users_are_answered(resolver: Running, place: Place, least_age: float) -> None:
    """See that each user is found where it is, by every way of asking, and that the answer says its age."""
    for number, uid in enumerate(uids("user", 20)):
        link = await resolver.asker.get(f"{place.path}/links/{uid}")
        gateway = await resolver.asker.get(place.gateway, headers={"x-user-id": uid})
        bound = await resolver.asker.post(f"{place.path}/links/{uid}")
        assert link.json["podIndex"] == bound.json["podIndex"] == number % 3
        assert gateway.headers["x-gateway-destination-endpoint"] == place.endpoint(number % 3)
        for reply in (link, gateway, bound):
            assert int(reply.headers["Age"]) >= int(least_age)
    batch = await resolver.asker.post(f"{place.path}/links:batchGet", {"uids": uids("user", 20)})
    assert len(batch.json["links"]) == 20
    assert (await resolver.asker.get(f"{place.path}/links/nobody")).status == 404


async def what_must_be_asked_for_is_refused(resolver: Running, place: Place) -> None:
    """See that whoever cannot be answered is told so soon."""
    async with asyncio.timeout(REFUSAL_SECONDS):
        replies = await asyncio.gather(
            resolver.asker.post(f"{place.path}/links/new"),
            resolver.asker.get(f"{place.path}/links/user-0?consistency=strong"),
            resolver.asker.get(place.gateway, headers={"x-user-id": "new"}),
        )
    for reply in replies:
        assert reply.problem[:2] == (503, "api-server-away")
        assert reply.headers["Retry-After"] == "1"


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_known_users_are_answered_with_their_age_while_the_api_server_is_away(
    fragile: LocalCluster, place: Place, how: str
) -> None:
    async with running(fragile.kubeconfig) as resolver:
        loop = asyncio.get_running_loop()
        await resolver.answers(f"{place.path}/links/user-19", lambda each: each.status == 200, "all are known")
        if how == "killed":
            await in_thread(fragile.part("apiserver").kill)
        else:
            fragile.guardian.signal("apiserver", signal.SIGSTOP)
        gone = loop.time()
        try:
            await known_users_are_answered(resolver, place, 0)
            await what_must_be_asked_for_is_refused(resolver, place)
            while (away := loop.time() - gone) < AWAY_SECONDS:
                await known_users_are_answered(resolver, place, away)
                await asyncio.sleep(0.2)
            await known_users_are_answered(resolver, place, AWAY_SECONDS)
        finally:
            if how == "killed":
                await in_thread(fragile.part("apiserver").restart)
            else:
                fragile.guardian.signal("apiserver", signal.SIGCONT)
        await in_thread(fragile.wait_ready)
        await in_thread(place.move, "user-0", 2)
        await resolver.answers(
            f"{place.path}/links/user-0", lambda each: each.json["podIndex"] == 2, "the watches go on"
        )
        reply = await resolver.asker.post(f"{place.path}/links/later-{how}")
        assert reply.status == 200, reply.body
