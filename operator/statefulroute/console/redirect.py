"""A file that leads the browser to the console, so that no command line contains what opens it."""

import html
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PAGE = """<!doctype html>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={address}">
<title>StatefulRoute console</title>
<p><a href="{address}">Open the console</a></p>
"""


@contextmanager
def redirect_file(address: str) -> Iterator[str]:
    """Returns a context with the URL of a file that leads a browser to an address; only this user can read it.

    Other users of the machine can read the command line of a browser, which contains only the URL of the file.
    """
    with _private_folder() as folder:
        path = Path(folder) / "console.html"
        path.touch(mode=0o600)
        path.write_text(_PAGE.format(address=html.escape(address)), encoding="utf-8")
        yield path.as_uri()


def _private_folder() -> "tempfile.TemporaryDirectory[str]":
    """Returns a new folder that only this user can read.

    It is in the user's home if possible: a browser in a sandbox (snap) reads neither the folder of temporary files nor
    hidden folders.
    """
    prefix = "statefulroute-console-"
    try:
        return tempfile.TemporaryDirectory(prefix=prefix, dir=Path.home(), ignore_cleanup_errors=True)
    except (OSError, RuntimeError):  # there is no home, or it cannot be written
        return tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True)
