"""The settings of the sidecar."""

from dataclasses import dataclass, field
from pathlib import Path

from statefulroute.driver.parts import Configuration
from statefulroute.monitoring.bind_address import BindAddress

#: The maximal number of open streams of events: one for the application, and some for those who debug it.
MAX_STREAMS = 16

#: The number of events that the sidecar keeps for streams that are slow or reconnect.
KEPT_EVENTS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of the sidecar.

    Attributes:
        http_address: the address of the API.
        bind_address: the address of the server for probes and metrics; None disables it.
        token_file: the file of the bearer token that requests must have; None requires none.
        configuration: the periods and time limits of the driver.
        follow_routes: the routes beside the pod's own whose users are followed.
        follow_links: whether to watch all links of the pod's route, so that a binding costs one request instead of two.
        keep_managed_fields: whether the managedFields of links stay; otherwise each write of a spec removes them.
        hash_uids: whether logs have hashes instead of uids.
        max_streams: the maximal number of open streams of events.
        kept_events: the number of events that are kept for streams that are slow or reconnect.
    """

    http_address: BindAddress
    bind_address: BindAddress | None = None
    token_file: Path | None = None
    configuration: Configuration = field(default_factory=Configuration)
    follow_routes: tuple[str, ...] = ()
    follow_links: bool = False
    keep_managed_fields: bool = False
    hash_uids: bool = False
    max_streams: int = MAX_STREAMS
    kept_events: int = KEPT_EVENTS
