"""A PodLink's name is its key: it follows from routeName and uid, so that a service holds a uid at most once."""

import pytest

from support.admission_cases import RULES_NOT_CHECKED
from support.kubectl import Kubectl
from support.objects import encoded_name, pod_link

LONG_ROUTE = "r" * 63

#: uid, routeName, and the only name that a link of the two may have.
NAMES = {
    "a plain word": ("alice", "game", "game.alice"),
    "one letter": ("a", "game", "game.a"),
    "digits": ("1234567890", "game", "game.1234567890"),
    "a UUID": ("0b9f6d3c-5a43-4f0e-9c55-1c2a4a6d8e10", "game", "game.0b9f6d3c-5a43-4f0e-9c55-1c2a4a6d8e10"),
    "dots, as in a host name": ("alice.example.com", "game", "game.alice.example.com"),
    "dashes side by side": ("a--b", "game", "game.a--b"),
    "a label longer than a DNS label": ("a" * 64, "game", "game." + "a" * 64),
    "the longest that can stand in a name": ("a" * 189, LONG_ROUTE, LONG_ROUTE + "." + "a" * 189),
    "x alone": ("x", "game", "game.x"),
    "a first label that ends in x": ("x.y", "game", "game.x.y"),
    "punycode, which begins with xn--": ("xn--bcher-kva", "game", "game.xn--bcher-kva"),
    "x- in a later label": ("a.x-1", "game", "game.a.x-1"),
    "the prefix of an encoded uid": ("x-", "game", "game.x-782d"),
    "a uid that looks encoded": ("x-616c696365", "game", "game.x-782d36313663363936333635"),
    "a capital": ("Alice", "game", "game.x-416c696365"),
    "an underscore": ("alice_1", "game", "game.x-616c6963655f31"),
    "a space inside": ("alice smith", "game", "game.x-616c69636520736d697468"),
    "a space at the end": ("alice ", "game", "game.x-616c69636520"),
    "nothing but a space": (" ", "game", "game.x-20"),
    "a leading dash": ("-alice", "game", "game.x-2d616c696365"),
    "a trailing dash": ("alice-", "game", "game.x-616c6963652d"),
    "a leading dot": (".alice", "game", "game.x-2e616c696365"),
    "a trailing dot": ("alice.", "game", "game.x-616c6963652e"),
    "two dots": ("a..b", "game", "game.x-612e2e62"),
    "a dash before a dot": ("a-.b", "game", "game.x-612d2e62"),
    "a slash": ("room/7", "game", "game.x-726f6f6d2f37"),
    "an address": ("alice@example.com", "game", "game.x-616c696365406578616d706c652e636f6d"),
    "a directive of a format string": ("%s", "game", "game.x-2573"),
    "quotation marks": ("\"'`", "game", "game.x-222760"),
    "a backslash": ("a\\b", "game", "game.x-615c62"),
    "an accent": ("josé", "game", "game.x-6a6f73c3a9"),
    "an accent as a character of its own": ("jose\u0301", "game", "game.x-6a6f7365cc81"),
    "Chinese": ("爱丽丝", "game", "game.x-e788b1e4b8bde4b89d"),
    "digits of another script": ("١٢٣", "game", "game.x-d9a1d9a2d9a3"),
    "an emoji": ("😀", "game", "game.x-f09f9880"),
    "an emoji of several code points": ("👩‍🚀", "game", "game.x-f09f91a9e2808df09f9a80"),
    "the longest that has to be encoded": ("A" * 93, LONG_ROUTE, LONG_ROUTE + ".x-" + "41" * 93),
    "a route that is one digit": ("alice", "0", "0.alice"),
    "a route with dashes": ("alice", "game-eu--1", "game-eu--1.alice"),
    "the longest route": ("alice", LONG_ROUTE, LONG_ROUTE + ".alice"),
}


@pytest.mark.parametrize(("uid", "route", "name"), NAMES.values(), ids=NAMES)
def test_its_own_name_is_accepted(judge: Kubectl, uid: str, route: str, name: str) -> None:
    stored = judge.dry_run(pod_link(name, uid=uid, routeName=route)).expect_success().object
    assert (stored["metadata"]["name"], stored["spec"]["uid"]) == (name, uid)


@pytest.mark.parametrize(("uid", "route", "name"), NAMES.values(), ids=NAMES)
def test_any_other_name_is_answered_with_the_right_one(judge: Kubectl, uid: str, route: str, name: str) -> None:
    answer = judge.dry_run(pod_link("game.somebody-else", uid=uid, routeName=route))
    assert answer.errors == (f"metadata: Invalid value: metadata.name must be {name}",)


@pytest.mark.parametrize(
    ("uid", "name"),
    [
        pytest.param("alice", "alice", id="without the route"),
        pytest.param("alice", "chat.alice", id="of another route"),
        pytest.param("alice", "game-alice", id="with a dash for the dot"),
        pytest.param("alice", "game.x-616c696365", id="encoded without need"),
        pytest.param("Alice", "game.alice", id="in lower case"),
        pytest.param("Alice", "game.x-416c6963650", id="encoded with a digit too many"),
        pytest.param("Alice", "game.416c696365", id="encoded without the prefix"),
    ],
)
def test_a_near_miss_is_refused(judge: Kubectl, uid: str, name: str) -> None:
    (complaint,) = judge.dry_run(pod_link(name, uid=uid)).errors
    assert complaint.startswith("metadata: Invalid value: metadata.name must be game.")


def test_a_generated_name_is_refused(judge: Kubectl) -> None:
    link = pod_link()
    link["metadata"] = {"generateName": "game.alice-"}
    answer = judge.dry_run(link)
    assert answer.errors == ("metadata: Invalid value: metadata.name must be game.alice",)


def test_a_name_that_is_no_name_is_refused_by_kubernetes_itself(judge: Kubectl) -> None:
    dns, ours = judge.dry_run(pod_link("game..alice")).errors
    assert dns.startswith('metadata.name: Invalid value: "game..alice": a lowercase RFC 1123 subdomain must consist of')
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
        pytest.param("x-" + "a" * 92, id="beginning with x-"),
    ],
)
def test_a_uid_that_is_too_long_when_encoded_is_refused(judge: Kubectl, uid: str) -> None:
    answer = judge.dry_run(pod_link(encoded_name("game", uid), uid=uid))
    assert answer.errors == (f'spec.uid: Invalid value: "{uid}": {TOO_MANY_BYTES}',)


def test_a_uid_that_is_too_long_as_it_is_is_refused(judge: Kubectl) -> None:
    answer = judge.dry_run(pod_link(uid="a" * 190))
    assert answer.errors == ("spec.uid: Too long: may not be more than 189 bytes", RULES_NOT_CHECKED)
