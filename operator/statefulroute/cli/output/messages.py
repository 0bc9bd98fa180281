"""Messages to users: one line each, without characters that control a terminal."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import typer

from statefulroute.cli.dry_run import DryRun

#: The logger of the libraries.
_LIBRARY = "statefulroute"


_collected: ContextVar[list[str] | None] = ContextVar("collected", default=None)


@contextmanager
def collect_messages() -> Iterator[list[str]]:
    """Returns a context in which this task collects messages, instead of printing them."""
    messages: list[str] = []
    token = _collected.set(messages)
    try:
        yield messages
    finally:
        _collected.reset(token)


def print_message(message: str, *, err: bool = False) -> None:
    """Print a message as one line; unprintable characters in it (for example of a uid) are escaped.

    Args:
        message: the message.
        err: whether to print it on the standard error.
    """
    collected = _collected.get()
    if collected is None:
        typer.echo(printable(message), err=err)
    else:
        collected.append(printable(message))


def print_change(message: str, *, dry_run: DryRun) -> None:
    """Print what a command has changed, or what it would change without the dry run."""
    print_message(message + dry_run.suffix)


def printable(text: str, *, keep: str = "") -> str:
    """Returns a text in which unprintable characters are escaped as in Python.

    Those are control characters, which can rewrite a terminal, and characters that change the direction of writing,
    which can make a line look like another one.

    Args:
        text: a text from outside, for example a uid.
        keep: characters that are not escaped.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in keep else character.encode("unicode_escape").decode()
        for character in text
    )


def pluralize(count: int, noun: str) -> str:
    """Returns a count with its noun: `1 link`, `2,000 links`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def log_to_stderr() -> None:
    """Prints warnings of the libraries to the standard error: on the standard output they would break a JSON list."""
    handle_warnings(lambda record: print_message(f"{record.levelname.lower()}: {record.getMessage()}", err=True))


def handle_warnings(handle: Callable[[logging.LogRecord], None]) -> None:
    """Calls a function for each warning and error of the libraries, instead of the function before."""
    reset_warnings()
    handler = _WarningHandler(logging.WARNING)
    handler.handle_record = handle
    logging.getLogger(_LIBRARY).addHandler(handler)


def reset_warnings() -> None:
    """Ignores warnings of the libraries."""
    logger = logging.getLogger(_LIBRARY)
    for handler in logger.handlers:
        if isinstance(handler, _WarningHandler):
            logger.removeHandler(handler)


class _WarningHandler(logging.Handler):
    """Calls a function for each record."""

    handle_record: Callable[[logging.LogRecord], None]

    def emit(self, record: logging.LogRecord) -> None:
        self.handle_record(record)
