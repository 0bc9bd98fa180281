"""kubectl, as a person would type it, with typed answers."""

import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

#: An object of Kubernetes, as it stands in JSON.
Object = Mapping[str, Any]

TIMEOUT_SECONDS = 60.0

_INVALID = re.compile(r' "[^"]*" is invalid: (.*)', re.DOTALL)


class KubectlError(AssertionError):
    """kubectl failed where the test relies on it."""


@dataclass(frozen=True, slots=True)
class Result:
    """What kubectl answered."""

    command: tuple[str, ...]
    code: int
    stdout: str
    stderr: str

    @property
    def object(self) -> dict[str, Any]:
        """The object that was printed as JSON."""
        return dict(json.loads(self.stdout))

    @property
    def errors(self) -> tuple[str, ...]:
        """What the API server found wrong with the object, sentence by sentence, as kubectl shows it."""
        found = _INVALID.search(self.stderr)
        if found is None:
            return ()
        said = found[1].strip("\n")
        return tuple(said.removeprefix("* ").split("\n* "))

    def expect_success(self) -> Self:
        """The same result.

        Raises:
            KubectlError: kubectl failed.
        """
        if self.code:
            raise KubectlError(f"kubectl {' '.join(self.command)} ended with {self.code}: {self.stderr.strip()}")
        return self


@dataclass(frozen=True, slots=True)
class Kubectl:
    """A kubectl that talks to one cluster, and in one namespace when it has one.

    Attributes:
        program: The kubectl to run.
        kubeconfig: The cluster and who asks.
        cache: Where it keeps what the cluster offers; the caller's own home is left alone.
        namespace: Where its commands look unless they say otherwise.
    """

    program: Path
    kubeconfig: Path
    cache: Path
    namespace: str | None = None

    def within(self, namespace: str) -> Self:
        """The same kubectl in this namespace."""
        return replace(self, namespace=namespace)

    def run(self, *arguments: str, stdin: Object | str | None = None) -> Result:
        """Run a command to its end, however it ends; an object on standard input goes as JSON."""
        placed = ("--namespace", self.namespace) if self.namespace else ()
        text = stdin if stdin is None or isinstance(stdin, str) else json.dumps(stdin)
        done = subprocess.run(
            [self.program, "--kubeconfig", self.kubeconfig, *placed, *arguments],
            input=text if text is not None else "",
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
            env={**os.environ, "KUBECACHEDIR": str(self.cache)},
        )
        return Result(arguments, done.returncode, done.stdout, done.stderr)

    def apply(self, item: Object, *options: str) -> dict[str, Any]:
        """Apply an object and give it as it was stored."""
        return self._stored("apply", options, item)

    def create(self, item: Object, *options: str) -> dict[str, Any]:
        """Create an object and give it as it was stored."""
        return self._stored("create", options, item)

    def get_json(self, *arguments: str) -> dict[str, Any]:
        """The object, or the list, that `kubectl get` finds."""
        return self.run("get", *arguments, "--output=json").expect_success().object

    def patch(self, kind: str, name: str, change: Object, *options: str) -> Result:
        """Send a merge patch; with `--subresource=status` among the options, of the status."""
        return self.run("patch", kind, name, "--type=merge", f"--patch={json.dumps(change)}", *options)

    def dry_run(self, item: Object, *options: str) -> Result:
        """Have the API server judge a new object as if it were created, and keep nothing of it."""
        return self.run("create", "--dry-run=server", "--output=json", "--filename=-", *options, stdin=item)

    def _stored(self, verb: str, options: Sequence[str], item: Object) -> dict[str, Any]:
        return self.run(verb, "--filename=-", "--output=json", *options, stdin=item).expect_success().object
