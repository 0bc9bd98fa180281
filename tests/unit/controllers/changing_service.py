"""A service that tests change in any way: its pods, nodes, links, loads, workload and route."""
# ruff: noqa: SLF001 - timers that expire, and a store that builds every view from scratch

from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
from hypothesis import strategies as st

from statefulroute.api.vocabulary import ClosingReason, RoutingState, ServiceState
from statefulroute.controllers.route_pods import PodChanges
from statefulroute.domain.closing import Closing
from statefulroute.domain.keys import LinkKey, PodKey, RouteKey
from statefulroute.domain.link import HandOver, Link
from statefulroute.domain.load import LoadReport
from statefulroute.domain.pod import Node
from statefulroute.domain.route import RouteView
from unit.controllers.environment import GAME, Environment, link, pod, route, workload

PODS = 6
OTHER = RouteKey("games", "other")
NODES = ("node-0", "node-1", "node-2")

#: A change, with its arguments.
Change = tuple[str, tuple[Any, ...]]


class ChangingService:
    """A service whose pods, nodes, links and loads change, and whose losses are found and verified.

    Args:
        is_indexed: whether its pods have indexes.
        verifies: whether losses have to be verified.
        from_scratch: whether each view is built from scratch.
        environment: the operator; None creates one.
    """

    def __init__(
        self, *, is_indexed: bool, verifies: bool, from_scratch: bool = False, environment: Environment | None = None
    ) -> None:
        self.environment = environment or Environment()
        self.store = self.environment.route_store
        self._is_indexed = is_indexed
        self._from_scratch = from_scratch
        self._version = 100
        self._spec: dict[str, Any] = {}
        self._assumed: dict[LinkKey, ExitStack] = {}
        self.changes: list[PodChanges] = []
        if verifies:
            self.store.listen_for_losses(lambda _: None)
        self.edit()
        self.scale(PODS - 1)
        self.store.listen_for_pods(GAME, self.changes.append)

    def apply(self, change: Change) -> None:
        """Applies a change."""
        name, arguments = change
        getattr(self, name)(*arguments)

    def view(self) -> RouteView:
        """Returns the view of the route."""
        if self._from_scratch and (entry := self.store._entries.get(GAME)) is not None:
            entry.members.rebuild()
        view = self.store.get(GAME)
        assert view is not None
        return view

    def put_pod(self, index: int, state: ServiceState, node: int, **more: Any) -> None:
        more = {"uid": f"uid-{index}", "node_name": NODES[node]} | more
        self.environment.pods.put(pod(self._next(), index, service_state=state, **more))

    def put_odd_pod(self, index: int, field: str, value: Any) -> None:
        self.put_pod(index, ServiceState.READY, 0, **{field: value})

    def delete_pod(self, index: int) -> None:
        self.environment.pods.delete("games", f"game-{index}", self._next())

    def put_node(self, node: int, is_ready: bool) -> None:
        assert self.environment.informers.nodes is not None
        self.environment.informers.nodes.cache.put(
            Node(name=NODES[node], resource_version=self._next(), is_ready=is_ready)
        )

    def delete_node(self, node: int) -> None:
        assert self.environment.informers.nodes is not None
        self.environment.informers.nodes.cache.delete("", NODES[node], self._next())

    def put_link(self, user: int, index: int | None, key: RouteKey = GAME) -> None:
        self.environment.links.put(link(self._next(), f"user-{user}", key=key, pod=self._key(index)))

    def change_link(self, user: int, **changes: Any) -> None:
        """Changes the spec of a user's link as a client does."""
        if (current := self.environment.links.get(GAME, f"game.user-{user}")) is not None:
            changes |= {"resource_version": self._next(), "generation": current.generation + 1}
            self.environment.links.put(msgspec.structs.replace(current, **changes))

    def link_of(self, user: int) -> Link | None:
        """Returns the link of a user, as clients see it."""
        return self.environment.links.get(GAME, f"game.user-{user}")

    def ask(self, user: int, index: int) -> None:
        """Asks for the hand-over of a user to a pod."""
        pod_key, current = self._key(index), self.link_of(user)
        if pod_key is not None and current is not None and current.pod is not None:
            self.change_link(user, hand_over=HandOver(pod_key, f"at {self._next()}"))

    def commit(self, user: int) -> None:
        """Commits the hand-over of a user, as the old pod's driver does."""
        current = self.link_of(user)
        if current is not None and current.hand_over is not None:
            self.change_link(user, pod=current.hand_over.pod, hand_over=None)

    def move_only(self, user: int, index: int) -> None:
        """Moves a user, as a client does that knows no hand-overs."""
        self.change_link(user, pod=self._key(index))

    def cancel(self, user: int) -> None:
        """Ends the hand-over of a user."""
        current = self.link_of(user)
        if current is not None and current.hand_over is not None:
            self.change_link(user, hand_over=None)

    def close(self, index: int, is_over: bool) -> None:
        """Closes a pod, and opens those that closed before."""
        key, now = self._key(index), self.environment.now
        assert key is not None
        current = self.environment.routes.get("games", "game")
        assert current is not None
        closing = {key: Closing(ClosingReason.SCALE_DOWN, now, now + timedelta(hours=1), is_over=is_over)}
        self.store.close_pods(current.workload_key, closing)

    def reopen(self) -> None:
        current = self.environment.routes.get("games", "game")
        assert current is not None
        self.store.close_pods(current.workload_key, {})

    def delete_link(self, user: int, key: RouteKey = GAME) -> None:
        self.environment.links.delete(key, f"{key.name}.user-{user}", self._next())

    def assume(self, user: int, index: int) -> None:
        key = LinkKey(GAME, f"game.user-{user}")
        if key in self._assumed:
            self._assumed.pop(key).close()
            return
        pod_key = self._key(index)
        assert pod_key is not None
        self._assumed[key] = ExitStack()
        self._assumed[key].enter_context(self.environment.counts.assume(key, pod_key))

    def report(self, index: int, load: int, age: int, state: RoutingState) -> None:
        current = self.environment.pods.get("games", f"game-{index}")
        if current is not None:
            now = self.environment.now + self.environment.skew
            self.store.observe_load(GAME, current, LoadReport(load, 0, now - timedelta(seconds=age)), state)

    def fail_report(self, index: int) -> None:
        current = self.environment.pods.get("games", f"game-{index}")
        if current is not None:
            self.store.observe_load_error(GAME, current, "did not answer")

    def elapse(self, seconds: int) -> None:
        self.environment.now += timedelta(seconds=seconds)
        self.store._invalidate(GAME)
        for key in tuple(self.environment.hand_overs._started):  # their timers are those of the event loop
            self.environment.controller.resume(key)

    def skew(self, seconds: int) -> None:
        self.environment.skew = timedelta(seconds=seconds)

    def check_staleness(self) -> None:
        self.store._check_staleness(GAME)

    def scale(self, replicas: int) -> None:
        first_index = 0 if self._is_indexed else None
        self.environment.workloads.put(workload(self._next(), replicas=replicas, first_index=first_index))

    def delete_workload(self) -> None:
        self.environment.workloads.delete("games", "game", self._next())

    def edit(self, **spec: Any) -> None:
        self._spec |= spec
        more = {"spec": dict(self._spec), "generation": self._next(), "uid": "uid-of-route"}
        self.environment.routes.put(route(self._next(), **more))

    def edit_field(self, name: str, value: Any) -> None:
        self.edit(**{name: value})

    def confirm(self) -> None:
        current = self.environment.routes.get("games", "game")
        assert current is not None
        self.environment.routes.put(
            replace(current, resource_version=self._next(), loss_confirmed_at=self.environment.now)
        )

    def write_status(self) -> None:
        current = self.environment.routes.get("games", "game")
        assert current is not None
        self.environment.routes.put(replace(current, resource_version=self._next()))

    def share_workload(self) -> None:
        spec = {"workloadRef": {"name": "game"}}
        self.environment.routes.put(route(self._next(), OTHER, spec=spec))

    def stop_sharing(self) -> None:
        self.environment.routes.delete("games", "other", self._next())

    def verify(self) -> None:
        self.store.verify_losses(GAME, dict(self.store.unverified_losses(GAME)))

    def look(self) -> None:
        """Requests the view: changes from now on are those from this one."""

    def _key(self, index: int | None) -> PodKey | None:
        return index if index is None or self._is_indexed else f"game-{index}"

    def _next(self) -> int:
        self._version += 10  # a writer writes the versions in between
        return self._version


INDEXES, USERS = st.integers(0, PODS - 1), st.integers(0, 9)


def _change(name: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Change]:
    return st.tuples(st.just(name), st.tuples(*arguments))


ODD_FIELDS = st.sampled_from(
    [
        ("reported_routing_state", RoutingState.SHUTDOWN),
        ("reported_routing_state", RoutingState.DENY_NEW_CALL),
        ("uid", "another"),
        ("is_ready", False),
        ("disruption", "DeletionByTaintManager"),
        ("ip", "10.0.0.1"),
        ("owner", None),
    ]
)
EDITS = st.sampled_from(
    [
        ("routingState", "Shutdown"),
        ("routingState", "Ready"),
        ("pods", [{"index": 1, "routingState": "Shutdown"}]),
        ("pods", []),
        ("placement", {"maxLinksPerPod": 2}),
        ("placement", {"range": 10}),
        ("handOver", {"timeoutSeconds": 10}),
        ("handOver", {"timeoutSeconds": 100}),
        ("handOver", None),
        ("load", {"minFreshPercent": 0}),
        ("load", {"cpuFactorPercent": 50, "source": "HTTP", "http": {"port": 80}}),
        ("onPodLost", {"graceSeconds": 10, "notReadySeconds": 20, "suspend": {"minimum": 1}}),
        ("onPodLost", {"graceSeconds": 0, "suspend": {"minimum": 2, "nodesPercent": 30}}),
    ]
)
CHANGES = st.one_of(
    _change("put_pod", INDEXES, st.sampled_from(list(ServiceState)), st.integers(0, 2)),
    _change("put_pod", INDEXES, st.just(ServiceState.READY), st.integers(0, 2)),
    st.tuples(INDEXES, ODD_FIELDS).map(lambda each: ("put_odd_pod", (each[0], *each[1]))),
    _change("delete_pod", INDEXES),
    _change("put_node", st.integers(0, 2), st.booleans()),
    _change("delete_node", st.integers(0, 2)),
    _change("put_link", USERS, st.one_of(st.none(), st.integers(0, PODS))),
    _change("put_link", USERS, INDEXES, st.just(OTHER)),
    _change("delete_link", USERS),
    _change("ask", USERS, INDEXES),
    _change("commit", USERS),
    _change("move_only", USERS, INDEXES),
    _change("cancel", USERS),
    _change("close", INDEXES, st.booleans()),
    _change("reopen"),
    _change("assume", USERS, st.integers(0, PODS)),
    _change("report", INDEXES, st.integers(0, 9), st.sampled_from([0, 0, 5, 50]), st.sampled_from(list(RoutingState))),
    _change("fail_report", INDEXES),
    _change("elapse", st.sampled_from([1, 15, 31, 301])),
    _change("skew", st.sampled_from([-100, 0, 0, 100])),
    _change("check_staleness"),
    _change("scale", st.integers(0, PODS)),
    _change("delete_workload"),
    EDITS.map(lambda edit: ("edit_field", edit)),
    _change("confirm"),
    _change("write_status"),
    _change("share_workload"),
    _change("stop_sharing"),
    _change("verify"),
    _change("look"),
    _change("look"),
)

START = [("put_pod", (index, ServiceState.READY, index % 3)) for index in range(PODS - 1)] + [
    ("put_link", (user, user % (PODS - 1))) for user in range(PODS)
]
