"""The commands do without what Windows lacks: modules and functions of POSIX, and event loops that wait for signals."""

import errno
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from tests.support.refused_connections import KUBECONFIG

from statefulroute.cli.app import app
from statefulroute.cli.windows_streams import is_closed_pipe, write_plain_lines

#: The servers run in containers on Linux.
SERVERS = {"operator", "resolver", "sidecar"}

#: Runs command lines, one after the other, where this project can import and call only what Windows has, too. The
#: modules of the standard library still have the others, which some of them need on this system.
RUN = """
import asyncio
import builtins
import os
import sys

POSIX = {"fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty", "uvloop"}
import_module = builtins.__import__

def import_as_on_windows(name, globals=None, *arguments, **more):
    if name in POSIX and (globals or {}).get("__name__", "").startswith("statefulroute"):
        raise ImportError(f"Windows has no module {name}")
    return import_module(name, globals, *arguments, **more)

def refuse(*arguments):
    raise NotImplementedError

builtins.__import__ = import_as_on_windows
for name in ("fork", "register_at_fork", "getuid", "geteuid", "getgid", "killpg", "setsid"):
    vars(os).pop(name, None)
for name in ("add_reader", "add_writer", "add_signal_handler"):
    setattr(asyncio.SelectorEventLoop, name, refuse)

from statefulroute.cli import main
for line in sys.argv[1:]:
    sys.argv = ["statefulroute", *line.split()]
    try:
        main()
    except SystemExit as error:
        code = error.code or 0
        print(f"{line}: {code}", file=sys.stderr, flush=True)
sys.exit(code)
"""


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    """A kubeconfig of an API server that refuses connections."""
    file = tmp_path / "config"
    file.write_text(KUBECONFIG)
    return file


def command_names() -> list[str]:
    """Returns the commands that the stand-alone plugin has."""
    return sorted(typer.main.get_command(app).commands.keys() - SERVERS)  # type: ignore[attr-defined]


def test_every_command_prints_its_help() -> None:
    lines = [f"{name} --help" for name in command_names()]
    done = subprocess.run([sys.executable, "-c", RUN, *lines], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines() == [f"{line}: 0" for line in lines]


def test_commands_reach_their_first_request(kubeconfig: Path) -> None:
    lines = ["pods game", "whereis alice", "drain game 1", "check", "events", "links -w", "console --no-browser"]
    with_cluster = [f"{line} --kubeconfig {kubeconfig}" for line in lines]
    done = subprocess.run([sys.executable, "-c", RUN, *with_cluster], capture_output=True, text=True, check=False)
    assert done.stderr.count("127.0.0.1:9") == len(lines)
    assert [line for line in done.stderr.splitlines() if line in {f"{each}: 1" for each in with_cluster}] == [
        f"{each}: 1" for each in with_cluster
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C to all processes of a console")
def test_ctrl_c_stops_a_command_that_waits_for_a_pipe(kubeconfig: Path) -> None:
    arguments = [sys.executable, "-c", RUN, f"import --kubeconfig {kubeconfig}"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(arguments, **pipes, text=True) as process:
        process.stdin.write("not JSON\n")
        process.stdin.flush()
        assert process.stderr.readline().startswith("line 1: ")  # now it waits for the next line
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline().startswith("stopped: 0 created, 0 kept, 1 refused")
        assert process.wait() == 130


def test_files_and_pipes_get_utf8_and_plain_newlines() -> None:
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding="cp1252", newline="\r\n")
    write_plain_lines(stream)
    stream.write("zoë ▏\n")
    stream.flush()
    assert written.getvalue() == "zoë ▏\n".encode()


def test_terminals_are_left_as_they_are() -> None:
    class Terminal(io.BytesIO):
        def isatty(self) -> bool:
            return True

    written = Terminal()
    stream = io.TextIOWrapper(written, encoding="cp1252", newline="\r\n")
    write_plain_lines(stream)
    stream.write("zoë\n")
    stream.flush()
    assert written.getvalue() == "zoë\r\n".encode("cp1252")


@pytest.mark.parametrize(
    ("platform", "code", "is_closed"),
    [
        ("linux", errno.EPIPE, True),
        ("linux", errno.EINVAL, False),
        ("win32", errno.EPIPE, True),
        ("win32", errno.EINVAL, True),
        ("win32", errno.ENOSPC, False),
    ],
)
def test_closed_pipe_is_recognized(
    monkeypatch: pytest.MonkeyPatch, platform: str, code: int, *, is_closed: bool
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert is_closed_pipe(OSError(code, os.strerror(code))) is is_closed
