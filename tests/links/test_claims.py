"""Tests concurrent claims while the operator is killed: no recorded version of a link shows a second pod."""

import asyncio
import json
import os
import random
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from itertools import groupby

import pytest

from statefulroute.api.group import API_VERSION
from statefulroute.cluster.api_server import Connection
from statefulroute.cluster.client import Client
from statefulroute.cluster.codec import LINKS
from statefulroute.cluster.errors import ConflictError
from statefulroute.cluster.link_store import LinkStore
from statefulroute.cluster.reflector import Reflector
from support.clients import CLOSING_SECONDS
from support.independent_client import IndependentClient
from support.kubectl import Kubectl
from support.link_recorder import Version, recording
from support.objects import pod_link
from support.operator_process import OperatorProcess
from support.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: The environment variable STATEFULROUTE_PROPERTY_OPERATIONS selects the long form.
IS_LONG = "STATEFULROUTE_PROPERTY_OPERATIONS" in os.environ
CLAIMS, UIDS = (5000, 1000) if IS_LONG else (400, 80)

STORES = 8
PODS = 3
WAVES = 4
SEED = 20


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim of a uid for a pod.

    Attributes:
        wave: the wave that it is part of.
        uid: the uid.
        pod: the pod.
        computes: whether it uses `compute_if_absent`; otherwise `set_if_absent`.
        delay: the seconds between the creation of a link that leaves the choice to the operator, and the claim; None
            creates no such link.
    """

    wave: int
    uid: str
    pod: int
    computes: bool
    delay: float | None

    async def make(self, store: LinkStore) -> int:
        """Makes the claim; returns the pod that holds the uid."""
        if not self.computes:
            return await store.set_if_absent("game", self.uid, self.pod)

        async def choose() -> int:
            await asyncio.sleep(0)
            return self.pod

        return await store.compute_if_absent("game", self.uid, choose)


@pytest.mark.timeout(600)
async def test_no_uid_has_two_pods_while_the_operator_is_killed(
    own_operator: OperatorProcess,
    installed: Kubectl,
    independent_client: IndependentClient,
    namespace: str,
    connection: Connection,
) -> None:
    game = Service(installed.within(namespace), independent_client)
    await asyncio.to_thread(game.start, PODS)
    uids = [f"user-{number}" for number in range(UIDS)]
    chance = random.Random(SEED)
    claims = [
        Claim(
            number % WAVES,
            uid,
            chance.randrange(PODS),
            computes=chance.random() < 0.5,
            delay=chance.uniform(0, 0.1) if number // WAVES % 2 else None,
        )
        for number, uid in list(enumerate(uids)) * (CLAIMS // UIDS)
    ]
    chance.shuffle(claims)
    with recording(independent_client, namespace) as recorder:
        answers = await make_claims(claims, namespace, connection, own_operator)
        await asyncio.to_thread(game.await_all_bound, UIDS, seconds=120)
        names = [f"game.{uid}" for uid in uids]
        record = recorder.all_versions()
    assert [line for line in own_operator.errors() if line.get("level") != "warning"] == []
    own_operator.stop()

    bindings = {name: [pod for pod, _ in groupby(bindings_of(record[name]))] for name in names}
    assert {name: pods for name, pods in bindings.items() if len(pods) != 1} == {}
    assert {name: versions for name in names if not is_consistent(versions := record[name])} == {}
    wrong = [(claim, answer) for claim, answer in answers if bindings[f"game.{claim.uid}"] != [answer]]
    assert wrong == []
    assert len(answers) == len(claims)


async def make_claims(
    claims: list[Claim], namespace: str, connection: Connection, operator: OperatorProcess
) -> list[tuple[Claim, int]]:
    """Makes all claims in four waves, by several stores of which half have a cache; three waves kill the operator."""
    answers: list[tuple[Claim, int]] = []
    async with AsyncExitStack() as stack:
        stack.push_async_callback(asyncio.sleep, CLOSING_SECONDS)
        stores = [await make_store(stack, namespace, connection, cached=bool(n % 2)) for n in range(STORES)]

        creator = await stack.enter_async_context(Client(connection))

        async def make_claim(number: int, claim: Claim) -> None:
            if claim.delay is not None:
                await create_unassigned(creator, namespace, claim.uid)
                await asyncio.sleep(claim.delay)
            answers.append((claim, await claim.make(stores[number % STORES])))

        async def kill(after: int) -> None:
            while len(answers) < after:  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.001)
            await asyncio.to_thread(operator.kill)

        for wave in range(WAVES):
            current = [claim for claim in claims if claim.wave == wave]
            async with asyncio.TaskGroup() as group:
                for number, claim in enumerate(current):
                    group.create_task(make_claim(number, claim))
                if wave < WAVES - 1:
                    group.create_task(kill(len(answers) + len(current) // 2))
            if not operator.is_running:
                await asyncio.to_thread(operator.start)
    return answers


async def create_unassigned(client: Client, namespace: str, uid: str) -> None:
    """Creates a link without a pod, unless there is a link."""
    path = f"/apis/{API_VERSION}/namespaces/{namespace}/podlinks"
    with suppress(ConflictError):
        await client.post(path, json.dumps(pod_link(uid=uid)).encode())


async def make_store(stack: AsyncExitStack, namespace: str, connection: Connection, *, cached: bool) -> LinkStore:
    client = await stack.enter_async_context(Client(connection, max_connections=8))
    links = None
    if cached:
        watcher = await stack.enter_async_context(Client(connection, max_connections=1))
        links = Reflector(watcher, LINKS)
        watching = asyncio.create_task(links.run())
        stack.callback(watching.cancel)
        await links.synced.wait()
    return LinkStore(client, namespace, links=links, deadline_seconds=240)


def bindings_of(versions: list[Version]) -> list[int]:
    """Returns the pod of each version that has one."""
    return [version.pod for version in versions if version.pod is not None]


def is_consistent(versions: list[Version]) -> bool:
    """Returns whether a link was never deleted, and its status never had another pod than its spec."""
    return (
        all(version.event != "DELETED" and status_pod(version) in {None, version.pod} for version in versions)
        and status_pod(versions[-1]) == versions[-1].pod
    )


def status_pod(version: Version) -> int | None:
    return version.object.get("status", {}).get("podIndex")
