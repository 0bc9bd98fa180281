"""Tests links that expire by the real clock, while the operator that removes them is killed.

The tests do not depend on the speed of the machine: the expected answer follows from the times before and after a
call, and if the link expires between the two, both answers are right.
"""

import asyncio
import os
import random
from datetime import UTC, datetime, timedelta

import pytest

from statefulroute.cluster.client import Client
from statefulroute.cluster.clock import utc_now
from statefulroute.cluster.connection import connect
from statefulroute.cluster.link_store import LinkStore
from support.operator_process import OperatorProcess
from support.service import Service
from support.waiting import eventually

#: The environment variable STATEFULROUTE_PROPERTY_OPERATIONS selects the long form.
USERS = 240 if "STATEFULROUTE_PROPERTY_OPERATIONS" in os.environ else 48
TTL = 2
FIRST, SECOND = 1, 2


class TemporaryLink:
    """One user's temporary link, from its creation until another link replaces it."""

    def __init__(self, store: LinkStore, uid: str, chance: random.Random) -> None:
        self._store = store
        self.uid = uid
        self._renewals = chance.randrange(4)
        self._successor = chance.choice(("none", "set_if_absent", "try_set", "compute_if_absent"))
        self._pauses = [chance.uniform(0.1, 1.2) for _ in range(self._renewals)]

    @property
    def is_replaced(self) -> bool:
        """Whether another link replaces the expired one."""
        return self._successor != "none"

    async def run(self) -> None:
        """Creates, renews, reads and replaces the link, and checks every answer."""
        before = utc_now()
        assert await self._store.set("game", self.uid, FIRST, ttl_seconds=TTL) is None
        expiry = before + timedelta(seconds=TTL), utc_now() + timedelta(seconds=TTL)
        for pause in self._pauses:
            await asyncio.sleep(pause)
            expiry = await self._renew(*expiry)
            await self._check(*expiry)
        while utc_now() < expiry[1]:
            await self._check(*expiry)
            await asyncio.sleep(0.25)
        await self._check(*expiry)
        await self._replace()

    async def _renew(self, first: datetime, last: datetime) -> tuple[datetime, datetime]:
        """Renews the link; returns the earliest and the latest time of its expiry."""
        before = utc_now()
        is_there = await self._store.renew("game", self.uid)
        after = utc_now()
        assert is_there or after >= first, "an active link was not renewed"
        assert not is_there or before < last, "an expired link was renewed"
        if not is_there:
            return first, last
        return max(first, before + timedelta(seconds=TTL / 2)), max(last, after + timedelta(seconds=TTL))

    async def _check(self, first: datetime, last: datetime) -> None:
        before = utc_now()
        link = await self._store.get("game", self.uid)
        after = utc_now()
        assert link is not None or after >= first, "an active link was not found"
        assert link is None or before < last, "an expired link was found"

    async def _replace(self) -> None:
        """Replaces the expired link, which is absent for the store even if it is not removed yet."""

        async def choose() -> int:
            await asyncio.sleep(0)
            return SECOND

        match self._successor:
            case "set_if_absent":
                assert await self._store.set_if_absent("game", self.uid, SECOND) == SECOND
            case "try_set":
                assert (await self._store.try_set("game", self.uid, SECOND)).won
            case "compute_if_absent":
                assert await self._store.compute_if_absent("game", self.uid, choose) == SECOND


@pytest.mark.timeout(300)
async def test_temporary_link_expires_at_its_time_and_is_removed(game: Service, operator: OperatorProcess) -> None:
    chance = random.Random(7)
    async with connect(game.kubectl.kubeconfig) as connection, Client(connection) as client:
        store = LinkStore(client, game.namespace, deadline_seconds=60)
        links = [TemporaryLink(store, f"user-{number}", chance) for number in range(USERS)]
        async with asyncio.TaskGroup() as group:
            for link in links:
                group.create_task(link.run())
            for pause in (1.0, 1.5):
                await asyncio.sleep(pause)
                await asyncio.to_thread(operator.kill)
                await asyncio.to_thread(operator.launch)
    expected = {link.uid: SECOND for link in links if link.is_replaced}
    await asyncio.to_thread(
        eventually, lambda: pods_of(game).keys() == expected.keys(), "the expired links are removed", seconds=60
    )
    assert pods_of(game) == expected


def pods_of(game: Service) -> dict[str, int]:
    """Returns the pod of each stored link, by uid."""
    return {link["spec"]["uid"]: link["spec"]["podIndex"] for link in game.links()}


def test_restarted_operator_removes_links_that_expired_while_it_was_stopped(
    game: Service, operator: OperatorProcess
) -> None:
    operator.kill()
    game.link_all((f"short-{number}" for number in range(20)), podIndex=1, ttlSeconds=1)
    game.link_all((f"long-{number}" for number in range(20)), podIndex=1, ttlSeconds=3600)
    created = [datetime.fromisoformat(link["metadata"]["creationTimestamp"]) for link in game.links()]
    eventually(lambda: datetime.now(UTC) > max(created) + timedelta(seconds=2), "they have expired")
    assert len(game.links()) == 40
    operator.start()
    eventually(lambda: len(game.links()) == 20, "they are removed")
    assert {link["spec"]["uid"] for link in game.links()} == {f"long-{number}" for number in range(20)}
