"""The log of events: what a stream gets at its start, after a pause, and when it is slow."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from statefulroute import (
    CutOff,
    LeaveReason,
    Reconnected,
    SlotArrived,
    SlotLeaving,
    SlotLeft,
    SlotStaying,
    UserArrived,
    UserLeaving,
    UserLeft,
    UserStaying,
)
from statefulroute.sidecar.event_log import EventLog

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def parse(data: bytes) -> list[tuple[str, str | None, Any]]:
    """Returns name, id and data of each event."""
    parsed = []
    for block in data.decode().split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        parsed.append((fields["event"], fields.get("id"), json.loads(fields["data"])))
    return parsed


def names(data: bytes) -> list[str]:
    return [name for name, _, _ in parse(data)]


@pytest.fixture
def log() -> EventLog:
    """A log that keeps three events, of a pod without users."""
    log = EventLog(3, "x")
    log.replace([], is_cut_off=False)
    return log


def arrive(log: EventLog, *uids: str) -> None:
    for uid in uids:
        log.append(UserArrived("game", uid, None))


def test_nothing_is_sent_before_the_users_are_known() -> None:
    log = EventLog(3)
    assert log.read(None) == (b"", None)
    assert log.position("x-0") is None
    log.replace([("game", "alice")], is_cut_off=True)
    [(name, _, data)] = parse(log.read(None)[0])
    assert (name, data["isCutOff"], [each["uid"] for each in data["users"]]) == ("state", True, ["alice"])


def test_a_stream_gets_the_state_and_then_the_events(log: EventLog) -> None:
    arrive(log, "alice")
    data, position = log.read(None)
    state = {
        "isCutOff": False,
        "users": [{"route": "game", "uid": "alice", "leavingDeadline": None}],
        "slots": [],
        "handOvers": [],
        "slotHandOvers": [],
        "arrivals": [],
    }
    assert parse(data) == [("state", "x-1", state)]
    assert log.read(position) == (b"", position)
    log.append(UserLeaving("game", "alice", 2, NOON))
    log.append(UserStaying("game", "alice"))
    data, position = log.read(position)
    pod = {"podIndex": 2, "podName": None}
    assert parse(data) == [
        ("leaving", "x-2", {"route": "game", "uid": "alice", "to": pod, "deadline": "2026-01-01T12:00:00Z"}),
        ("staying", "x-3", {"route": "game", "uid": "alice"}),
    ]
    log.append(UserLeft("game", "alice", LeaveReason.EXPIRED))
    assert parse(log.read(position)[0])[0][2]["reason"] == "Expired"


def test_slots_have_the_same_events_as_users(log: EventLog) -> None:
    log.replace([("game", 3)], is_cut_off=False)
    data, position = log.read(None)
    state = parse(data)[0][2]
    assert (state["users"], state["slots"]) == ([], [{"route": "game", "slot": 3, "leavingDeadline": None}])
    log.append(SlotArrived("game", 3, None))  # it is part of the state
    log.append(SlotLeft("game", 3, LeaveReason.MISSED))
    log.append(SlotArrived("game", 0, "x"))
    log.append(SlotLeaving("game", 0, 2, NOON))
    slot, pod = {"route": "game", "slot": 0}, {"podIndex": 2, "podName": None}
    assert parse(log.read(position)[0]) == [
        ("slot-left", "x-1", {"route": "game", "slot": 3, "reason": "Missed"}),
        ("slot-arrived", "x-2", slot | {"previous": {"podIndex": None, "podName": "x"}}),
        ("slot-leaving", "x-3", slot | {"to": pod, "deadline": "2026-01-01T12:00:00Z"}),
    ]
    assert parse(log.read(None)[0])[0][2]["slots"] == [slot | {"leavingDeadline": "2026-01-01T12:00:00Z"}]
    log.append(SlotStaying("game", 0))
    assert parse(log.read(log.position("x-3"))[0]) == [("slot-staying", "x-4", slot)]
    assert parse(log.read(None)[0])[0][2]["slots"] == [slot | {"leavingDeadline": None}]


def test_the_state_is_that_after_all_events(log: EventLog) -> None:
    arrive(log, "alice", "bob", "carol")
    log.append(UserLeaving("game", "bob", None, NOON))
    log.append(UserLeft("game", "carol", LeaveReason.UNBOUND))
    log.append(CutOff(12.5))
    [(_, _, state)] = parse(log.read(None)[0])
    assert state["isCutOff"]
    assert [(each["uid"], each["leavingDeadline"]) for each in state["users"]] == [
        ("alice", None),
        ("bob", "2026-01-01T12:00:00Z"),
    ]
    log.append(UserStaying("game", "bob"))
    log.append(Reconnected(20.0))
    [(_, _, state)] = parse(log.read(None)[0])
    assert (state["isCutOff"], [each["leavingDeadline"] for each in state["users"]]) == (False, [None, None])


def test_a_client_goes_on_after_its_last_event(log: EventLog) -> None:
    arrive(log, "alice", "bob")
    for seen, rest in enumerate((["alice", "bob"], ["bob"], [])):
        data, _ = log.read(log.position(f"x-{seen}"))
        assert [each["uid"] for _, _, each in parse(data)] == rest


@pytest.mark.parametrize(
    "event_id", ["x-1", "x-8", "y-4", "x-", "x", "", "x--1", "x-4x", "x-٤", "x-" + "9" * 5000, "-", "x-4-4", "é"]
)
def test_a_client_that_has_missed_too_much_or_names_another_log_gets_the_state(log: EventLog, event_id: str) -> None:
    arrive(log, "a", "b", "c", "d", "e")  # the log keeps c, d and e
    assert log.position(event_id) is None
    assert log.position("x-2") == 2
    assert names(log.read(log.position(event_id))[0]) == ["state"]


def test_a_slow_stream_is_told_how_many_events_it_has_missed(log: EventLog) -> None:
    _, position = log.read(None)
    arrive(log, "a", "b", "c", "d", "e")
    data, position = log.read(position)
    [lost, state] = parse(data)
    assert lost == ("lost", None, {"number": 2})
    assert (state[0], state[1], len(state[2]["users"])) == ("state", "x-5", 5)
    assert log.read(position) == (b"", position)


def test_events_that_the_sidecar_has_missed_are_lost_for_every_stream(log: EventLog) -> None:
    arrive(log, "alice")
    _, position = log.read(None)
    log.replace([("game", "bob")], is_cut_off=False, missed=7)
    [lost, state] = parse(log.read(position)[0])
    assert (lost[2], [each["uid"] for each in state[2]["users"]]) == ({"number": 7}, ["bob"])
    assert log.position("x-1") is None


def test_the_arrival_of_a_user_of_the_first_state_is_no_event() -> None:
    log = EventLog(3, "x")
    log.replace([("game", "alice")], is_cut_off=False)
    _, position = log.read(None)
    arrive(log, "alice", "bob")
    assert [each["uid"] for _, _, each in parse(log.read(position)[0])] == ["bob"]
    log.append(UserLeft("game", "alice", LeaveReason.MISSED))
    arrive(log, "alice")
    assert names(log.read(position)[0]) == ["arrived", "left", "arrived"]


def test_uids_cannot_add_fields_or_events(log: EventLog) -> None:
    uid = "a\u2028\u0085b: event: left \\n"
    arrive(log, uid)
    data, _ = log.read(0)
    assert data.count(b"\n") == 4
    assert parse(data)[0][2]["uid"] == uid


def test_listeners_learn_of_each_change_and_of_the_end(log: EventLog) -> None:
    calls: list[bool] = []
    with log.listen(lambda: calls.append(log.has_ended)):
        arrive(log, "alice")
        log.replace([], is_cut_off=False)
        log.end()
    arrive(log, "bob")
    assert calls == [False, False, True]
