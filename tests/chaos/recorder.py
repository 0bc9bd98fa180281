"""Records every version of every link, and of the objects that decide about links, from the cluster's store.

The API server's watch is not sufficient: one that was killed does not have the events before its start, and a suspended
one sends nothing. The recorder reads all revisions since the last one from the store's HTTP gateway.
"""

import threading
import time
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import msgspec
import requests

from chaos.record import Gap, Link, RecordWriter
from chaos.store_rows import StoreKey, row_of

_PREFIX = b"/registry/"
_RETRY_SECONDS = 0.1

#: The store reports its progress at least every ten minutes; a suspended or killed store is queried again.
_CONNECT_SECONDS, _SILENCE_SECONDS = 2.0, 5.0


class _Value(msgspec.Struct):
    key: str
    mod_revision: str = "0"
    value: str = ""


class StoreEvent(msgspec.Struct):
    """A change of an object in the store."""

    kv: _Value
    type: str = "PUT"


class _Header(msgspec.Struct):
    revision: str = "0"


class _Result(msgspec.Struct):
    header: _Header = msgspec.field(default_factory=_Header)
    events: list[StoreEvent] = []
    canceled: bool = False
    compact_revision: str = "0"


class _Line(msgspec.Struct):
    result: _Result = msgspec.field(default_factory=_Result)


_decoder = msgspec.json.Decoder(_Line)


class RowWriter(Protocol):
    """Takes the rows; `RecordWriter` implements it."""

    def write(self, row: Any) -> None:
        """Takes a row."""


class StoreRecorder:
    """Records from its creation until `stop`.

    Args:
        url: the URL of the store's gateway.
        record: the target of the rows.
        namespace: the namespace of the links, pods, routes and workloads.
        since: the first revision that is recorded.
    """

    def __init__(self, url: str, record: RowWriter, namespace: str, since: int = 1) -> None:
        self._url = url
        self._record = record
        self._namespace = namespace
        self._next = since
        self._states: dict[tuple[type, str], object] = {}
        """The last recorded state of the kinds that are recorded by state and not by version."""
        self._hand_overs: dict[str, tuple[float, Link]] = {}
        """When the present hand-over of each link began, and its first version; other threads read it."""
        self._unsettled: dict[str, float] = {}
        """The creation time of each link that is not bound for its present spec; other threads read it."""
        self._slots: dict[str, tuple[str, int | None]] = {}
        """The route and the pod of the link of each slot; other threads read it."""
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="recorder", daemon=True)
        self._thread.start()

    @property
    def revision(self) -> int:
        """The last recorded revision."""
        return self._next - 1

    def unsettled(self, since: float) -> list[str]:
        """Returns the names of the links that existed at that time and are not bound for their present specs."""
        return [name for name, at in list(self._unsettled.items()) if at <= since]

    def hand_overs(self) -> Mapping[str, tuple[float, Link]]:
        """Returns when the present hand-over of each link began, and the first version of the link with it."""
        return dict(self._hand_overs)

    def slots(self, route: str) -> Counter[int | None]:
        """Returns the number of slots of each pod of a route; None is no pod."""
        return Counter(pod for name, pod in list(self._slots.values()) if name == route)

    def stop(self) -> None:
        """Records until the present revision, and stops."""
        last = self._current_revision()
        deadline = time.monotonic() + 30
        while self.revision < last and time.monotonic() < deadline:
            time.sleep(_RETRY_SECONDS)
        self._stopped.set()
        self._thread.join()

    def _current_revision(self) -> int:
        body = {"key": b64encode(_PREFIX).decode()}
        response = requests.post(f"{self._url}/v3/kv/range", json=body, timeout=_SILENCE_SECONDS)
        return int(response.json()["header"]["revision"])

    def _follow(self) -> None:
        while not self._stopped.is_set():
            try:
                self._watch()
            except (requests.RequestException, ValueError):
                time.sleep(_RETRY_SECONDS)

    def _watch(self) -> None:
        request = {
            "key": b64encode(_PREFIX).decode(),
            "range_end": b64encode(_PREFIX[:-1] + bytes([_PREFIX[-1] + 1])).decode(),
            "start_revision": str(self._next),
        }
        timeout = (_CONNECT_SECONDS, _SILENCE_SECONDS)
        with requests.post(
            f"{self._url}/v3/watch", json={"create_request": request}, stream=True, timeout=timeout
        ) as response:
            response.raise_for_status()
            for line in response.iter_lines(chunk_size=None):  # type: ignore[call-overload]
                self._record_result(_decoder.decode(line).result)
                if self._stopped.is_set():
                    return

    def _record_result(self, result: _Result) -> None:
        at = time.time()
        if result.canceled:
            if int(result.compact_revision) > self._next:
                self._record.write(Gap(at, int(result.compact_revision)))
                self._next = int(result.compact_revision)
            raise ValueError("the watch was ended")
        for event in result.events:
            revision = int(event.kv.mod_revision)
            if revision < self._next:
                continue  # several objects may share a revision, but a new watch starts after it
            self._record_event(event, revision, at)
        if result.events:
            self._next = max(self._next, int(result.events[-1].kv.mod_revision) + 1)

    def _record_event(self, event: StoreEvent, revision: int, at: float) -> None:
        key = StoreKey.parse(b64decode(event.kv.key).decode())
        if key is None or key.namespace not in {self._namespace, key.shared_namespace}:
            return
        item: dict[str, Any] | None = None if event.type == "DELETE" else msgspec.json.decode(b64decode(event.kv.value))
        row = row_of(key, item, revision, at)
        if isinstance(row, Link):
            self._update_unsettled(row)
            self._update_hand_overs(row)
            self._update_slots(row)
        else:
            state = msgspec.structs.replace(row, at=0.0, revision=0)
            if self._states.get((type(row), key.name)) == state:
                return
            self._states[type(row), key.name] = state
        self._record.write(row)

    def _update_hand_overs(self, link: Link) -> None:
        if link.is_gone or link.hand_over is None:
            self._hand_overs.pop(link.name, None)
            return
        known = self._hand_overs.get(link.name)
        if known is None or known[1].hand_over != link.hand_over:
            self._hand_overs[link.name] = (link.at, link)

    def _update_slots(self, link: Link) -> None:
        if link.is_gone:
            self._slots.pop(link.name, None)
        elif link.slot is not None:
            self._slots[link.name] = (link.key[0], link.pod)

    def _update_unsettled(self, link: Link) -> None:
        if link.is_gone or link.is_settled:
            self._unsettled.pop(link.name, None)
        else:
            self._unsettled.setdefault(link.name, link.at)


@contextmanager
def recording(url: str, record: RecordWriter, namespace: str) -> Iterator[StoreRecorder]:
    """Records for the duration of the context."""
    recorder = StoreRecorder(url, record, namespace)
    try:
        yield recorder
    finally:
        recorder.stop()
