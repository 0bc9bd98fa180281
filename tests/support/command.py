"""`kubectl statefulroute`, as a person would type it: the installed plugin, in a process of its own."""

import gc
import os
import subprocess
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from statefulroute.cli.app import app
from support.kubectl import Result

#: Where the package has installed its commands, and where kubectl is.
PROGRAMS = Path(sys.executable).parent

TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Command:
    """`kubectl statefulroute`, as somebody types it in a namespace.

    Attributes:
        kubeconfig: the cluster, and who asks.
        namespace: where.
    """

    kubeconfig: Path
    namespace: str

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the command: it finds the plugin, and shows no colours."""
        path = f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "KUBECONFIG": str(self.kubeconfig), "NO_COLOR": "1", "COLUMNS": "120"}

    def line(self, *arguments: str) -> list[str]:
        """The command line."""
        return ["kubectl", "statefulroute", *arguments, "--namespace", self.namespace]

    def run(self, *arguments: str, stdin: str | bytes = "") -> Result:
        """Run a command to its end, however it ends."""
        text = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            self.line(*arguments),
            input=text,
            capture_output=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
            env=self.environment,
        )
        return Result(arguments, done.returncode, done.stdout.decode(), done.stderr.decode())

    def run_quickly(self, *arguments: str) -> Result:
        """The same in this process, and so without the second that a process needs to start: for the many cases."""
        environment = {"KUBECONFIG": str(self.kubeconfig), "NO_COLOR": "1", "COLUMNS": "120"}
        with warnings.catch_warnings():
            # The command ends before its connections have said good-bye; a process of its own would end with it.
            warnings.simplefilter("ignore", ResourceWarning)
            gc.freeze()  # to look for what the command alone has left is quick
            done = CliRunner().invoke(app, [*arguments, "--namespace", self.namespace], env=environment)
            gc.collect()
            gc.unfreeze()
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Result(arguments, done.exit_code, done.stdout, done.stderr)

    def launch(self, *arguments: str, within: Sequence[str] = (), **options: Any) -> subprocess.Popen[str]:
        """Start a command, within another one if there is one, and do not wait for it."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        return subprocess.Popen([*within, *self.line(*arguments)], text=True, env=self.environment, **(pipes | options))
