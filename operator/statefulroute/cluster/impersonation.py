"""The user that requests are made as, instead of that of the credentials, as by client-go."""

import string
from collections.abc import Iterator, Mapping
from typing import Any, Self

import msgspec

from statefulroute.cluster.errors import NotConnectedError

#: The bytes of a header's name; client-go percent-encodes all others, and the percent sign itself.
_NAME_BYTES = frozenset((string.ascii_letters + string.digits + "!#$&'*+-.^_`|~").encode())


class Impersonation(msgspec.Struct, frozen=True, kw_only=True):
    """The user that requests are made as; the fields have the names of a kubeconfig's user.

    Attributes:
        user: the name of the user; empty makes requests as the user of the credentials.
        uid: its uid.
        groups: its groups.
        extra: further values of it, by key.
    """

    user: str = msgspec.field(default="", name="as")
    uid: str = msgspec.field(default="", name="as-uid")
    groups: tuple[str, ...] = msgspec.field(default=(), name="as-groups")
    extra: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict, name="as-user-extra")

    @classmethod
    def from_kubeconfig(cls, user: Mapping[str, Any] | None) -> Self:
        """Returns the impersonation in a user of a kubeconfig.

        Raises:
            msgspec.ValidationError: a field has the wrong type.
        """
        fields = {name: (user or {}).get(name) for name in KUBECONFIG_FIELDS}
        return msgspec.convert({name: value for name, value in fields.items() if value is not None}, cls)

    def override(self, other: Self) -> Self:
        """Returns this impersonation with the fields that the other one sets."""
        return type(self)(
            user=other.user or self.user,
            uid=other.uid or self.uid,
            groups=other.groups or self.groups,
            extra=self.extra | other.extra,
        )

    def headers(self) -> tuple[tuple[str, str], ...]:
        """Returns the headers of each request.

        Raises:
            NotConnectedError: a value cannot be sent in a header, or there is a group, uid or extra value without a
                user.
        """
        headers = tuple(self._headers())
        if headers and not self.user:
            raise NotConnectedError("a group, a uid or extra values to impersonate need a user: name it with --as")
        for _, value in headers:
            if any(character in value for character in "\r\n\0"):
                raise NotConnectedError(f"{value!r} cannot be impersonated: it has several lines")
        return headers

    def _headers(self) -> Iterator[tuple[str, str]]:
        if self.user:
            yield "Impersonate-User", self.user
        if self.uid:
            yield "Impersonate-Uid", self.uid
        for group in self.groups:
            yield "Impersonate-Group", group
        for key, values in self.extra.items():
            for value in values:
                yield f"Impersonate-Extra-{_header_key(key)}", value


KUBECONFIG_FIELDS = tuple(field.encode_name for field in msgspec.structs.fields(Impersonation))
"""The names of the fields in a user of a kubeconfig."""


def _header_key(key: str) -> str:
    return "".join(chr(byte) if byte in _NAME_BYTES else f"%{byte:02X}" for byte in key.encode())
