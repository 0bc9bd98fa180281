"""The rule for the names of PodLinks: routeName and uid determine the name."""

import pytest

from support.admission_cases import RULES_NOT_CHECKED
from support.judge import Judge
from support.link_rules import LINK_NAMES
from support.objects import encoded_name, pod_link


@pytest.mark.parametrize(("uid", "route", "name"), LINK_NAMES.values(), ids=LINK_NAMES)
def test_required_name_is_accepted(judge: Judge, uid: str, route: str, name: str) -> None:
    stored = judge.dry_run(pod_link(name, uid=uid, routeName=route)).expect_success().object
    assert (stored["metadata"]["name"], stored["spec"]["uid"]) == (name, uid)


@pytest.mark.parametrize(("uid", "route", "name"), LINK_NAMES.values(), ids=LINK_NAMES)
def test_error_for_another_name_contains_the_required_name(judge: Judge, uid: str, route: str, name: str) -> None:
    response = judge.dry_run(pod_link("game.another-uid", uid=uid, routeName=route))
    assert response.errors == (f"metadata: Invalid value: metadata.name must be {name}",)


@pytest.mark.parametrize(
    ("uid", "name"),
    [
        pytest.param("alice", "alice", id="without the route"),
        pytest.param("alice", "chat.alice", id="of another route"),
        pytest.param("alice", "game-alice", id="with a dash instead of the dot"),
        pytest.param("alice", "game.x-616c696365", id="needlessly encoded"),
        pytest.param("Alice", "game.alice", id="in lower case"),
        pytest.param("Alice", "game.x-416c6963650", id="encoded with an additional digit"),
        pytest.param("Alice", "game.416c696365", id="encoded without the prefix"),
    ],
)
def test_similar_name_is_rejected(judge: Judge, uid: str, name: str) -> None:
    (error,) = judge.dry_run(pod_link(name, uid=uid)).errors
    assert error.startswith("metadata: Invalid value: metadata.name must be game.")


def test_generated_name_is_rejected(judge: Judge) -> None:
    link = pod_link()
    link["metadata"] = {"generateName": "game.alice-"}
    response = judge.dry_run(link)
    assert response.errors == ("metadata: Invalid value: metadata.name must be game.alice",)


def test_invalid_object_name_is_rejected_by_kubernetes_and_by_the_rule(judge: Judge) -> None:
    dns, ours = judge.dry_run(pod_link("game..alice")).errors
    assert dns.startswith("metadata.name: Invalid value: a lowercase RFC 1123 subdomain must consist of")
    assert ours == "metadata: Invalid value: metadata.name must be game.alice"


TOO_MANY_BYTES = (
    "uid is too long: at most 93 bytes when it holds anything but lower-case letters, digits, '-' and '.', "
    "else at most 189 characters"
)


@pytest.mark.parametrize(
    "uid",
    [
        pytest.param("A" * 94, id="one byte a character"),
        pytest.param("é" * 47, id="two bytes a character"),
        pytest.param("x-" + "a" * 92, id="starting with x-"),
    ],
)
def test_encoded_uid_that_is_too_long_is_rejected(judge: Judge, uid: str) -> None:
    response = judge.dry_run(pod_link(encoded_name("game", uid), uid=uid))
    assert response.errors == (f"spec.uid: Invalid value: {TOO_MANY_BYTES}",)


def test_unencoded_uid_that_is_too_long_is_rejected(judge: Judge) -> None:
    response = judge.dry_run(pod_link(uid="a" * 190))
    assert response.errors == ("spec.uid: Too long: may not be more than 189 bytes", RULES_NOT_CHECKED)
