"""`link`, `move` and `unlink`."""

import pytest

from support.command import Command
from support.independent_client import PodLink
from support.objects import pod_link
from support.quotas import link_quota
from support.service import Service

#: The options of dry runs, and what follows their messages.
DRY_RUNS = {"--dry-run=server": " (server dry run)", "--dry-run=client": " (dry run)"}


def spec_of(game: Service, uid: str) -> dict[str, object]:
    """Returns the pod and the TTL in the spec of a user's link, without the time of its renewal."""
    spec = game.get(f"game.{uid}")["spec"]
    return {field: spec[field] for field in ("podIndex", "podName", "ttlSeconds") if field in spec}


def output_of(command: Command, *arguments: str, code: int = 0) -> str:
    """Returns the output of a command that must exit with this code."""
    result = command.run_quickly(*arguments)
    assert (result.code, result.stderr) == (code, ""), result
    return result.stdout.removesuffix("\n")


def error_of(command: Command, *arguments: str) -> str:
    """Returns the error of a command that must fail with one line."""
    result = command.run_quickly(*arguments)
    (line,) = result.stderr.splitlines()
    assert (result.code, result.stdout) == (1, "")
    return line


def test_kubectl_plugin_links_moves_and_unlinks_a_user(statefulroute: Command, game: Service) -> None:
    linked = statefulroute.run("link", "game", "typed", "0").expect_success()
    assert linked.stdout == "typed: game-0\n"
    moved = statefulroute.run("move", "game", "typed", "game-1").expect_success()
    assert moved.stdout == "typed: game-1 (was game-0)\n"
    removed = statefulroute.run("unlink", "game", "typed").expect_success()
    assert removed.stdout == "typed: no link any more (was on game-1)\n"
    assert not game.exists(PodLink, "game.typed")


def test_link_move_and_unlink_print_what_has_changed(statefulroute: Command, game: Service) -> None:
    assert output_of(statefulroute, "link", "game", "alice", "0") == "alice: game-0"
    assert output_of(statefulroute, "link", "game", "alice", "game-0") == "alice: game-0 (already)"
    assert output_of(statefulroute, "link", "game", "alice", "game-2") == "alice: game-2 (was game-0)"
    assert output_of(statefulroute, "move", "game", "alice", "1") == "alice: game-1 (was game-2)"
    assert output_of(statefulroute, "move", "game", "alice", "1") == "alice: game-1 (already)"
    assert spec_of(game, "alice") == {"podIndex": 1}
    assert output_of(statefulroute, "unlink", "game", "alice") == "alice: no link any more (was on game-1)"
    assert not game.exists(PodLink, "game.alice")
    assert output_of(statefulroute, "unlink", "game", "alice") == "alice: had no link in game"


@pytest.mark.parametrize(
    "change",
    [("link", "game", "lean", "2"), ("move", "game", "lean", "1"), ("unlink", "game", "lean", "--grace", "60")],
    ids=lambda change: change[0],
)
def test_commands_that_write_a_link_remove_its_managed_fields_unless_they_must_keep_them(
    statefulroute: Command, game: Service, change: tuple[str, ...]
) -> None:
    for options, are_kept in ((("--keep-managed-fields",), True), ((), False)):
        output_of(statefulroute, "link", "game", "lean", "0")
        output_of(statefulroute, *change, *options)
        assert ("managedFields" in game.get("game.lean")["metadata"]) is are_kept
        game.kubectl.run("delete", "podlink", "game.lean").expect_success()


def test_durations_are_accepted_as_by_kubectl(statefulroute: Command, game: Service) -> None:
    assert output_of(statefulroute, "link", "game", "brief", "1", "--ttl", "5m") == "brief: game-1 for 300 s"
    assert spec_of(game, "brief") == {"podIndex": 1, "ttlSeconds": 300}
    assert output_of(statefulroute, "unlink", "game", "brief", "--grace", "1h30m") == (
        "brief: no link any more in 5400 s (on game-1 until then)"
    )
    assert output_of(statefulroute, "link", "game", "brief", "--timeout", "1m") == "brief: stays on game-1"


def test_link_encodes_a_uid_that_is_not_valid_in_a_name(statefulroute: Command, game: Service) -> None:
    assert output_of(statefulroute, "link", "game", "Guest 7", "2") == "Guest 7: game-2"
    assert game.get("game.x-47756573742037")["spec"]["uid"] == "Guest 7"


def test_messages_escape_unprintable_characters_of_a_uid(statefulroute: Command, game: Service) -> None:
    uid = "evil\u202etxt"
    assert output_of(statefulroute, "link", "game", uid, "2") == "evil\\u202etxt: game-2"
    assert game.get(f"game.x-{uid.encode().hex()}")["spec"]["uid"] == uid
    assert output_of(statefulroute, "unlink", "game", uid) == "evil\\u202etxt: no link any more (was on game-2)"
    assert error_of(statefulroute, "move", "game", uid, "1").startswith("error: evil\\u202etxt has no link in game")


def test_link_without_a_pod_waits_for_the_operator_to_choose_one(statefulroute: Command, game: Service) -> None:
    answer = output_of(statefulroute, "link", "game", "anywhere", "--ttl", "3600")
    pod = game.await_bound("game.anywhere")["podName"]
    assert answer == f"anywhere: {pod}"
    assert output_of(statefulroute, "link", "game", "anywhere") == f"anywhere: stays on {pod}"
    assert spec_of(game, "anywhere")["ttlSeconds"] == 3600


def test_link_without_an_available_pod_prints_the_reason_and_keeps_the_link(
    statefulroute: Command, game: Service
) -> None:
    game.edit_route(routingState="DenyNewCall")
    try:
        answer = error_of(statefulroute, "link", "game", "patient", "--timeout", "1")
        assert answer.startswith("error: patient still waits for a pod after 1 s (NoAvailablePod: ")
        assert answer.endswith("; the link stays, and is bound when it can be")
    finally:
        game.edit_route(routingState="Ready")
    game.await_bound("game.patient")


def test_link_with_try_fails_only_for_a_persistent_link_to_another_pod(statefulroute: Command) -> None:
    output_of(statefulroute, "link", "game", "tried", "0")
    lost = "tried: stays on game-0, by a persistent link"
    assert output_of(statefulroute, "link", "game", "tried", "1", "--try", code=1) == lost
    assert output_of(statefulroute, "link", "game", "tried", "0", "--try") == "tried: game-0"
    output_of(statefulroute, "link", "game", "tried", "0", "--ttl", "600")
    assert output_of(statefulroute, "link", "game", "tried", "1", "--try", "--ttl", "60") == "tried: game-1 for 60 s"


def test_if_linked_to_rejects_a_user_on_another_pod(statefulroute: Command, game: Service) -> None:
    output_of(statefulroute, "link", "game", "settled", "0")
    stays = "settled: stays on game-0, not on game-1"
    assert output_of(statefulroute, "move", "game", "settled", "2", "--if-linked-to", "1", code=1) == stays
    assert output_of(statefulroute, "unlink", "game", "settled", "--if-linked-to", "game-1", code=1) == stays
    moved = output_of(statefulroute, "move", "game", "settled", "2", "--if-linked-to", "game-0")
    assert moved == "settled: game-2 (was game-0)"
    gone = output_of(statefulroute, "unlink", "game", "settled", "--if-linked-to", "2")
    assert gone == "settled: no link any more (was on game-2)"
    assert not game.exists(PodLink, "game.settled")


def test_unlink_with_grace_makes_the_link_temporary_and_move_keeps_its_ttl(
    statefulroute: Command, game: Service
) -> None:
    output_of(statefulroute, "link", "game", "leaving", "1")
    answer = output_of(statefulroute, "unlink", "game", "leaving", "--grace", "600")
    assert answer == "leaving: no link any more in 600 s (on game-1 until then)"
    assert spec_of(game, "leaving") == {"podIndex": 1, "ttlSeconds": 600}
    output_of(statefulroute, "move", "game", "leaving", "2")
    assert spec_of(game, "leaving") == {"podIndex": 2, "ttlSeconds": 600}
    output_of(statefulroute, "move", "game", "leaving", "0", "--ttl", "900")
    assert spec_of(game, "leaving") == {"podIndex": 0, "ttlSeconds": 900}


def test_unlink_with_a_grace_of_0_is_at_once(statefulroute: Command, game: Service) -> None:
    output_of(statefulroute, "link", "game", "leaving", "1")
    answer = output_of(statefulroute, "unlink", "game", "leaving", "--grace", "0")
    assert answer == "leaving: no link any more (was on game-1)"
    assert not game.exists(PodLink, "game.leaving")


def test_unlink_with_grace_and_if_linked_to_leaves_a_user_on_another_pod(statefulroute: Command, game: Service) -> None:
    output_of(statefulroute, "link", "game", "leaving", "1")
    unlink = ("unlink", "game", "leaving", "--grace", "600", "--if-linked-to")
    assert output_of(statefulroute, *unlink, "0", code=1) == "leaving: stays on game-1, not on game-0"
    assert spec_of(game, "leaving") == {"podIndex": 1}
    answer = output_of(statefulroute, *unlink, "game-1")
    assert answer == "leaving: no link any more in 600 s (on game-1 until then)"
    assert spec_of(game, "leaving") == {"podIndex": 1, "ttlSeconds": 600}


@pytest.mark.parametrize(("dry", "suffix"), DRY_RUNS.items())
def test_link_move_and_unlink_with_dry_run_change_nothing(
    statefulroute: Command, game: Service, dry: str, suffix: str
) -> None:
    assert output_of(statefulroute, "link", "game", "ghost", "1", dry) == f"ghost: game-1{suffix}"
    assert output_of(statefulroute, "link", "game", "ghost", dry) == f"ghost: a pod that the operator chooses{suffix}"
    assert not game.exists(PodLink, "game.ghost")
    output_of(statefulroute, "link", "game", "real", "0")
    before = game.await_bound("game.real"), game.get("game.real")["metadata"]["resourceVersion"]
    assert output_of(statefulroute, "link", "game", "real", "1", dry) == f"real: game-1 (was game-0){suffix}"
    assert output_of(statefulroute, "move", "game", "real", "1", dry) == f"real: game-1 (was game-0){suffix}"
    gone = "real: no link any more (was on game-0)"
    assert output_of(statefulroute, "unlink", "game", "real", dry) == gone + suffix
    assert output_of(statefulroute, "unlink", "game", "real", "--if-linked-to", "0", dry) == gone + suffix
    assert (game.get("game.real")["status"], game.get("game.real")["metadata"]["resourceVersion"]) == before


def test_a_client_dry_run_sends_no_write(statefulroute: Command, game: Service) -> None:
    output_of(statefulroute, "link", "game", "unsent", "0")
    game.await_bound("game.unsent")
    count = game.client.count_requests()
    for arguments in ("link game unsent 1", "link game unheard-of 1", "move game unsent 1", "unlink game unsent"):
        output_of(statefulroute, *arguments.split(), "--dry-run=client")
    assert sum(count.total(verb, "podlinks") for verb in ("POST", "PATCH", "DELETE")) == 0


def test_link_to_a_missing_pod_prints_a_note_and_is_pending(statefulroute: Command, game: Service) -> None:
    result = statefulroute.run_quickly("link", "game", "early", "game-7")
    assert (result.code, result.stdout) == (0, "early: game-7\n")
    assert result.stderr == "note: game has no game-7 now: early waits for it\n"
    game.await_link("game.early", "Pending", "PodNotFound")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("link", "gmae", "alice", "0"),
            "error: StatefulRoute 'gmae' does not exist in namespace '{}': there is: game",
        ),
        (("unlink", "gmae", "alice"), "error: StatefulRoute 'gmae' does not exist in namespace '{}': there is: game"),
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
def test_impossible_request_prints_one_error_message(
    arguments: tuple[str, ...], message: str, statefulroute: Command, game: Service
) -> None:
    assert error_of(statefulroute, *arguments) == message.format(game.namespace)


@pytest.mark.parametrize(
    "arguments",
    [
        ("link", "game", "alice", "--try"),
        ("link", "game", "alice", "0", "--ttl", "0"),
        ("unlink", "game", "alice", "--grace", "-1"),
        ("move", "game", "alice"),
    ],
    ids=" ".join,
)
def test_invalid_command_line_exits_with_2(arguments: tuple[str, ...], statefulroute: Command) -> None:
    assert statefulroute.run_quickly(*arguments).code == 2


def test_unlink_removes_links_of_a_deleted_route(statefulroute: Command, game: Service) -> None:
    game.client.create(pod_link(routeName="gone", podIndex=3), game.namespace)
    assert output_of(statefulroute, "unlink", "gone", "alice") == "alice: no link any more (was on pod 3)"


def test_link_says_that_the_quota_of_the_namespace_is_used_up(statefulroute: Command, game: Service) -> None:
    with link_quota(game.client, game.namespace, links=0):
        error = error_of(statefulroute, "link", "game", "surplus", "0")
    assert error == (
        f"error: namespace {game.namespace!r} takes no new links: it has as many as its ResourceQuota 'links' allows "
        "(count/podlinks.statefulroute.io=0)"
    )
    assert not game.exists(PodLink, "game.surplus")
