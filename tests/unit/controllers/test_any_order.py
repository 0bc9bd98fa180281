"""Writes, their answers and the events of the watch in any order, while other clients write, too."""
# ruff: noqa: SLF001 - the reconciler with a writer that the test controls

import asyncio
from collections import Counter
from datetime import timedelta
from random import Random
from typing import Any, cast

import msgspec
import pytest
from structlog.testing import capture_logs

from statefulroute.api.vocabulary import RoutingState, ServiceState
from statefulroute.cluster.writes import LinkWriter
from statefulroute.controllers.links.expiry import ExpiryController
from statefulroute.domain.decision import LinkView, UpdateStatus, decide, is_status_current
from statefulroute.domain.keys import LinkKey, RouteKey
from support.own_loop import run_in_own_loop
from unit.controllers.changing_service import PODS, START, Change, ChangingService
from unit.controllers.environment import GAME, eventually, link, running_route
from unit.controllers.link_server import OUTCOMES, LinkServer

#: When a pod is lost, in seconds.
SOON = {"graceSeconds": 5, "notReadySeconds": 5, "suspend": {"minimum": 1000}}


class ServedService(ChangingService):
    """A changing service whose links are those of a simulated API server."""

    def __init__(self) -> None:
        super().__init__(is_indexed=True, verifies=False)
        self.server = LinkServer(self.environment.informers.links)
        self.environment.reconciler._writer = cast("LinkWriter", _Writer(self.server))
        self._expiry = ExpiryController(
            self.environment.links, self.environment.controller.add, lambda: self.environment.now
        )
        self._expiry.start()

    def put_link(self, user: int, index: int | None, key: RouteKey = GAME) -> None:
        current = self.server.links.get(self._key_of(user, key))
        if current is None:
            more = {} if user % 3 else {"ttl_seconds": 20, "expire_time": self.environment.now + timedelta(seconds=20)}
            self.server.put(link(0, f"user-{user}", key, pod=index, **more))
        else:
            self._change(user, pod=index, generation=current.generation + (index != current.pod))

    def delete_link(self, user: int, key: RouteKey = GAME) -> None:
        self.server.delete(self._key_of(user, key))

    def begin_deletion(self, user: int) -> None:
        self._change(user, is_deleting=True)

    def renew(self, user: int) -> None:
        current = self.server.links.get(self._key_of(user))
        if current is not None and current.expire_time is not None:
            self._change(user, expire_time=self.environment.now + timedelta(seconds=20))

    def label(self, user: int) -> None:
        self._change(user)

    def elapse(self, seconds: int) -> None:
        super().elapse(seconds)
        self._expiry.notify_expired()

    def replace_route(self) -> None:
        self.environment.controller.remove_route(GAME)
        self.environment.controller.add_route(GAME)

    def apply(self, change: Change) -> None:
        name, arguments = change
        getattr(self.server if hasattr(self.server, name) else self, name)(*arguments)

    def finish(self) -> None:
        """Lets everything happen that was held."""
        self.server.release()
        self._expiry.notify_expired()

    def unfinished(self) -> list[str]:
        """Returns the links for which something is left to do."""
        view, links = self.environment.route_store.get(GAME), self.environment.links.in_partition(GAME).values()
        plans = [(link, decide(LinkView(link, view, self.environment.now))) for link in links if not link.is_deleting]
        return [
            link.name
            for link, plan in plans
            if not isinstance(plan, UpdateStatus) or not is_status_current(link, plan.status)
        ]

    def _change(self, user: int, **changes: Any) -> None:
        if (current := self.server.links.get(self._key_of(user))) is not None:
            self.server.put(msgspec.structs.replace(current, **changes))

    @staticmethod
    def _key_of(user: int, key: RouteKey = GAME) -> LinkKey:
        return LinkKey(key, f"{key.name}.user-{user}")


class _Writer:
    """The writer of links, whose methods the server has under other names."""

    def __init__(self, server: LinkServer) -> None:
        self.bind, self.update_status, self.delete = server.bind, server.update_status, server.remove


def random_change(random: Random) -> Change:
    """Returns what happens next: more often at the API server than to the links, and seldom to the service."""
    user, pod, position = random.randrange(8), random.randrange(PODS), random.randrange(10)
    of_the_server: list[Change] = [
        ("execute", (position, random.choice(OUTCOMES))),
        ("answer", (position,)),
        ("deliver", (random.randint(1, 4),)),
    ]
    of_the_links: list[Change] = [
        ("put_link", (user, None)),
        ("put_link", (user, pod)),
        ("delete_link", (user,)),
        ("renew", (user,)),
        ("label", (user,)),
    ]
    of_the_service: list[Change] = [
        ("put_pod", (pod, random.choice((ServiceState.READY, ServiceState.NOT_READY)), pod % 3)),
        ("put_odd_pod", (pod, "reported_routing_state", random.choice(list(RoutingState)))),
        ("delete_pod", (pod,)),
        ("edit_field", ("onPodLost", {"action": random.choice(("Rebind", "Release", "Keep")), **SOON})),
        ("edit_field", ("placement", {"maxLinksPerPod": random.randrange(3)})),
        ("elapse", (random.choice((1, 7, 31)),)),
        ("replace_route", ()),
    ]
    seldom: list[Change] = [("relist", ()), ("begin_deletion", (user,)), ("scale", (random.randint(2, PODS),))]
    (kind,) = random.choices((of_the_server, of_the_links, of_the_service, seldom), weights=(10, 4, 4, 1))
    return random.choice(kind)


@pytest.mark.parametrize("seed", range(60))
def test_links_are_right_in_the_end(seed: int) -> None:
    random = Random(seed)

    async def run() -> None:
        service = ServedService()
        async with running_route(service.environment):
            for change in (*START, ("relist", ())):
                service.apply(change)
            for _ in range(200):
                service.apply(random_change(random))
                for _ in range(random.choice((0, 1, 3, 12))):
                    await asyncio.sleep(0)
            service.finish()
            await eventually(lambda: not service.unfinished())
        links = service.environment.links.in_partition(GAME).values()
        assert {link.key: link for link in links} == {
            key: link for key, link in service.server.links.items() if key.route == GAME
        }
        counts = Counter(link.pod for link in links if link.pod is not None)
        assert service.environment.counts.of(GAME) == counts

    with capture_logs() as logs:
        run_in_own_loop(run())
    assert "error" not in {line["log_level"] for line in logs}
