"""A process's own time of day, which can be set while it runs: libfaketime stands before the system's clocks."""

from collections.abc import Mapping
from pathlib import Path

#: Where Debian's package `libfaketime` has its library for programs with several threads.
_LIBRARIES = "*/faketime/libfaketimeMT.so.1"


def unsupported_reason() -> str | None:
    """Why clocks cannot be set here, as a sentence; None where they can."""
    return None if _library() else "libfaketime is not there: `apt-get install libfaketime` brings it."


class ProcessClock:
    """The time of day of the processes that are started with its environment.

    Clocks that nobody can set (CLOCK_MONOTONIC, CLOCK_BOOTTIME) go on as they do.

    Args:
        folder: where the file is that the processes read it from; two of the same folder are one clock.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"

    @property
    def environment(self) -> Mapping[str, str]:
        """What a process is to be started with; nothing where clocks cannot be set."""
        library = _library()
        if library is None:
            return {}
        if not self._file.exists():
            self.reset()
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_NO_CACHE": "1",
        }

    def shift(self, hours: int) -> None:
        """Have it show so many hours more, or less, than the system's."""
        self._write(f"{hours:+d}h")

    def reset(self) -> None:
        """Have it show what the system's does."""
        self._write("+0")

    def _write(self, offset: str) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(offset)
        new.replace(self._file)  # nobody reads half of it


def _library() -> Path | None:
    return next(Path("/usr/lib").glob(_LIBRARIES), None)
