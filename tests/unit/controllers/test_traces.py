"""Traces, as a receiver gets them: each link that was worked on with its requests, and nobody's uid in an error."""

import asyncio
import sys
from collections.abc import Iterator

import pytest

from statefulroute.api.vocabulary import LinkPhase, LinkReason
from statefulroute.cluster.errors import UnreachableError
from statefulroute.cluster.request_metrics import RequestRecord
from statefulroute.controllers.links.reconciler import ReconcileResult
from statefulroute.controllers.monitoring import opentelemetry_traces
from statefulroute.controllers.monitoring.timers import Timer
from statefulroute.controllers.monitoring.trace_hooks import TraceHooks
from statefulroute.controllers.monitoring.tracing import TracingUnavailableError, tracing
from statefulroute.domain.decision import Bind
from statefulroute.domain.keys import LinkKey, RouteKey
from statefulroute.domain.link import LinkStatus
from statefulroute.domain.redaction import UidRedactor
from support.trace_receiver import TraceReceiver, receiving

GAME = RouteKey("games", "game")
ALICE = LinkKey(GAME, "game.alice")
BOUND = LinkStatus(LinkPhase.BOUND, LinkReason.BOUND, "bound", 2, "game-2", "game-2.game.games.svc")


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[TraceReceiver]:
    with receiving() as made:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.endpoint)
        yield made


def patched(code: int | None = 200, resource: str = "podlinks") -> RequestRecord:
    return RequestRecord("patch", resource, code, 0.25)


async def bind(spans: TraceHooks) -> ReconcileResult:
    """Work on a link as its reconciler does."""
    assert spans.observe_request is not None
    spans.observe_request(patched())
    spans.observe_request(patched(409, "podlinks/status"))
    return ReconcileResult(BOUND, plan=Bind)


async def test_a_link_that_was_bound_is_a_span_with_its_requests_as_parts(receiver: TraceReceiver) -> None:
    async with tracing(None) as spans:
        outcome = await spans.wrap_reconcile(lambda _: bind(spans))(ALICE)
    assert outcome == ReconcileResult(BOUND, plan=Bind)
    (span,) = receiver.spans_named("reconcile link")
    assert span.attributes == {
        "k8s.namespace.name": "games",
        "statefulroute.route": "game",
        "statefulroute.link": "game.alice",
        "statefulroute.plan": "Bind",
        "statefulroute.phase": "Bound",
        "statefulroute.reason": "Bound",
        "k8s.pod.name": "game-2",
    }
    assert not span.parent_id
    assert not span.has_failed
    assert receiver.children_of(span) == ["patch podlinks", "patch podlinks/status"]


async def test_a_request_tells_its_answer_and_how_long_it_took(receiver: TraceReceiver) -> None:
    async with tracing(None) as spans:
        await spans.wrap_reconcile(lambda _: bind(spans))(ALICE)
    (good,), (refused,) = receiver.spans_named("patch podlinks"), receiver.spans_named("patch podlinks/status")
    assert good.seconds == pytest.approx(0.25)
    assert (good.attributes["http.response.status_code"], good.has_failed) == (200, False)
    assert (refused.attributes["error.type"], refused.has_failed) == ("409", True)


async def test_the_sender_says_who_it_is(receiver: TraceReceiver) -> None:
    async with tracing(None) as spans:
        await spans.wrap_reconcile(lambda _: bind(spans))(ALICE)
    assert receiver.spans[0].resource["service.name"] == "statefulroute-operator"
    assert receiver.spans[0].resource["service.version"]


async def test_the_name_of_the_sender_can_be_chosen(receiver: TraceReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=ours,k8s.pod.uid=1")
    async with tracing(None) as spans:
        await spans.wrap_reconcile(lambda _: bind(spans))(ALICE)
    assert receiver.spans[0].resource["service.name"] == "ours"
    assert receiver.spans[0].resource["k8s.pod.uid"] == "1"


async def test_a_link_about_which_nothing_was_to_do_is_not_told_of(receiver: TraceReceiver) -> None:
    async def nothing(_: LinkKey) -> ReconcileResult:
        return ReconcileResult(BOUND)

    async with tracing(None) as spans:
        await spans.wrap_reconcile(nothing)(ALICE)
    assert receiver.spans == []


async def test_what_failed_is_an_error_that_says_of_which_class_and_no_more(receiver: TraceReceiver) -> None:
    async def fails(_: LinkKey) -> ReconcileResult:
        assert spans.observe_request is not None
        spans.observe_request(patched(None))
        raise UnreachableError("PATCH /.../podlinks/game.alice: broken")

    async with tracing(UidRedactor()) as spans:
        with pytest.raises(UnreachableError):
            await spans.wrap_reconcile(fails)(ALICE)
    (span,) = receiver.spans_named("reconcile link")
    assert span.has_failed
    assert (span.attributes["error.type"], span.message, span.events) == ("UnreachableError", "", ())
    assert receiver.spans_named("patch podlinks")[0].attributes["error.type"] == "unreachable"
    assert b"alice" not in receiver.raw


async def test_uids_are_hidden_when_that_is_asked_for(receiver: TraceReceiver) -> None:
    async with tracing(UidRedactor(b"key")) as spans:
        await spans.wrap_reconcile(lambda _: bind(spans))(ALICE)
    (span,) = receiver.spans_named("reconcile link")
    assert span.attributes["statefulroute.link"] == UidRedactor(b"key").redact_link_name("game.alice")
    assert b"alice" not in receiver.raw


async def test_a_turn_of_a_timer_is_a_span_whatever_it_does(receiver: TraceReceiver) -> None:
    async with tracing(None) as spans:
        with spans.timer_span(Timer.STATE, GAME):
            pass
    (span,) = receiver.spans
    assert (span.name, span.attributes["statefulroute.route"]) == ("state timer", "game")


async def test_a_task_that_a_turn_has_made_is_part_of_it(receiver: TraceReceiver) -> None:
    async with tracing(None) as spans:
        with spans.timer_span(Timer.STATE, GAME):
            await asyncio.create_task(bind(spans))
    (turn,) = receiver.spans_named("state timer")
    assert receiver.children_of(turn) == ["patch podlinks", "patch podlinks/status"]


async def test_no_link_is_part_of_another_whose_change_has_called_for_it(receiver: TraceReceiver) -> None:
    later: list[asyncio.Task[ReconcileResult]] = []

    async def calls_for(_: LinkKey) -> ReconcileResult:
        later.append(asyncio.create_task(spans.wrap_reconcile(lambda _: bind(spans))(LinkKey(GAME, "game.bob"))))
        return await bind(spans)

    async with tracing(None) as spans:
        await spans.wrap_reconcile(calls_for)(ALICE)
        await asyncio.gather(*later)
    assert [span.parent_id for span in receiver.spans_named("reconcile link")] == ["", ""]
    assert len({span.trace_id for span in receiver.spans}) == 2


async def test_watches_and_requests_of_nobodys_work_are_not_told_of(receiver: TraceReceiver) -> None:
    async with tracing(None) as spans:
        assert spans.observe_request is not None
        spans.observe_request(patched(resource="leases"))
        with spans.timer_span(Timer.WORKLOAD, GAME):
            spans.observe_request(RequestRecord("watch", "pods", 200, 0.1))
    assert [span.name for span in receiver.spans] == ["workload timer"]


async def test_a_receiver_that_does_not_answer_does_not_hold_up_the_end(
    receiver: TraceReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opentelemetry_traces, "_FLUSH_SECONDS", 0.05)
    receiver.answers.clear()
    async with tracing(None) as spans:
        await spans.wrap_reconcile(lambda _: bind(spans))(ALICE)
    assert receiver.spans == []


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://here:4318", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://here:4318", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
async def test_where_nobody_asks_for_traces_the_work_is_done_as_without_them(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    async def work(_: LinkKey) -> ReconcileResult:
        return ReconcileResult()

    observed: list[RequestRecord] = []
    async with tracing(None) as spans:
        assert spans.wrap_reconcile(work) is work
        observe = observed.append
        assert spans.combined_with(observe) is observe


async def test_traces_without_their_packages_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://here:4318")
    monkeypatch.delitem(sys.modules, "statefulroute.controllers.monitoring.opentelemetry_traces")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)  # type: ignore[arg-type]  # no such module
    with pytest.raises(
        TracingUnavailableError, match=r"install statefulroute\[operator,tracing\], or unset the variable$"
    ):
        async with tracing(None):
            pass


async def test_another_protocol_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://here:4317")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    expected = "traces cannot be sent by grpc: set OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf"
    with pytest.raises(TracingUnavailableError, match=expected):
        async with tracing(None):
            pass
