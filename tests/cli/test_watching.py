"""`--watch`, `events` and `top`."""

import json
import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from support.command import Command
from support.independent_client import PodLink
from support.service import Service
from support.terminal import TerminalSession
from support.waiting import eventually


@pytest.fixture(autouse=True)
def _cleanup(game: Service) -> Iterator[None]:
    """Restore the route and delete all links after each test."""
    yield
    game.edit_route(routingState="Ready", pods=None)
    game.client.delete_all(PodLink, game.namespace)
    eventually(lambda: not game.links(), "no link is left")
    game.await_observed()
    game.await_status(links=0)


@contextmanager
def on_a_terminal(command: Command, *arguments: str, columns: int = 160) -> Iterator[TerminalSession]:
    """Returns a running command on a terminal without colors."""
    with TerminalSession(command.line(*arguments), columns, command.environment, {"NO_COLOR": "1"}) as session:
        yield session


def interrupt(session: TerminalSession) -> None:
    """Stop a command with Ctrl-C; it must exit without errors."""
    session.process.send_signal(signal.SIGINT)
    code, shown = session.close()
    assert code == 130
    assert not any(word in shown for word in ("Traceback", "Aborted", "error", "Unclosed"))


def rows_of(shown: str) -> list[str]:
    """Returns the lines of a table, with single spaces."""
    return [" ".join(line.split()) for line in shown.splitlines()]


def test_watch_prints_every_change_until_ctrl_c(statefulroute: Command, game: Service) -> None:
    game.await_bound(game.link("alice", podIndex=0))
    game.await_pod(0, links=1)
    commands = (["links", "game"], ["pods", "game"], ["routes", "game", "-o", "yaml"])
    with ExitStack() as stack:
        links, pods, routes = (
            stack.enter_context(on_a_terminal(statefulroute, *command, "--watch")) for command in commands
        )
        for session, text in ((links, "alice"), (pods, "game-2"), (routes, "workloadRef")):
            session.await_text(text)
        game.await_bound(game.link("zoe", podIndex=1))
        game.await_pod(1, links=1)
        game.client.delete(PodLink, "game.zoe", game.namespace)
        game.await_pod(1, links=0)
        links.await_text("Gone")
        routes.await_text("---\n", "links: 1\n")
        for session in (links, pods, routes):
            interrupt(session)
    rows = [row.rsplit(maxsplit=1)[0] for row in rows_of(links.screen)[1:]]
    assert rows[0] == "game alice game-0 Bound Bound"
    assert rows[-1] == "game zoe game-1 Gone Bound"
    assert "game zoe game-1 Bound Bound" in rows
    bars = [row for row in rows_of(pods.screen) if row.startswith("game-1 ")]
    assert [row.split()[4] for row in bars] == ["0", "1", "0"]


def test_events_prints_bindings_moves_and_routing_states_with_reasons(statefulroute: Command, game: Service) -> None:
    with on_a_terminal(statefulroute, "events") as events, subprocess_of(statefulroute) as documents:
        events.await_text("REASON")
        document = first_document(documents, game)
        game.await_bound(game.link("alice"))
        first = game.get("game.alice")["spec"]["podIndex"]
        second, third = (first + 1) % 3, (first + 2) % 3
        game.client.patch(PodLink, "game.alice", game.namespace, {"spec": {"podIndex": second}})
        events.await_text("Moved")
        others = [{"index": first, "routingState": "DenyNewCall"}, {"index": second, "routingState": "Shutdown"}]
        game.edit_route(pods=others)
        events.await_text("PodLost")
        game.client.delete(PodLink, "game.alice", game.namespace)
        events.await_text("Removed")
        game.link("bob", podIndex=third, ttlSeconds=1)
        events.await_text("Expired")
        game.edit_route(routingState="Shutdown")
        events.await_text("route/game")
        interrupt(events)
    rows = rows_of(events.screen)
    assert rows[0] == "TIME ROUTE WHO FROM -> TO REASON"
    changes = [row.split(maxsplit=1)[1] for row in rows[1:]]
    assert [each for each in changes if each.startswith(("game alice ", "game bob "))] == [
        f"game alice - -> game-{first} Bound",
        f"game alice game-{first} -> game-{second} Moved",
        f"game alice game-{second} -> game-{third} PodLost (Shutdown)",
        f"game alice game-{third} -> - Removed",
        f"game bob - -> game-{third} Bound",
        f"game bob game-{third} -> - Expired",
    ]
    assert {
        f"game pod/game-{first} Ready -> DenyNewCall RoutingState",
        f"game pod/game-{second} Ready -> Shutdown RoutingState",
        "game route/game Ready -> Shutdown RoutingState",
    } <= {*changes}
    assert [*document] == ["time", "namespace", "route", "subject", "from", "to", "reason"]
    assert (document["namespace"], document["route"]) == (game.namespace, "game")


def first_document(documents: "subprocess.Popen[str]", game: Service) -> dict[str, Any]:
    """Returns the first change; links users until the command has started to watch and prints one."""
    assert documents.stdout is not None
    for number in range(120):
        game.link(f"carol-{number}", podIndex=0)
        if select.select([documents.stdout], [], [], 0.5)[0]:
            document: dict[str, Any] = json.loads(documents.stdout.readline())
            documents.terminate()
            return document
    raise TimeoutError("no change was printed for 120 users")


@contextmanager
def subprocess_of(command: Command) -> Iterator["subprocess.Popen[str]"]:
    """Returns a running `events -o json`."""
    with command.launch("events", "game", "-o", "json") as process:
        try:
            yield process
        finally:
            process.kill()


def test_top_shows_pods_and_moves_until_q(statefulroute: Command, game: Service) -> None:
    with on_a_terminal(statefulroute, "top", "game", columns=80) as top:
        top.await_text("game-0", "game-1", "game-2", "1 route", "3 pods", "0 links")
        game.link("dora", podIndex=1)
        top.await_text("dora", "1 link")
        top.press("q")
        code, shown = top.close()
    assert code == 0
    assert "Traceback" not in shown
