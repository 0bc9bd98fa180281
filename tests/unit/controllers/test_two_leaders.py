"""A leader reports other operators that write the statuses of routes; the Lease is where others look for it."""

import math
import ssl
from types import SimpleNamespace
from typing import cast

import pytest
from structlog.testing import capture_logs

from statefulroute.cluster.api_server import Connection
from statefulroute.cluster.events import EventRecorder
from statefulroute.controllers.leadership import LeaderElectionSettings, Leadership
from statefulroute.controllers.routes.foreign_writes import ForeignWrites
from unit.controllers.environment import Environment, route


class LeaderEnvironment(Environment):
    """An environment that follows the writers of statuses."""

    def __init__(self) -> None:
        super().__init__()
        self.leadership = SimpleNamespace(is_leader=True, identity="me", predecessors=["former"], acquired_version=10)
        self.foreign_writes = ForeignWrites(
            cast("Leadership", self.leadership), cast("EventRecorder", self.recorder), lambda: self.seconds
        )
        self.routes.listen(self.foreign_writes.route_changed)
        self._version = 10

    def write(self, operator: str) -> None:
        """Lets an operator write a new status of the route."""
        self._version += 1
        self.routes.put(route(self._version, status={"operator": operator, "links": self._version}))


@pytest.fixture
def environment() -> LeaderEnvironment:
    created = LeaderEnvironment()
    created.write("me")
    return created


def test_each_write_of_another_operator_counts_and_is_logged_seldom(environment: LeaderEnvironment) -> None:
    with capture_logs() as logs:
        for writer in ("other", "me", "other", "former", "me"):
            environment.write(writer)
    assert environment.foreign_writes.count == 2
    assert [(line["operator"], line["identity"], line["route"]) for line in logs] == [("other", "me", "game")]
    assert set(environment.recorder.recorded) == {"AnotherOperatorWrites"}
    with capture_logs() as logs:
        environment.write("third")
        environment.seconds += 600
        environment.write("other")
    assert [line["operator"] for line in logs] == ["third", "other"]


def test_late_news_of_a_write_before_this_operator_led_is_no_other_leader(environment: LeaderEnvironment) -> None:
    """A predecessor that this process has not seen in the Lease: it stood by without a connection."""
    environment.leadership.acquired_version = 13
    for writer in ("unseen", "unseen"):
        environment.write(writer)
    assert (environment.foreign_writes.count, environment.recorder.recorded) == (0, [])
    environment.write("unseen")
    assert environment.foreign_writes.count == 1


def test_statuses_of_a_restored_etcd_are_no_writes_of_another_leader(environment: LeaderEnvironment) -> None:
    restored = route(9, status={"operator": "of the backup", "links": 1})
    environment.routes.put_listed(restored, math.inf)
    assert environment.foreign_writes.count == 0


def test_standby_reports_nothing(environment: LeaderEnvironment) -> None:
    environment.leadership.is_leader = False
    environment.write("other")
    assert (environment.foreign_writes.count, environment.recorder.recorded) == (0, [])


@pytest.mark.parametrize(
    ("option", "is_of_pod", "namespace"),
    [
        (None, False, "statefulroute-system"),
        (None, True, "default-namespace"),
        ("other", False, "other"),
        ("other", True, "other"),
    ],
)
def test_lease_is_in_the_same_namespace_for_every_context(
    monkeypatch: pytest.MonkeyPatch, option: str | None, is_of_pod: bool, namespace: str
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")  # a pod may have a kubeconfig, too
    connection = Connection(
        server="https://nowhere.invalid",
        tls=ssl.create_default_context(),
        namespace="default-namespace",
        is_of_pod=is_of_pod,
    )
    assert LeaderElectionSettings(namespace=option).lease_namespace(connection) == namespace
