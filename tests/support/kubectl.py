"""Runs kubectl and returns typed results."""

import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from support.api_messages import comparable

#: A Kubernetes object as JSON.
Object = Mapping[str, Any]

TIMEOUT_SECONDS = 60.0

_INVALID = re.compile(r' "[^"]*" is invalid: (.*)', re.DOTALL)


class KubectlError(AssertionError):
    """kubectl failed in a step that the test depends on."""


@dataclass(frozen=True, slots=True)
class Result:
    """A result of kubectl."""

    command: tuple[str, ...]
    code: int
    stdout: str
    stderr: str

    @property
    def object(self) -> dict[str, Any]:
        """The object that kubectl printed as JSON."""
        return dict(json.loads(self.stdout))

    @property
    def errors(self) -> tuple[str, ...]:
        """The API server's messages about the object, one by one, as tests compare them."""
        match = _INVALID.search(self.stderr)
        if match is None:
            return ()
        text = match[1].strip("\n")
        return comparable(*text.removeprefix("* ").split("\n* "))

    def expect_success(self) -> Self:
        """Returns this result if the command was successful.

        Raises:
            KubectlError: kubectl failed.
        """
        if self.code:
            raise KubectlError(f"kubectl {' '.join(self.command)} ended with {self.code}: {self.stderr.strip()}")
        return self


@dataclass(frozen=True, slots=True)
class Kubectl:
    """A kubectl for one cluster, and optionally for one namespace.

    Attributes:
        program: The kubectl to run.
        kubeconfig: The cluster and the credentials.
        cache: The folder of the discovery cache; the user's home is not used.
        namespace: The default namespace of its commands.
    """

    program: Path
    kubeconfig: Path
    cache: Path
    namespace: str | None = None

    def within(self, namespace: str) -> Self:
        """Returns the same kubectl for this namespace."""
        return replace(self, namespace=namespace)

    def run(self, *arguments: str, stdin: Object | str | None = None) -> Result:
        """Runs a command until it exits, with any exit code; sends an object to its standard input as JSON."""
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
        """Applies an object and returns it as stored."""
        return self._stored("apply", options, item)

    def create(self, item: Object, *options: str) -> dict[str, Any]:
        """Creates an object and returns it as stored."""
        return self._stored("create", options, item)

    def get_json(self, *arguments: str) -> dict[str, Any]:
        """Returns the object, or the list, of `kubectl get`."""
        return self.run("get", *arguments, "--output=json").expect_success().object

    def patch(self, kind: str, name: str, change: Object, *options: str) -> Result:
        """Sends a merge patch; with the option `--subresource=status`, of the status."""
        return self.run("patch", kind, name, "--type=merge", f"--patch={json.dumps(change)}", *options)

    def dry_run(self, item: Object, *options: str) -> Result:
        """Creates a new object with a server-side dry run, which stores nothing."""
        return self.run("create", "--dry-run=server", "--output=json", "--filename=-", *options, stdin=item)

    def _stored(self, verb: str, options: Sequence[str], item: Object) -> dict[str, Any]:
        return self.run(verb, "--filename=-", "--output=json", *options, stdin=item).expect_success().object
