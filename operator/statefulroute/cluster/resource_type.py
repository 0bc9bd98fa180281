"""A kind of object as it comes over the wire: where it is listed, and how its bytes become values."""

from collections.abc import Callable, Hashable, Mapping
from copy import copy
from typing import Any, Generic, Self, TypeVar

import msgspec
import structlog

from statefulroute.cluster.cache import Cached
from statefulroute.cluster.pager import ListMetadata
from statefulroute.domain.keys import RouteKey

T = TypeVar("T", bound=Cached)
W = TypeVar("W")

log = structlog.get_logger(__name__)


class _List(msgspec.Struct, Generic[W]):
    metadata: ListMetadata
    items: list[W] | None


class Page(msgspec.Struct, Generic[T]):
    """One page of a list.

    Attributes:
        items: the objects.
        resource_version: the moment of which the list is.
    """

    items: list[T]
    resource_version: int


class ResourceType(Generic[T]):
    """A kind of object.

    Attributes:
        path: where the API server lists them.
        selector_params: the parameters of a list or a watch that select some of them.
        namespace: the one that they are in; None where they may be in any, or in none.

    Args:
        path: where the API server lists all of them.
        wire: the msgspec type of those fields that are needed; other fields are skipped unread.
        make: makes the value that the rules work with.
    """

    def __init__(self, path: str, wire: type[W], make: Callable[[W], T]) -> None:
        self.path = path
        self.selector_params: Mapping[str, str] = {}
        self.namespace: str | None = None
        self._make: Callable[[Any], T] = make
        self._wire: type[Any] = wire
        self._object_decoder = msgspec.json.Decoder(wire)
        self._list_decoder = msgspec.json.Decoder(_List[wire])  # type: ignore[valid-type] # a type made at run time
        self._raw_list_decoder = msgspec.json.Decoder(_List[msgspec.Raw])

    def in_namespace(self, namespace: str, field_selector: str = "") -> Self:
        """The same kind in one namespace.

        Args:
            namespace: the namespace.
            field_selector: a field selector; empty selects all.
        """
        collection, _, plural = self.path.rpartition("/")
        scoped = copy(self)
        scoped.path = f"{collection}/namespaces/{namespace}/{plural}"
        scoped.selector_params = {"fieldSelector": field_selector} if field_selector else {}
        scoped.namespace = namespace
        return scoped

    def covers(self, partition: Hashable) -> bool:
        """Whether the objects of a group of the cache may be among these: a group lies in one namespace."""
        return self.namespace in {None, partition.namespace if isinstance(partition, RouteKey) else partition}

    def decode(self, data: bytes | msgspec.Raw) -> T:
        """One object.

        Raises:
            ValueError: it is not of this kind's form.
        """
        return self._make(self._object_decoder.decode(data))

    def convert(self, body: Mapping[str, Any]) -> T:
        """One object that is decoded already.

        Raises:
            ValueError: it is not of this kind's form.
        """
        return self._make(msgspec.convert(body, self._wire))

    def decode_page(self, data: bytes) -> Page[T]:
        """A page of a list. Objects that are not of this kind's form are left out, and the log says so."""
        try:
            listed = self._list_decoder.decode(data)
            items = [self._make(item) for item in listed.items or ()]
        except (ValueError, RecursionError):  # at least one is malformed: find out which
            listed = self._raw_list_decoder.decode(data)
            items = [item for raw in listed.items or () if (item := self.decode_or_skip(raw)) is not None]
        return Page(items, int(listed.metadata.resource_version))

    def decode_or_skip(self, data: bytes | msgspec.Raw) -> T | None:
        """One object, or None (and a line in the log) where it is not of this kind's form."""
        try:
            return self.decode(data)
        except (ValueError, RecursionError) as error:  # the latter of brackets in brackets
            named = _log_fields(self.path, data)
            log.warning("a malformed object is ignored", resource=self.path, **named, error=str(error))
            return None


class _Metadata(msgspec.Struct):
    namespace: str = ""
    name: str = ""


class _Named(msgspec.Struct):
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


_name_decoder = msgspec.json.Decoder(_Named)


def _log_fields(path: str, data: bytes | msgspec.Raw) -> Mapping[str, str]:
    """The fields by which the log names an object, as far as its name can be read; a link's may have to be hidden."""
    try:
        metadata = _name_decoder.decode(data).metadata
    except (ValueError, RecursionError):
        return {}
    return {"namespace": metadata.namespace, "link" if path.endswith("/podlinks") else "name": metadata.name}
