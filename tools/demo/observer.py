"""Follows the cluster with watches and keeps the screen up to date."""

import json
import queue
import time
from collections.abc import Callable
from functools import partial

from demo.kubectl import Kubectl
from demo.screen import Screen
from demo.snapshot import NAMESPACE, ROUTE, Object, Snapshot
from demo.watch import Watch

#: An update from a watch, which the main thread processes.
Update = Callable[[], None]


class Observer:
    """Watches the route and its links; only `process_updates` changes the screen.

    Args:
        kubectl: The kubectl that runs the watches.
        screen: The screen that shows the updates.
    """

    def __init__(self, kubectl: Kubectl, screen: Screen) -> None:
        self._kubectl = kubectl
        self._screen = screen
        self._updates: queue.Queue[Update] = queue.Queue()
        self._objects: dict[str, dict[str, Object]] = {"statefulroutes": {}, "podlinks": {}}
        self._watches: list[Watch] = []

    @property
    def snapshot(self) -> Snapshot:
        """The state after the last update."""
        return Snapshot(self._objects["statefulroutes"].get(ROUTE), dict(self._objects["podlinks"]))

    def follow(self) -> None:
        """Starts to watch the objects of both kinds."""
        for kind in self._objects:
            self._watch(
                ("--output=json", "--output-watch-events", "--namespace", NAMESPACE, kind),
                partial(self._on_object, kind),
            )

    def show_watch(self) -> None:
        """Starts to print what `kubectl get podlinks --watch` prints."""
        self._watch(("podlinks", "--namespace", NAMESPACE), self._on_line)

    def stop(self) -> None:
        """Stops all watches."""
        for watch in self._watches:
            watch.stop()

    def process_updates(self, seconds: float) -> None:
        """Shows updates for the given number of seconds."""
        deadline = time.monotonic() + seconds
        while (remaining := deadline - time.monotonic()) > 0:
            try:
                update = self._updates.get(timeout=remaining)
            except queue.Empty:
                return
            update()

    def _watch(self, arguments: tuple[str, ...], handle: Callable[[str | None], None]) -> None:
        watch = Watch(self._kubectl, arguments, lambda line: self._updates.put(partial(handle, line)))
        self._watches.append(watch)
        watch.start()

    def _on_line(self, line: str | None) -> None:
        if line is not None:
            self._screen.watch_line(line)

    def _on_object(self, kind: str, line: str | None) -> None:
        if line is None:  # a new watch lists everything first
            self._objects[kind].clear()
            return
        event = json.loads(line)
        name = event["object"]["metadata"]["name"]
        if event["type"] == "DELETED":
            self._objects[kind].pop(name, None)
        else:
            self._objects[kind][name] = event["object"]
        self._screen.show(self.snapshot)
