"""The files of the pages, in memory: a path outside of their folder cannot be asked for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file of the pages."""

    content: bytes
    content_type: str


def load_static_files() -> Mapping[str, StaticFile]:
    """Returns the files that a browser may load, by their paths."""
    return dict(_files_in(files("statefulroute.console") / "static", ""))


def _files_in(folder: Traversable, path: str) -> Iterator[tuple[str, StaticFile]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _files_in(entry, f"{path}{entry.name}/")
        elif (content_type := _TYPES.get(f".{entry.name.rpartition('.')[2]}")) is not None:
            yield f"{path}{entry.name}", StaticFile(entry.read_bytes(), content_type)
