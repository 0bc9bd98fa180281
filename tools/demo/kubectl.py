"""kubectl, run from the repository's root as a reader of the README would run it."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

#: The repository's root: `examples/` and `crds/` are below it.
ROOT = Path(__file__).parents[2]

TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Result:
    """What kubectl answered."""

    code: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[str]:
        """All that it printed, line by line."""
        return [*self.stdout.splitlines(), *self.stderr.splitlines()]


@dataclass(frozen=True, slots=True)
class Kubectl:
    """A kubectl that talks to one cluster.

    Attributes:
        program: The kubectl to run.
        kubeconfig: The cluster and who asks.
        cache: Where it keeps what the cluster offers; it goes with the cluster.
    """

    program: Path
    kubeconfig: Path
    cache: Path

    def run(self, *arguments: str) -> Result:
        """Run a command to its end, however it ends."""
        try:
            done = subprocess.run(
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
            return Result(1, "", f"no answer within {TIMEOUT_SECONDS:.0f} s")
        return Result(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Begin a command that goes on; its output can be read as it comes."""
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
