"""Makes the standard streams on Windows what they are elsewhere, and what those of kubectl are."""

import errno
import io
import sys
from typing import TextIO


def adapt_streams() -> None:
    """On Windows, make consoles show colors, and write UTF-8 with plain newlines to files and pipes.

    Without this, files and pipes get an older encoding that lacks most characters, and a carriage return at the end of
    each line. kubectl could not read completions, and `xargs` of Git Bash would take it for a part of a name.
    """
    if sys.platform == "win32":
        from colorama import just_fix_windows_console  # noqa: PLC0415 - only Windows has it

        just_fix_windows_console()
        for stream in (sys.stdout, sys.stderr):
            write_plain_lines(stream)


def write_plain_lines(stream: TextIO) -> None:
    """Make a stream that is not a terminal write UTF-8 and plain newlines; leave any other one as it is."""
    if isinstance(stream, io.TextIOWrapper) and not stream.isatty():
        stream.reconfigure(encoding="utf-8", newline="\n")


def is_closed_pipe(error: OSError) -> bool:
    """Returns whether an error means that the reader of the output has exited, for example `head`.

    Windows has no code of its own for a pipe that is closed, and reports the argument, which is the file, as invalid.
    """
    return isinstance(error, BrokenPipeError) or (sys.platform == "win32" and error.errno == errno.EINVAL)
