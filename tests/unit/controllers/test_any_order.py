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
from statefulroute.domain.keys import LinkKey, PodKey, RouteKey
from statefulroute.domain.link import HandOver, Link
from statefulroute.domain.route import RouteView
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
        self.environment.reconciler._writer = cast("LinkWriter", _Writer(self))
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
            ends = {"hand_over": None} if index is None else {}  # a link that names no pod has no hand-over
            self.change_link(user, pod=index, **ends)

    def change_link(self, user: int, **changes: Any) -> None:
        if (current := self.link_of(user)) is not None:
            self._change(user, generation=current.generation + 1, **changes)

    def link_of(self, user: int) -> Link | None:
        return self.server.links.get(self._key_of(user))

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
        present = [link for link in links if not link.is_deleting]
        plans = [(link, decide(self.gathered(link, view))) for link in present]
        return [
            link.name
            for link, plan in plans
            if not isinstance(plan, UpdateStatus) or not is_status_current(link, plan.status)
        ]

    def gathered(self, link: Link, view: RouteView | None) -> LinkView:
        """Returns what a decision about a link depends on."""
        is_due = link.hand_over is not None and self.environment.hand_overs.is_due(link, view)
        return LinkView(link, view, self.environment.now, is_due)

    def _change(self, user: int, **changes: Any) -> None:
        if (current := self.server.links.get(self._key_of(user))) is not None:
            self.server.put(msgspec.structs.replace(current, **changes))

    @staticmethod
    def _key_of(user: int, key: RouteKey = GAME) -> LinkKey:
        return LinkKey(key, f"{key.name}.user-{user}")


class _Writer:
    """The writer of links, whose methods the server has under other names. It checks why links are moved."""

    def __init__(self, service: ServedService) -> None:
        self._service = service
        self._server = server = service.server
        self.update_status, self.delete = server.update_status, server.remove

    async def bind(self, link: Link, pod: PodKey) -> None:
        """Moves a link: of a pod that is lost, or because its hand-over is over and was not committed."""
        if link.pod is not None:
            assert link.pod != pod
            assert self._is_leaving(link, pod)
        await self._server.bind(link, pod)

    async def write_hand_over(self, link: Link, hand_over: HandOver | None) -> str:
        """Starts the hand-over of a pod that can do so, or ends one."""
        view = self._view()
        if hand_over is not None:
            assert link.pod is not None
            assert view.pods[link.pod].is_handing_over
            assert link.pod not in view.lost
            assert view.pods[hand_over.pod].is_available
        return await self._server.write_hand_over(link, hand_over)

    def _is_leaving(self, link: Link, pod: PodKey) -> bool:
        view = self._view()
        old = None if link.pod is None else view.pods.get(link.pod)
        is_gone = link.pod in view.lost or (link.hand_over is not None and (old is None or old.has_ended))
        if is_gone or link.hand_over is None:
            return is_gone
        is_due = self._service.gathered(link, view).is_hand_over_due
        return pod == link.hand_over.pod and (is_due or view.route.spec.hand_over is None)

    def _view(self) -> RouteView:
        view = self._service.environment.route_store.get(GAME)
        assert view is not None
        return view


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
    of_the_drivers: list[Change] = [
        ("ask", (user, pod)),
        ("ask", (user, pod)),
        ("commit", (user,)),
        ("commit", (user,)),
        ("move_only", (user, pod)),
        ("cancel", (user,)),
    ]
    of_the_service: list[Change] = [
        ("put_pod", (pod, random.choice((ServiceState.READY, ServiceState.NOT_READY)), pod % 3)),
        ("put_odd_pod", (pod, "reported_routing_state", random.choice(list(RoutingState)))),
        ("delete_pod", (pod,)),
        ("edit_field", ("onPodLost", {"action": random.choice(("Rebind", "Release", "Keep")), **SOON})),
        ("edit_field", ("placement", {"maxLinksPerPod": random.randrange(3)})),
        ("edit_field", ("handOver", random.choice((None, {"timeoutSeconds": 5}, {"timeoutSeconds": 30})))),
        ("edit_field", ("pods", random.choice(([], [{"index": pod, "routingState": "Shutdown"}])))),
        ("close", (pod, random.choice((True, False)))),
        ("elapse", (random.choice((1, 7, 31)),)),
        ("replace_route", ()),
    ]
    seldom: list[Change] = [("relist", ()), ("begin_deletion", (user,)), ("scale", (random.randint(2, PODS),))]
    kinds = of_the_server, of_the_links, of_the_drivers, of_the_service, seldom
    (kind,) = random.choices(kinds, weights=(10, 3, 3, 4, 1))
    return random.choice(kind)


async def pass_time_outs(service: ServedService) -> None:
    """Waits until no link is handed over any more, while no driver commits."""
    for _ in range(3):  # users of a pod that is emptied are handed over again if they were moved to it
        service.elapse(31)
        await eventually(lambda: not service.unfinished())
    assert not [link.name for link in service.server.links.values() if link.hand_over and not link.is_deleting]


@pytest.mark.parametrize("seed", range(60))
def test_links_are_right_in_the_end(seed: int) -> None:
    random = Random(seed)

    async def run() -> None:
        service = ServedService()
        async with running_route(service.environment):
            for change in (("edit_field", ("onPodLost", SOON)), *START, ("relist", ())):
                service.apply(change)
            for _ in range(200):
                service.apply(random_change(random))
                for _ in range(random.choice((0, 1, 3, 12))):
                    await asyncio.sleep(0)
            service.finish()
            await eventually(lambda: not service.unfinished())
            await pass_time_outs(service)
        links = service.environment.links.in_partition(GAME).values()
        assert {link.key: link for link in links} == {
            key: link for key, link in service.server.links.items() if key.route == GAME
        }
        counts = Counter(link.pod for link in links if link.pod is not None)
        assert service.environment.counts.of(GAME) == counts
        being_deleted = {link.key: link for link in links if link.is_deleting}
        arriving = Counter(link.hand_over.pod for link in being_deleted.values() if link.hand_over)
        assert service.environment.counts.arriving(GAME) == arriving
        hand_overs = service.environment.hand_overs
        assert hand_overs._started.keys() <= being_deleted.keys() | {*hand_overs._deadlines}

    with capture_logs() as logs:
        run_in_own_loop(run())
    assert "error" not in {line["log_level"] for line in logs}
