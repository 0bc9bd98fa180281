"""The state of a user: which writes it contains, as a number and a digest, and 64 KiB that depend on both."""

import hashlib
from dataclasses import dataclass, replace
from typing import Self

#: The size of an encoded state, in bytes.
SIZE = 64 * 1024


@dataclass(frozen=True, slots=True)
class State:
    """The state of a user.

    Attributes:
        uid: the user.
        number: the number of the last write that it contains; 0 for none.
        digest: a digest of the numbers of all writes that it contains, in their order.
    """

    uid: str
    number: int = 0
    digest: str = ""

    def after(self, number: int) -> Self:
        """Returns the state after a write, which may be a repetition of the last one."""
        if number == self.number:
            return self
        return replace(self, number=number, digest=_digest(f"{self.digest} {self.uid} {number}"))

    def encode(self) -> bytes:
        """Returns the state as bytes, of which each depends on the writes."""
        head = f"{self.uid} {self.number} {self.digest} ".encode()
        return (head * (SIZE // len(head) + 1))[:SIZE]

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Returns the state in bytes.

        Raises:
            ValueError: the bytes are no encoded state, or not a whole one.
        """
        uid, number, digest = data[:1000].decode().split(" ")[:3]
        state = cls(uid, int(number), digest)
        if state.encode() != data:
            raise ValueError(f"the state of {uid!r} is damaged: {len(data)} bytes")
        return state


class Expected:
    """The digests of states that contain all writes.

    Args:
        uid: the user.
    """

    def __init__(self, uid: str) -> None:
        self._states = [State(uid)]

    def digest(self, number: int) -> str:
        """Returns the digest of the state that contains all writes up to a number."""
        while len(self._states) <= number:
            self._states.append(self._states[-1].after(len(self._states)))
        return self._states[number].digest


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
