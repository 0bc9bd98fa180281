"""Redacts uids in logs and traces."""

import hashlib
import hmac

from statefulroute.domain.keys import is_slot_link_name, uid_from_link_name

#: The hexadecimal digits of a hash. With a million users, two of them share a hash with a probability of
#: 1 in 37 million.
_DIGITS = 16

#: Starts a hash. Kubernetes names do not contain it, so a redacted name never equals the name of an object.
_MARK = "~"


class UidRedactor:
    """Replaces uids by hashes. All processes with the same key use the same hashes.

    Args:
        key: the key of the HMAC-SHA256, which prevents guessing uids without the key; empty for plain SHA-256.
    """

    def __init__(self, key: bytes = b"") -> None:
        self._key = key

    def redact_uid(self, uid: str) -> str:
        """Returns the redacted uid: `~` and the first digits of its hash."""
        data = uid.encode(errors="surrogatepass")
        digest = hmac.new(self._key, data, hashlib.sha256) if self._key else hashlib.sha256(data)
        return _MARK + digest.hexdigest()[:_DIGITS]

    def redact_link_name(self, name: str) -> str:
        """Returns the name of a link with its uid redacted. That of a slot contains none."""
        if is_slot_link_name(name):
            return name
        route, dot, rest = name.partition(".")
        return f"{route}{dot}{self.redact_uid(_uid_or_rest(name, rest))}" if dot else self.redact_uid(name)


def _uid_or_rest(name: str, rest: str) -> str:
    try:
        return uid_from_link_name(name)
    except ValueError:  # not the name of a link
        return rest
