"""What stands in a log or a trace for a user whose uid is not to be read there."""

import hashlib
import hmac

from statefulroute.domain.keys import uid_from_link_name

#: Hexadecimal digits of a hash: with a million users, two of them share one once in 37 million logs.
_DIGITS = 16

#: Marks a hash. It stands in no Kubernetes name, so that a name with a hash in it is taken for no other name.
_MARK = "~"


class UidRedactor:
    """A name for each uid, the same in every process that has the same key.

    Args:
        key: keeps those who do not have it from trying uids out; empty is no key, and the plain SHA-256.
    """

    def __init__(self, key: bytes = b"") -> None:
        self._key = key

    def redact_uid(self, uid: str) -> str:
        """What stands for a uid: a mark and the beginning of its HMAC-SHA256, or SHA-256 where there is no key."""
        data = uid.encode(errors="surrogatepass")
        digest = hmac.new(self._key, data, hashlib.sha256) if self._key else hashlib.sha256(data)
        return _MARK + digest.hexdigest()[:_DIGITS]

    def redact_link_name(self, name: str) -> str:
        """What stands for a link's name: its route's name, and what stands for its uid."""
        route, dot, rest = name.partition(".")
        return f"{route}{dot}{self.redact_uid(_uid_or_rest(name, rest))}" if dot else self.redact_uid(name)


def _uid_or_rest(name: str, rest: str) -> str:
    try:
        return uid_from_link_name(name)
    except ValueError:  # no name of a link
        return rest
