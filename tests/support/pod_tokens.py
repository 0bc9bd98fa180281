"""Tokens of pods, signed by a key of the test in place of the cluster's."""

import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from statefulroute.driver.transfer.tokens import RECEIVE_AUDIENCE, SEND_AUDIENCE

AUDIENCES = {"send": SEND_AUDIENCE, "receive": RECEIVE_AUDIENCE}


class TokenIssuer:
    """Issues tokens as the API server does.

    Args:
        key_id: the id of the key.

    Attributes:
        key: the private key.
        key_id: its id.
    """

    def __init__(self, key_id: str = "first") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.key_id = key_id

    def issue(self, pod: str, audience: str, **claims: Any) -> str:
        """Returns a token of a pod in `play`, whose UID is `uid-of-<pod>`.

        Args:
            pod: the name of the pod.
            audience: what it is for.
            claims: further claims, which replace those of the token; None removes one.
        """
        now = int(time.time())
        cluster = {
            "namespace": "play",
            "pod": {"name": pod, "uid": f"uid-of-{pod}"},
            "serviceaccount": {"name": "game", "uid": "uid-of-account"},
        }
        whole = {
            "aud": [audience],
            "exp": now + 86_400,
            "iat": now,
            "nbf": now,
            "iss": "https://kubernetes.default.svc",
            "sub": "system:serviceaccount:play:game",
            "kubernetes.io": cluster,
        } | claims
        whole = {name: value for name, value in whole.items() if value is not None}
        return jwt.encode(whole, self.key, algorithm="ES256", headers={"kid": self.key_id})

    @property
    def public_key(self) -> dict[str, Any]:
        """The public key, as a JSON Web Key."""
        algorithm = jwt.get_algorithm_by_name("ES256")
        public: dict[str, Any] = json.loads(algorithm.to_jwk(self.key.public_key()))
        return public | {"kid": self.key_id, "alg": "ES256", "use": "sig"}


def key_set(*issuers: TokenIssuer) -> bytes:
    """Returns the public keys of issuers, as the API server publishes them."""
    return json.dumps({"keys": [issuer.public_key for issuer in issuers]}).encode()
