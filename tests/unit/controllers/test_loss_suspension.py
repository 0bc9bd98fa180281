"""Losses of many pods are suspended until their share falls or a person confirms them."""

from datetime import timedelta
from typing import Any

import pytest

from statefulroute.api.vocabulary import RouteReason
from statefulroute.domain.route import LossSuspension
from unit.controllers.environment import GAME, Environment, eventually, idle, link, pod, route, running_route

PODS = 3


class LossEnvironment(Environment):
    """A service with a user on each of three pods, whose links are deleted when their pod is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.version = 100
        self.with_pods(*range(PODS))
        self.edit()
        self.users()

    def next_version(self) -> int:
        self.version += 1
        return self.version

    def users(self) -> None:
        for index in range(PODS):
            self.links.put(link(self.next_version(), f"user-{index}", pod=index))

    def edit(self, **fields: Any) -> None:
        spec = {"onPodLost": {"action": "Release", "graceSeconds": 30}}
        self.routes.put(route(self.next_version(), spec=spec, **fields))

    async def lose_pods(self) -> None:
        for index in range(PODS):
            self.pods.delete("games", f"game-{index}", self.next_version())
        await idle()

    async def elapse(self, seconds: float) -> None:
        """Lets time pass, and evaluates the route again."""
        self.now += timedelta(seconds=seconds)
        self.pods.put(pod(self.next_version(), 9, uid=str(self.version)))
        await idle()

    @property
    def suspension(self) -> LossSuspension | None:
        view = self.route_store.get(GAME)
        assert view is not None
        return view.loss_suspension

    @property
    def removed(self) -> list[str]:
        return [user for user, what in self.writer.written if what == "removed"]


async def test_links_stay_while_losses_are_suspended_and_for_another_grace_period() -> None:
    environment = LossEnvironment()
    async with running_route(environment):
        await environment.lose_pods()
        await environment.elapse(30)
        assert environment.suspension == LossSuspension(RouteReason.PODS_LOST, 3, 3, 50)
        environment.pods.put(pod(environment.next_version(), 0))
        await environment.elapse(60)
        assert (environment.suspension, environment.removed) == (None, [])
        await environment.elapse(30)
        assert sorted(environment.removed) == ["user-1", "user-2"]


@pytest.mark.parametrize(("age", "is_confirmed"), [(0, True), (29, True), (31, False), (-3600, True)])
async def test_losses_that_began_before_a_confirmation_are_acted_on(age: float, is_confirmed: bool) -> None:
    environment = LossEnvironment()
    async with running_route(environment):
        await environment.lose_pods()
        await environment.elapse(30)
        environment.edit(loss_confirmed_at=environment.now - timedelta(seconds=age))
        await idle()
        assert (environment.suspension is None) is is_confirmed
        assert len(environment.removed) == (PODS if is_confirmed else 0)


async def test_confirmed_losses_remain_so_when_the_annotation_is_set_back() -> None:
    environment = LossEnvironment()
    async with running_route(environment):
        await environment.lose_pods()
        await environment.elapse(29)
        environment.edit(loss_confirmed_at=environment.now)
        environment.edit(loss_confirmed_at=environment.now - timedelta(days=1))
        await environment.elapse(1)
        assert (environment.suspension, len(environment.removed)) == (None, PODS)


async def test_confirmation_is_not_one_of_later_losses() -> None:
    environment = LossEnvironment()
    async with running_route(environment):
        await environment.lose_pods()
        await environment.elapse(30)
        environment.edit(loss_confirmed_at=environment.now + timedelta(hours=1))
        await idle()
        for index in range(PODS):
            environment.pods.put(pod(environment.next_version(), index, uid="another"))
        environment.users()
        await environment.elapse(1)
        environment.writer.written.clear()
        await environment.lose_pods()
        await environment.elapse(30)
        assert (environment.suspension is not None, environment.removed) == (True, [])


async def test_annotation_of_an_earlier_time_confirms_nothing_when_the_operator_starts() -> None:
    environment = LossEnvironment()
    environment.routes.delete(*GAME, environment.next_version())
    environment.edit(loss_confirmed_at=environment.now)
    async with running_route(environment):
        await environment.lose_pods()
        await environment.elapse(30)
        assert (environment.suspension is not None, environment.removed) == (True, [])


async def test_suspension_ends_when_the_links_have_left_without_any_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("statefulroute.controllers.loss_tracker._SUSPENSION_CHECK_SECONDS", 0.02)
    environment = LossEnvironment()
    async with running_route(environment):
        await environment.lose_pods()
        await environment.elapse(30)
        assert environment.suspension is not None
        for index in range(PODS):
            environment.links.delete(GAME, f"game.user-{index}", environment.next_version())
        await eventually(lambda: environment.suspension is None)
