"""`slots` and `whereis` in a service with slots, with the operator."""

import json

from statefulroute.domain.slots.hashing import slot_of
from support.command import Command
from support.service import Service
from support.waiting import eventually

SLOTS = 12


def test_slots_and_whereis_show_the_pods_of_slots(statefulroute: Command, game: Service) -> None:
    refused = statefulroute.run_quickly("slots", "game")
    assert (refused.code, refused.stdout) == (1, "")
    assert "game has no slots" in refused.stderr
    game.edit_route(slots=SLOTS)
    eventually(
        lambda: [pod.get("slots") for pod in game.route()["status"]["pods"]] == [4, 4, 4], "the slots are bound evenly"
    )
    shown = statefulroute.run_quickly("slots", "game").expect_success()
    assert [line.split() for line in shown.stdout.splitlines()] == [
        ["POD", "SLOTS", "SHARE"],
        *([f"game-{index}", "4", "33.3%"] for index in range(3)),
    ]
    listed = statefulroute.run_quickly("slots", "game", "-o", "json").expect_success()
    assert json.loads(listed.stdout) == [{"name": f"game-{index}", "index": index, "slots": 4} for index in range(3)]
    for output, expected in (("name", "pod/game-0\npod/game-1\npod/game-2"), ("jsonpath={[*].slots}", "4 4 4")):
        assert statefulroute.run_quickly("slots", "game", "-o", output).expect_success().stdout.strip() == expected

    slot = slot_of("alice", SLOTS)
    pod = game.get(f"game.x-slot-{slot}")["spec"]["podIndex"]
    header, row = statefulroute.run_quickly("whereis", "alice").expect_success().stdout.splitlines()
    assert header.split()[-1] == "SLOT"
    assert (row.split()[:2], row.split()[-1]) == (["game", f"game-{pod}"], str(slot))
    (found,) = statefulroute.run_quickly("whereis", "alice", "-o", "json").expect_success().object["items"]
    assert (found["spec"]["slot"], found["served"]) == (slot, True)

    other = (pod + 1) % 3
    statefulroute.run_quickly("link", "game", "alice", str(other)).expect_success()
    header, row = statefulroute.run_quickly("whereis", "alice").expect_success().stdout.splitlines()
    assert (header.split()[-1] != "SLOT", row.split()[1]) == (True, f"game-{other}")
    exported = statefulroute.run_quickly("export", "game").expect_success().stdout.splitlines()
    assert [json.loads(line)["uid"] for line in exported] == ["alice"]
    statefulroute.run_quickly("unlink", "game", "alice").expect_success()
    assert f"game-{pod}" in statefulroute.run_quickly("whereis", "alice").expect_success().stdout
