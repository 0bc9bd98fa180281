"""Links as an outsider makes and sees them, by a client that is not the product's."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pykube.exceptions import ObjectDoesNotExist

from statefulroute.domain.keys import PodKey
from support.independent_client import IndependentClient, PodLink
from support.objects import pod_link

#: The TTL of the temporary links in the tables, in seconds.
TTL = 600


@dataclass(frozen=True, slots=True)
class StoredSpec:
    """What a link's spec says.

    Attributes:
        pod: the index or the name of its pod; None leaves the choice.
        ttl: its TTL in seconds; None is persistent.
        age: the seconds since it was renewed; None where it never was.
    """

    pod: PodKey | None
    ttl: int | None = None
    age: float | None = None


@dataclass(frozen=True, slots=True)
class StoredLinks:
    """One namespace at one moment."""

    independent_client: IndependentClient
    namespace: str
    now: datetime

    def create(self, uid: str, stored: StoredSpec, **spec: Any) -> int:
        """Create a link; gives its resource version."""
        field = "podName" if isinstance(stored.pod, str) else "podIndex"
        fields: dict[str, Any] = {field: stored.pod, "ttlSeconds": stored.ttl}
        if stored.age is not None:
            fields["renewTime"] = (self.now - timedelta(seconds=stored.age)).isoformat()
        given = {field: value for field, value in fields.items() if value is not None}
        made = self.independent_client.create(pod_link(uid=uid, **given, **spec), self.namespace)
        return int(made["metadata"]["resourceVersion"])

    def patch_spec(self, uid: str, **spec: Any) -> None:
        """Write fields of a link's spec."""
        self.independent_client.patch(PodLink, f"game.{uid}", self.namespace, {"spec": spec})

    def delete(self, uid: str) -> None:
        """Delete a link."""
        self.independent_client.delete(PodLink, f"game.{uid}", self.namespace)

    def get(self, uid: str) -> dict[str, Any] | None:
        """A link as it is now."""
        try:
            return self.independent_client.get(PodLink, f"game.{uid}", self.namespace)
        except ObjectDoesNotExist:
            return None

    def get_spec(self, uid: str) -> StoredSpec | None:
        """What a link's spec says now."""
        link = self.get(uid)
        if link is None:
            return None
        spec = link["spec"]
        renewed = spec.get("renewTime")
        age = None if renewed is None else (self.now - datetime.fromisoformat(renewed)).total_seconds()
        return StoredSpec(spec.get("podIndex", spec.get("podName")), spec.get("ttlSeconds"), age)


async def wait_until_cached(cache: Any, stored_links: StoredLinks, uid: str, version: int) -> None:
    """Wait until a cache has seen a link in a version."""
    async with asyncio.timeout(10):
        while True:
            link = cache.cache.get((stored_links.namespace, "game"), f"game.{uid}")
            if link is not None and link.resource_version >= version:
                return
            await asyncio.sleep(0.005)
