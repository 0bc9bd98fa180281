"""Links that really expire, by the clock on the wall, while an operator that is killed removes them.

Nothing here depends on how fast the machine is: what is expected of an answer follows from the time before the
question and the time after the answer, and where the link ends between the two, either answer is right.
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

#: With STATEFULROUTE_PROPERTY_OPERATIONS, the long form.
USERS = 240 if "STATEFULROUTE_PROPERTY_OPERATIONS" in os.environ else 48
TTL = 2
FIRST, SECOND = 1, 2


class TemporaryLink:
    """One user's temporary link, from its creation to what follows on its end."""

    def __init__(self, store: LinkStore, uid: str, chance: random.Random) -> None:
        self._store = store
        self.uid = uid
        self._renewals = chance.randrange(4)
        self._successor = chance.choice(("nobody", "set_if_absent", "try_set", "compute_if_absent"))
        self._pauses = [chance.uniform(0.1, 1.2) for _ in range(self._renewals)]

    @property
    def ends_bound(self) -> bool:
        """Whether somebody takes the link over."""
        return self._successor != "nobody"

    async def live(self) -> None:
        """Live, and hold every answer to what can be known of it."""
        before = utc_now()
        assert await self._store.set("game", self.uid, FIRST, ttl_seconds=TTL) is None
        ends = before + timedelta(seconds=TTL), utc_now() + timedelta(seconds=TTL)
        for pause in self._pauses:
            await asyncio.sleep(pause)
            ends = await self._renew(*ends)
            await self._look(*ends)
        while utc_now() < ends[1]:
            await self._look(*ends)
            await asyncio.sleep(0.25)
        await self._look(*ends)
        await self._succeed()

    async def _renew(self, first: datetime, last: datetime) -> tuple[datetime, datetime]:
        """Renew; gives the earliest and the latest moment at which the link may end then."""
        before = utc_now()
        is_there = await self._store.renew("game", self.uid)
        after = utc_now()
        assert is_there or after >= first, "a link that lives was not renewed"
        assert not is_there or before < last, "a link whose time was over was renewed"
        if not is_there:
            return first, last
        return max(first, before + timedelta(seconds=TTL / 2)), max(last, after + timedelta(seconds=TTL))

    async def _look(self, first: datetime, last: datetime) -> None:
        before = utc_now()
        link = await self._store.get("game", self.uid)
        after = utc_now()
        assert link is not None or after >= first, "a link that lives was not found"
        assert link is None or before < last, "a link whose time was over was found"

    async def _succeed(self) -> None:
        """Take the link over: whether or not it was removed, it is absent."""

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
async def test_a_link_lives_until_its_time_is_over_and_is_removed_then(
    game: Service, operator: OperatorProcess
) -> None:
    chance = random.Random(7)
    async with connect(game.kubectl.kubeconfig) as connection, Client(connection) as client:
        store = LinkStore(client, game.namespace, deadline_seconds=60)
        lives = [TemporaryLink(store, f"user-{number}", chance) for number in range(USERS)]
        async with asyncio.TaskGroup() as group:
            for life in lives:
                group.create_task(life.live())
            for pause in (1.0, 1.5):
                await asyncio.sleep(pause)
                await asyncio.to_thread(operator.kill)
                await asyncio.to_thread(operator.launch)
    expected = {life.uid: SECOND for life in lives if life.ends_bound}
    await asyncio.to_thread(
        eventually, lambda: pods_of(game).keys() == expected.keys(), "what has expired is removed", seconds=60
    )
    assert pods_of(game) == expected


def pods_of(game: Service) -> dict[str, int]:
    """The pod of every link that there is."""
    return {link["spec"]["uid"]: link["spec"]["podIndex"] for link in game.links()}


def test_an_operator_that_was_away_removes_what_has_expired_meanwhile(game: Service, operator: OperatorProcess) -> None:
    operator.kill()
    game.link_all((f"short-{number}" for number in range(20)), podIndex=1, ttlSeconds=1)
    game.link_all((f"long-{number}" for number in range(20)), podIndex=1, ttlSeconds=3600)
    created = [datetime.fromisoformat(link["metadata"]["creationTimestamp"]) for link in game.links()]
    eventually(lambda: datetime.now(UTC) > max(created) + timedelta(seconds=2), "their time is over")
    assert len(game.links()) == 40
    operator.start()
    eventually(lambda: len(game.links()) == 20, "they are removed")
    assert {link["spec"]["uid"] for link in game.links()} == {f"long-{number}" for number in range(20)}
