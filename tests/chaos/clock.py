"""Sets the time of day of single processes while they run, by libfaketime."""

from collections.abc import Mapping
from pathlib import Path

#: The path of the library for multi-threaded programs in Debian's package `libfaketime`.
_LIBRARIES = "*/faketime/libfaketimeMT.so.1"


def unsupported_reason() -> str | None:
    """Returns why clocks cannot be set on this machine, or None."""
    return None if _library() else "libfaketime is not installed: run `apt-get install libfaketime`."


class ProcessClock:
    """The time of day of the processes that are started with its environment.

    CLOCK_MONOTONIC and CLOCK_BOOTTIME are not changed.

    Args:
        folder: the folder of the file that the processes read the time from; the same folder is the same clock.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment variables for a process; empty where clocks cannot be set."""
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

    def shift(self, minutes: int) -> None:
        """Shifts the clock by these minutes relative to the system's."""
        self._write(f"{minutes:+d}m")

    def reset(self) -> None:
        """Sets the clock to the system's."""
        self._write("+0")

    def _write(self, offset: str) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(offset)
        new.replace(self._file)  # replaces the file atomically


def _library() -> Path | None:
    return next(Path("/usr/lib").glob(_LIBRARIES), None)
