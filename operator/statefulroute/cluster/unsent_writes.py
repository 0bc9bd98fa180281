"""A client that sends no writes, for dry runs."""

from http import HTTPStatus
from typing import Any, Self

import msgspec

from statefulroute.cluster.client import Client
from statefulroute.cluster.errors import APIError, NotFoundError, api_error


class ReadOnlyClient(Client):
    """A client that sends no writes: each returns the object as it would be, or fails if others have written it."""

    @classmethod
    def sharing(cls, client: Client) -> Self:
        """Returns such a client with the connections of another one."""
        shared = cls.__new__(cls)
        vars(shared).update(vars(client))
        return shared

    async def merge_patch(self, path: str, body: bytes) -> bytes:
        """Returns the present object with a JSON merge patch (RFC 7386). Raises as the method of `Client` does."""
        patch = msgspec.json.decode(body)
        present = await self._object(path, patch.get("metadata", {}))
        return msgspec.json.encode(_merge(present, patch))

    async def post(self, path: str, body: bytes) -> bytes:
        """Returns the object that would be created. Raises as the method of `Client` does."""
        name = msgspec.json.decode(body)["metadata"].get("name")
        try:
            if name is not None:
                await self.get(f"{path}/{name}")
                raise _conflict("AlreadyExists", f"{name!r} already exists")
        except NotFoundError:
            pass
        return body

    async def delete(self, path: str, options: bytes) -> bytes:
        """Returns the object that would be deleted. Raises as the method of `Client` does."""
        return msgspec.json.encode(await self._object(path, msgspec.json.decode(options).get("preconditions", {})))

    async def _object(self, path: str, expected: dict[str, Any]) -> dict[str, Any]:
        """Returns an object that must have the expected resource version, if there is one."""
        item: dict[str, Any] = msgspec.json.decode(await self.get(path))
        if expected.get("resourceVersion") not in {None, item["metadata"]["resourceVersion"]}:
            raise _conflict("Conflict", "the object has been modified")
        return item


def _conflict(reason: str, message: str) -> APIError:
    return api_error(HTTPStatus.CONFLICT, reason, message)


def _merge(value: Any, patch: Any) -> Any:  # noqa: ANN401 - any value of JSON
    """Returns a value with a merge patch: null removes a field, and a list replaces a list."""
    if not isinstance(patch, dict):
        return patch
    merged = {**value} if isinstance(value, dict) else {}
    for name, change in patch.items():
        if change is None:
            merged.pop(name, None)
        else:
            merged[name] = _merge(merged.get(name), change)
    return merged
