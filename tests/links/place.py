"""Links as an outsider makes and sees them, by a client that is not the product's."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pykube.exceptions import ObjectDoesNotExist

from harness.objects import pod_link
from harness.witness import PodLink, Witness
from statefulroute.domain.keys import PodKey

#: The TTL of the temporary links in the tables, in seconds.
TTL = 600


@dataclass(frozen=True, slots=True)
class Stored:
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
class Place:
    """One namespace at one moment."""

    witness: Witness
    namespace: str
    now: datetime

    def make(self, uid: str, stored: Stored, **spec: Any) -> int:
        """Create a link; gives its resource version."""
        field = "podName" if isinstance(stored.pod, str) else "podIndex"
        fields: dict[str, Any] = {field: stored.pod, "ttlSeconds": stored.ttl}
        if stored.age is not None:
            fields["renewTime"] = (self.now - timedelta(seconds=stored.age)).isoformat()
        given = {field: value for field, value in fields.items() if value is not None}
        made = self.witness.create(pod_link(uid=uid, **given, **spec), self.namespace)
        return int(made["metadata"]["resourceVersion"])

    def change(self, uid: str, **spec: Any) -> None:
        """Write fields of a link's spec."""
        self.witness.patch(PodLink, f"game.{uid}", self.namespace, {"spec": spec})

    def delete(self, uid: str) -> None:
        """Delete a link."""
        self.witness.delete(PodLink, f"game.{uid}", self.namespace)

    def object(self, uid: str) -> dict[str, Any] | None:
        """A link as it is now."""
        try:
            return self.witness.get(PodLink, f"game.{uid}", self.namespace)
        except ObjectDoesNotExist:
            return None

    def stored(self, uid: str) -> Stored | None:
        """What a link's spec says now."""
        link = self.object(uid)
        if link is None:
            return None
        spec = link["spec"]
        renewed = spec.get("renewTime")
        age = None if renewed is None else (self.now - datetime.fromisoformat(renewed)).total_seconds()
        return Stored(spec.get("podIndex", spec.get("podName")), spec.get("ttlSeconds"), age)


async def known_to(cache: Any, place: Place, uid: str, version: int) -> None:
    """Wait until a cache has seen a link in a version."""
    async with asyncio.timeout(10):
        while True:
            link = cache.cache.get((place.namespace, "game"), f"game.{uid}")
            if link is not None and link.resource_version >= version:
                return
            await asyncio.sleep(0.005)
