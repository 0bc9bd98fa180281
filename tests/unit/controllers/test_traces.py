"""Traces, as a receiver gets them: each reconciled link with its requests, and no uid in an error."""

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
from statefulroute.controllers.monitoring.tracing import tracing
from statefulroute.domain.decision import Bind
from statefulroute.domain.keys import LinkKey, RouteKey
from statefulroute.domain.link import LinkStatus
from statefulroute.domain.redaction import UidRedactor
from statefulroute.monitoring.otlp import OtlpUnavailableError
from support.trace_receiver import TraceReceiver, receiving

GAME = RouteKey("games", "game")
ALICE = LinkKey(GAME, "game.alice")
BOUND = LinkStatus(LinkPhase.BOUND, LinkReason.BOUND, "bound", 2, "game-2", "game-2.game.games.svc")


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[TraceReceiver]:
    with receiving() as made:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.endpoint)
        yield made


def patch_request(code: int | None = 200, resource: str = "podlinks") -> RequestRecord:
    return RequestRecord("patch", resource, code, 0.25)


async def bind(hooks: TraceHooks) -> ReconcileResult:
    """Sends requests as the reconciler of a link does."""
    assert hooks.observe_request is not None
    hooks.observe_request(patch_request())
    hooks.observe_request(patch_request(409, "podlinks/status"))
    return ReconcileResult(BOUND, plan=Bind)


async def test_bound_link_has_a_span_with_its_requests_as_children(receiver: TraceReceiver) -> None:
    async with tracing(None) as hooks:
        result = await hooks.wrap_reconcile(lambda _: bind(hooks))(ALICE)
    assert result == ReconcileResult(BOUND, plan=Bind)
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


async def test_span_of_a_request_has_its_status_code_and_duration(receiver: TraceReceiver) -> None:
    async with tracing(None) as hooks:
        await hooks.wrap_reconcile(lambda _: bind(hooks))(ALICE)
    (good,), (refused,) = receiver.spans_named("patch podlinks"), receiver.spans_named("patch podlinks/status")
    assert good.seconds == pytest.approx(0.25)
    assert (good.attributes["http.response.status_code"], good.has_failed) == (200, False)
    assert (refused.attributes["error.type"], refused.has_failed) == ("409", True)


async def test_spans_name_the_service_and_its_version(receiver: TraceReceiver) -> None:
    async with tracing(None) as hooks:
        await hooks.wrap_reconcile(lambda _: bind(hooks))(ALICE)
    assert receiver.spans[0].resource["service.name"] == "statefulroute-operator"
    assert receiver.spans[0].resource["service.version"]


async def test_service_name_can_be_set(receiver: TraceReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=ours,k8s.pod.uid=1")
    async with tracing(None) as hooks:
        await hooks.wrap_reconcile(lambda _: bind(hooks))(ALICE)
    assert receiver.spans[0].resource["service.name"] == "ours"
    assert receiver.spans[0].resource["k8s.pod.uid"] == "1"


async def test_link_that_needs_no_request_has_no_span(receiver: TraceReceiver) -> None:
    async def nothing(_: LinkKey) -> ReconcileResult:
        return ReconcileResult(BOUND)

    async with tracing(None) as hooks:
        await hooks.wrap_reconcile(nothing)(ALICE)
    assert receiver.spans == []


async def test_failed_span_names_the_class_of_the_error_only(receiver: TraceReceiver) -> None:
    async def fails(_: LinkKey) -> ReconcileResult:
        assert hooks.observe_request is not None
        hooks.observe_request(patch_request(None))
        raise UnreachableError("PATCH /.../podlinks/game.alice: broken")

    async with tracing(UidRedactor()) as hooks:
        with pytest.raises(UnreachableError):
            await hooks.wrap_reconcile(fails)(ALICE)
    (span,) = receiver.spans_named("reconcile link")
    assert span.has_failed
    assert (span.attributes["error.type"], span.message, span.events) == ("UnreachableError", "", ())
    assert receiver.spans_named("patch podlinks")[0].attributes["error.type"] == "unreachable"
    assert b"alice" not in receiver.raw


async def test_uids_are_redacted_if_configured(receiver: TraceReceiver) -> None:
    async with tracing(UidRedactor(b"key")) as hooks:
        await hooks.wrap_reconcile(lambda _: bind(hooks))(ALICE)
    (span,) = receiver.spans_named("reconcile link")
    assert span.attributes["statefulroute.link"] == UidRedactor(b"key").redact_link_name("game.alice")
    assert b"alice" not in receiver.raw


async def test_every_turn_of_a_timer_has_a_span(receiver: TraceReceiver) -> None:
    async with tracing(None) as hooks:
        with hooks.timer_span(Timer.STATE, GAME):
            pass
    (span,) = receiver.spans
    assert (span.name, span.attributes["statefulroute.route"]) == ("state timer", "game")


async def test_requests_of_a_task_that_a_turn_created_are_its_children(receiver: TraceReceiver) -> None:
    async with tracing(None) as hooks:
        with hooks.timer_span(Timer.STATE, GAME):
            await asyncio.create_task(bind(hooks))
    (run,) = receiver.spans_named("state timer")
    assert receiver.children_of(run) == ["patch podlinks", "patch podlinks/status"]


async def test_span_of_a_link_is_no_child_of_the_span_that_queued_it(receiver: TraceReceiver) -> None:
    later: list[asyncio.Task[ReconcileResult]] = []

    async def calls_for(_: LinkKey) -> ReconcileResult:
        later.append(asyncio.create_task(hooks.wrap_reconcile(lambda _: bind(hooks))(LinkKey(GAME, "game.bob"))))
        return await bind(hooks)

    async with tracing(None) as hooks:
        await hooks.wrap_reconcile(calls_for)(ALICE)
        await asyncio.gather(*later)
    assert [span.parent_id for span in receiver.spans_named("reconcile link")] == ["", ""]
    assert len({span.trace_id for span in receiver.spans}) == 2


async def test_watches_and_requests_outside_of_traced_work_have_no_span(receiver: TraceReceiver) -> None:
    async with tracing(None) as hooks:
        assert hooks.observe_request is not None
        hooks.observe_request(patch_request(resource="leases"))
        with hooks.timer_span(Timer.WORKLOAD, GAME):
            hooks.observe_request(RequestRecord("watch", "pods", 200, 0.1))
    assert [span.name for span in receiver.spans] == ["workload timer"]


async def test_receiver_that_does_not_answer_does_not_delay_the_exit(
    receiver: TraceReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opentelemetry_traces, "_FLUSH_SECONDS", 0.05)
    receiver.answers.clear()
    async with tracing(None) as hooks:
        await hooks.wrap_reconcile(lambda _: bind(hooks))(ALICE)
    assert receiver.spans == []


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://here:4318/v1/metrics"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://here:4318", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://here:4318", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
async def test_hooks_do_nothing_unless_tracing_is_enabled(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    async def work(_: LinkKey) -> ReconcileResult:
        return ReconcileResult()

    observed: list[RequestRecord] = []
    async with tracing(None) as hooks:
        assert hooks.wrap_reconcile(work) is work
        observe = observed.append
        assert hooks.combined_with(observe) is observe


async def test_tracing_without_its_packages_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://here:4318")
    monkeypatch.delitem(sys.modules, "statefulroute.controllers.monitoring.opentelemetry_traces")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)  # type: ignore[arg-type]  # no such module
    with pytest.raises(OtlpUnavailableError, match=r"install statefulroute\[operator,otlp\], or unset the variable$"):
        async with tracing(None):
            pass


async def test_another_protocol_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://here:4317")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    expected = "traces cannot be sent by grpc: set OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf"
    with pytest.raises(OtlpUnavailableError, match=expected):
        async with tracing(None):
            pass


async def test_variable_that_opentelemetry_does_not_accept_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://here:4318")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "9999")  # larger than the queue
    with pytest.raises(OtlpUnavailableError, match=r"^traces cannot be sent: .*; see the variables of OpenTelemetry"):
        async with tracing(None):
            pass
