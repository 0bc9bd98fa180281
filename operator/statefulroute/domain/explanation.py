"""What the message of a status states, apart from its wording."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

import msgspec

#: Values of JSON. A released version must not change their meaning, because the next one compares their hash.
Facts = tuple[object, ...]


#: The code of a reason, and its values.
Reason = tuple[str | int, ...]


class NamedReason(NamedTuple):
    """A reason, and the names of the first pods that take no new users for it."""

    reason: Reason
    pods: Sequence[str]
    has_others: bool


class Explanation(NamedTuple):
    """A message and the facts that it states.

    Attributes:
        message: the message, whose wording may differ in the next version.
        facts: all that the message depends on.
    """

    message: str
    facts: Facts


def hash_facts(facts: Facts) -> str:
    """Returns a hash of facts that is the same in all versions."""
    return blake2b(msgspec.json.encode(facts), digest_size=8).hexdigest()
