"""Runs the installed plugin `kubectl statefulroute` as a process, as a user does."""

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
from support.operator_process import NO_AUTHORITIES

#: The folder of the package's commands and of kubectl.
PROGRAMS = Path(sys.executable).parent

TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Command:
    """`kubectl statefulroute` in a namespace.

    Attributes:
        kubeconfig: the cluster and the credentials.
        namespace: the namespace.
    """

    kubeconfig: Path
    namespace: str

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the command: the plugin is on PATH, and colours are off."""
        path = f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"
        own = {"PATH": path, "KUBECONFIG": str(self.kubeconfig), "NO_COLOR": "1", "COLUMNS": "120"}
        return {**os.environ, **NO_AUTHORITIES, **own}

    def line(self, *arguments: str) -> list[str]:
        """Returns the command line."""
        return ["kubectl", "statefulroute", *arguments, "--namespace", self.namespace]

    def run(self, *arguments: str, stdin: str | bytes = "") -> Result:
        """Runs a command until it exits, with any exit code."""
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
        """Runs a command in this process, to save the second that a process takes to start."""
        environment = {"KUBECONFIG": str(self.kubeconfig), "NO_COLOR": "1", "COLUMNS": "120"}
        with warnings.catch_warnings():
            # The command returns before its connections are closed; in a process, the exit would close them.
            warnings.simplefilter("ignore", ResourceWarning)
            gc.freeze()  # makes the collection below inspect only the objects of the command
            done = CliRunner().invoke(app, [*arguments, "--namespace", self.namespace], env=environment)
            gc.collect()
            gc.unfreeze()
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Result(arguments, done.exit_code, done.stdout, done.stderr)

    def launch(self, *arguments: str, within: Sequence[str] = (), **options: Any) -> subprocess.Popen[str]:
        """Starts a command, optionally within another one, and does not wait for it."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        return subprocess.Popen([*within, *self.line(*arguments)], text=True, env=self.environment, **(pipes | options))
