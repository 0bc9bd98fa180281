"""Reads and writes links with the independent client."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pykube.exceptions import ObjectDoesNotExist

from statefulroute.domain.keys import PodKey
from support.independent_client import IndependentClient, PodLink
from support.objects import pod_link

#: The TTL in seconds of the temporary links in the tests.
TTL = 600


@dataclass(frozen=True, slots=True)
class StoredSpec:
    """The spec of a stored link.

    Attributes:
        pod: the index or the name of its pod; None leaves the choice to the operator.
        ttl: its TTL in seconds; None is persistent.
        age: the seconds since its renewal; None if it was never renewed.
    """

    pod: PodKey | None
    ttl: int | None = None
    age: float | None = None


@dataclass(frozen=True, slots=True)
class StoredLinks:
    """The links of one namespace at one time."""

    independent_client: IndependentClient
    namespace: str
    now: datetime

    def create(self, uid: str, stored: StoredSpec, **spec: Any) -> int:
        """Creates a link; returns its resource version."""
        field = "podName" if isinstance(stored.pod, str) else "podIndex"
        fields: dict[str, Any] = {field: stored.pod, "ttlSeconds": stored.ttl}
        if stored.age is not None:
            fields["renewTime"] = (self.now - timedelta(seconds=stored.age)).isoformat()
        set_fields = {name: value for name, value in fields.items() if value is not None}
        created = self.independent_client.create(pod_link(uid=uid, **set_fields, **spec), self.namespace)
        return int(created["metadata"]["resourceVersion"])

    def patch_spec(self, uid: str, **spec: Any) -> None:
        """Patches fields of a link's spec."""
        self.independent_client.patch(PodLink, f"game.{uid}", self.namespace, {"spec": spec})

    def delete(self, uid: str) -> None:
        """Deletes a link."""
        self.independent_client.delete(PodLink, f"game.{uid}", self.namespace)

    def get(self, uid: str) -> dict[str, Any] | None:
        """Returns a stored link, or None."""
        try:
            return self.independent_client.get(PodLink, f"game.{uid}", self.namespace)
        except ObjectDoesNotExist:
            return None

    def get_spec(self, uid: str) -> StoredSpec | None:
        """Returns the spec of a stored link, or None."""
        link = self.get(uid)
        if link is None:
            return None
        spec = link["spec"]
        renewed = spec.get("renewTime")
        age = None if renewed is None else (self.now - datetime.fromisoformat(renewed)).total_seconds()
        return StoredSpec(spec.get("podIndex", spec.get("podName")), spec.get("ttlSeconds"), age)


async def wait_until_cached(cache: Any, stored_links: StoredLinks, uid: str, version: int) -> None:
    """Waits until a cache has a link in at least a version."""
    async with asyncio.timeout(10):
        while True:
            link = cache.cache.get((stored_links.namespace, "game"), f"game.{uid}")
            if link is not None and link.resource_version >= version:
                return
            await asyncio.sleep(0.005)
