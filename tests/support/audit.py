"""The API server's audit log: who asked for what, when, and what came of it."""

import json
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

_POD = "authentication.kubernetes.io/pod-name"

_CREDENTIAL = "authentication.kubernetes.io/credential-id"

_READS = frozenset({"get", "list", "watch"})
_WRITES = ["create", "update", "patch", "delete", "deletecollection"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A request that was answered, or a watch that has begun or ended.

    Attributes:
        pod: the pod to which the token of whoever asked is bound; empty where it is to none.
        verb: as RBAC has it.
        group: the API group of what was asked for.
        resource: what was asked for, with its subresource; a path for what is no resource.
        namespace: where it is; empty for what is in none.
        name: its name; empty for a collection.
        code: the answer's status.
        received: when the API server had the request, by its own clock.
        credential: the token's id, as `credential_of` gives it.
    """

    pod: str
    verb: str
    group: str
    resource: str
    namespace: str
    name: str
    code: int
    received: datetime
    credential: str = ""

    @property
    def is_write(self) -> bool:
        """Whether something was to be changed."""
        return self.verb not in _READS

    @property
    def is_success(self) -> bool:
        """Whether it was granted."""
        return self.code < 400


class _User(msgspec.Struct):
    extra: Mapping[str, Sequence[str]] = {}


class _Reference(msgspec.Struct, rename="camel"):
    resource: str = ""
    subresource: str = ""
    api_group: str = ""
    namespace: str = ""
    name: str = ""


class _Status(msgspec.Struct):
    code: int = 0


class _Event(msgspec.Struct, rename="camel"):
    verb: str
    user: _User
    request_received_timestamp: datetime
    request_uri: str = msgspec.field(name="requestURI")
    object_ref: _Reference | None = None
    response_status: _Status = msgspec.field(default_factory=_Status)


_decoder = msgspec.json.Decoder(_Event)


class AuditLog:
    """What ServiceAccounts have asked for; not those of the cluster's own controllers.

    Args:
        folder: where the log and its policy are; it exists.
        only_writes: leave out who reads.
    """

    def __init__(self, folder: Path, *, only_writes: bool = False) -> None:
        self._file = folder / "audit.log"
        self._policy = folder / "policy.json"
        self._read_bytes = 0
        self._entries: list[Entry] = []
        rules: list[Mapping[str, Any]] = [
            {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]},
            {"level": "Metadata", "userGroups": ["system:serviceaccounts"], "verbs": _WRITES if only_writes else []},
            {"level": "None"},
        ]
        policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": rules}
        self._policy.write_text(json.dumps(policy))

    @property
    def flags(self) -> tuple[str, ...]:
        """The API server's flags that make it write the log."""
        return f"--audit-policy-file={self._policy}", f"--audit-log-path={self._file}", "--audit-log-maxsize=4096"

    def entries(self, matches: Callable[[Entry], bool] = lambda _: True) -> list[Entry]:
        """What was answered up to now, or those entries of which something holds, in the order of arrival."""
        self._entries += self._new_lines()
        return sorted(filter(matches, self._entries), key=lambda entry: entry.received)

    def _new_lines(self) -> Iterator[Entry]:
        if not self._file.exists():
            return
        with self._file.open("rb") as log:
            log.seek(self._read_bytes)
            complete, _, _ = log.read().rpartition(b"\n")
        self._read_bytes += len(complete) + bool(complete)
        yield from map(_entry, complete.splitlines())


def _entry(line: bytes) -> Entry:
    event = _decoder.decode(line)
    asked = event.object_ref or _Reference(resource=event.request_uri.partition("?")[0])
    (pod,) = event.user.extra.get(_POD, ("",))
    (credential,) = event.user.extra.get(_CREDENTIAL, ("",))
    return Entry(
        pod,
        event.verb,
        asked.api_group,
        f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource,
        asked.namespace,
        asked.name,
        event.response_status.code,
        event.request_received_timestamp,
        credential,
    )


def credential_of(token: str) -> str:
    """What the log calls a ServiceAccount's token."""
    claims = token.split(".")[1]
    return f"JTI={json.loads(urlsafe_b64decode(claims + '=' * (-len(claims) % 4)))['jti']}"
