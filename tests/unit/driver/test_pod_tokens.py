"""Which tokens prove which pod has them."""

import base64
import json
import time
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from statefulroute import HandOverError
from statefulroute.cluster.errors import UnreachableError
from statefulroute.driver.transfer.tokens import (
    KeysUnavailableError,
    PodIdentity,
    TokenError,
    TokenVerifier,
    read_token,
)
from support.pod_tokens import AUDIENCES, TokenIssuer, key_set

SEND, RECEIVE = AUDIENCES["send"], AUDIENCES["receive"]


class Cluster:
    """Publishes keys.

    Attributes:
        keys: what it publishes; None if it does not answer.
        reads: how often the keys were read.
        now: the time of the verifier's clock.
    """

    def __init__(self, *issuers: TokenIssuer) -> None:
        self.keys: bytes | None = key_set(*issuers)
        self.reads = 0
        self.now = 100.0
        self.verifier = TokenVerifier(self._fetch, lambda: self.now)

    async def _fetch(self) -> bytes:
        self.reads += 1
        if self.keys is None:
            raise UnreachableError("no answer")
        return self.keys


ISSUER = TokenIssuer()


async def test_token_proves_which_pod_has_it() -> None:
    cluster = Cluster(ISSUER)
    for audience in (SEND, RECEIVE):
        token = ISSUER.issue("game-1", audience)
        assert await cluster.verifier.verify(token, audience) == PodIdentity("play", "game-1", "uid-of-game-1")
    one = ISSUER.issue("game-1", SEND, aud=SEND)  # a string instead of a list
    assert (await cluster.verifier.verify(one, SEND)).name == "game-1"
    assert cluster.reads == 1


def unsigned() -> str:
    return jwt.encode({"aud": SEND, "exp": time.time() + 60}, "", algorithm="none", headers={"kid": "first"})


def signed_by_the_public_key() -> str:
    """The key of the verifier as the secret of a symmetric algorithm."""
    public = ISSUER.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    head = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "kid": "first"}).encode()).rstrip(b"=")
    body = ISSUER.issue("game-1", SEND).split(".")[1].encode()
    signature = jwt.get_algorithm_by_name("HS256").sign(head + b"." + body, public)
    return b".".join([head, body, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


def changed() -> str:
    head, body, signature = ISSUER.issue("game-1", SEND).split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    claims["kubernetes.io"]["pod"]["name"] = "game-0"
    return ".".join([head, base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode(), signature])


NOW = int(time.time())


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (ISSUER.issue("game-1", RECEIVE), "for another audience"),
        (ISSUER.issue("game-1", "https://kubernetes.default.svc"), "for another audience"),
        (ISSUER.issue("game-1", SEND, aud=[SEND, RECEIVE]), "for further audiences"),
        (ISSUER.issue("game-1", SEND, aud=None), "invalid"),
        (ISSUER.issue("game-1", SEND, exp=NOW - 60), "expired"),
        (ISSUER.issue("game-1", SEND, exp=None), "invalid"),
        (ISSUER.issue("game-1", SEND, exp="soon"), "invalid"),
        (ISSUER.issue("game-1", SEND, nbf=NOW + 86_400), "invalid"),
        (TokenIssuer("other").issue("game-1", SEND), "unknown key"),
        (TokenIssuer("first").issue("game-1", SEND), "invalid"),
        (unsigned(), "invalid"),
        (signed_by_the_public_key(), "invalid"),
        (changed(), "invalid"),
        (ISSUER.issue("game-1", SEND, **{"kubernetes.io": None}), "not bound to a pod"),
        (ISSUER.issue("game-1", SEND, **{"kubernetes.io": {"namespace": "play"}}), "not bound to a pod"),
        (ISSUER.issue("game-1", SEND, **{"kubernetes.io": {"pod": {"name": "a", "uid": "b"}}}), "not bound to a pod"),
        (
            ISSUER.issue("game-1", SEND, **{"kubernetes.io": {"namespace": "play", "pod": {"name": "", "uid": "b"}}}),
            "not bound to a pod",
        ),
        (
            ISSUER.issue("game-1", SEND, **{"kubernetes.io": {"namespace": "play", "pod": {"name": 1, "uid": 2}}}),
            "not bound to a pod",
        ),
        (ISSUER.issue("game-1", SEND, **{"kubernetes.io": [1]}), "not bound to a pod"),
        ("", "malformed"),
        ("a.b.c", "malformed"),
        ("ä.ö.ü", "malformed"),
        ("." * 100, "malformed"),
        (f"{base64.urlsafe_b64encode(b'[' * 3000).decode()}.e30.", "malformed"),
        (f"{base64.urlsafe_b64encode(b'[1]').decode()}.e30.", "malformed"),
        ("x" * 100_000, "too long"),
        (jwt.encode({}, ISSUER.key, algorithm="ES256"), "unknown key"),
        (jwt.encode({}, ISSUER.key, algorithm="ES256", headers={"kid": "\x00'; DROP"}), "unknown key"),
    ],
    ids=[f"{number}" for number in range(28)],  # the tokens differ in each process that collects the tests
)
async def test_token_that_proves_nothing(token: str, reason: str) -> None:
    cluster = Cluster(ISSUER)
    with pytest.raises(TokenError, match=reason) as refused:
        await cluster.verifier.verify(token, SEND)
    assert not token or token not in str(refused.value)


async def test_unknown_key_is_read_but_not_often() -> None:
    cluster, next_issuer = Cluster(ISSUER), TokenIssuer("second")
    await cluster.verifier.verify(ISSUER.issue("game-1", SEND), SEND)
    for _ in range(100):
        with pytest.raises(TokenError):
            await cluster.verifier.verify(next_issuer.issue("game-1", SEND), SEND)
    assert cluster.reads == 1
    cluster.keys = key_set(ISSUER, next_issuer)
    cluster.now += 11
    for issuer in (next_issuer, ISSUER, next_issuer):
        await cluster.verifier.verify(issuer.issue("game-1", SEND), SEND)
    assert cluster.reads == 2


async def test_removed_key_is_forgotten() -> None:
    cluster, next_issuer = Cluster(ISSUER), TokenIssuer("second")
    await cluster.verifier.verify(ISSUER.issue("game-1", SEND), SEND)
    cluster.keys = key_set(next_issuer)
    cluster.now += 601
    with pytest.raises(TokenError, match="unknown key"):
        await cluster.verifier.verify(ISSUER.issue("game-1", SEND), SEND)


@pytest.mark.parametrize(
    "keys", [None, b"", b"[]", b'{"keys": []}', b'{"keys": 1}', b'{"keys": [{"kty": "?"}]}', b"\xff"]
)
async def test_unreadable_keys_prove_nothing_and_are_read_again(keys: bytes | None) -> None:
    cluster = Cluster(ISSUER)
    cluster.keys = keys
    token = ISSUER.issue("game-1", SEND)
    with pytest.raises(KeysUnavailableError):
        await cluster.verifier.verify(token, SEND)
    cluster.keys = key_set(ISSUER)
    await cluster.verifier.verify(token, SEND)


def test_own_tokens_are_read_from_files(tmp_path: Path) -> None:
    (tmp_path / "send").write_text(" token\n")
    assert read_token(tmp_path, "send") == "token"
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_bytes("ä".encode())
    for name in ("receive", "empty", "text"):
        with pytest.raises(HandOverError, match="cannot read the token for hand-overs"):
            read_token(tmp_path, name)
