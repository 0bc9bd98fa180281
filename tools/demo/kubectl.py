"""Runs kubectl from the repository's root, as a reader of the README does."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

#: The repository's root, which contains `examples/` and `crds/`.
ROOT = Path(__file__).parents[2]

TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a command."""

    code: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[str]:
        """All lines that it printed."""
        return [*self.stdout.splitlines(), *self.stderr.splitlines()]


@dataclass(frozen=True, slots=True)
class Kubectl:
    """A kubectl for one cluster.

    Attributes:
        program: The kubectl to run.
        kubeconfig: The kubeconfig of the cluster and its user.
        cache: The folder of the discovery cache; it is removed with the cluster.
    """

    program: Path
    kubeconfig: Path
    cache: Path

    def run(self, *arguments: str) -> Result:
        """Runs a command until it exits, with any exit code."""
        try:
            completed = subprocess.run(
                [self.program, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=TIMEOUT_SECONDS,
                cwd=ROOT,
                env=self._environment(),
            )
        except subprocess.TimeoutExpired:
            return Result(1, "", f"no response within {TIMEOUT_SECONDS:.0f} s")
        return Result(completed.returncode, completed.stdout, completed.stderr)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Starts a command that keeps running; its output can be read while it runs."""
        return subprocess.Popen(
            [self.program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env=self._environment(),
        )

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "KUBECACHEDIR": str(self.cache)}
