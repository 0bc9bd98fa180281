"""With `--hash-uids`, no word of the log and no span says who a user is, and both can be followed all the same.

The operator lives through a day of its links, at the most talkative level, and is refused some rights, so that the API
server's sentences are in its log too.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest

from statefulroute.cli.redaction import HASH_KEY
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

KEY = "only we know it"
PSEUDONYMS = UidRedactor(KEY.encode())

#: No part of any of them is in a word of ours.
NAMED, CHOSEN, GUEST, ODD = "zoe-quist", "ivo.kovac", "yara.guest", "Ülo Pärn/#7"
UIDS = (NAMED, CHOSEN, GUEST, ODD)


@dataclass(frozen=True)
class Day:
    """What is left of the operator's day.

    Attributes:
        log: all that it has written.
        lines: the log's lines as values.
        received: its spans.
        scraped: its metrics at the end.
        names: the links' names, by their uids.
    """

    log: str
    lines: list[dict[str, Any]]
    received: TraceReceiver
    scraped: Scrape
    names: Mapping[str, str]

    def pseudonym(self, uid: str) -> str:
        """What stands for the link of a user."""
        return PSEUDONYMS.redact_link_name(self.names[uid])

    def about(self, uid: str) -> list[str]:
        """What the log tells of a user's link."""
        return [line["event"] for line in self.lines if line.get("link") == self.pseudonym(uid)]

    def works(self, uid: str) -> list[ReceivedSpan]:
        """The spans of the work on a user's link."""
        name = self.pseudonym(uid)
        return [span for span in self.received.spans if span.attributes.get("statefulroute.link") == name]


@pytest.fixture(scope="module")
def day(
    installed: Kubectl,
    operator_slot: OperatorSlot,
    independent_client: IndependentClient,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Day]:
    """An operator's day, which is over."""
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
            names = live(service, monitored_operator)
            scraped = monitored_operator.scrape()
            independent_client.delete_all(PodLink, namespace)
            independent_client.delete(StatefulRoute, service.name, namespace)
            eventually(lambda: not independent_client.all(StatefulRoute, namespace), "the route is gone")
            process.stop()
        yield Day(process.log_text, process.lines, received, scraped, names)


def live(service: Service, monitored_operator: MonitoredOperator) -> dict[str, str]:
    """Links are bound, moved, lost, and not removed for lack of a right; gives their names."""
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
        "a note is refused",
    )
    names[GUEST] = service.link(GUEST, podIndex=0, ttlSeconds=1)
    refused = {"verb": "delete", "resource": "podlinks", "code": "403"}
    eventually(
        lambda: monitored_operator.scrape().value("statefulroute_api_requests_total", **refused),
        "the guest is to be removed",
    )
    return names


def forms(day: Day, uid: str) -> set[str]:
    """The ways in which a uid may be written."""
    in_name = day.names[uid].partition(".")[2]
    quoted = json.dumps(uid)[1:-1]
    return {uid, in_name, quoted, json.dumps(quoted)[1:-1], repr(uid)[1:-1], quote(uid), quote(uid, safe="")}


@pytest.mark.parametrize("uid", UIDS)
def test_no_uid_is_in_the_log_nor_in_a_span_nor_in_a_metric(day: Day, uid: str) -> None:
    for form in forms(day, uid):
        assert [line for line in day.log.splitlines() if form in line] == []
        assert form.encode() not in day.received.raw
        assert form not in day.scraped.text


@pytest.mark.parametrize("uid", UIDS)
def test_a_user_can_be_followed_by_the_same_hash_in_the_log_and_in_the_spans(day: Day, uid: str) -> None:
    assert day.about(uid)
    assert day.works(uid)


def test_each_line_is_json_with_its_time_its_level_and_what_has_happened(day: Day) -> None:
    assert day.lines
    for line, text in zip(day.lines, day.log.splitlines(), strict=True):
        assert {"timestamp", "level", "logger", "event"} <= line.keys(), text


def test_the_sentences_of_the_api_server_are_told_without_the_users_whom_they_name(day: Day) -> None:
    failures = [line["error"] for line in day.lines if line["event"] == "a write failed: trying again"]
    guest = day.pseudonym(GUEST)
    assert failures
    assert all(f'podlinks.statefulroute.io "{guest}" is forbidden' in error for error in failures)
    untold = [line for line in day.lines if line["event"] == "an event was not written"]
    assert {day.pseudonym(uid) for uid in (NAMED, CHOSEN, ODD)} <= {str(line["link"]) for line in untold}
    assert all("is forbidden" in line["error"] for line in untold)


def test_the_work_on_a_link_is_a_span_with_its_requests(day: Day) -> None:
    bound = next(span for span in day.works(CHOSEN) if span.attributes.get("statefulroute.phase") == "Bound")
    assert bound.name == "reconcile link"
    assert bound.attributes["statefulroute.plan"] == "Bind"
    assert bound.attributes["statefulroute.route"] == "game"
    assert bound.attributes["k8s.pod.name"].startswith("game-")
    assert day.received.children_of(bound) == ["patch podlinks", "patch podlinks/status"]
    assert bound.resource["service.name"] == "statefulroute-operator"


def test_work_that_does_not_succeed_stays_in_the_queue_and_grows_old(day: Day) -> None:
    assert day.scraped.value("statefulroute_queue_depth") == 1
    oldest = day.scraped.value("statefulroute_queue_oldest_seconds")
    assert oldest is not None
    assert oldest > 0


def test_work_that_was_refused_is_a_span_that_has_failed(day: Day) -> None:
    refused = day.works(GUEST)[-1]
    assert refused.has_failed
    assert refused.attributes["error.type"] == "APIError"
    (asked,) = (span for span in day.received.spans if span.parent_id == refused.span_id)
    assert (asked.name, asked.attributes["http.response.status_code"]) == ("delete podlinks", 403)


def test_a_turn_that_could_not_write_its_note_has_failed(day: Day) -> None:
    assert day.scraped.value("statefulroute_timer_failures_total", timer="workload")
    assert day.scraped.value("statefulroute_timer_failures_total", timer="state") == 0
    turns = {span.span_id for span in day.received.spans_named("workload timer")}
    refused = [span for span in day.received.spans_named("patch statefulsets") if span.has_failed]
    assert refused
    assert all(span.parent_id in turns for span in refused)


@pytest.mark.parametrize("timer", ["state", "workload"])
def test_each_turn_of_a_timer_is_a_span(day: Day, timer: str) -> None:
    turns = day.received.spans_named(f"{timer} timer")
    assert {span.attributes["statefulroute.route"] for span in turns} == {"game"}
    assert len({span.trace_id for span in turns}) == len(turns) > 1
