"""Shows the progress of the control plane's start: a spinner on a terminal, lines elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.status import Status

from localcluster.progress import Progress

STARTING = "Starting etcd, the API server, its controllers, the scheduler and the nodes"


@contextmanager
def spinning(console: Console) -> Iterator[Progress]:
    """Shows a spinner while the control plane starts; a build before the first start shows its duration in it."""
    with console.status(STARTING) as status:
        yield _Spinner(console, status)


class _Spinner:
    """Shows the progress of the current step in the spinner."""

    def __init__(self, console: Console, status: Status) -> None:
        self._console = console
        self._status = status

    def info(self, message: str) -> None:
        """Prints the message above the spinner."""
        self._console.print(f"  {message}", style="dim", highlight=False, markup=False)

    def tick(self, what: str, elapsed: float) -> None:
        """Shows the current step and its duration."""
        self._status.update(f"{what} ({elapsed:.0f}s)")

    def done(self) -> None:
        """Shows the start of the control plane again."""
        self._status.update(STARTING)
