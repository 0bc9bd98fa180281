"""A client of an API server that exists only in memory."""

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Self
from uuid import uuid4

import msgspec

from statefulroute.cluster.client import Client
from statefulroute.cluster.errors import ConflictError, NotFoundError, UnreachableError
from statefulroute.cluster.expiry_clock import ExpiryClock
from statefulroute.cluster.request_metrics import RequestObserver, record_request

#: An object, as in JSON.
Object = dict[str, Any]


class InMemoryClient(Client):
    """Stores objects as an API server does: with versions, conflicts, preconditions and watches. It validates nothing.

    Args:
        on_write: called after each write with the path of the collection.

    Attributes:
        is_available: whether the API server responds; if not, requests fail as if it were unreachable.
    """

    def __init__(self, on_write: Callable[[str], None]) -> None:
        # The connections of the base class are not made: every method that sends a request is replaced.
        self.is_available = True
        self.expiry_clock = ExpiryClock()
        self._on_write = on_write
        self._version = 1
        self._objects: dict[str, dict[str, Object]] = {}
        """The objects by the path of their collection and their name."""
        self._queues: dict[str, list[asyncio.Queue[_Change]]] = {}
        self._changes: dict[str, list[_Change]] = {}
        """All changes, by collection: a watch starts with those after its version."""
        self._observers: set[RequestObserver] = set()

    async def __aexit__(self, *_: object) -> None:
        pass

    def metadata_only(self) -> Self:
        """Returns this client: it always has whole objects."""
        return self

    def observed(self, observer: RequestObserver) -> Self:
        """Returns this client, which calls the observer, too."""
        self._observers.add(observer)
        return self

    def objects(self, collection: str) -> list[Object]:
        """Returns copies of the objects of a collection."""
        return copy.deepcopy(list(self._objects.get(collection, {}).values()))

    def create(self, collection: str, item: Object) -> Object:
        """Stores a new object.

        Raises:
            ConflictError: an object of this name exists.
        """
        name = item["metadata"]["name"]
        members = self._objects.setdefault(collection, {})
        if name in members:
            raise ConflictError(HTTPStatus.CONFLICT, "AlreadyExists", f"{name!r} exists")
        namespace = collection.split("/namespaces/")[1].split("/", maxsplit=1)[0]
        created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        metadata = {"namespace": namespace, "uid": str(uuid4()), "generation": 1, "creationTimestamp": created}
        return self._store(collection, {**item, "metadata": metadata | item["metadata"]}, None)

    def update(self, collection: str, name: str, change: Mapping[str, Any]) -> Object:
        """Applies a JSON merge patch.

        Raises:
            NotFoundError: the object does not exist.
            ConflictError: the patch has another resourceVersion than the object.
        """
        item = self._find(collection, name)
        version = change.get("metadata", {}).get("resourceVersion")
        if version is not None and version != item["metadata"]["resourceVersion"]:
            raise ConflictError(HTTPStatus.CONFLICT, "Conflict", f"{name!r} has changed")
        changed = _merged(item, change)
        if changed.get("spec") != item.get("spec"):
            changed["metadata"] = {**changed["metadata"], "generation": item["metadata"]["generation"] + 1}
        return self._store(collection, changed, item)

    def remove(self, collection: str, name: str, version: str | None = None) -> None:
        """Deletes an object, if it has the version. Raises as `update` does."""
        item = self._find(collection, name)
        if version is not None and version != item["metadata"]["resourceVersion"]:
            raise ConflictError(HTTPStatus.CONFLICT, "Conflict", f"{name!r} has changed")
        del self._objects[collection][name]
        self._store(collection, item, item, is_deleted=True)

    # The requests of a client.

    async def get(self, path: str, params: Mapping[str, str] | None = None, *, attempts: int | None = None) -> bytes:
        """Returns an object or a list, which may be that at an earlier version."""
        del attempts
        await self._answer("GET", path)
        if _is_collection(path):
            params = params or {}
            version = self._version
            objects = self._objects.get(path, {})
            if params.get("resourceVersionMatch") == "Exact":
                version = int(params["resourceVersion"])
                objects = self._objects_at(path, version)
            items = [item for item in objects.values() if _is_selected(item, params)]
            return msgspec.json.encode({"metadata": {"resourceVersion": str(version)}, "items": items})
        return msgspec.json.encode(self._find(*_split(path)))

    async def post(self, path: str, body: bytes) -> bytes:
        """Creates an object."""
        await self._answer("POST", path)
        return msgspec.json.encode(self.create(path, msgspec.json.decode(body)))

    async def merge_patch(self, path: str, body: bytes) -> bytes:
        """Changes an object."""
        await self._answer("PATCH", path)
        return msgspec.json.encode(self.update(*_split(path), msgspec.json.decode(body)))

    async def delete(self, path: str, options: bytes) -> bytes:
        """Deletes an object."""
        await self._answer("DELETE", path)
        preconditions = msgspec.json.decode(options).get("preconditions") or {}
        self.remove(*_split(path), preconditions.get("resourceVersion"))
        return b"{}"

    @asynccontextmanager
    async def watch(self, path: str, params: Mapping[str, str]) -> AsyncIterator[AsyncIterator[bytes]]:
        """Yields the events of a collection after a version."""
        await self._answer("GET", path, is_watch=True)
        queue: asyncio.Queue[_Change] = asyncio.Queue()
        for change in self._changes.get(path, ()):
            if change.version > int(params["resourceVersion"]):
                queue.put_nowait(change)
        self._queues.setdefault(path, []).append(queue)

        async def lines() -> AsyncIterator[bytes]:
            while True:
                event = (await queue.get()).event(params)
                if event is not None:
                    yield msgspec.json.encode(event)

        try:
            yield lines()
        finally:
            self._queues[path].remove(queue)

    async def _answer(self, method: str, path: str, *, is_watch: bool = False) -> None:
        await asyncio.sleep(0)
        code = HTTPStatus.OK if self.is_available else None
        self.expiry_clock.observe(code)
        for observe in self._observers:
            observe(record_request(method, path, is_watch=is_watch, code=code, seconds=0.0))
        if not self.is_available:
            raise UnreachableError(f"{method} {path}: the cluster in memory is not available")

    def _find(self, collection: str, name: str) -> Object:
        item = self._objects.get(collection, {}).get(name)
        if item is None:
            raise NotFoundError(HTTPStatus.NOT_FOUND, "NotFound", f"{name!r} not found")
        return item

    def _objects_at(self, collection: str, version: int) -> dict[str, Object]:
        objects: dict[str, Object] = {}
        for change in self._changes.get(collection, ()):
            if change.version > version:
                break
            if change.new is not None:
                objects[change.new["metadata"]["name"]] = change.new
            elif change.old is not None:
                del objects[change.old["metadata"]["name"]]
        return objects

    def _store(self, collection: str, item: Object, old: Object | None, *, is_deleted: bool = False) -> Object:
        self._version += 1
        item = copy.deepcopy(item)
        item["metadata"]["resourceVersion"] = str(self._version)
        if not is_deleted:
            self._objects[collection][item["metadata"]["name"]] = item
        change = _Change(self._version, old, None if is_deleted else item)
        self._changes.setdefault(collection, []).append(change)
        for queue in self._queues.get(collection, ()):
            queue.put_nowait(change)
        self._on_write(collection)
        return item


@dataclass(frozen=True, slots=True)
class _Change:
    """A change of an object.

    Attributes:
        version: the resource version of the change.
        old: the object before; None if it was created.
        new: the object after; None if it was deleted.
    """

    version: int
    old: Object | None
    new: Object | None

    def event(self, params: Mapping[str, str]) -> Object | None:
        """Returns the event for a watch, for which an object that it does not select does not exist; or None."""
        was = self.old is not None and _is_selected(self.old, params)
        if self.new is not None and _is_selected(self.new, params):
            return {"type": "MODIFIED" if was else "ADDED", "object": self.new}
        if self.old is None or not was:
            return None
        metadata = {**self.old["metadata"], "resourceVersion": str(self.version)}
        return {"type": "DELETED", "object": {**self.old, "metadata": metadata}}


def _is_collection(path: str) -> bool:
    return len(path.split("/namespaces/")[1].split("/")) == 2  # noqa: PLR2004 - the namespace and the plural


def _split(path: str) -> tuple[str, str]:
    collection, _, name = path.rpartition("/")
    return collection, name


def _is_selected(item: Object, params: Mapping[str, str]) -> bool:
    parts = params.get("fieldSelector", "").split(",")
    return all(_field(item, name) == value for name, _, value in (part.partition("=") for part in parts if part))


def _field(item: Object, path: str) -> str:
    found: Any = item
    for part in path.split("."):
        found = found.get(part, {})
    return "" if found == {} else str(found)


def _merged(value: Any, change: Any) -> Any:  # noqa: ANN401 - JSON values
    """Applies a JSON merge patch (RFC 7386)."""
    if not isinstance(change, Mapping):
        return change
    result = dict(value) if isinstance(value, Mapping) else {}
    for name, part in change.items():
        if part is None:
            result.pop(name, None)
        else:
            result[name] = _merged(result.get(name), part)
    return result
