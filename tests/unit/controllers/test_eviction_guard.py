"""What guards pods with links against evictions: which requests are sent, and what the condition states."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from statefulroute.api.vocabulary import RouteReason
from statefulroute.cluster.client import Client
from statefulroute.cluster.errors import ClusterError, UnreachableError, api_error
from statefulroute.controllers.disruption import namespace_budgets
from statefulroute.controllers.disruption.gathering import FallingLinks, gather_pods
from statefulroute.controllers.disruption.guard import EvictionGuard
from statefulroute.domain.disruption.facts import DisruptionFacts
from statefulroute.domain.disruption.node_drain import HOLD
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.route import RouteView
from unit.controllers.environment import GAME, Environment, eventually, idle, link, pod, route, workload

BUDGET = "game-statefulset-occupied"
THEIRS = {"metadata": {"name": "theirs", "uid": "u"}, "spec": {"minAvailable": 1, "selector": {}}}


class FakeServer:
    """A fake client: keeps budgets, and labels pods of the cache."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.budgets: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str]] = []
        """The method, and the last part of the path, of each write."""
        self.reads = 0
        self.failures: dict[str, ClusterError] = {}
        """The error that each method fails with."""

    async def get(self, _path: str, _params: Mapping[str, str] | None = None) -> bytes:
        self.reads += 1
        self._fail("GET")
        return json.dumps({"metadata": {"resourceVersion": "1"}, "items": list(self.budgets.values())}).encode()

    async def post(self, path: str, body: bytes) -> bytes:
        budget = json.loads(body)
        self._record("POST", budget["metadata"]["name"])
        assert path.endswith("/namespaces/games/poddisruptionbudgets")
        self.budgets[budget["metadata"]["name"]] = budget
        return body

    async def delete(self, path: str, _options: bytes) -> bytes:
        self._record("DELETE", name := path.rpartition("/")[2])
        del self.budgets[name]
        return b"{}"

    async def merge_patch(self, path: str, body: bytes) -> bytes:
        name = path.rpartition("/")[2]
        self._record("PATCH", name)
        before = self.environment.pods.get("games", name)
        assert before is not None
        labels: dict[str, Any] = {**before.labels, **json.loads(body)["metadata"]["labels"]}
        return json.dumps(
            {
                "metadata": {
                    "name": name,
                    "namespace": "games",
                    "uid": before.uid,
                    "resourceVersion": str(before.resource_version + 1000),
                    "creationTimestamp": datetime.fromtimestamp(before.creation_timestamp, UTC).isoformat(),
                    "labels": {key: value for key, value in labels.items() if value is not None},
                    "ownerReferences": [
                        {"kind": "StatefulSet", "name": "game", "uid": "uid-of-game", "controller": True}
                    ],
                },
                "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
            }
        ).encode()

    def written(self) -> list[tuple[str, str]]:
        """Returns the writes since the last call."""
        requests, self.requests = self.requests, []
        return requests

    def _record(self, method: str, name: str) -> None:
        self.requests.append((method, name))
        self._fail(method)

    def _fail(self, method: str) -> None:
        if method in self.failures:
            raise self.failures[method]


class GuardEnvironment(Environment):
    """A test environment with a guard, and a route with three pods."""

    def __init__(self, **spec: Any) -> None:
        super().__init__()
        self.server = FakeServer(self)
        self.guard = EvictionGuard(cast("Client", self.server), self.informers, self.route_store)
        self.changed: list[RouteKey] = []
        self.guard.listen(self.changed.append)
        self.routes.put(route(10, spec={"disruption": {}, **spec}, uid="uid-of-route"))
        self.workloads.put(workload(11, selector_text="app=game"))
        for index in range(3):
            self.pods.put(pod(20 + index, index, uid=f"uid-{index}", labels={"app": "game"}))

    @property
    def view(self) -> RouteView:
        view = self.route_store.get(GAME)
        assert view is not None
        return view

    async def apply(self) -> Any:
        """Applies the guard, and once more if something was read in between."""
        for _ in range(2):
            facts = DisruptionFacts(
                route_name="game",
                spec=self.view.route.spec,
                workload=workload(11, selector_text="app=game"),
                pods=gather_pods(self.view, [self.view.route], self.pods, FallingLinks(), self.now),
                now=self.now,
            )
            check = await self.guard.apply(self.view, facts, {})
            await idle()
        return check

    @property
    def state(self) -> tuple[bool | None, RouteReason | None]:
        state = self.guard.state(GAME)
        return (None, None) if state is None else state[:2]


GUARDED = (True, RouteReason.EVICTIONS_GUARDED)
FORBIDDEN = api_error(403, "Forbidden", "you may not")


async def test_budget_is_created_once_and_nothing_is_written_afterwards() -> None:
    environment = GuardEnvironment()
    assert environment.state == (None, None)
    await environment.apply()
    assert (environment.server.written(), environment.state) == ([("POST", BUDGET)], GUARDED)
    (owner,) = environment.server.budgets[BUDGET]["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("StatefulRoute", "game", "uid-of-route")
    await environment.apply()
    await environment.apply()
    assert environment.server.written() == []
    environment.guard.clear()


async def test_pods_are_labelled_once_while_they_have_links_and_for_a_while_afterwards() -> None:
    environment = GuardEnvironment()
    await environment.apply()
    environment.server.written()
    environment.links.put(link(30, pod=1))
    assert await environment.apply() is None
    environment.links.put(link(31, user="bob", pod=1))
    await environment.apply()
    assert environment.server.written() == [("PATCH", "game-1")]
    for user in ("alice", "bob"):
        environment.links.delete(GAME, f"game.{user}", 40)
    assert await environment.apply() == environment.now + HOLD
    assert environment.server.written() == []
    environment.now += HOLD
    assert await environment.apply() is None
    assert environment.server.written() == [("PATCH", "game-1")]
    environment.guard.clear()


async def test_label_changes_no_decision() -> None:
    environment = GuardEnvironment()
    environment.links.put(link(30, pod=1))
    view, notified = environment.view, list[RouteKey]()
    environment.route_store.watch_all(notified.append)
    await environment.apply()
    labelled = environment.pods.get("games", "game-1")
    assert labelled is not None
    assert labelled.is_marked_occupied
    assert notified == []
    assert environment.view is view
    environment.guard.clear()


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("GET", "reading PodDisruptionBudgets was refused, so evictions do not wait for users: you may not"),
        ("POST", "a PodDisruptionBudget was refused, so evictions do not wait for users: you may not"),
        ("PATCH", "the label of a pod was refused, so evictions do not wait for users: you may not"),
    ],
)
async def test_refusal_is_stated_until_the_request_succeeds(
    method: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(namespace_budgets, "_PERIOD_SECONDS", 0.01)
    environment = GuardEnvironment()
    environment.links.put(link(30, pod=1))
    environment.server.failures[method] = FORBIDDEN
    check = await environment.apply()
    assert environment.guard.state(GAME) == (False, RouteReason.GUARD_REFUSED, message)
    assert (check is not None) is (method != "GET")
    environment.server.failures.clear()
    reads = environment.server.reads
    await eventually(lambda: environment.server.reads > reads)
    await idle()
    await environment.apply()
    assert environment.state == GUARDED
    assert environment.server.budgets.keys() == {BUDGET}
    environment.guard.clear()


async def test_refusal_of_a_label_that_is_not_needed_any_more_is_not_stated() -> None:
    environment = GuardEnvironment()
    environment.links.put(link(30, pod=1))
    environment.server.failures["PATCH"] = FORBIDDEN
    await environment.apply()
    assert environment.state == (False, RouteReason.GUARD_REFUSED)
    environment.links.delete(GAME, "game.alice", 40)
    await environment.apply()
    assert environment.state == GUARDED
    environment.guard.clear()


async def test_another_process_finds_nothing_to_write() -> None:
    environment = GuardEnvironment()
    environment.links.put(link(30, pod=1))
    await environment.apply()
    environment.guard.clear()
    environment.server.written()
    environment.guard = EvictionGuard(
        cast("Client", environment.server), environment.informers, environment.route_store
    )
    await environment.apply()
    assert (environment.server.written(), environment.state) == ([], GUARDED)
    environment.guard.clear()


async def test_budget_that_was_written_since_the_last_read_is_no_refusal() -> None:
    environment = GuardEnvironment()
    environment.server.failures["POST"] = api_error(409, "AlreadyExists", "it exists")
    await environment.apply()
    assert environment.state == (None, None)
    environment.server.failures.clear()
    await environment.apply()
    assert environment.state == GUARDED


async def test_outage_of_the_api_server_is_no_refusal() -> None:
    environment = GuardEnvironment()
    environment.server.failures["POST"] = UnreachableError("no answer")
    assert await environment.apply() is not None
    assert environment.state == (None, None)
    environment.guard.clear()


async def test_another_budget_is_noticed_and_replaces_the_own_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespace_budgets, "_PERIOD_SECONDS", 0.01)
    environment = GuardEnvironment()
    await environment.apply()
    environment.changed.clear()
    environment.server.budgets["theirs"] = THEIRS
    await eventually(lambda: GAME in environment.changed)
    await environment.apply()
    assert environment.state == (False, RouteReason.ANOTHER_BUDGET)
    assert environment.server.budgets.keys() == {"theirs"}
    del environment.server.budgets["theirs"]
    environment.changed.clear()
    await eventually(lambda: GAME in environment.changed)
    await environment.apply()
    assert (environment.state, environment.server.budgets.keys()) == (GUARDED, {BUDGET})
    environment.guard.clear()


async def test_unchanged_budgets_cause_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespace_budgets, "_PERIOD_SECONDS", 0.01)
    environment = GuardEnvironment()
    await environment.apply()
    environment.changed.clear()
    reads = environment.server.reads
    await eventually(lambda: environment.server.reads > reads + 3)
    assert environment.changed == []
    environment.guard.forget(GAME)
    reads = environment.server.reads
    await asyncio.sleep(0.05)  # some periods
    assert environment.server.reads == reads


async def test_labels_and_budget_are_removed_unless_another_route_needs_them() -> None:
    environment = GuardEnvironment()
    environment.links.put(link(30, pod=1))
    await environment.apply()
    other = RouteKey("games", "other")
    environment.routes.put(
        route(50, other, spec={"workloadRef": {"name": "game"}, "disruption": {}}, uid="uid-of-other")
    )
    edited = route(51, spec={}, generation=2, uid="uid-of-route")
    environment.server.written()
    assert await environment.guard.remove(edited)
    assert environment.server.written() == []
    environment.routes.delete("games", "other", 52)
    assert environment.guard.is_left(edited)
    assert await environment.guard.remove(edited)
    assert environment.server.written() == [("PATCH", "game-1"), ("DELETE", BUDGET)]
    assert not environment.guard.is_left(edited)
    assert not environment.guard.is_guarding(GAME)


async def test_nothing_is_left_if_the_route_that_plans_protects_no_pods_any_more() -> None:
    environment = GuardEnvironment()
    environment.links.put(link(30, pod=1))
    await environment.apply()
    other = {"workloadRef": {"name": "game"}, "disruption": {}}
    environment.routes.put(route(50, RouteKey("games", "other"), spec=other, uid="uid-of-other"))
    edited = route(51, spec={"replicas": 3}, generation=2, uid="uid-of-route")
    environment.routes.put(edited)
    environment.server.written()
    assert await environment.guard.remove(edited)
    assert environment.server.written() == [("PATCH", "game-1"), ("DELETE", BUDGET)]


async def test_removal_is_repeated_after_an_outage() -> None:
    environment = GuardEnvironment()
    environment.links.put(link(30, pod=1))
    await environment.apply()
    edited = route(51, spec={}, generation=2, uid="uid-of-route")
    environment.server.failures["DELETE"] = UnreachableError("no answer")
    assert not await environment.guard.remove(edited)
    environment.server.failures.clear()
    assert environment.guard.is_left(edited)
    assert await environment.guard.remove(edited)
    assert environment.server.budgets == {}


async def test_budget_of_somebody_else_with_the_same_name_is_not_removed() -> None:
    environment = GuardEnvironment()
    environment.server.budgets[BUDGET] = {**THEIRS, "metadata": {"name": BUDGET, "uid": "u"}}
    await environment.apply()
    assert environment.state == (False, RouteReason.ANOTHER_BUDGET)
    assert await environment.guard.remove(route(51, spec={}, generation=2))
    assert environment.server.written() == []


async def test_nothing_is_guarded_where_nodes_are_not_seen() -> None:
    environment = GuardEnvironment()
    environment.links.put(link(30, pod=1))
    environment.pods.put(pod(29, 1, uid="uid-1", labels={"app": "game"}, is_marked_occupied=True))
    environment.informers.nodes = None
    assert await environment.apply() is None
    assert environment.state == (False, RouteReason.NODES_NOT_WATCHED)
    assert await environment.guard.remove(route(51, spec={}, generation=2))
    assert (environment.server.written(), environment.server.reads) == ([("PATCH", "game-1")], 0)
