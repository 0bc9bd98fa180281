"""A queue of one route in which callers take turns."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from statefulroute.domain.fair_queue import Rounds

T = TypeVar("T", bound=Hashable)


class CallerQueue(Generic[T]):
    """Items that wait, each for one caller or for several: callers take turns, and each one's items keep their order.

    However many items one caller waits for, an item of another caller waits for one of each caller at most. An item
    for which several callers wait has its place in the line of each, and is served once.
    """

    def __init__(self) -> None:
        self._lines: dict[str, OrderedDict[T, None]] = {}
        self._callers: dict[T, set[str]] = {}
        self._rounds: Rounds[str] = Rounds()

    def __len__(self) -> int:
        """Returns the number of items that wait."""
        return len(self._callers)

    def add(self, caller: str, item: T) -> None:
        """Adds an item as the last one of a caller, unless the caller waits for it already."""
        line = self._lines.get(caller)
        if line is None:
            line = self._lines[caller] = OrderedDict()
            self._rounds.add(caller)
        line.setdefault(item)
        self._callers.setdefault(item, set()).add(caller)

    def pop(self) -> T | None:
        """Removes the next item; returns None if nothing waits."""
        caller = next(iter(self._rounds), None)
        if caller is None:
            return None
        item = next(iter(self._lines[caller]))
        waits_again = len(self._lines[caller]) > 1
        if not waits_again:
            del self._lines[caller]
        else:
            del self._lines[caller][item]
        self._rounds.serve(caller, waits_again=waits_again)
        self._callers[item].discard(caller)
        self.discard(item)
        return item

    def discard(self, item: T) -> None:
        """Removes an item from the lines of all callers, if it waits."""
        for caller in self._callers.pop(item, ()):
            self._remove(caller, item)

    def leave(self, caller: str, item: T) -> None:
        """Ends the wait of one caller for an item, if it waits. The item stays if another caller waits for it."""
        callers = self._callers.get(item)
        if callers is None or caller not in callers:
            return
        callers.discard(caller)
        if not callers:
            del self._callers[item]
        self._remove(caller, item)

    def _remove(self, caller: str, item: T) -> None:
        line = self._lines[caller]
        del line[item]
        if not line:
            del self._lines[caller]
            self._rounds.discard(caller)
