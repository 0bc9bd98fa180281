"""A type of Kubernetes objects: the path of their list, and the decoder from JSON to domain values."""

from collections.abc import Callable, Hashable, Mapping
from copy import copy
from typing import Any, Generic, Self, TypeVar

import msgspec

from statefulroute.cluster.cache import Cached
from statefulroute.cluster.field_logger import get_logger
from statefulroute.cluster.pager import ListMetadata
from statefulroute.domain.keys import RouteKey

T = TypeVar("T", bound=Cached)
W = TypeVar("W")

log = get_logger(__name__)


class _List(msgspec.Struct, Generic[W]):
    metadata: ListMetadata
    items: list[W] | None


class Page(msgspec.Struct, Generic[T]):
    """One page of a list.

    Attributes:
        items: the objects.
        resource_version: the resource version of the list.
    """

    items: list[T]
    resource_version: int


class ResourceType(Generic[T]):
    """A type of objects, in all namespaces or in one.

    Attributes:
        path: the path of the list.
        selector_params: the parameters of a list or a watch that select objects.
        namespace: the namespace of the objects; None for all namespaces, and for cluster-scoped objects.

    Args:
        path: the path of the list of all objects.
        object_type: the msgspec type of the needed fields; the decoder skips all others.
        make: converts an object of that type into a domain value.
    """

    def __init__(self, path: str, object_type: type[W], make: Callable[[W], T]) -> None:
        self.path = path
        self.selector_params: Mapping[str, str] = {}
        self.namespace: str | None = None
        self._make: Callable[[Any], T] = make
        self._object_type: type[Any] = object_type
        self._object_decoder = msgspec.json.Decoder(object_type)
        self._list_decoder = msgspec.json.Decoder(_List[object_type])  # type: ignore[valid-type] # a type created at run time
        self._raw_list_decoder = msgspec.json.Decoder(_List[msgspec.Raw])

    def in_namespace(self, namespace: str, field_selector: str = "") -> Self:
        """Returns the same type of objects in one namespace.

        Args:
            namespace: the namespace.
            field_selector: selects objects by their fields; empty selects all.
        """
        collection, _, plural = self.path.rpartition("/")
        scoped = copy(self)
        scoped.path = f"{collection}/namespaces/{namespace}/{plural}"
        scoped.selector_params = {"fieldSelector": field_selector} if field_selector else {}
        scoped.namespace = namespace
        return scoped

    def covers(self, partition: Hashable) -> bool:
        """Returns whether this type includes the objects of a partition of a cache: each is in one namespace."""
        return self.namespace in {None, partition.namespace if isinstance(partition, RouteKey) else partition}

    def decode(self, data: bytes | msgspec.Raw) -> T:
        """Decodes an object.

        Raises:
            ValueError: the object is malformed.
        """
        return self._make(self._object_decoder.decode(data))

    def convert(self, body: Mapping[str, Any]) -> T:
        """Converts an object that is already decoded from JSON.

        Raises:
            ValueError: the object is malformed.
        """
        return self._make(msgspec.convert(body, self._object_type))

    def decode_page(self, data: bytes) -> Page[T]:
        """Decodes a page of a list. Malformed objects are logged and left out."""
        try:
            listed = self._list_decoder.decode(data)
            items = [self._make(item) for item in listed.items or ()]
        except (ValueError, RecursionError):  # at least one object is malformed: decode one by one
            listed = self._raw_list_decoder.decode(data)
            items = [item for raw in listed.items or () if (item := self.decode_or_skip(raw)) is not None]
        return Page(items, int(listed.metadata.resource_version))

    def decode_only(self, data: bytes) -> tuple[T | None, int]:
        """Decodes a list of at most one object; returns the object and the resource version of the list.

        Raises:
            ValueError: the object is malformed.
        """
        listed = self._list_decoder.decode(data)
        item: T | None = next(map(self._make, listed.items or ()), None)
        return item, int(listed.metadata.resource_version)

    def decode_or_skip(self, data: bytes | msgspec.Raw) -> T | None:
        """Decodes an object; logs a malformed object and returns None."""
        try:
            return self.decode(data)
        except (ValueError, RecursionError) as error:  # RecursionError: deeply nested JSON
            fields = _log_fields(self.path, data)
            log.warning("a malformed object is ignored", resource=self.path, **fields, error=str(error))
            return None


class _Metadata(msgspec.Struct):
    namespace: str = ""
    name: str = ""


class _NamedObject(msgspec.Struct):
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


_name_decoder = msgspec.json.Decoder(_NamedObject)


def _log_fields(path: str, data: bytes | msgspec.Raw) -> Mapping[str, str]:
    """Returns the log fields for an object, if its name can be decoded. The log redacts the field `link`."""
    try:
        metadata = _name_decoder.decode(data).metadata
    except (ValueError, RecursionError):
        return {}
    return {"namespace": metadata.namespace, "link" if path.endswith("/podlinks") else "name": metadata.name}
