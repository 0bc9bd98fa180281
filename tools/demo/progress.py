"""How the start of the control plane is shown: a spinner on a terminal, lines elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.status import Status

from localcluster.progress import Progress

STARTING = "Starting etcd, the API server, its controllers, the scheduler and the nodes"


@contextmanager
def spinning(console: Console) -> Iterator[Progress]:
    """A spinner for as long as the start takes; a build, which comes before the first start, tells its time in it."""
    with console.status(STARTING) as status:
        yield _Spinner(console, status)


class _Spinner:
    """Tells a piece of work in the spinner."""

    def __init__(self, console: Console, status: Status) -> None:
        self._console = console
        self._status = status

    def info(self, message: str) -> None:
        """Print the sentence above the spinner."""
        self._console.print(f"  {message}", style="dim", highlight=False, markup=False)

    def tick(self, what: str, elapsed: float) -> None:
        """Say what goes on, and for how long."""
        self._status.update(f"{what} ({elapsed:.0f}s)")

    def done(self) -> None:
        """Back to the start itself."""
        self._status.update(STARTING)
