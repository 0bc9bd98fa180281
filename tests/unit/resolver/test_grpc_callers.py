"""The names of callers over gRPC, by which their rates are limited, are those over HTTP."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from statefulroute.resolver.grpc.calls import Context, peer_of


class Call:
    """A call of a client."""

    def __init__(self, peer: str, certificate: Mapping[str, Sequence[bytes]]) -> None:
        self._peer = peer
        self._certificate = certificate

    def peer(self) -> str:
        return self._peer

    def auth_context(self) -> Mapping[str, Sequence[bytes]]:
        return self._certificate


@pytest.mark.parametrize(
    ("peer", "certificate", "name"),
    [
        ("ipv4:10.0.0.1:4711", {}, "10.0.0.1"),
        ("ipv6:%5Bfd00::1%5D:4711", {}, "fd00::1"),
        ("ipv6:[fd00::1]:4711", {}, "fd00::1"),
        ("ipv4:10.0.0.1:1", {"x509_common_name": [b"gateway"]}, "gateway"),
        (
            "ipv4:10.0.0.1:1",
            {"x509_common_name": [b""], "x509_subject_alternative_name": [b"spiffe://a/gateway", b"b"]},
            "spiffe://a/gateway",
        ),
    ],
)
def test_caller_has_the_same_name_as_over_http(
    peer: str, certificate: Mapping[str, Sequence[bytes]], name: str
) -> None:
    assert peer_of(cast("Context", cast("Any", Call(peer, certificate)))) == name
