"""Runs a command in a machine's namespaces: `python -m localcluster.node.enter PID COMMAND...`.

The process stays, as the command's stand-in among the processes outside: signals to it go to the command, and SIGKILL
ends both. SIGSTOP, which nobody can pass on, stops the stand-in alone.
"""

import os
import sys

from localcluster.node import kernel
from localcluster.node.prerequisites import search_path


def main() -> None:
    """Become the command's stand-in."""
    pid, command = int(sys.argv[1]), sys.argv[2:]
    kernel.enter(pid)
    kernel.fork_forwarding_signals()
    os.environ["PATH"] = search_path(os.environ)
    os.execvp(command[0], command)  # noqa: S606 - there is no shell to be had from it


if __name__ == "__main__":
    main()
