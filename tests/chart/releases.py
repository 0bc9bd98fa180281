"""Runs Helm as a user does, with a separate home."""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Self

from support.kubectl import Kubectl, Result

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "statefulroute"

#: A namespace that enforces Pod Security `restricted`.
RESTRICTED_NAMESPACE = "guarded"

TIMEOUT_SECONDS = 180.0

_KINDS = (
    "pods,replicasets,deployments,jobs,services,serviceaccounts,secrets,configmaps,roles,rolebindings,networkpolicies,"
    "poddisruptionbudgets,horizontalpodautoscalers,clusterroles,clusterrolebindings,customresourcedefinitions,validatingadmissionpolicies,"
    "validatingadmissionpolicybindings,flowschemas"
)


_PREVIOUS = Path(__file__).parent / "previous"


def previous_chart(folder: Path = _PREVIOUS) -> Path:
    """Returns the chart of the previous release, which `make chart` packs beside that of the CRDs."""
    (archive,) = folder.glob("statefulroute-[0-9]*.tgz")
    return archive


def previous_commit() -> str:
    """Returns the commit of the previous release."""
    return (_PREVIOUS / "COMMIT").read_text(encoding="ascii").strip()


@dataclass(frozen=True, slots=True)
class Helm:
    """One version of Helm.

    Attributes:
        program: the Helm to run.
        home: the folder of its files, instead of the user's home.
        kubeconfig: the kubeconfig of the cluster; None if no cluster is needed.
    """

    program: Path
    home: Path
    kubeconfig: Path | None = None

    def run(self, *arguments: str, stdin: str = "") -> Result:
        """Runs a command until it exits, with any exit code."""
        folders = {f"HELM_{what}_HOME": str(self.home / what.lower()) for what in ("CACHE", "CONFIG", "DATA")}
        completed = subprocess.run(
            [self.program, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
            env={**os.environ, **folders, "KUBECONFIG": str(self.kubeconfig or "/dev/null")},
        )
        return Result((self.program.name, *arguments), completed.returncode, completed.stdout, completed.stderr)

    def within(self, kubeconfig: Path) -> Self:
        """Returns the same Helm for a cluster."""
        return replace(self, kubeconfig=kubeconfig)

    def render(self, values: Mapping[str, Any] | None = None, *options: str, release: str = "statefulroute") -> Result:
        """Renders the chart with the given values; without a cluster, equal values only once."""
        run = self.run if self.kubeconfig else partial(_run_once, self)
        return run("template", release, str(CHART), "--values=-", *options, stdin=json.dumps(values or {}))


@cache
def _run_once(helm: Helm, *arguments: str, stdin: str) -> Result:
    return helm.run(*arguments, stdin=stdin)


@dataclass(frozen=True, slots=True)
class Release:
    """A release, installed or not.

    Attributes:
        helm: the Helm that installs it.
        name: its name.
        namespace: its namespace.
        values: the values of every installation of it.
    """

    helm: Helm
    name: str
    namespace: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def install(self, *options: str, chart: Path = CHART) -> Result:
        """Installs it, and waits until its pods are Ready."""
        return self._with_values("install", chart, options)

    def upgrade(self, *options: str, chart: Path = CHART) -> Result:
        """Upgrades it, and waits until its pods are Ready."""
        return self._with_values("upgrade", chart, options)

    def rollback(self, revision: int) -> Result:
        """Rolls back to a revision, and waits until its pods are Ready."""
        return self._run("rollback", self.name, str(revision), "--wait")

    def test(self) -> Result:
        """Runs the chart's test."""
        return self._run("test", self.name)

    def uninstall(self, *options: str) -> Result:
        """Uninstalls it, and waits until it is gone."""
        return self._run("uninstall", self.name, "--wait", *options)

    def leftovers(self, kubectl: Kubectl) -> set[str]:
        """Returns its remaining objects in its namespace and cluster-wide, by its label."""
        label = f"app.kubernetes.io/instance={self.name}"
        return set(kubectl.run("get", _KINDS, f"--selector={label}", "--output=name").expect_success().stdout.split())

    def _with_values(self, verb: str, chart: Path, options: tuple[str, ...]) -> Result:
        values = json.dumps(self.values)
        return self._run(verb, self.name, str(chart), "--wait", "--values=-", *options, stdin=values)

    def _run(self, *arguments: str, stdin: str = "") -> Result:
        options = ("--namespace", self.namespace, "--timeout", "120s")
        return self.helm.run(*arguments, *options, stdin=stdin).expect_success()
