"""The places of look-ups that are held: a limited number, shared by namespaces, routes and callers."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

from statefulroute.domain.keys import RouteKey

T = TypeVar("T", bound=Hashable)


class _Owner(NamedTuple):
    """Who holds a place: a caller, for a route of a namespace."""

    namespace: str
    route: RouteKey
    caller: str


class _Share(Generic[T]):
    """The places of a namespace, of a route in it, or of a caller of this route."""

    __slots__ = ("count", "items", "parts")

    def __init__(self) -> None:
        self.count = 0
        self.parts: dict[Hashable, _Share[T]] = {}
        """The shares that this one consists of, by their names; empty for that of a caller."""
        self.items: OrderedDict[T, None] = OrderedDict()
        """What holds the places, the latest last; empty except for the share of a caller."""


class HeldPlaces(Generic[T]):
    """A limited number of places, of which each item takes one.

    While there are free places, every item gets one. Then a new item gets the place of another one: of the namespace
    with the most places, in it of the route with the most, and of the caller with the most for this route, the latest
    item. FQ-CoDel (RFC 8290) drops packets of the longest queue in this way. A new item is refused if its own caller
    would have the most places. So a single caller may use all places, and n callers of one route that need more have
    an nth each. The shares are those of routes first: a caller of many namespaces may have a place in each.

    Args:
        total: the number of places, at least 1.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._all: _Share[T] = _Share()

    def __len__(self) -> int:
        """Returns the number of places that are taken."""
        return self._all.count

    def take(self, route: RouteKey, caller: str, item: T) -> T | None:
        """Gives a place to an item that has none.

        Args:
            route: the route that the item waits for.
            caller: the name of the caller that waits.
            item: the item.

        Returns:
            The item that has no place now: None if there was a free one, an item that had one until now, or the new
            item itself.
        """
        owner = _Owner(route.namespace, route, caller)
        lost = None
        if self._all.count >= self._total:
            loser = self._owner_of_most(owner)
            if loser == owner:
                return item
            lost = next(reversed(self._shares(loser)[-1].items))
            self._remove(loser, lost)
        shares = [self._all]
        for name in owner:
            shares.append(shares[-1].parts.setdefault(name, _Share()))
        for share in shares:
            share.count += 1
        shares[-1].items[item] = None
        return lost

    def release(self, route: RouteKey, caller: str, item: T) -> bool:
        """Frees the place of an item; returns whether it had one. The arguments are those of `take`."""
        owner = _Owner(route.namespace, route, caller)
        shares = self._shares(owner)
        if len(shares) <= len(owner) or item not in shares[-1].items:
            return False
        self._remove(owner, item)
        return True

    def _owner_of_most(self, newcomer: _Owner) -> _Owner:
        """Returns the owner of the most places, level by level, as if the newcomer had one more.

        Of equal ones it is the newcomer, who is then refused. Only called when all places are taken.
        """
        share: _Share[T] | None = self._all
        names: list[Hashable] = []
        is_newcomer = True
        for own in newcomer:
            parts = {} if share is None else share.parts
            most = max(parts, key=lambda name: parts[name].count, default=own)
            own_part = parts.get(own)
            own_count = 1 + (0 if own_part is None else own_part.count)
            if is_newcomer and (most not in parts or own_count >= parts[most].count):
                most = own
            else:
                is_newcomer = False
            names.append(most)
            share = parts.get(most)
        return _Owner(*names)  # type: ignore[arg-type]  # the names of each level

    def _shares(self, owner: _Owner) -> list[_Share[T]]:
        """Returns the shares from that of all to that of an owner, as far as they exist."""
        shares = [self._all]
        for name in owner:
            part = shares[-1].parts.get(name)
            if part is None:
                break
            shares.append(part)
        return shares

    def _remove(self, owner: _Owner, item: T) -> None:
        shares = self._shares(owner)
        del shares[-1].items[item]
        for share in shares:
            share.count -= 1
        for share, name in zip(shares, owner, strict=False):
            if not share.parts[name].count:
                del share.parts[name]
                break
