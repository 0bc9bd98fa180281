"""The callers whose requests are held."""

from collections.abc import Callable
from typing import Protocol


class Caller(Protocol):
    """The caller of one request."""

    @property
    def name(self) -> str:
        """The user of its token, the name in its certificate, or its address."""

    def hold(self, on_disconnect: Callable[[], object]) -> None:
        """Records that the request is held, and calls a function once the caller has closed the connection.

        A protocol that cancels the task of such a request does not call it.
        """
