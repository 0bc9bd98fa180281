"""Records every version of every PodLink in a namespace, or of every object of another kind, by a watch."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from pykube.objects import NamespacedAPIObject
from pykube.query import Query

from support.independent_client import IndependentClient, PodLink
from support.waiting import eventually

#: Watches are short, so that the recorder ends soon after `stop`.
_WATCH_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a link or of another object, as the API server sent it to watches.

    Attributes:
        event: the type of the watch event.
        object: the object.
        seen_at: when it arrived, in monotonic seconds; it was in force before that.
    """

    event: str
    object: dict[str, Any]
    seen_at: float = 0.0

    @property
    def name(self) -> str:
        return str(self.object["metadata"]["name"])

    @property
    def resource_version(self) -> int:
        return int(self.object["metadata"]["resourceVersion"])

    @property
    def pod(self) -> int | None:
        """The pod of the spec."""
        return self.object["spec"].get("podIndex")

    @property
    def status_pod(self) -> int | None:
        """The pod of the status."""
        return self.object.get("status", {}).get("podIndex")

    @property
    def phase(self) -> str | None:
        return self.object.get("status", {}).get("phase")

    @property
    def transition(self) -> str:
        """The change: `created`, `chosen` (a pod was written), the phase of the status, or `deleted`."""
        if self.event == "DELETED":
            return "deleted"
        if self.phase is not None:
            return self.phase
        return "created" if self.event == "ADDED" else "chosen"


class ObjectRecorder:
    """Records the objects of a kind in a namespace, from its creation until `stop`."""

    def __init__(self, client: IndependentClient, kind: type[NamespacedAPIObject], namespace: str) -> None:
        self._client = client
        self._kind = kind
        self._namespace = namespace
        self._versions: dict[str, list[Version]] = defaultdict(list)
        self._failure: BaseException | None = None
        self._stopped = threading.Event()
        listed = Query(client.http, kind, namespace).response
        for item in listed["items"]:
            self._record("LISTED", item)
        self._resource_version = int(listed["metadata"]["resourceVersion"])
        self._thread = threading.Thread(target=self._watch, name="recorder", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stops the recording. Does not wait for the end of its present watch."""
        self._stopped.set()

    def versions(self, name: str) -> list[Version]:
        """Returns every version of an object up to now, oldest first."""
        self._catch_up()
        return list(self._versions.get(name, ()))

    def all_versions(self) -> dict[str, list[Version]]:
        """Returns every version of every object up to now by its name, oldest first."""
        self._catch_up()
        return {name: list(versions) for name, versions in list(self._versions.items())}

    def latest(self) -> list[Version]:
        """Returns the last version of every existing object, without waiting for events in transit."""
        latest = [versions[-1] for versions in list(self._versions.values())]
        return [version for version in latest if version.event != "DELETED"]

    def _catch_up(self) -> None:
        """Waits until the present state is recorded."""
        numbers = {
            item["metadata"]["name"]: int(item["metadata"]["resourceVersion"])
            for item in self._client.all(self._kind, self._namespace)
        }
        eventually(lambda: self._has_recorded(numbers), "the recorder has the present versions")

    def _has_recorded(self, numbers: dict[str, int]) -> bool:
        if self._failure is not None:
            raise AssertionError("the recorder has lost its watch") from self._failure
        recorded = {name: versions[-1].resource_version for name, versions in list(self._versions.items())}
        return all(recorded.get(name, 0) >= number for name, number in numbers.items())

    def _watch(self) -> None:
        client = self._client.new_http_client()
        params = {"timeoutSeconds": str(_WATCH_SECONDS), "allowWatchBookmarks": "true"}
        try:
            while not self._stopped.is_set():
                # Not `kind.objects`, which is not thread-safe.
                objects = Query(client, self._kind, self._namespace)
                for event in objects.watch(since=str(self._resource_version), params=params):
                    assert event.type != "ERROR", event.object.obj
                    self._resource_version = int(event.object.obj["metadata"]["resourceVersion"])
                    if event.type != "BOOKMARK":
                        self._record(event.type, event.object.obj)
        except BaseException as error:  # noqa: BLE001 - raised in the test's thread
            self._failure = error
        finally:
            client.session.close()

    def _record(self, event: str, item: dict[str, Any]) -> None:
        version = Version(event, item, time.monotonic())
        self._versions[version.name].append(version)


class LinkRecorder(ObjectRecorder):
    """Records the links of a namespace."""

    def __init__(self, client: IndependentClient, namespace: str) -> None:
        super().__init__(client, PodLink, namespace)

    def transitions(self, name: str) -> list[str]:
        """Returns the changes of a link up to now, like `["created", "chosen", "Bound"]`."""
        return [version.transition for version in self.versions(name)]

    def transitions_of(self, names: Iterable[str]) -> dict[str, list[str]]:
        """Returns the changes of these links up to now."""
        every = self.all_transitions()
        return {name: every.get(name, []) for name in names}

    def all_transitions(self) -> dict[str, list[str]]:
        """Returns the changes of every link up to now."""
        self._catch_up()
        return {name: [version.transition for version in versions] for name, versions in self._versions.items()}

    def pods(self, name: str) -> list[int | None]:
        """Returns the pods of a link up to now, in order, like `[None, 2, 0]`."""
        return pods_of(self.versions(name))

    def all_pods(self) -> dict[str, list[int | None]]:
        """Returns the pods of every link up to now."""
        return {name: pods_of(versions) for name, versions in self.all_versions().items()}

    def count_in_phase(self, phase: str) -> int:
        """Returns the number of links whose last version has this phase, without waiting for events in transit."""
        return sum(versions[-1].phase == phase for versions in list(self._versions.values()))


def pods_of(versions: list[Version]) -> list[int | None]:
    """Returns the pods of these versions of a link, in order, without repetitions."""
    return [index for index, _ in groupby(version.pod for version in versions)]


@contextmanager
def recording(independent_client: IndependentClient, namespace: str) -> Iterator[LinkRecorder]:
    """Records while the context is active."""
    recorder = LinkRecorder(independent_client, namespace)
    try:
        yield recorder
    finally:
        recorder.stop()
