"""Compares random operations on links in a real cluster with a reference model.

The operator is killed and started in between. Two of the four clients have a cache. The clients and the model share a
clock, which is an hour ahead of the operator's: the operator does not remove links that expire for the clients, so
every operation is also tested with expired links.
"""

import asyncio
import logging
import os
from collections import defaultdict
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, ClassVar, NoReturn, Self, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from property.calls import CLIENTS, PODS, READS, ROUTES, UIDS, Call, calls, lasting, users
from property.model import Binding, Model, User, bound, outcomes
from statefulroute.cluster.client import Client
from statefulroute.cluster.codec import LINKS
from statefulroute.cluster.connection import connect
from statefulroute.cluster.link_store import LinkStore
from statefulroute.cluster.reflector import Reflector
from statefulroute.domain.link import Link
from statefulroute.domain.times import TimeInterval
from support.clients import CLOSING_SECONDS
from support.independent_client import PodLink
from support.objects import encoded_name, pod_link
from support.operator_process import OperatorProcess
from support.service import Service, is_bound
from support.waiting import eventually

T = TypeVar("T")

log = logging.getLogger(__name__)

#: The minimal number of operations; `make test-property` sets 10,000.
OPERATIONS = int(os.environ.get("STATEFULROUTE_PROPERTY_OPERATIONS", "300"))

#: With at least this many, every operation must have had different answers, and the operator must have been killed.
MANY = 1000

#: The seed of the sequences. If it is set, a failure is shrunk to the shortest failing sequence, which takes a while.
SEED = os.environ.get("STATEFULROUTE_PROPERTY_SEED")

SETTINGS = settings(
    max_examples=8,
    stateful_step_count=24,
    deadline=None,
    database=None,
    phases=[Phase.generate] if SEED is None else [Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


#: A user, and calls about it right after another client's change, which the caches may not have received yet.
users_and_calls = users.flatmap(
    lambda user: st.tuples(st.just(user), st.lists(calls(st.just(user), reads=False), max_size=2))
)


class Environment:
    """The state that all sequences of a run share: the service, the operator, the stores and the time."""

    def __init__(self, game: Service, operator: OperatorProcess) -> None:
        self.game = game
        self.operator = operator
        self.start = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
        self.moment = 0
        self.operations = 0
        self.answers: defaultdict[str, set[str]] = defaultdict(set)
        self.kills = 0
        self.sequences = count()
        self.stores: list[LinkStore] = []
        self.caches: dict[int, Reflector[Link]] = {}
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine in the clients' loop. Their caches are updated only during it."""
        return self._runner.run(coroutine)

    def __enter__(self) -> Self:
        self.run(self._connect())
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._stack.aclose())
        self._runner.close()

    async def _connect(self) -> None:
        self._stack.push_async_callback(asyncio.sleep, CLOSING_SECONDS)
        kubeconfig = self.game.kubectl.kubeconfig
        connection = await self._stack.enter_async_context(connect(kubeconfig))
        for number in range(CLIENTS):
            client = await self._stack.enter_async_context(Client(connection))
            links = None
            if number % 2:
                watcher = await self._stack.enter_async_context(Client(connection, max_connections=1))
                self.caches[number] = links = Reflector(watcher, LINKS)
                watching = asyncio.create_task(links.run())
                self._stack.callback(watching.cancel)
                await links.synced.wait()
            self.stores.append(
                LinkStore(client, self.game.namespace, links=links, clock=lambda: TimeInterval.at(self.now))
            )

    @property
    def now(self) -> datetime:
        """The time of the clients and of the model."""
        return self.start + timedelta(seconds=self.moment)


class LinkOperationsMachine(RuleBasedStateMachine):
    """One sequence of operations, with its own users."""

    environment: ClassVar[Environment]

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.trace: list[str] = []
        self.number = next(self.environment.sequences)

    # Operations of the stores.

    @rule(drawn=st.lists(calls(users, reads=True), min_size=1, max_size=6))
    def consecutive_calls(self, drawn: list[Call]) -> None:
        for call in drawn:
            answer = self.environment.run(self._make(call))
            self._expect(call, answer)

    @rule(drawn=st.lists(calls(users, reads=False), min_size=2, max_size=6, unique_by=lambda call: call.user))
    def concurrent_calls_for_different_users(self, drawn: list[Call]) -> None:
        for call, answer in zip(drawn, self.environment.run(self._make_all(drawn)), strict=True):
            self._expect(call, answer)

    @rule(
        drawn=users.flatmap(
            lambda user: st.lists(calls(st.just(user), reads=False), min_size=2, max_size=4),
        )
    )
    def concurrent_calls_for_one_user(self, drawn: list[Call]) -> None:
        answers = self.environment.run(self._make_all(drawn))
        effects = [(call.effect, answer) for call, answer in zip(drawn, answers, strict=True)]
        states = [state for state in outcomes(self.model, effects, self.environment.moment) if self._agrees(state)]
        if not states:
            self._fail(f"no order of the calls gives these answers and links: {drawn}: {answers}; {self._stored()}")
        self.model = states[0]

    # Changes by other clients, and of the operator.

    @rule(user=users, seconds=lasting)
    def other_client_leaves_the_choice(self, user: User, seconds: int | None) -> None:
        self._delete(user)
        binding = bound(None, seconds, self.environment.moment)
        self._create(user, binding)
        if user.route == "game":
            self._ensure_operator()
            eventually(lambda: self._stored()[user].pod is not None, "the operator has chosen", seconds=60)
            pod = self._stored()[user].pod
            assert pod in PODS
            binding = Binding(pod, binding.ttl, binding.renewed)
        self.model.put(user, binding)

    @rule(about=users_and_calls, pod=st.sampled_from(PODS), seconds=lasting)
    def other_client_binds(self, about: tuple[User, list[Call]], pod: int, seconds: int | None) -> None:
        user, then = about
        self._delete(user)
        binding = bound(pod, seconds, self.environment.moment)
        self._create(user, binding)
        self.model.put(user, binding)
        self.consecutive_calls(then)

    @rule(about=users_and_calls)
    def other_client_deletes(self, about: tuple[User, list[Call]]) -> None:
        user, then = about
        self._delete(user)
        self.model.put(user, None)
        self.consecutive_calls(then)

    @rule(seconds=st.sampled_from((1, 299, 300, 301, 599, 600)), then=st.lists(calls(users, reads=True), max_size=3))
    def time_passes(self, seconds: int, then: list[Call]) -> None:
        self.environment.moment += seconds
        self.consecutive_calls(then)

    @rule(chance=st.integers(0, 4))
    def stop_or_start_operator(self, chance: int) -> None:
        if chance:  # rarely: a start takes a second of CPU
            return
        if self.environment.operator.is_running:
            self.environment.operator.kill()
            self.environment.kills += 1
        else:
            self.environment.operator.launch()

    # Comparisons.

    @invariant()
    def links_agree_with_the_model(self) -> None:
        stored, expected = self._stored(), self.model.links(self.environment.moment)
        if stored != expected:
            self._fail(f"the cluster has {stored}, the model {expected}")

    def teardown(self) -> None:
        self.environment.game.client.delete_all(PodLink, self.environment.game.namespace)

    def _agrees(self, model: Model) -> bool:
        return self._stored() == model.links(self.environment.moment)

    def _expect(self, call: Call, answer: Any) -> None:
        expected = call.effect(self.model, self.environment.moment)
        if answer != expected:
            self._fail(f"{call}: the cluster answers {answer!r}, the model {expected!r}")

    def _fail(self, message: str) -> NoReturn:
        """Fails, and logs the sequence, because races are not reproducible."""
        log.error("%s, after:\n%s", message, "\n".join(self.trace))
        raise AssertionError(message)

    async def _make(self, call: Call) -> Any:
        if call.operation in READS and call.client in self.environment.caches:
            await self._catch_up(self.environment.caches[call.client])
        self.environment.operations += 1
        answer = await call.make(self.environment.stores[call.client], self._uid, self.environment.start)
        self.environment.answers[call.operation].add(repr(answer))
        self.trace.append(f"moment {self.environment.moment}: {call} -> {answer!r}")
        return answer

    async def _make_all(self, drawn: list[Call]) -> list[Any]:
        return list(await asyncio.gather(*map(self._make, drawn)))

    async def _catch_up(self, links: Reflector[Link]) -> None:
        """Waits until a cache has the stored links, because its answers may be older before that."""
        objects = {item["metadata"]["name"]: int(item["metadata"]["resourceVersion"]) for item in self._objects()}
        async with asyncio.timeout(30):
            for user in (User(route, uid) for route in ROUTES for uid in UIDS):
                route, name = (self.environment.game.namespace, user.route), self._name(user)
                while not is_cached(links.cache.get(route, name), objects.get(name)):  # noqa: ASYNC110 - no event
                    await asyncio.sleep(0.002)

    # The stored links, by the independent client.

    def _uid(self, uid: str) -> str:
        return f"{uid}-{self.number}"

    def _name(self, user: User) -> str:
        uid = self._uid(user.uid)
        return f"{user.route}.{uid}" if uid.isascii() else encoded_name(user.route, uid)

    def _objects(self) -> list[dict[str, Any]]:
        uids = {self._uid(uid) for uid in UIDS}
        return [item for item in self.environment.game.links() if item["spec"]["uid"] in uids]

    def _stored(self) -> dict[User, Binding]:
        """Returns the stored links that are not expired."""
        uids = {self._uid(uid): uid for uid in UIDS}
        stored = {}
        for item in self._objects():
            spec = item["spec"]
            renewed = spec.get("renewTime")
            moment = renewed and (datetime.fromisoformat(renewed) - self.environment.start).total_seconds()
            link = Binding(spec.get("podIndex"), spec.get("ttlSeconds"), moment)
            if not link.is_expired(self.environment.moment):
                stored[User(spec["routeName"], uids[spec["uid"]])] = link
        return stored

    def _create(self, user: User, binding: Binding) -> None:
        spec: dict[str, Any] = {"podIndex": binding.pod, "ttlSeconds": binding.ttl}
        if binding.ttl is not None:
            spec["renewTime"] = self.environment.now.isoformat()
        set_fields = {field: value for field, value in spec.items() if value is not None}
        item = pod_link(self._name(user), routeName=user.route, uid=self._uid(user.uid), **set_fields)
        self.environment.game.client.create(item, self.environment.game.namespace)
        self.trace.append(f"moment {self.environment.moment}: another client creates {user}: {binding}")

    def _delete(self, user: User) -> None:
        """Deletes a user's link if it is stored, even if it is expired."""
        if any(item["metadata"]["name"] == self._name(user) for item in self._objects()):
            self.environment.game.client.delete(PodLink, self._name(user), self.environment.game.namespace)
            self.trace.append(f"moment {self.environment.moment}: another client deletes {user}")

    def _ensure_operator(self) -> None:
        if not self.environment.operator.is_running:
            self.environment.operator.launch()


def is_cached(cached: Link | None, resource_version: int | None) -> bool:
    """Returns whether a cached link has at least this version; None stands for no link."""
    if cached is None or resource_version is None:
        return cached is None and resource_version is None
    return cached.resource_version >= resource_version


@pytest.mark.timeout(60 + OPERATIONS)
def test_cluster_agrees_with_the_model(game: Service, operator: OperatorProcess) -> None:
    with Environment(game, operator) as environment:
        LinkOperationsMachine.environment = environment
        for number in count(int(SEED or "1")):
            try:
                run_state_machine_as_test(seed(number)(LinkOperationsMachine), settings=SETTINGS)
            except BaseException as error:
                error.add_note(f"to reproduce and shrink it: STATEFULROUTE_PROPERTY_SEED={number}")
                raise
            if environment.operations >= OPERATIONS:
                break
        if OPERATIONS >= MANY:
            assert {operation: answers for operation, answers in environment.answers.items() if len(answers) < 2} == {}
            assert environment.kills, "the operator was never killed"
        log.info("%s operations, %s kills of the operator", environment.operations, environment.kills)
        if not operator.is_running:
            operator.start()
        game.link_all(f"last-{number}" for number in range(3))
        eventually(lambda: all(is_bound(link) for link in game.links()), "the operator still serves")
