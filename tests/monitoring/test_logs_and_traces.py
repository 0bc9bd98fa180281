"""With `--hash-uids`, the log and the spans contain no uids, but the same user can still be followed in both.

The operator runs through a scenario at the log level `debug`. It lacks some permissions, so that the log contains
messages of the API server, too.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest

from statefulroute.cluster.field_logger import HASH_KEY
from statefulroute.domain.redaction import UidRedactor
from support.independent_client import IndependentClient, PodLink, StatefulRoute
from support.kubectl import Kubectl
from support.metrics import ANY_PORT, MonitoredOperator, Scrape
from support.namespaces import fresh_namespace
from support.operator_process import OperatorSlot
from support.restricted_account import restricted_account
from support.service import SHUT_DOWN, Service
from support.trace_receiver import ReceivedSpan, TraceReceiver, receiving
from support.waiting import eventually

KEY = "secret key"
REDACTOR = UidRedactor(KEY.encode())

#: No part of these uids is a part of a word in the log.
NAMED, CHOSEN, GUEST, ODD = "zoe-quist", "ivo.kovac", "yara.guest", "Ülo Pärn/#7"
UIDS = (NAMED, CHOSEN, GUEST, ODD)


@dataclass(frozen=True)
class Scenario:
    """The output of the operator in the scenario.

    Attributes:
        log: the text of the log.
        lines: the lines of the log, decoded.
        received: the spans.
        scraped: the metrics at the end.
        names: the names of the links by uid.
    """

    log: str
    lines: list[dict[str, Any]]
    received: TraceReceiver
    scraped: Scrape
    names: Mapping[str, str]

    def redacted_name(self, uid: str) -> str:
        """Returns the redacted name of a user's link."""
        return REDACTOR.redact_link_name(self.names[uid])

    def events(self, uid: str) -> list[str]:
        """Returns the log events of a user's link."""
        return [line["event"] for line in self.lines if line.get("link") == self.redacted_name(uid)]

    def spans(self, uid: str) -> list[ReceivedSpan]:
        """Returns the spans of a user's link."""
        name = self.redacted_name(uid)
        return [span for span in self.received.spans if span.attributes.get("statefulroute.link") == name]


@pytest.fixture(scope="module")
def scenario(
    installed: Kubectl,
    operator_slot: OperatorSlot,
    independent_client: IndependentClient,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Scenario]:
    """Runs the scenario and returns its output."""
    if installed.run("get", "--raw", "/apis/rbac.authorization.k8s.io/v1").code:
        pytest.skip("this cluster has no RBAC")
    folder = tmp_path_factory.mktemp("account")
    options = ("--hash-uids", "--log-level", "debug", *ANY_PORT)
    with pytest.MonkeyPatch.context() as environment, receiving() as received:
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.endpoint)
        environment.setenv(HASH_KEY, KEY)
        with (
            restricted_account(installed, folder, "delete podlinks", "create events", "patch statefulsets") as account,
            operator_slot.acquire(account.kubeconfig, *options) as process,
            fresh_namespace(installed) as namespace,
        ):
            monitored_operator, service = (
                MonitoredOperator(process.start()),
                Service(installed.within(namespace), independent_client),
            )
            names = run_scenario(service, monitored_operator)
            scraped = monitored_operator.scrape()
            independent_client.delete_all(PodLink, namespace)
            independent_client.delete(StatefulRoute, service.name, namespace)
            eventually(lambda: not independent_client.all(StatefulRoute, namespace), "the route is gone")
            process.stop()
        yield Scenario(process.log_text, process.lines, received, scraped, names)


def run_scenario(service: Service, monitored_operator: MonitoredOperator) -> dict[str, str]:
    """Binds, moves and loses links, and fails to remove one for lack of a permission; returns their names."""
    service.start(statePeriodSeconds=1, workloadPeriodSeconds=1, onPodLost={"action": "Rebind", "graceSeconds": 0})
    names = {
        NAMED: service.link(NAMED, podIndex=0),
        CHOSEN: service.link(CHOSEN),
        ODD: service.link_encoded(ODD, podIndex=2),
    }
    for name in names.values():
        service.await_bound(name)
    service.client.patch(PodLink, names[NAMED], service.namespace, {"spec": {"podIndex": 1}})
    service.await_bound(names[NAMED])
    service.annotate(2, SHUT_DOWN)
    service.await_moved(names[ODD], 2)
    service.report(0, load_state=2)
    monitored_operator.await_value(0, "statefulroute_timer_failures_total", timer="state")
    eventually(
        lambda: monitored_operator.scrape().value("statefulroute_timer_failures_total", timer="workload"),
        "an annotation is refused",
    )
    names[GUEST] = service.link(GUEST, podIndex=0, ttlSeconds=1)
    refused = {"verb": "delete", "resource": "podlinks", "code": "403"}
    eventually(
        lambda: monitored_operator.scrape().value("statefulroute_api_requests_total", **refused),
        "the operator tried to remove the guest",
    )
    return names


def forms(scenario: Scenario, uid: str) -> set[str]:
    """Returns the forms in which a uid may be written."""
    encoded = scenario.names[uid].partition(".")[2]
    quoted = json.dumps(uid)[1:-1]
    return {uid, encoded, quoted, json.dumps(quoted)[1:-1], repr(uid)[1:-1], quote(uid), quote(uid, safe="")}


@pytest.mark.parametrize("uid", UIDS)
def test_no_uid_is_in_the_log_the_spans_or_the_metrics(scenario: Scenario, uid: str) -> None:
    for form in forms(scenario, uid):
        assert [line for line in scenario.log.splitlines() if form in line] == []
        assert form.encode() not in scenario.received.raw
        assert form not in scenario.scraped.text


@pytest.mark.parametrize("uid", UIDS)
def test_the_log_and_the_spans_have_the_same_hash_for_a_user(scenario: Scenario, uid: str) -> None:
    assert scenario.events(uid)
    assert scenario.spans(uid)


def test_each_log_line_is_json_with_timestamp_level_logger_and_event(scenario: Scenario) -> None:
    assert scenario.lines
    for line, text in zip(scenario.lines, scenario.log.splitlines(), strict=True):
        assert {"timestamp", "level", "logger", "event"} <= line.keys(), text


def test_messages_of_the_api_server_are_logged_with_redacted_uids(scenario: Scenario) -> None:
    failures = [line["error"] for line in scenario.lines if line["event"] == "a write failed: trying again"]
    guest = scenario.redacted_name(GUEST)
    assert failures
    assert all(f'podlinks.statefulroute.io "{guest}" is forbidden' in error for error in failures)
    unwritten = [line for line in scenario.lines if line["event"] == "an event was not written" and "link" in line]
    assert {scenario.redacted_name(uid) for uid in (NAMED, CHOSEN, ODD)} <= {str(line["link"]) for line in unwritten}
    assert all("is forbidden" in line["error"] for line in unwritten)


def test_the_reconciliation_of_a_link_is_a_span_with_its_requests(scenario: Scenario) -> None:
    bound = next(span for span in scenario.spans(CHOSEN) if span.attributes.get("statefulroute.phase") == "Bound")
    assert bound.name == "reconcile link"
    assert bound.attributes["statefulroute.plan"] == "Bind"
    assert bound.attributes["statefulroute.route"] == "game"
    assert bound.attributes["k8s.pod.name"].startswith("game-")
    assert scenario.received.children_of(bound) == ["patch podlinks", "patch podlinks/status"]
    assert bound.resource["service.name"] == "statefulroute-operator"


def test_a_failing_link_stays_in_the_queue_and_ages(scenario: Scenario) -> None:
    assert scenario.scraped.value("statefulroute_queue_depth") == 1
    oldest = scenario.scraped.value("statefulroute_queue_oldest_seconds")
    assert oldest is not None
    assert oldest > 0


def test_a_refused_request_fails_its_span(scenario: Scenario) -> None:
    refused = scenario.spans(GUEST)[-1]
    assert refused.has_failed
    assert refused.attributes["error.type"] == "APIError"
    (request,) = (span for span in scenario.received.spans if span.parent_id == refused.span_id)
    assert (request.name, request.attributes["http.response.status_code"]) == ("delete podlinks", 403)


def test_a_timer_run_that_cannot_write_an_annotation_fails(scenario: Scenario) -> None:
    assert scenario.scraped.value("statefulroute_timer_failures_total", timer="workload")
    assert scenario.scraped.value("statefulroute_timer_failures_total", timer="state") == 0
    runs = {span.span_id for span in scenario.received.spans_named("workload timer")}
    refused = [span for span in scenario.received.spans_named("patch statefulsets") if span.has_failed]
    assert refused
    assert all(span.parent_id in runs for span in refused)


@pytest.mark.parametrize("timer", ["state", "workload"])
def test_each_run_of_a_timer_is_a_span(scenario: Scenario, timer: str) -> None:
    runs = scenario.received.spans_named(f"{timer} timer")
    assert {span.attributes["statefulroute.route"] for span in runs} == {"game"}
    assert len({span.trace_id for span in runs}) == len(runs) > 1
