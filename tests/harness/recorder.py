"""A watch that forgets nothing: every version that every PodLink of a namespace has had."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from harness.patience import eventually
from harness.witness import PodLink, Witness

#: Watches are short, so that the recorder ends soon after it is told to.
_WATCH_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a link, as the API server sent it to all who watch.

    Attributes:
        event: how the watch called it.
        object: the link.
        seen_at: when it came, in monotonic seconds: it was in force before that.
    """

    event: str
    object: dict[str, Any]
    seen_at: float = 0.0

    @property
    def name(self) -> str:
        return str(self.object["metadata"]["name"])

    @property
    def number(self) -> int:
        return int(self.object["metadata"]["resourceVersion"])

    @property
    def pod(self) -> int | None:
        """The binding."""
        return self.object["spec"].get("podIndex")

    @property
    def told_index(self) -> int | None:
        """The pod that the status names."""
        return self.object.get("status", {}).get("podIndex")

    @property
    def phase(self) -> str | None:
        return self.object.get("status", {}).get("phase")

    @property
    def kind(self) -> str:
        """What this version is: created, with a pod chosen for it, with the phase that its status has, or deleted."""
        if self.event == "DELETED":
            return "deleted"
        if self.phase is not None:
            return self.phase
        return "created" if self.event == "ADDED" else "chosen"


class Recorder:
    """Records from the moment it is made until `stop`."""

    def __init__(self, witness: Witness, namespace: str) -> None:
        self._witness = witness
        self._namespace = namespace
        self._versions: dict[str, list[Version]] = defaultdict(list)
        self._failure: BaseException | None = None
        self._stopped = threading.Event()
        listed = PodLink.objects(witness.client).filter(namespace=namespace).response
        for item in listed["items"]:
            self._take("LISTED", item)
        self._since = int(listed["metadata"]["resourceVersion"])
        self._thread = threading.Thread(target=self._watch, name="recorder", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the recording."""
        self._stopped.set()
        self._thread.join()

    def versions(self, name: str) -> list[Version]:
        """Every version of a link up to now, oldest first."""
        self._catch_up()
        return list(self._versions.get(name, ()))

    def record(self) -> dict[str, list[Version]]:
        """Every version of every link up to now, by its name, oldest first."""
        self._catch_up()
        return {name: list(versions) for name, versions in self._versions.items()}

    def story(self, name: str) -> list[str]:
        """What a link went through up to now, like `["created", "chosen", "Bound"]`."""
        return [version.kind for version in self.versions(name)]

    def stories(self) -> dict[str, list[str]]:
        """What every link went through up to now."""
        self._catch_up()
        return {name: [version.kind for version in versions] for name, versions in self._versions.items()}

    def path(self, name: str) -> list[int | None]:
        """The pods that a link has named up to now, one after the other, like `[None, 2, 0]`."""
        return path(self.versions(name))

    def paths(self) -> dict[str, list[int | None]]:
        """The pods that every link has named up to now."""
        return {name: path(versions) for name, versions in self.record().items()}

    def last(self) -> list[Version]:
        """The last version of every link that is there; does not wait for what is on its way."""
        latest = [versions[-1] for versions in list(self._versions.values())]
        return [version for version in latest if version.event != "DELETED"]

    def reached(self, phase: str) -> int:
        """How many links were in this phase when they were last seen; does not wait for what is on its way."""
        return sum(versions[-1].phase == phase for versions in list(self._versions.values()))

    def _catch_up(self) -> None:
        """Wait until everything that is true now was recorded."""
        numbers = {
            item["metadata"]["name"]: int(item["metadata"]["resourceVersion"])
            for item in self._witness.all(PodLink, self._namespace)
        }
        eventually(lambda: self._knows(numbers), "the recorder has seen the present versions")

    def _knows(self, numbers: dict[str, int]) -> bool:
        if self._failure is not None:
            raise AssertionError("the recorder has lost its watch") from self._failure
        known = {name: versions[-1].number for name, versions in list(self._versions.items())}
        return all(known.get(name, 0) >= number for name, number in numbers.items())

    def _watch(self) -> None:
        client = self._witness.new_client()
        params = {"timeoutSeconds": str(_WATCH_SECONDS), "allowWatchBookmarks": "true"}
        try:
            while not self._stopped.is_set():
                links = PodLink.objects(client).filter(namespace=self._namespace)
                for event in links.watch(since=str(self._since), params=params):
                    assert event.type != "ERROR", event.object.obj
                    self._since = int(event.object.obj["metadata"]["resourceVersion"])
                    if event.type != "BOOKMARK":
                        self._take(event.type, event.object.obj)
        except BaseException as error:  # noqa: BLE001 - the test that asks is told
            self._failure = error
        finally:
            client.session.close()

    def _take(self, event: str, item: dict[str, Any]) -> None:
        version = Version(event, item, time.monotonic())
        self._versions[version.name].append(version)


def path(versions: list[Version]) -> list[int | None]:
    """The pods that these versions of a link name, one after the other."""
    return [index for index, _ in groupby(version.pod for version in versions)]


@contextmanager
def recording(witness: Witness, namespace: str) -> Iterator[Recorder]:
    """A recorder for as long as the context lasts."""
    recorder = Recorder(witness, namespace)
    try:
        yield recorder
    finally:
        recorder.stop()
