"""`link`, `move` and `unlink`, as somebody types them."""

import pytest

from support.command import Command
from support.independent_client import PodLink
from support.objects import pod_link
from support.service import Service

NOT_WRITTEN = " (server dry run)"


def spec_of(game: Service, uid: str) -> dict[str, object]:
    """What the link of a user says of its pod and its time; its renewal's time is of no matter."""
    spec = game.get(f"game.{uid}")["spec"]
    return {field: spec[field] for field in ("podIndex", "podName", "ttlSeconds") if field in spec}


def said(command: Command, *arguments: str, code: int = 0) -> str:
    """What a command says, once it has ended as it is to end."""
    result = command.run_quickly(*arguments)
    assert (result.code, result.stderr) == (code, ""), result
    return result.stdout.removesuffix("\n")


def refusal(command: Command, *arguments: str) -> str:
    """What a command complains of in its one sentence."""
    result = command.run_quickly(*arguments)
    (line,) = result.stderr.splitlines()
    assert (result.code, result.stdout) == (1, "")
    return line


def test_a_user_is_linked_moved_and_unlinked_through_kubectl(statefulroute: Command, game: Service) -> None:
    linked = statefulroute.run("link", "game", "typed", "0").expect_success()
    assert linked.stdout == "typed: game-0\n"
    moved = statefulroute.run("move", "game", "typed", "game-1").expect_success()
    assert moved.stdout == "typed: game-1 (was game-0)\n"
    removed = statefulroute.run("unlink", "game", "typed").expect_success()
    assert removed.stdout == "typed: no link any more (was on game-1)\n"
    assert not game.exists(PodLink, "game.typed")


def test_a_user_is_linked_moved_and_unlinked_with_a_sentence_each(statefulroute: Command, game: Service) -> None:
    assert said(statefulroute, "link", "game", "alice", "0") == "alice: game-0"
    assert said(statefulroute, "link", "game", "alice", "game-0") == "alice: game-0 (already)"
    assert said(statefulroute, "link", "game", "alice", "game-2") == "alice: game-2 (was game-0)"
    assert said(statefulroute, "move", "game", "alice", "1") == "alice: game-1 (was game-2)"
    assert said(statefulroute, "move", "game", "alice", "1") == "alice: game-1 (already)"
    assert spec_of(game, "alice") == {"podIndex": 1}
    assert said(statefulroute, "unlink", "game", "alice") == "alice: no link any more (was on game-1)"
    assert not game.exists(PodLink, "game.alice")
    assert said(statefulroute, "unlink", "game", "alice") == "alice: had no link in game"


def test_a_uid_that_cannot_stand_in_a_name_is_linked_all_the_same(statefulroute: Command, game: Service) -> None:
    assert said(statefulroute, "link", "game", "Guest 7", "2") == "Guest 7: game-2"
    assert game.get("game.x-47756573742037")["spec"]["uid"] == "Guest 7"


def test_a_uid_cannot_turn_the_line_that_tells_of_it(statefulroute: Command, game: Service) -> None:
    uid = "evil\u202etxt"
    assert said(statefulroute, "link", "game", uid, "2") == "evil\\u202etxt: game-2"
    assert game.get(f"game.x-{uid.encode().hex()}")["spec"]["uid"] == uid
    assert said(statefulroute, "unlink", "game", uid) == "evil\\u202etxt: no link any more (was on game-2)"
    assert refusal(statefulroute, "move", "game", uid, "1").startswith("error: evil\\u202etxt has no link in game")


def test_without_a_pod_the_operator_chooses_one_and_is_waited_for(statefulroute: Command, game: Service) -> None:
    answer = said(statefulroute, "link", "game", "anywhere", "--ttl", "3600")
    pod = game.await_bound("game.anywhere")["podName"]
    assert answer == f"anywhere: {pod}"
    assert said(statefulroute, "link", "game", "anywhere") == f"anywhere: stays on {pod}"
    assert spec_of(game, "anywhere")["ttlSeconds"] == 3600


def test_where_no_pod_takes_anybody_it_says_why_and_leaves_the_link(statefulroute: Command, game: Service) -> None:
    game.edit_route(routingState="DenyNewCall")
    try:
        answer = refusal(statefulroute, "link", "game", "patient", "--timeout", "1")
        assert answer.startswith("error: patient still waits for a pod after 1 s (NoAvailablePod: ")
        assert answer.endswith("; the link stays, and is bound when it can be")
    finally:
        game.edit_route(routingState="Ready")
    game.await_bound("game.patient")


def test_a_try_loses_only_to_a_persistent_link_to_another_pod(statefulroute: Command) -> None:
    said(statefulroute, "link", "game", "tried", "0")
    lost = "tried: stays on game-0, by a persistent link"
    assert said(statefulroute, "link", "game", "tried", "1", "--try", code=1) == lost
    assert said(statefulroute, "link", "game", "tried", "0", "--try") == "tried: game-0"
    said(statefulroute, "link", "game", "tried", "0", "--ttl", "600")
    assert said(statefulroute, "link", "game", "tried", "1", "--try", "--ttl", "60") == "tried: game-1 for 60 s"


def test_who_is_on_another_pod_is_neither_moved_nor_unlinked_if_asked(statefulroute: Command, game: Service) -> None:
    said(statefulroute, "link", "game", "settled", "0")
    stays = "settled: stays on game-0, not on game-1"
    assert said(statefulroute, "move", "game", "settled", "2", "--if-linked-to", "1", code=1) == stays
    assert said(statefulroute, "unlink", "game", "settled", "--if-linked-to", "game-1", code=1) == stays
    moved = said(statefulroute, "move", "game", "settled", "2", "--if-linked-to", "game-0")
    assert moved == "settled: game-2 (was game-0)"
    gone = said(statefulroute, "unlink", "game", "settled", "--if-linked-to", "2")
    assert gone == "settled: no link any more (was on game-2)"
    assert not game.exists(PodLink, "game.settled")


def test_a_grace_lets_the_link_live_on_and_a_move_leaves_it_its_time(statefulroute: Command, game: Service) -> None:
    said(statefulroute, "link", "game", "leaving", "1")
    answer = said(statefulroute, "unlink", "game", "leaving", "--grace", "600")
    assert answer == "leaving: no link any more in 600 s (on game-1 until then)"
    assert spec_of(game, "leaving") == {"podIndex": 1, "ttlSeconds": 600}
    said(statefulroute, "move", "game", "leaving", "2")
    assert spec_of(game, "leaving") == {"podIndex": 2, "ttlSeconds": 600}
    said(statefulroute, "move", "game", "leaving", "0", "--ttl", "900")
    assert spec_of(game, "leaving") == {"podIndex": 0, "ttlSeconds": 900}


def test_a_dry_run_says_the_same_and_writes_nothing(statefulroute: Command, game: Service) -> None:
    dry = "--dry-run=server"
    assert said(statefulroute, "link", "game", "ghost", "1", dry) == f"ghost: game-1{NOT_WRITTEN}"
    assert said(statefulroute, "link", "game", "ghost", dry) == f"ghost: a pod that the operator chooses{NOT_WRITTEN}"
    assert not game.exists(PodLink, "game.ghost")
    said(statefulroute, "link", "game", "real", "0")
    before = game.await_bound("game.real"), game.get("game.real")["metadata"]["resourceVersion"]
    assert said(statefulroute, "link", "game", "real", "1", dry) == f"real: game-1 (was game-0){NOT_WRITTEN}"
    assert said(statefulroute, "move", "game", "real", "1", dry) == f"real: game-1 (was game-0){NOT_WRITTEN}"
    gone = "real: no link any more (was on game-0)"
    assert said(statefulroute, "unlink", "game", "real", dry) == gone + NOT_WRITTEN
    assert said(statefulroute, "unlink", "game", "real", "--if-linked-to", "0", dry) == gone + NOT_WRITTEN
    assert (game.get("game.real")["status"], game.get("game.real")["metadata"]["resourceVersion"]) == before


def test_a_pod_that_is_not_there_now_is_waited_for_and_said_so(statefulroute: Command, game: Service) -> None:
    result = statefulroute.run_quickly("link", "game", "early", "game-7")
    assert (result.code, result.stdout) == (0, "early: game-7\n")
    assert result.stderr == "note: game has no game-7 now: early waits for it\n"
    game.await_link("game.early", "Pending", "PodNotFound")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("link", "gmae", "alice", "0"),
            "error: StatefulRoute 'gmae' does not exist in namespace '{}': there are game",
        ),
        (("unlink", "gmae", "alice"), "error: StatefulRoute 'gmae' does not exist in namespace '{}': there are game"),
        (("move", "game", "nobody", "0"), "error: nobody has no link in game: statefulroute link game nobody 0"),
        (
            ("link", "game", "alice", "chat-0"),
            "error: 'game' has no pod 'chat-0': name one of game-0, game-1, game-2, or its index",
        ),
        (
            ("link", "game/status", "alice", "0"),
            (
                "error: route must be a DNS label (lower-case letters, digits and '-', at most 63 characters): "
                "it is the name of a StatefulRoute"
            ),
        ),
        (("link", "game", "", "0"), "error: uid must not be empty"),
        (("link", "game", "alice", "99999999999"), "error: pod must be from 0 to 2147483647, not 99999999999"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_is_said_in_one_sentence(
    arguments: tuple[str, ...], sentence: str, statefulroute: Command, game: Service
) -> None:
    assert refusal(statefulroute, *arguments) == sentence.format(game.namespace)


@pytest.mark.parametrize(
    "arguments",
    [
        ("link", "game", "alice", "--try"),
        ("link", "game", "alice", "0", "--ttl", "0"),
        ("unlink", "game", "alice", "--grace", "1", "--if-linked-to", "0"),
        ("move", "game", "alice"),
    ],
    ids=" ".join,
)
def test_what_is_no_command_line_ends_with_2(arguments: tuple[str, ...], statefulroute: Command) -> None:
    assert statefulroute.run_quickly(*arguments).code == 2


def test_the_links_of_a_route_that_is_gone_can_be_removed(statefulroute: Command, game: Service) -> None:
    game.client.create(pod_link(routeName="gone", podIndex=3), game.namespace)
    assert said(statefulroute, "unlink", "gone", "alice") == "alice: no link any more (was on pod 3)"
