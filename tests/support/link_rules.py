"""Cases of the validation rules of PodLinks.

Each rule exists twice: in the CustomResourceDefinition, and in Python for parameters and for PodLinks that were stored
before the rule existed. `tests/api/test_link_rules.py` applies the cases to an API server, `tests/unit/domain/
test_link_rules.py` to the Python rules. Both must give the same answers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from support.objects import ABSENT

INT32_MAX = 2**31 - 1

LONG_ROUTE = "r" * 63

_ROUTE_NAME = (
    "routeName must be a DNS label (lower-case letters, digits and '-', at most 63 characters): "
    "it is the name of a StatefulRoute"
)
_UID_LENGTH = (
    "uid is too long: at most 93 bytes when it holds anything but lower-case letters, digits, '-' and '.', "
    "else at most 189 characters"
)
_UID_CHARACTERS = "uid must not hold control characters"
_POD_INDEX = f"podIndex must be from 0 to {INT32_MAX}"
_POD_NAME = "podName must be a pod's name: lower-case letters, digits, '-' and '.'"
_TWO_PODS = "podIndex and podName exclude each other: name the pod by one of them"
_TTL = f"ttlSeconds must be from 1 to {INT32_MAX}"
_UID_OR_SLOT = "a PodLink needs either uid or slot: the user, or the slot of users, that it binds"
_SLOT = "slot must be from 0 to 16383"
_SLOT_TTL = "ttlSeconds needs uid: the link of a slot does not expire"
_RENEW = "renewTime needs ttlSeconds: a persistent link is not renewed"


@dataclass(frozen=True)
class LinkRuleCase:
    """A PodLink, and the message of the rule that it violates.

    Attributes:
        description: the test id.
        message: the message; None if the PodLink is valid.
        name: `metadata.name`.
        spec: fields of the spec. `routeName` is `game` and `uid` is `alice` unless set; `ABSENT` omits one.
        is_schema_error: True if the API server rejects the PodLink by the schema, with a message of its own.
    """

    description: str
    message: str | None
    name: str = "game.alice"
    spec: Mapping[str, Any] = field(default_factory=dict)
    is_schema_error: bool = False

    def __str__(self) -> str:
        return self.description


LINK_RULES = [
    LinkRuleCase("required fields only", None),
    LinkRuleCase("a uid with a dot", None, "game.a.b", {"uid": "a.b"}),
    LinkRuleCase("an encoded uid", None, "game.x-47", {"uid": "G"}),
    LinkRuleCase("the lowest pod index", None, spec={"podIndex": 0}),
    LinkRuleCase("the highest pod index", None, spec={"podIndex": INT32_MAX}),
    LinkRuleCase("a pod name", None, spec={"podName": "game-x2"}),
    LinkRuleCase("the longest pod name", None, spec={"podName": "p" * 253}),
    LinkRuleCase("the shortest TTL", None, spec={"ttlSeconds": 1}),
    LinkRuleCase("the longest TTL", None, spec={"ttlSeconds": INT32_MAX}),
    LinkRuleCase(
        "a renewed temporary link", None, spec={"podIndex": 0, "ttlSeconds": 1, "renewTime": "2026-01-01T00:00:00Z"}
    ),
    LinkRuleCase("the longest route name", None, f"{LONG_ROUTE}.alice", {"routeName": LONG_ROUTE}),
    LinkRuleCase("the longest unencoded uid", None, "game." + "a" * 189, {"uid": "a" * 189}),
    LinkRuleCase("the longest encoded uid", None, "game.x-" + "41" * 93, {"uid": "A" * 93}),
    LinkRuleCase("the first slot", None, "game.x-slot-0", {"uid": ABSENT, "slot": 0, "podIndex": 0}),
    LinkRuleCase(
        "the last slot",
        None,
        f"{LONG_ROUTE}.x-slot-16383",
        {"routeName": LONG_ROUTE, "uid": ABSENT, "slot": 16383, "podName": "game-x2"},
    ),
    # The slot.
    LinkRuleCase("neither uid nor slot", _UID_OR_SLOT, spec={"uid": ABSENT}),
    LinkRuleCase("a uid and a slot", _UID_OR_SLOT, spec={"slot": 1}),
    LinkRuleCase("a negative slot", _SLOT, "game.x-slot--1", {"uid": ABSENT, "slot": -1}),
    LinkRuleCase("a slot that is too large", _SLOT, "game.x-slot-16384", {"uid": ABSENT, "slot": 16384}),
    LinkRuleCase("a slot with a TTL", _SLOT_TTL, "game.x-slot-1", {"uid": ABSENT, "slot": 1, "ttlSeconds": 60}),
    LinkRuleCase(
        "the name of another slot", "metadata.name must be game.x-slot-1", "game.x-slot-2", {"uid": ABSENT, "slot": 1}
    ),
    LinkRuleCase(
        "a slot with a leading zero",
        "metadata.name must be game.x-slot-1",
        "game.x-slot-01",
        {"uid": ABSENT, "slot": 1},
    ),
    LinkRuleCase("the name of a slot for a uid", "metadata.name must be game.alice", "game.x-slot-1"),
    # The name.
    LinkRuleCase("the name of another uid", "metadata.name must be game.alice", "game.bob"),
    LinkRuleCase("the name of another route", "metadata.name must be game.alice", "chat.alice"),
    LinkRuleCase("a name without a route", "metadata.name must be game.alice", "alice"),
    LinkRuleCase("a needlessly encoded uid", "metadata.name must be game.alice", "game.x-616c696365"),
    LinkRuleCase("an unencoded uid", "metadata.name must be game.x-416c696365", "game.alice", {"uid": "Alice"}),
    LinkRuleCase("an unencoded uid with x-", "metadata.name must be game.x-782d31", "game.x-1", {"uid": "x-1"}),
    # The route.
    LinkRuleCase("a route name with a dot", _ROUTE_NAME, "a.b.alice", {"routeName": "a.b"}),
    LinkRuleCase("a route name in upper case", _ROUTE_NAME, spec={"routeName": "Game"}),
    LinkRuleCase("an empty route name", _ROUTE_NAME, spec={"routeName": ""}),
    LinkRuleCase("a route name with a final newline", _ROUTE_NAME, spec={"routeName": "game\n"}),
    LinkRuleCase(
        "a route name that is too long", _ROUTE_NAME, "r" * 64 + ".alice", {"routeName": "r" * 64}, is_schema_error=True
    ),
    # The uid.
    LinkRuleCase("an empty uid", "uid must not be empty", "anything", {"uid": ""}),
    LinkRuleCase("a uid with a newline", _UID_CHARACTERS, "game.x-0a", {"uid": "\n"}),
    LinkRuleCase("a uid with a final newline", _UID_CHARACTERS, "game.x-610a", {"uid": "a\n"}),
    LinkRuleCase("a uid with a NUL", _UID_CHARACTERS, "game.x-6100", {"uid": "a\0"}),
    LinkRuleCase("a uid with a DEL", _UID_CHARACTERS, "game.x-7f", {"uid": "\x7f"}),
    LinkRuleCase("a uid with a C1 control character", _UID_CHARACTERS, "game.x-61c285", {"uid": "a\x85"}),
    LinkRuleCase("an encoded uid of 94 ASCII bytes", _UID_LENGTH, "game.x-" + "41" * 94, {"uid": "A" * 94}),
    LinkRuleCase("an encoded uid of 94 UTF-8 bytes", _UID_LENGTH, "game.x-" + "c3a9" * 47, {"uid": "é" * 47}),
    LinkRuleCase(
        "a uid that starts with x- and is too long", _UID_LENGTH, "game.x-782d" + "61" * 92, {"uid": "x-" + "a" * 92}
    ),
    LinkRuleCase(
        "an unencoded uid that is too long", _UID_LENGTH, "game." + "a" * 190, {"uid": "a" * 190}, is_schema_error=True
    ),
    # The pod.
    LinkRuleCase("a negative pod index", _POD_INDEX, spec={"podIndex": -1}),
    LinkRuleCase("a pod index that is too large", _POD_INDEX, spec={"podIndex": 2**31}, is_schema_error=True),
    LinkRuleCase("a pod index and a pod name", _TWO_PODS, spec={"podIndex": 1, "podName": "game-1"}),
    *(
        LinkRuleCase(f"pod name {name!r}", _POD_NAME, spec={"podName": name})
        for name in ("", "Game", "game_1", "game 1", "-game", "game-", "game..1", "game/1", "game-1\n")
    ),
    LinkRuleCase("a pod name that is too long", _POD_NAME, spec={"podName": "p" * 254}, is_schema_error=True),
    # The TTL.
    LinkRuleCase("a TTL of 0", _TTL, spec={"ttlSeconds": 0}),
    LinkRuleCase("a negative TTL", _TTL, spec={"ttlSeconds": -1}),
    LinkRuleCase("a TTL that is too long", _TTL, spec={"ttlSeconds": 2**31}, is_schema_error=True),
    LinkRuleCase("a renewed persistent link", _RENEW, spec={"renewTime": "2026-01-01T00:00:00Z"}),
]


LINK_NAMES = {
    "letters": ("alice", "game", "game.alice"),
    "one letter": ("a", "game", "game.a"),
    "digits": ("1234567890", "game", "game.1234567890"),
    "one digit": ("0", "game", "game.0"),
    "a letter, a dash and a digit": ("a-1", "game", "game.a-1"),
    "a UUID": ("0b9f6d3c-5a43-4f0e-9c55-1c2a4a6d8e10", "game", "game.0b9f6d3c-5a43-4f0e-9c55-1c2a4a6d8e10"),
    "a dot": ("alice.smith", "game", "game.alice.smith"),
    "dots, as in a host name": ("alice.example.com", "game", "game.alice.example.com"),
    "two dashes": ("a--b", "game", "game.a--b"),
    "a label longer than a DNS label": ("a" * 64, "game", "game." + "a" * 64),
    "the longest unencoded uid": ("a" * 189, LONG_ROUTE, LONG_ROUTE + "." + "a" * 189),
    "x alone": ("x", "game", "game.x"),
    "a first label that ends in x": ("x.y", "game", "game.x.y"),
    "punycode, which starts with xn--": ("xn--bcher-kva", "game", "game.xn--bcher-kva"),
    "x- in a later label": ("a.x-1", "game", "game.a.x-1"),
    "the prefix of an encoded uid": ("x-", "game", "game.x-782d"),
    "a word that starts with the prefix": ("x-ray", "game", "game.x-782d726179"),
    "a uid that looks like a slot": ("x-slot-7", "game", "game.x-782d736c6f742d37"),
    "a uid that looks encoded": ("x-616c696365", "game", "game.x-782d36313663363936333635"),
    "an upper-case letter": ("Alice", "game", "game.x-416c696365"),
    "an underscore": ("alice_1", "game", "game.x-616c6963655f31"),
    "an inner space": ("alice smith", "game", "game.x-616c69636520736d697468"),
    "a space between single letters": ("a b", "game", "game.x-612062"),
    "a final space": ("alice ", "game", "game.x-616c69636520"),
    "only a space": (" ", "game", "game.x-20"),
    "a leading dash": ("-alice", "game", "game.x-2d616c696365"),
    "a leading dash before one letter": ("-a", "game", "game.x-2d61"),
    "a trailing dash": ("alice-", "game", "game.x-616c6963652d"),
    "a trailing dash after one letter": ("a-", "game", "game.x-612d"),
    "a leading dot": (".alice", "game", "game.x-2e616c696365"),
    "a trailing dot": ("alice.", "game", "game.x-616c6963652e"),
    "two dots": ("a..b", "game", "game.x-612e2e62"),
    "a dash before a dot": ("a-.b", "game", "game.x-612d2e62"),
    "a slash": ("room/7", "game", "game.x-726f6f6d2f37"),
    "an email address": ("alice@example.com", "game", "game.x-616c696365406578616d706c652e636f6d"),
    "a directive of a format string": ("%s", "game", "game.x-2573"),
    "quotation marks": ("\"'`", "game", "game.x-222760"),
    "a backslash": ("a\\b", "game", "game.x-615c62"),
    "an umlaut": ("ü", "game", "game.x-c3bc"),
    "an accent": ("josé", "game", "game.x-6a6f73c3a9"),
    "a combining accent": ("jose\u0301", "game", "game.x-6a6f7365cc81"),
    "Chinese": ("爱丽丝", "game", "game.x-e788b1e4b8bde4b89d"),
    "digits of another script": ("١٢٣", "game", "game.x-d9a1d9a2d9a3"),
    "an emoji": ("😀", "game", "game.x-f09f9880"),
    "another emoji": ("🎲", "game", "game.x-f09f8eb2"),
    "an emoji of several code points": ("👩‍🚀", "game", "game.x-f09f91a9e2808df09f9a80"),
    "the longest encoded uid": ("A" * 93, LONG_ROUTE, LONG_ROUTE + ".x-" + "41" * 93),
    "a route name of one digit": ("alice", "0", "0.alice"),
    "a route name with dashes": ("alice", "game-eu--1", "game-eu--1.alice"),
    "the longest route name": ("alice", LONG_ROUTE, LONG_ROUTE + ".alice"),
}
"""uid, route name, and the only valid name of the PodLink of the two."""
