"""Runs the linters, and reads what they have found."""

import json
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from chart.kinds import documents
from helmchart import programs
from linters.findings import Finding
from linters.value_sets import ValueSet
from localcluster.progress import PlainProgress

#: The worst grades of kube-score: critical is 1, a warning 5, and "almost OK" 7.
_WARNING = 5

#: Optional rules of kube-score. The others demand limits that equal the requests.
_OPTIONAL_RULES = ("container-seccomp-profile", "container-ports-check")

_COLORS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Rendering:
    """What a chart renders with a set of values.

    Attributes:
        file: the file with its objects, in a folder of its own.
        value_set: the values.
    """

    file: Path
    value_set: ValueSet

    @cached_property
    def subjects(self) -> Mapping[tuple[str, str], str]:
        """Kind and component of each object, by its kind and name."""
        return {(item["kind"], item["metadata"]["name"]): _subject(item) for item in self.objects}

    @cached_property
    def objects(self) -> Sequence[Mapping[str, Any]]:
        """The objects."""
        return documents(self.file.read_text(encoding="utf-8"))

    def finding(self, rule: str, kind: str, name: str, message: str) -> Finding:
        """Returns a finding in one of its objects."""
        return Finding(rule, self.subjects[kind, name], message, self.value_set.name, self.value_set.changed)


def checkov(environment: Path, framework: str, folder: Path) -> list[Mapping[str, Any]]:
    """Returns the failed checks of all files in a folder."""
    options = ["--skip-download", "--quiet", "--compact", "--framework", framework, "--output", "json"]
    done = _run([environment / "bin/checkov", *options, "--directory", folder])
    report = json.loads(done.stdout)
    assert not report["summary"]["parsing_errors"], done.stdout[-2000:]
    assert report["summary"]["passed"], "checkov has checked nothing"
    return list(report["results"]["failed_checks"])


def checkov_of_charts(environment: Path, folder: Path, renderings: Iterable[Rendering]) -> Iterator[Finding]:
    """Yields what checkov finds in renderings, each of which is in a folder of this folder."""
    by_file = {f"/{rendering.file.relative_to(folder)}": rendering for rendering in renderings}
    for check in checkov(environment, "kubernetes", folder):
        rendering = by_file[check["file_path"]]
        kind, _, name = check["resource"].partition(".")
        name = name.partition(".")[2] or name
        yield rendering.finding(f"checkov/{check['check_id']}", kind, name, check["check_name"])


def kube_score(renderings: Iterable[Rendering], version: str) -> Iterator[Finding]:
    """Yields what kube-score finds for a version of Kubernetes, like `1.31`."""
    program = programs.kube_score(PlainProgress())
    options = ["--output-format=json", f"--kubernetes-version=v{version}"]
    options += [f"--enable-optional-test={rule}" for rule in _OPTIONAL_RULES]
    for rendering in renderings:
        report = json.loads(_run([program, "score", *options, rendering.file]).stdout)
        for item in report or []:
            for rule, message in _failed_checks(item):
                kind, name = item["type_meta"]["kind"], item["object_meta"]["name"]
                yield rendering.finding(f"kube-score/{rule}", kind, name, message)


def kubeconform(renderings: Iterable[Rendering], schemas: Path, version: str) -> Iterator[Finding]:
    """Yields what does not conform to the schemas of a version of Kubernetes, like `1.31`."""
    program = programs.kubeconform(PlainProgress())
    location = f"{schemas}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"
    by_file = {str(rendering.file): rendering for rendering in renderings}
    options = ["-strict", "-summary", "-output", "json", "-schema-location", location]
    options += ["-kubernetes-version", f"{version}.0"]
    report = json.loads(_run([program, *options, *by_file]).stdout)
    checked = sum(report["summary"].values())
    assert checked == sum(len(rendering.objects) for rendering in by_file.values())
    for item in report["resources"]:
        rendering = by_file[item["filename"]]
        yield rendering.finding(f"kubeconform/{version}", item["kind"], item["name"], item["msg"])


def hadolint(environment: Path, files: Iterable[Path], root: Path) -> Iterator[Finding]:
    """Yields what hadolint finds in Dockerfiles."""
    done = _run([environment / "bin/hadolint", "--format", "json", *files])
    for found in json.loads(done.stdout):
        file = Path(found["file"]).relative_to(root)
        yield Finding(f"hadolint/{found['code']}", str(file), f"line {found['line']}: {found['message']}")


def checkov_of_dockerfiles(environment: Path, folder: Path) -> Iterator[Finding]:
    """Yields what checkov finds in the Dockerfiles of a folder."""
    for check in checkov(environment, "dockerfile", folder):
        file = str(check["file_path"]).lstrip("/")
        yield Finding(f"checkov-dockerfile/{check['check_id']}", file, check["check_name"])


def pyroma(environment: Path, archive: Path) -> Iterator[Finding]:
    """Yields what pyroma finds in the metadata of a source archive; its environment has the build backend."""
    done = _run([environment / "bin/pyroma", "--min", "10", "--file", archive])
    before, _, notes = done.stdout.strip("-\n").partition("-" * 30)
    assert "Final rating: " in notes, before + notes + done.stderr
    for line in notes.partition("Final rating: ")[0].splitlines():
        if line.strip("-"):
            yield Finding("pyroma/metadata", "package", line)


def twine(environment: Path, files: Iterable[Path]) -> Iterator[Finding]:
    """Yields what a package index would refuse, or not show, of archives and wheels."""
    done = _run([environment / "bin/twine", "--no-color", "check", "--strict", *files])
    if done.returncode:
        yield Finding("twine/check", "package", " ".join(_COLORS.sub("", done.stdout + done.stderr).split()))


def _failed_checks(item: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields rule and message of what kube-score has found in an object."""
    for check in item["checks"]:
        if not check["skipped"] and check["grade"] <= _WARNING:
            for comment in check["comments"]:
                yield check["check"]["id"], f"{comment['path']} {comment['summary']}".strip()


def _run(command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    """Runs a linter. Its exit code says whether it has found anything, which its output says, too."""
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _subject(item: Mapping[str, Any]) -> str:
    metadata = item["metadata"]
    component = metadata.get("labels", {}).get("app.kubernetes.io/component", metadata["name"])
    return f"{item['kind']}/{component}"
