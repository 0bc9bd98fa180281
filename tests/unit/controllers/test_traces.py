"""Traces, as a receiver gets them: each link that was worked on with its requests, and nobody's uid in an error."""

import asyncio
import sys
from collections.abc import Iterator

import pytest

from harness.traces import Receiver, receiving
from statefulroute.api.vocabulary import LinkPhase, LinkReason
from statefulroute.cluster.errors import UnreachableError
from statefulroute.cluster.exchange import Exchange
from statefulroute.controllers.links.reconciler import Outcome
from statefulroute.controllers.monitoring import traces
from statefulroute.controllers.monitoring.spans import Spans
from statefulroute.controllers.monitoring.timers import Timer
from statefulroute.controllers.monitoring.tracing import NotTracingError, tracing
from statefulroute.domain.decision import Bind
from statefulroute.domain.keys import LinkKey, RouteKey
from statefulroute.domain.link import Acknowledgement
from statefulroute.domain.pseudonyms import Pseudonyms

GAME = RouteKey("games", "game")
ALICE = LinkKey(GAME, "game.alice")
BOUND = Acknowledgement(LinkPhase.BOUND, LinkReason.BOUND, "bound", 2, "game-2", "game-2.game.games.svc")


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving() as made:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.endpoint)
        yield made


def patched(code: int | None = 200, resource: str = "podlinks") -> Exchange:
    return Exchange("patch", resource, code, 0.25)


async def bind(spans: Spans) -> Outcome:
    """Work on a link as its reconciler does."""
    assert spans.request is not None
    spans.request(patched())
    spans.request(patched(409, "podlinks/status"))
    return Outcome(BOUND, plan=Bind)


async def test_a_link_that_was_bound_is_a_span_with_its_requests_as_parts(receiver: Receiver) -> None:
    async with tracing(None) as spans:
        outcome = await spans.links(lambda _: bind(spans))(ALICE)
    assert outcome == Outcome(BOUND, plan=Bind)
    (span,) = receiver.named("reconcile link")
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
    assert receiver.parts_of(span) == ["patch podlinks", "patch podlinks/status"]


async def test_a_request_tells_its_answer_and_how_long_it_took(receiver: Receiver) -> None:
    async with tracing(None) as spans:
        await spans.links(lambda _: bind(spans))(ALICE)
    (good,), (refused,) = receiver.named("patch podlinks"), receiver.named("patch podlinks/status")
    assert good.seconds == pytest.approx(0.25)
    assert (good.attributes["http.response.status_code"], good.has_failed) == (200, False)
    assert (refused.attributes["error.type"], refused.has_failed) == ("409", True)


async def test_the_sender_says_who_it_is(receiver: Receiver) -> None:
    async with tracing(None) as spans:
        await spans.links(lambda _: bind(spans))(ALICE)
    assert receiver.spans[0].resource["service.name"] == "statefulroute-operator"
    assert receiver.spans[0].resource["service.version"]


async def test_the_name_of_the_sender_can_be_chosen(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=ours,k8s.pod.uid=1")
    async with tracing(None) as spans:
        await spans.links(lambda _: bind(spans))(ALICE)
    assert receiver.spans[0].resource["service.name"] == "ours"
    assert receiver.spans[0].resource["k8s.pod.uid"] == "1"


async def test_a_link_about_which_nothing_was_to_do_is_not_told_of(receiver: Receiver) -> None:
    async def nothing(_: LinkKey) -> Outcome:
        return Outcome(BOUND)

    async with tracing(None) as spans:
        await spans.links(nothing)(ALICE)
    assert receiver.spans == []


async def test_what_failed_is_an_error_that_says_of_which_class_and_no_more(receiver: Receiver) -> None:
    async def fails(_: LinkKey) -> Outcome:
        assert spans.request is not None
        spans.request(patched(None))
        raise UnreachableError("PATCH /.../podlinks/game.alice: broken")

    async with tracing(Pseudonyms()) as spans:
        with pytest.raises(UnreachableError):
            await spans.links(fails)(ALICE)
    (span,) = receiver.named("reconcile link")
    assert span.has_failed
    assert (span.attributes["error.type"], span.message, span.events) == ("UnreachableError", "", ())
    assert receiver.named("patch podlinks")[0].attributes["error.type"] == "unreachable"
    assert b"alice" not in receiver.raw


async def test_uids_are_hidden_when_that_is_asked_for(receiver: Receiver) -> None:
    async with tracing(Pseudonyms(b"key")) as spans:
        await spans.links(lambda _: bind(spans))(ALICE)
    (span,) = receiver.named("reconcile link")
    assert span.attributes["statefulroute.link"] == Pseudonyms(b"key").of_link("game.alice")
    assert b"alice" not in receiver.raw


async def test_a_turn_of_a_timer_is_a_span_whatever_it_does(receiver: Receiver) -> None:
    async with tracing(None) as spans:
        with spans.turn(Timer.STATE, GAME):
            pass
    (span,) = receiver.spans
    assert (span.name, span.attributes["statefulroute.route"]) == ("state timer", "game")


async def test_a_task_that_a_turn_has_made_is_part_of_it(receiver: Receiver) -> None:
    async with tracing(None) as spans:
        with spans.turn(Timer.STATE, GAME):
            await asyncio.create_task(bind(spans))
    (turn,) = receiver.named("state timer")
    assert receiver.parts_of(turn) == ["patch podlinks", "patch podlinks/status"]


async def test_no_link_is_part_of_another_whose_change_has_called_for_it(receiver: Receiver) -> None:
    later: list[asyncio.Task[Outcome]] = []

    async def calls_for(_: LinkKey) -> Outcome:
        later.append(asyncio.create_task(spans.links(lambda _: bind(spans))(LinkKey(GAME, "game.bob"))))
        return await bind(spans)

    async with tracing(None) as spans:
        await spans.links(calls_for)(ALICE)
        await asyncio.gather(*later)
    assert [span.parent_id for span in receiver.named("reconcile link")] == ["", ""]
    assert len({span.trace_id for span in receiver.spans}) == 2


async def test_watches_and_requests_of_nobodys_work_are_not_told_of(receiver: Receiver) -> None:
    async with tracing(None) as spans:
        assert spans.request is not None
        spans.request(patched(resource="leases"))
        with spans.turn(Timer.WORKLOAD, GAME):
            spans.request(Exchange("watch", "pods", 200, 0.1))
    assert [span.name for span in receiver.spans] == ["workload timer"]


async def test_a_receiver_that_does_not_answer_does_not_hold_up_the_end(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "_FLUSH_SECONDS", 0.05)
    receiver.answers.clear()
    async with tracing(None) as spans:
        await spans.links(lambda _: bind(spans))(ALICE)
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

    async def work(_: LinkKey) -> Outcome:
        return Outcome()

    observed: list[Exchange] = []
    async with tracing(None) as spans:
        assert spans.links(work) is work
        observe = observed.append
        assert spans.beside(observe) is observe


async def test_traces_without_their_packages_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://here:4318")
    monkeypatch.delitem(sys.modules, "statefulroute.controllers.monitoring.traces")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)  # type: ignore[arg-type]  # no such module
    with pytest.raises(NotTracingError, match=r"install statefulroute\[operator,tracing\], or unset the variable$"):
        async with tracing(None):
            pass


async def test_another_protocol_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://here:4317")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    expected = "traces cannot be sent by grpc: set OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf"
    with pytest.raises(NotTracingError, match=expected):
        async with tracing(None):
            pass
