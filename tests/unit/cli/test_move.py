"""`move` with hand-overs: what is refused, and how a wait ends."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Self, cast

import pytest

from statefulroute.cli import hand_over_wait
from statefulroute.cli.cluster import Cluster, CommandError, Object
from statefulroute.cli.commands.move import hand_user_over, move_user
from statefulroute.cli.dry_run import DryRun
from statefulroute.domain.link import HandOver, Link
from statefulroute.domain.operations import Put
from statefulroute.domain.times import TimeInterval
from unit.domain.builders import NOON, link

ROUTE: Object = {
    "metadata": {"name": "game"},
    "spec": {"handOver": {"timeoutSeconds": 5}},
    "status": {"pods": [{"name": f"game-{index}"} for index in range(3)]},
}


class FakeCluster:
    """A cluster with one link, whose versions after the command's write a test chooses. It is its own link store."""

    def __init__(
        self, current: Link | None, *versions: Object | None, route: Object = ROUTE, ends: bool = True
    ) -> None:
        self.written: list[Any] = []
        self._link = current
        self._versions = versions
        self._route = route
        self._ends = ends

    async def route(self, name: str) -> Object:
        del name
        return self._route

    def with_dry_run(self, dry_run: DryRun) -> Self:
        del dry_run
        return self

    def link_store(self) -> Self:
        return self

    async def execute(self, route: str, uid: str, rule: Callable[..., Any]) -> Any:
        del route, uid
        step = rule(self._link, TimeInterval.at(NOON))
        self.written += [step.write.binding] if isinstance(step.write, Put) else []
        return step.result

    async def follow_object(self, kind: object, name: str) -> AsyncIterator[Object | None]:
        del kind
        assert name == "game.alice"
        for version in self._versions:
            yield version
        if not self._ends:
            await asyncio.Event().wait()


def version(
    pod: int, to: int | None = None, *, observed: bool = True, previous: dict[str, Any] | None = None
) -> Object:
    """Returns a version of alice's link."""
    hand_over = {} if to is None else {"handOver": {"podIndex": to, "startTime": "2026-01-01T12:00:00Z"}}
    return {
        "metadata": {"name": "game.alice", "generation": 2},
        "spec": {"routeName": "game", "uid": "alice", "podIndex": pod, **hand_over},
        "status": {"observedGeneration": 2 if observed else 1, "previous": previous or {}},
    }


async def hand_over(
    cluster: FakeCluster, pod: str = "2", *, only_from: str | None = None, wait_seconds: float | None = None
) -> int:
    return await hand_user_over(
        cast("Cluster", cluster),
        "game",
        "alice",
        pod,
        only_from=only_from,
        ttl_seconds=None,
        wait_seconds=wait_seconds,
        dry_run=DryRun.NONE,
    )


async def test_hand_over_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    cluster = FakeCluster(link(0))
    assert await hand_over(cluster) == 0
    assert capsys.readouterr().out == "alice: game-0 hands over to game-2 (within 5 s)\n"
    (binding,) = cluster.written
    assert (binding.pod, binding.hand_over.pod) == (0, 2)


async def test_hand_over_that_is_in_progress_is_not_asked_for_again(capsys: pytest.CaptureFixture[str]) -> None:
    cluster = FakeCluster(link(0, hand_over=HandOver(2, "2026-01-01T12:00:00Z")))
    assert await hand_over(cluster) == 0
    assert (capsys.readouterr().out, cluster.written) == ("alice: game-0 hands over to game-2 already\n", [])


@pytest.mark.parametrize(
    ("current", "pod", "message"),
    [
        (None, "2", "alice has no link in game: statefulroute link game alice 2"),
        (link(), "2", "alice has no pod yet that could hand over: leave out --hand-over"),
        (link(2), "game-2", "alice is on game-2 already"),
        (
            link(2, hand_over=HandOver(1, "x")),
            "2",
            "alice is on game-2 already, which hands over to game-1: statefulroute move game alice 2 cancels that",
        ),
        (link(0), "7", "game has no game-7 now, so no user can be handed over to it"),
    ],
)
async def test_hand_over_is_refused(current: Link | None, pod: str, message: str) -> None:
    cluster = FakeCluster(current)
    with pytest.raises(CommandError) as error:
        await hand_over(cluster, pod)
    assert (str(error.value), cluster.written) == (message, [])


async def test_hand_over_in_a_route_without_hand_overs_is_refused_with_the_way_to_set_it() -> None:
    cluster = FakeCluster(link(0), route={**ROUTE, "spec": {}})
    with pytest.raises(CommandError, match=r"game has no spec\.handOver, .* or set it \(kubectl patch"):
        await hand_over(cluster)
    assert cluster.written == []


async def test_user_on_another_pod_than_required_stays(capsys: pytest.CaptureFixture[str]) -> None:
    assert await hand_over(FakeCluster(link(0)), only_from="1") == 1
    assert capsys.readouterr().out == "alice: stays on game-0, not on game-1\n"


MOVED = {"podIndex": 0, "reason": "HandedOver"}

#: The versions of the link after the request, and the lines that the wait prints.
ENDS: dict[str, tuple[Sequence[Object], Sequence[str]]] = {
    "at once": ([version(2, previous=MOVED)], ["alice: game-2 (was game-0)"]),
    "after a while": (
        [version(0, 2, observed=False), version(0, 2), version(2, observed=False), version(2, previous=MOVED)],
        ["alice: game-2 (was game-0)"],
    ),
    "because the pod was emptied": (
        [version(2, previous={**MOVED, "cause": "DeadlineOver"})],
        ["alice: game-2 (was game-0)"],
    ),
    "on another pod, which the operator has chosen": (
        [version(0, 2), version(0, 1), version(0, 1), version(1, previous=MOVED)],
        ["alice: game-0 hands over to game-1 instead", "alice: game-1 (was game-0)"],
    ),
}


@pytest.mark.parametrize(("versions", "lines"), ENDS.values(), ids=ENDS)
async def test_wait_ends_when_the_user_is_on_the_new_pod(
    versions: Sequence[Object], lines: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert await hand_over(FakeCluster(link(0), *versions), wait_seconds=0) == 0
    assert capsys.readouterr().out.splitlines()[1:] == lines


async def test_wait_for_the_status_of_a_move_ends(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hand_over_wait, "CONFIRMATION_SECONDS", 0.01)
    assert await hand_over(FakeCluster(link(0), version(2, observed=False), ends=False), wait_seconds=60) == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["alice: game-2 (was game-0)"]


FAILURES: dict[str, tuple[Sequence[Object | None], str]] = {
    "withdrawn": (
        [version(0, 2), version(0)],
        "alice: stays on game-0; the hand-over to game-2 was withdrawn (why: kubectl describe podlink game.alice)",
    ),
    "moved to another pod": (
        [version(0, 2), version(1)],
        "alice: game-1 (was game-0), not game-2: it was moved meanwhile",
    ),
    "the pod was lost": (
        [version(2, previous={**MOVED, "cause": "NodeNotReady"})],
        "alice: game-2 (was game-0), because game-0 was lost (NodeNotReady): game-2 may not have the state of the user",
    ),
    "deleted": ([version(0, 2), None], "the link of alice was deleted meanwhile"),
}


@pytest.mark.parametrize(("versions", "message"), FAILURES.values(), ids=FAILURES)
async def test_wait_fails_if_the_user_was_not_handed_over(versions: Sequence[Object | None], message: str) -> None:
    with pytest.raises(CommandError) as error:
        await hand_over(FakeCluster(link(0), *versions), wait_seconds=0)
    assert str(error.value) == message


async def test_wait_reports_a_move_after_the_time_out() -> None:
    route = {**ROUTE, "spec": {"handOver": {"timeoutSeconds": 0}}}
    with pytest.raises(CommandError, match=r"alice: game-2 \(was game-0\), after the time-out of 0 s: game-2 may not"):
        await hand_over(FakeCluster(link(0), version(2), route=route), wait_seconds=0)


@pytest.mark.parametrize(
    ("observed", "hint"),
    [(True, ""), (False, r" \(the operator has not seen it: is it running\? statefulroute check\)")],
)
async def test_wait_ends_after_its_own_timeout(*, observed: bool, hint: str) -> None:
    message = f"alice: game-0 has not handed over to game-2{hint} after 0.01 s; the hand-over continues"
    with pytest.raises(CommandError, match=message):
        await hand_over(FakeCluster(link(0), version(0, 2, observed=observed), ends=False), wait_seconds=0.01)


async def test_cancelled_wait_leaves_the_hand_over(capsys: pytest.CaptureFixture[str]) -> None:
    wait = asyncio.create_task(hand_over(FakeCluster(link(0), version(0, 2), ends=False), wait_seconds=0))
    for _ in range(10):
        await asyncio.sleep(0)
    wait.cancel()
    with pytest.raises(asyncio.CancelledError):
        await wait
    revert = "statefulroute move game alice game-0"
    state = "alice: game-0 has not handed over to game-2; the hand-over continues"
    assert capsys.readouterr().err == f"{state} (cancel it: {revert})\n"


@pytest.mark.parametrize(
    ("pod", "line"),
    [
        ("0", "alice: game-0 (stays; the hand-over to game-2 is cancelled)"),
        ("2", "alice: game-2 (was game-0)"),
        ("1", "alice: game-1 (was game-0)"),
    ],
)
async def test_move_ends_a_hand_over(pod: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    cluster = FakeCluster(link(0, hand_over=HandOver(2, "2026-01-01T12:00:00Z")))
    arguments: dict[str, Any] = {"only_from": None, "ttl_seconds": None, "dry_run": DryRun.NONE}
    assert await move_user(cast("Cluster", cluster), "game", "alice", pod, **arguments) == 0
    assert capsys.readouterr().out == f"{line}\n"
    (binding,) = cluster.written
    assert (binding.pod, binding.hand_over) == (int(pod), None)
