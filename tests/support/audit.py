"""The API server's audit log: who requested what, when, and with which result."""

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
    """A request that was answered, or a watch that started or stopped.

    Attributes:
        pod: the pod that the requester's token is bound to; empty for none.
        verb: the verb, as in RBAC.
        group: the API group of the resource.
        resource: the resource with its subresource; a path for a request of no resource.
        namespace: the namespace; empty for cluster-scoped resources.
        name: the object's name; empty for a collection.
        code: the HTTP status of the response.
        received: when the API server received the request, by its clock.
        credential: the token's id, as `credential_of` returns it.
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
        """Whether the verb changes objects."""
        return self.verb not in _READS

    @property
    def is_success(self) -> bool:
        """Whether the request was successful."""
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
    """The requests of ServiceAccounts, without those of the cluster's own controllers.

    Args:
        folder: an existing folder for the log and its policy.
        only_writes: omit reads.
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
        """The API server's flags that enable the log."""
        return f"--audit-policy-file={self._policy}", f"--audit-log-path={self._file}", "--audit-log-maxsize=4096"

    def entries(self, matches: Callable[[Entry], bool] = lambda _: True) -> list[Entry]:
        """Returns the entries up to now, or those that match, in the order of arrival."""
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
    reference = event.object_ref or _Reference(resource=event.request_uri.partition("?")[0])
    (pod,) = event.user.extra.get(_POD, ("",))
    (credential,) = event.user.extra.get(_CREDENTIAL, ("",))
    return Entry(
        pod,
        event.verb,
        reference.api_group,
        f"{reference.resource}/{reference.subresource}" if reference.subresource else reference.resource,
        reference.namespace,
        reference.name,
        event.response_status.code,
        event.request_received_timestamp,
        credential,
    )


def credential_of(token: str) -> str:
    """Returns the audit log's id of a ServiceAccount's token."""
    claims = token.split(".")[1]
    return f"JTI={json.loads(urlsafe_b64decode(claims + '=' * (-len(claims) % 4)))['jti']}"
