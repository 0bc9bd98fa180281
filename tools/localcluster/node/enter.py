"""Runs a command in a machine's namespaces: `python -m localcluster.node.enter PID COMMAND...`.

The process stays as a proxy for the command outside of the namespaces: it forwards signals to the command, and SIGKILL
kills both. SIGSTOP cannot be forwarded and stops only the proxy.
"""

import os
import sys

from localcluster.node import kernel
from localcluster.node.prerequisites import search_path


def main() -> None:
    """Runs the command and forwards signals to it."""
    pid, command = int(sys.argv[1]), sys.argv[2:]
    kernel.enter(pid)
    kernel.fork_forwarding_signals()
    os.environ["PATH"] = search_path(os.environ)
    os.execvp(command[0], command)  # noqa: S606 - it runs no shell


if __name__ == "__main__":
    main()
